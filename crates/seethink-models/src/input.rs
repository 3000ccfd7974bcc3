//! Model input, on the host and on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Image patches on the host, as the image processor makes them.
///
/// # Shapes
/// - `values`: `[n_patches, patch_len]`, row-major, normalised; rows of several images follow one
///   another
/// - `grids`: per image `[frames or tiles, rows, columns]` of patches
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pixels {
    /// Normalised patch values.
    pub values: Vec<f32>,
    /// Patch grid of each image: frames or tiles, rows, columns.
    pub grids: Vec<[usize; 3]>,
}

impl Pixels {
    /// Allocates the patches of these grids.
    pub(crate) fn zeros(grids: Vec<[usize; 3]>, patch_len: usize) -> Self {
        let mut pixels = Self { values: Vec::new(), grids };
        pixels.values = vec![0.0; pixels.n_patches() * patch_len];
        pixels
    }

    /// Values of each image, with its grid.
    pub(crate) fn parts_mut(&mut self) -> Vec<([usize; 3], &mut [f32])> {
        let patch_len = self.values.len() / self.n_patches().max(1);
        let mut rest = self.values.as_mut_slice();
        let part = |&grid: &[usize; 3]| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(grid.iter().product::<usize>() * patch_len);
            rest = tail;
            (grid, part)
        };
        self.grids.iter().map(part).collect()
    }

    /// Concatenates the patches of several prompts.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        parts.into_iter().fold(Self::default(), |mut all, part| {
            all.values.extend_from_slice(&part.values);
            all.grids.extend_from_slice(&part.grids);
            all
        })
    }

    /// Number of patches over all images.
    pub fn n_patches(&self) -> usize {
        self.grids.iter().map(|grid| grid.iter().product::<usize>()).sum()
    }

    /// Converts the patches to a tensor.
    ///
    /// # Panics
    /// If there is no image, or the values do not divide into the patches of the grids.
    pub fn to_tensor(&self, device: &Device) -> PixelTensor {
        let n_patches = self.n_patches();
        assert!(n_patches > 0 && self.values.len().is_multiple_of(n_patches), "patch values do not match the grids");
        let shape = [n_patches, self.values.len() / n_patches];
        let patches = Tensor::from_data(TensorData::new(self.values.clone(), shape), device);
        PixelTensor { patches, grids: self.grids.clone() }
    }
}

/// Image patches on a device.
///
/// # Shapes
/// - `patches`: `[n_patches, patch_len]`
#[derive(Debug, Clone)]
pub struct PixelTensor {
    /// Normalised patch values.
    pub patches: Tensor<2>,
    /// Patch grid of each image: frames or tiles, rows, columns.
    pub grids: Vec<[usize; 3]>,
}

/// Image features: the output of the vision side for the text decoder, one row per image token,
/// images in order of appearance.
///
/// # Shapes
/// - `embeds`: `[n_image_tokens, hidden]`
/// - `deepstack[k]`: `[n_image_tokens, hidden]`, added after decoder layer `k`; empty for families
///   without DeepStack
#[derive(Debug, Clone)]
pub struct VisualFeatures {
    /// Embeddings that replace those of the image tokens.
    pub embeds: Tensor<2>,
    /// DeepStack features, added to the hidden states of the image tokens after the first decoder
    /// layers.
    pub deepstack: Vec<Tensor<2>>,
}

impl VisualFeatures {
    /// Features of a range of image tokens.
    pub fn rows(&self, range: std::ops::Range<usize>) -> Self {
        let take = |features: &Tensor<2>| features.clone().narrow(0, range.start, range.len());
        Self { embeds: take(&self.embeds), deepstack: self.deepstack.iter().map(take).collect() }
    }

    /// Concatenates the features of several prompts; `None` where there are none.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let parts: Vec<&Self> = parts.into_iter().collect();
        let first = parts.first()?;
        let levels = 0..first.deepstack.len();
        Some(Self {
            embeds: Tensor::cat(parts.iter().map(|part| part.embeds.clone()).collect(), 0),
            deepstack: levels
                .map(|k| Tensor::cat(parts.iter().map(|part| part.deepstack[k].clone()).collect(), 0))
                .collect(),
        })
    }
}

/// Image features and their positions in the batch.
///
/// # Shapes
/// - `positions`: `[n_image_tokens]`, flat index `row * seq + column` into the batch, in the order
///   of the features
#[derive(Debug, Clone)]
pub struct VisualTokens {
    /// Flat positions of the image tokens.
    pub positions: Tensor<1, Int>,
    /// Features of the image tokens; absent only in a batch for `VisionLanguageModel::backward`
    /// that is given the pixels instead.
    pub features: Option<VisualFeatures>,
}

