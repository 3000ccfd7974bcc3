//! Batches of the reference.

use super::reference::{Reference, Tensors, get};
use super::table::Table;
use anyhow::{Context, Result};
use seethink::burn::tensor::Tensor;
use seethink::models::{PixelTensor, Pixels, PromptInput, Side, TokenRow, VisionLanguageModel, VlmInput};
use serde_json::Value;

/// Names of the batches in every folder.
pub(super) const NAMES: [&str; 4] = ["one_image", "two_images", "batch", "text_only"];

/// A batch: rows of one length, padded on the left.
#[derive(Debug)]
pub struct Case<'a> {
    name: &'static str,
    facts: &'a Value,
    tensors: &'a Tensors,
    /// Number of rows.
    pub batch: usize,
    /// Number of columns, padding included.
    pub seq: usize,
    /// Attention mask, `[batch · seq]`: 1 for a token, 0 for padding.
    pub mask: Vec<i64>,
    /// The rows as prompts, without padding.
    pub prompts: Vec<PromptInput>,
}

impl<'a> Case<'a> {
    /// Reads a batch.
    ///
    /// # Errors
    /// If the reference lacks a part of the batch.
    pub fn read(reference: &'a Reference, name: &'static str) -> Result<Self> {
        let tensors = reference.tensors("forward");
        let facts = &reference.json("forward")[name];
        let key = |what: &str| format!("{name}.{what}");
        let &[batch, seq] = tensors.shape(&key("input_ids"))? else { anyhow::bail!("{name}.input_ids is no matrix") };
        let ids = tensors.ints(&key("input_ids"))?;
        let mask = tensors.ints(&key("attention_mask"))?.to_vec();
        let positions = tensors.ints(&key("position_ids"))?;
        // Families with one axis store it once.
        let position =
            |axis: usize, i: usize| positions[if positions.len() == ids.len() { i } else { axis * ids.len() + i }];
        let config = super::reference::read_json(&reference.checkpoint().join("config.json"))?;
        let image_token: i64 = get(&config, "image_token_id")?;
        let mut images = pictures(reference, facts, name)?.into_iter();
        let mut prompts = Vec::new();
        for row in 0..batch {
            let columns: Vec<usize> = (row * seq..(row + 1) * seq).filter(|&i| mask[i] == 1).collect();
            let position_ids: Vec<[i64; 3]> =
                columns.iter().map(|&i| [0, 1, 2].map(|axis| position(axis, i))).collect();
            let image_tokens: Vec<usize> = (0..columns.len()).filter(|&t| ids[columns[t]] == image_token).collect();
            let mut pixels = Pixels::default();
            let mut wanted = image_tokens.len();
            while wanted > 0 {
                let (n_tokens, image) = images.next().context("more image tokens than images")?;
                wanted = wanted.checked_sub(n_tokens).context("images do not fit the image tokens of a row")?;
                pixels = Pixels::concat([&pixels, &image]);
            }
            prompts.push(PromptInput {
                tokens: columns.iter().map(|&i| ids[i] as u32).collect(),
                next_position: position_ids.iter().flatten().max().map_or(0, |last| last + 1),
                position_ids,
                image_tokens,
                pixels,
            });
        }
        Ok(Self { name, facts, tensors, batch, seq, mask, prompts })
    }

    /// Images of all rows, if there are any.
    pub fn pixels(&self, model: &impl VisionLanguageModel) -> Option<PixelTensor> {
        let pixels = Pixels::concat(self.prompts.iter().map(|prompt| &prompt.pixels));
        (!pixels.grids.is_empty()).then(|| pixels.to_tensor(&model.device().inner()))
    }

    /// Model input of the batch, without image features. Padding is on the left, as in the
    /// reference.
    pub fn input(&self, model: &impl VisionLanguageModel) -> VlmInput {
        let rows: Vec<TokenRow> = self.prompts.iter().map(TokenRow::prompt).collect();
        VlmInput::from_rows(&rows, 0, Side::Left, None, &model.device().inner())
    }

    /// Model input of the batch, with image features.
    pub fn input_with_features(&self, model: &impl VisionLanguageModel) -> VlmInput {
        let input = self.input(model);
        match self.pixels(model) {
            Some(pixels) => input.with_features(model.encode_images(pixels)),
            None => input,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Noise of the reference: the difference of its `f32` from its own `f64`.
    pub(super) fn noise(&self, what: &str) -> f64 {
        self.facts["noise_f32_vs_f64_max_abs"][what].as_f64().unwrap_or(0.0)
    }

    pub(super) fn has(&self, what: &str) -> bool {
        self.tensors.contains(&format!("{}.{what}", self.name))
    }

    pub(super) fn floats(&self, what: &str) -> Result<&'a [f32]> {
        self.tensors.floats(&format!("{}.{what}", self.name))
    }

    pub(super) fn ints(&self, what: &str) -> Result<&'a [i64]> {
        self.tensors.ints(&format!("{}.{what}", self.name))
    }

    /// Values of the rows that are no padding: `[batch · seq, channels]`.
    pub(super) fn kept(&self, values: &[f32]) -> Vec<f32> {
        let channels = values.len() / self.mask.len();
        let rows = values.chunks(channels).zip(&self.mask).filter(|(_, mask)| **mask == 1);
        rows.flat_map(|(row, _)| row.to_vec()).collect()
    }

    /// Compares a tensor of the reference with values of the same layout, padding left out.
    ///
    /// # Errors
    /// If the reference lacks the tensor.
    pub(super) fn compare(
        &self,
        table: &mut Table,
        quantity: &'static str,
        what: &str,
        found: Tensor<3>,
        noise: &str,
    ) -> Result<()> {
        let place = format!("{}.{what}", self.name);
        let found = self.kept(&values(found));
        table.close(quantity, &place, &found, &self.kept(self.floats(what)?), self.noise(noise));
        Ok(())
    }
}

pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Images of a batch in order, with the number of tokens of each.
fn pictures(reference: &Reference, facts: &Value, case: &str) -> Result<Vec<(usize, Pixels)>> {
    let names: Vec<String> = get(facts, "images").with_context(|| format!("forward.json, {case}"))?;
    names.iter().map(|name| super::pictures::expected(reference, name)).collect()
}
