//! Image processors: pictures to patches; the parts that the families share.

use crate::checks::expect;
use crate::files::CheckpointFiles;
use crate::positions::Span;
use crate::{Pixels, ProcessorError};
use seethink_core::{Image, SettingError};
use serde::Deserialize;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// Image processing of a family.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// Image processor: pictures to patches.
    pub images: Arc<dyn ImageProcessor>,
    /// Placeholder token: one per image in the rendered template, and after expansion one per image
    /// token.
    pub placeholder: u32,
    /// Tokens that a model must not sample: each stands for pixels that a completion does not have.
    pub forbidden: Vec<u32>,
}

/// Image processor: resizes pictures as a family asks, normalises them and cuts them into patches.
pub trait ImageProcessor: Debug + Send + Sync {
    /// Patch grid of an image of this size, found without decoding it: frames or tiles, rows,
    /// columns.
    ///
    /// # Errors
    /// If the image has no pixels or cannot be resized.
    fn grid(&self, width: u32, height: u32) -> Result<[usize; 3], ProcessorError>;

    /// Span of the tokens that stand for an image of this grid in a prompt.
    fn span(&self, grid: [usize; 3]) -> Span;

    /// Number of image tokens of an image of this size, found without decoding it.
    ///
    /// # Errors
    /// As [`grid`](Self::grid).
    fn n_image_tokens(&self, width: u32, height: u32) -> Result<usize, ProcessorError> {
        Ok(self.span(self.grid(width, height)?).n_image_tokens())
    }

    /// Patches of several images, one image after the other. Images and their parts are worked on
    /// in parallel.
    ///
    /// # Errors
    /// If an image cannot be resized; nothing is computed then.
    fn process(&self, images: &[Image]) -> Result<Pixels, ProcessorError>;

    /// Description of the rules: patches, sizes, tokens.
    fn rules(&self) -> String;

    /// Range of the number of pixels that an image is resized to.
    fn pixel_range(&self) -> RangeInclusive<u64>;

    /// Number of pixels of a resized image per image token.
    fn pixels_per_token(&self) -> u64;

    /// This processor with at most this many tiles to an image, the one that shows the whole not
    /// counted.
    ///
    /// # Errors
    /// If this family does not cut images into tiles, or the checkpoint's minimum is larger.
    fn with_max_tiles(&self, max_tiles: usize) -> Result<Arc<dyn ImageProcessor>, ProcessorError> {
        let expected = "none: this model does not cut images into tiles";
        Err(SettingError::new("max_tiles", max_tiles, expected).into())
    }
}

/// Settings that all `preprocessor_config.json` have, in their own spelling.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    image_mean: [f32; 3],
    image_std: [f32; 3],
    /// Resampling filter by Pillow's code: 3 is bicubic.
    resample: Option<u32>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

impl Settings {
    /// Checks that the settings ask for what is implemented.
    ///
    /// # Errors
    /// If one does not; the error names the first.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        for (key, value) in
            [("do_resize", self.do_resize), ("do_rescale", self.do_rescale), ("do_normalize", self.do_normalize)]
        {
            expect(value != Some(false), key, false, "true")?;
        }
        let filter = self.resample.unwrap_or(3);
        expect(filter == 3, "resample", filter, "3 (bicubic)")?;
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        expect((factor * 255.0 - 1.0).abs() < 1e-6, "rescale_factor", factor, "1/255")?;
        let spreads = self.image_std.iter().all(|std| *std > 0.0);
        expect(spreads, "image_std", format!("{:?}", self.image_std), "three positive numbers")
    }

    pub(crate) fn levels(&self) -> Levels {
        Levels { mean: self.image_mean, std: self.image_std }
    }
}

/// Normalisation of 8-bit levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels {
    /// Mean per channel, as a share of full intensity.
    mean: [f32; 3],
    std: [f32; 3],
}

impl Levels {
    /// Normalised value of each level of each channel. Rescaling to shares is fused into the
    /// normalisation, as in the reference.
    pub(crate) fn table(&self) -> [[f32; 256]; 3] {
        let value = |c: usize, level: usize| (level as f32 - 255.0 * self.mean[c]) / (255.0 * self.std[c]);
        std::array::from_fn(|c| std::array::from_fn(|level| value(c, level)))
    }
}

/// The image settings of a checkpoint and the file that they stand in: `preprocessor_config.json`,
/// or `image_processor` in `processor_config.json`, where newer versions keep them.
///
/// # Errors
/// If neither exists, or one is malformed.
pub(crate) fn settings<T: serde::de::DeserializeOwned>(
    files: &CheckpointFiles,
) -> Result<(T, PathBuf), ProcessorError> {
    #[derive(Deserialize)]
    struct Wrapper<T> {
        image_processor: Option<T>,
    }
    const NAMES: [&str; 2] = ["preprocessor_config.json", "processor_config.json"];
    if let Some(settings) = files.json::<T>(NAMES[0])? {
        return Ok((settings, files.dir().join(NAMES[0])));
    }
    match files.json::<Wrapper<T>>(NAMES[1])?.and_then(|wrapper| wrapper.image_processor) {
        Some(settings) => Ok((settings, files.dir().join(NAMES[1]))),
        None => Err(ProcessorError::Missing { dir: files.dir().to_owned(), needed: NAMES[0] }),
    }
}