/// Model input: a batch for a backbone.
///
/// # Shapes
/// - `input_ids`, `segments`: `[batch, seq]`
/// - `position_ids`: `[3, batch, seq]` (time, height, width; families with one axis read the first)
///
/// `segments` is the attention mask in compact form: −1 is padding, 0 is seen by every later token
/// of its row, and `k >= 1` is a branch that sees the zeros before it and itself. A token sees no
/// later token. So a row can hold one prompt (0) and, after it, a whole group of completions (1, 2,
/// …) that share it; an ordinary row is all zeros.
#[derive(Debug, Clone)]
pub struct VlmInput {
    /// Token ids.
    pub input_ids: Tensor<2, Int>,
    /// Rotary positions.
    pub position_ids: Tensor<3, Int>,
    /// Segment of each token, see above.
    pub segments: Tensor<2, Int>,
    /// Image features, where the batch has images.
    pub visual: Option<VisualTokens>,
}

/// An encoded prompt, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptInput {
    /// Token ids, image placeholders expanded to one id per image token.
    pub tokens: Vec<u32>,
    /// Rotary position of each token: time, height, width.
    pub position_ids: Vec<[i64; 3]>,
    /// Position of the first token after the prompt, the same on all three axes.
    pub next_position: i64,
    /// Indices into `tokens` of the image tokens, in order.
    pub image_tokens: Vec<usize>,
    /// Patches of the images.
    pub pixels: Pixels,
}

/// One row of a batch, on the host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenRow {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Rotary position of each token.
    pub position_ids: Vec<[i64; 3]>,
    /// Segment of each token, see [`VlmInput`].
    pub segments: Vec<i64>,
    /// Indices into `tokens` of the image tokens, in order.
    pub image_tokens: Vec<usize>,
}

impl TokenRow {
    /// Creates a row that holds the prompt alone.
    pub fn prompt(prompt: &PromptInput) -> Self {
        Self {
            tokens: prompt.tokens.clone(),
            position_ids: prompt.position_ids.clone(),
            segments: vec![0; prompt.tokens.len()],
            image_tokens: prompt.image_tokens.clone(),
        }
    }

    /// Appends a completion as a branch of its own. Returns the column of its first token.
    pub fn push_branch(&mut self, segment: i64, first_position: i64, tokens: &[u32]) -> usize {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.position_ids.extend((0..tokens.len() as i64).map(|i| [first_position + i; 3]));
        self.segments.extend(std::iter::repeat_n(segment, tokens.len()));
        start
    }
}

/// Padding side of shorter rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Padding before the first token: rows end together (decoding).
    Left,
    /// Padding after the last token: rows start together (training).
    Right,
}

impl VlmInput {
    /// Pads rows to the longest and puts them on a device.
    ///
    /// `features` are the image features of all rows in order; where rows hold image tokens and
    /// there are none yet, [`with_features`](Self::with_features) or
    /// `VisionLanguageModel::backward` supplies them.
    ///
    /// # Panics
    /// If there is no row, or the number of features is not the number of image tokens.
    pub fn from_rows(
        rows: &[TokenRow],
        pad_token: u32,
        side: Side,
        features: Option<VisualFeatures>,
        device: &Device,
    ) -> Self {
        let batch = rows.len();
        let seq = rows.iter().map(|row| row.tokens.len()).max().expect("a batch has at least one row");
        let mut ids = vec![i64::from(pad_token); batch * seq];
        let mut segments = vec![-1i64; batch * seq];
        let mut positions = vec![0i64; 3 * batch * seq];
        let mut image_tokens = Vec::new();
        for (b, row) in rows.iter().enumerate() {
            let offset = b * seq + if side == Side::Left { seq - row.tokens.len() } else { 0 };
            for (t, &token) in row.tokens.iter().enumerate() {
                ids[offset + t] = i64::from(token);
                segments[offset + t] = row.segments[t];
                for axis in 0..3 {
                    positions[axis * batch * seq + offset + t] = row.position_ids[t][axis];
                }
            }
            image_tokens.extend(row.image_tokens.iter().map(|t| (offset + t) as i64));
        }
        let n = image_tokens.len();
        let visual = (n > 0).then(|| VisualTokens {
            positions: Tensor::from_data(TensorData::new(image_tokens, [n]), device),
            features: None,
        });
        let input = Self {
            input_ids: Tensor::from_data(TensorData::new(ids, [batch, seq]), device),
            position_ids: Tensor::from_data(TensorData::new(positions, [3, batch, seq]), device),
            segments: Tensor::from_data(TensorData::new(segments, [batch, seq]), device),
            visual,
        };
        match features {
            None => input,
            Some(features) => input.with_features(features),
        }
    }

    /// This batch with the given image features.
    ///
    /// # Panics
    /// If the number of features is not the number of image tokens.
    pub fn with_features(mut self, features: VisualFeatures) -> Self {
        let n = self.visual.as_ref().map_or(0, |visual| visual.positions.dims()[0]);
        assert_eq!(features.embeds.dims()[0], n, "one feature row per image token");
        if let Some(visual) = &mut self.visual {
            visual.features = Some(features);
        }
        self
    }
}
