//! Rotary positions with three axes (M-RoPE): text counts on, image tokens keep their place in the picture.

use crate::ProcessorError;

/// A prompt with one token per merged cell of its images, and where each token stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Token ids.
    pub(crate) tokens: Vec<u32>,
    /// Time, height and width of each token.
    pub(crate) position_ids: Vec<[i64; 3]>,
    /// Position of the first token after the prompt, on all axes.
    pub(crate) next_position: i64,
    /// Indices into `tokens` of the image tokens.
    pub(crate) image_tokens: Vec<usize>,
}

/// Replaces each placeholder by the tokens of its image and gives every token its position.
///
/// Text at position `p` has `[p, p, p]`. An image of `rows` x `columns` merged cells that begins at `p` has
/// `[p, p + row, p + column]`, and what follows it begins at `p + max(rows, columns)`.
/// Both Qwen families place still images so.
///
/// # Errors
/// If the tokens do not hold one placeholder per image.
pub(crate) fn lay_out(tokens: &[u32], placeholder: u32, cells: &[[usize; 2]]) -> Result<Layout, ProcessorError> {
    let placeholders = tokens.iter().filter(|&&token| token == placeholder).count();
    if placeholders != cells.len() {
        return Err(ProcessorError::Placeholders { placeholders, images: cells.len() });
    }
    let n_image_tokens: usize = cells.iter().map(|[rows, columns]| rows * columns).sum();
    let len = tokens.len() - placeholders + n_image_tokens;
    let mut layout = Layout {
        tokens: Vec::with_capacity(len),
        position_ids: Vec::with_capacity(len),
        next_position: 0,
        image_tokens: Vec::with_capacity(n_image_tokens),
    };
    let mut cells = cells.iter();
    for &token in tokens {
        let start = layout.next_position;
        if token == placeholder
            && let Some(&[rows, columns]) = cells.next()
        {
            let first = layout.tokens.len();
            layout.image_tokens.extend(first..first + rows * columns);
            layout.tokens.extend(std::iter::repeat_n(token, rows * columns));
            let place = |cell| [start, start + (cell / columns) as i64, start + (cell % columns) as i64];
            layout.position_ids.extend((0..rows * columns).map(place));
            layout.next_position += rows.max(columns) as i64;
        } else {
            layout.tokens.push(token);
            layout.position_ids.push([start; 3]);
            layout.next_position += 1;
        }
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_takes_the_room_of_its_longer_side() {
        let layout = lay_out(&[7, 9, 8], 9, &[[2, 3]]).expect("one placeholder, one image");
        assert_eq!(layout.tokens, [7, 9, 9, 9, 9, 9, 9, 8]);
        assert_eq!(layout.image_tokens, [1, 2, 3, 4, 5, 6]);
        let image = [[1, 1, 1], [1, 1, 2], [1, 1, 3], [1, 2, 1], [1, 2, 2], [1, 2, 3]];
        assert_eq!(layout.position_ids[1..7], image);
        assert_eq!(layout.position_ids[7], [4; 3]);
        assert_eq!(layout.next_position, 5);
    }

    #[test]
    fn counts_must_agree() {
        for (tokens, cells) in [(&[9, 9][..], &[[1, 1]][..]), (&[7][..], &[[1, 1]][..])] {
            let message = lay_out(tokens, 9, cells).expect_err("counts differ").to_string();
            let n = tokens.iter().filter(|&&token| token == 9).count();
            assert_eq!(message, format!("image placeholders in the rendered prompt: {n}, images given: 1"));
        }
    }
}
