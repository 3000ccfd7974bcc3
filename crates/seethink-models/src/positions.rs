//! Position ids of a prompt: text counts on, and image tokens follow the rule of their family.

use crate::ProcessorError;

/// Layout of a prompt: one token per merged cell of its images, and the position of each token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Token ids.
    pub(crate) tokens: Vec<u32>,
    /// Position of each token: time, height and width.
    pub(crate) position_ids: Vec<[i64; 3]>,
    /// Position of the first token after the prompt, on all axes.
    pub(crate) next_position: i64,
    /// Indices into `tokens` of the image tokens.
    pub(crate) image_tokens: Vec<usize>,
}

/// Span of an image: the tokens that stand for it in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// A token per merged cell, with the position of its cell (M-RoPE): beginning at `p`, cell
    /// `(row, column)` has `[p, p + row, p + column]`, and the next token has
    /// `p + max(rows, columns)`.
    ///
    /// Both Qwen families lay out still images in this way.
    Grid {
        /// Rows of merged cells.
        rows: usize,
        /// Columns of merged cells.
        columns: usize,
    },
    /// Tokens that count on as text does, with an opening and a closing token.
    Run {
        /// Opening token.
        open: u32,
        /// Number of image tokens.
        n: usize,
        /// Closing token.
        close: u32,
    },
}

impl Span {
    /// Number of image tokens.
    pub fn n_image_tokens(self) -> usize {
        match self {
            Self::Grid { rows, columns } => rows * columns,
            Self::Run { n, .. } => n,
        }
    }

    /// Number of tokens, opening and closing ones included.
    fn len(self) -> usize {
        match self {
            Self::Grid { rows, columns } => rows * columns,
            Self::Run { n, .. } => n + 2,
        }
    }
}

impl Layout {
    fn text(&mut self, token: u32) {
        self.tokens.push(token);
        self.position_ids.push([self.next_position; 3]);
        self.next_position += 1;
    }

    fn image(&mut self, token: u32, span: Span) {
        match span {
            Span::Grid { rows, columns } => {
                let (start, first) = (self.next_position, self.tokens.len());
                self.image_tokens.extend(first..first + rows * columns);
                self.tokens.extend(std::iter::repeat_n(token, rows * columns));
                let place = |cell| [start, start + (cell / columns) as i64, start + (cell % columns) as i64];
                self.position_ids.extend((0..rows * columns).map(place));
                self.next_position += rows.max(columns) as i64;
            }
            Span::Run { open, n, close } => {
                self.text(open);
                let first = self.tokens.len();
                self.image_tokens.extend(first..first + n);
                (0..n).for_each(|_| self.text(token));
                self.text(close);
            }
        }
    }
}

/// Maximum length of a prompt: more than any model has positions for, and 144 MiB to lay out.
const MOST_TOKENS: usize = 1 << 22;

/// Replaces each placeholder by the tokens of its image and gives every token its position.
///
/// # Errors
/// If the tokens do not hold one placeholder per image.
pub(crate) fn lay_out(tokens: &[u32], placeholder: u32, images: &[Span]) -> Result<Layout, ProcessorError> {
    let placeholders = tokens.iter().filter(|&&token| token == placeholder).count();
    if placeholders != images.len() {
        return Err(ProcessorError::Placeholders { placeholders, images: images.len() });
    }
    let of_images = images.iter().map(|image| image.len()).fold(0, usize::saturating_add);
    let len = of_images.saturating_add(tokens.len() - placeholders);
    if len > MOST_TOKENS {
        return Err(ProcessorError::LongPrompt { n_tokens: len, most: MOST_TOKENS });
    }
    let mut layout = Layout {
        tokens: Vec::with_capacity(len),
        position_ids: Vec::with_capacity(len),
        next_position: 0,
        image_tokens: Vec::new(),
    };
    let mut images = images.iter();
    for &token in tokens {
        match images.as_slice().first() {
            Some(&image) if token == placeholder => {
                layout.image(token, image);
                images.next();
            }
            _ => layout.text(token),
        }
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_takes_the_room_of_its_longer_side() {
        let layout = lay_out(&[7, 9, 8], 9, &[Span::Grid { rows: 2, columns: 3 }]).expect("one placeholder, one image");
        assert_eq!(layout.tokens, [7, 9, 9, 9, 9, 9, 9, 8]);
        assert_eq!(layout.image_tokens, [1, 2, 3, 4, 5, 6]);
        let image = [[1, 1, 1], [1, 1, 2], [1, 1, 3], [1, 2, 1], [1, 2, 2], [1, 2, 3]];
        assert_eq!(layout.position_ids[1..7], image);
        assert_eq!(layout.position_ids[7], [4; 3]);
        assert_eq!(layout.next_position, 5);
    }

    #[test]
    fn a_run_counts_on_between_its_marks() {
        let layout = lay_out(&[7, 9, 8], 9, &[Span::Run { open: 4, n: 3, close: 5 }]).expect("one of each");
        assert_eq!(layout.tokens, [7, 4, 9, 9, 9, 5, 8]);
        assert_eq!(layout.image_tokens, [2, 3, 4]);
        assert_eq!(layout.position_ids, [0, 1, 2, 3, 4, 5, 6].map(|p| [p; 3]));
        assert_eq!(layout.next_position, 7);
    }

    #[test]
    fn a_prompt_beyond_any_model_is_refused_before_it_is_laid_out() {
        for (rows, columns) in [(32_767, 32_767), (usize::MAX / 2, 2), (1 << 11, 1 << 11)] {
            let error = lay_out(&[7, 9], 9, &[Span::Grid { rows, columns }]).expect_err("too long");
            assert!(matches!(error, ProcessorError::LongPrompt { most: MOST_TOKENS, .. }), "{error}");
        }
    }

    #[test]
    fn counts_must_agree() {
        for tokens in [&[9, 9][..], &[7][..]] {
            let image = Span::Grid { rows: 1, columns: 1 };
            let message = lay_out(tokens, 9, &[image]).expect_err("counts differ").to_string();
            let n = tokens.iter().filter(|&&token| token == 9).count();
            assert_eq!(message, format!("image placeholders in the rendered prompt: {n}, images given: 1"));
        }
    }
}
