//! Problems: prompt, images, verifiable answer, and metadata for curricula.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Stable identity of a problem: a hash of its content, shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProblemId(pub u64);

impl fmt::Display for ProblemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Capability: the ability that a problem exercises. The paper has three; any other name is one
/// more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capability(Cow<'static, str>);

impl Capability {
    /// Perception: questions that are settled by the content of the image.
    pub const PERCEPTION: Self = Self(Cow::Borrowed("perception"));
    /// Reasoning over text alone.
    pub const TEXTUAL_REASONING: Self = Self(Cow::Borrowed("textual_reasoning"));
    /// Reasoning over the content of an image.
    pub const VISUAL_REASONING: Self = Self(Cow::Borrowed("visual_reasoning"));
    /// The three capabilities of the paper, in its stage order.
    pub const ALL: [Self; 3] = [Self::PERCEPTION, Self::TEXTUAL_REASONING, Self::VISUAL_REASONING];

    /// Creates a capability with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// Name of the capability, as in files and metric keys.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Pass rate: fraction of sampled completions that are correct, in `[0, 1]`; 1 is the easiest.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct PassRate(f32);

/// Error for a pass rate outside `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a pass rate is a fraction between 0 and 1, not {0}")]
pub struct PassRateError(pub f32);

impl PassRate {
    /// Creates a pass rate of `fraction`.
    ///
    /// # Errors
    /// If `fraction` is not in `[0, 1]`.
    pub fn new(fraction: f32) -> Result<Self, PassRateError> {
        if (0.0..=1.0).contains(&fraction) { Ok(Self(fraction)) } else { Err(PassRateError(fraction)) }
    }

    /// Pass rate as a fraction in `[0, 1]`.
    pub fn fraction(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for PassRate {
    type Error = PassRateError;
    fn try_from(fraction: f32) -> Result<Self, PassRateError> {
        Self::new(fraction)
    }
}

impl From<PassRate> for f32 {
    fn from(pass_rate: PassRate) -> Self {
        pass_rate.0
    }
}

/// Decoded image: 8-bit RGB, rows from the top, pixels from the left.
///
/// # Shapes
/// - `rgb`: `[height, width, 3]`, row-major
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Image {
    width: u32,
    height: u32,
    rgb: Arc<[u8]>,
}

/// Error for pixel data whose length does not fit the stated size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an RGB image of {width}x{height} needs {} bytes, but {found} were given", 3 * u64::from(*width) * u64::from(*height))]
pub struct ImageError {
    /// Stated width, pixels.
    pub width: u32,
    /// Stated height, pixels.
    pub height: u32,
    /// Number of bytes given.
    pub found: usize,
}

impl Image {
    /// Creates an image from RGB bytes.
    ///
    /// # Errors
    /// If a side is zero or `rgb` is not `3 * width * height` long.
    pub fn new(width: u32, height: u32, rgb: impl Into<Arc<[u8]>>) -> Result<Self, ImageError> {
        let rgb = rgb.into();
        let fits = width > 0 && height > 0 && rgb.len() as u64 == 3 * u64::from(width) * u64::from(height);
        if fits { Ok(Self { width, height, rgb }) } else { Err(ImageError { width, height, found: rgb.len() }) }
    }

    /// Width, pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height, pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// RGB bytes, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

/// Source of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// Path of an image file.
    Path(PathBuf),
    /// Bytes of an encoded image file (PNG, JPEG, …).
    Encoded(Arc<[u8]>),
    /// Decoded pixels in memory.
    Pixels(Image),
}

/// Problem: a prompt with its images and an answer that can be verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Hash of the content.
    pub id: ProblemId,
    /// Capability that the problem exercises.
    pub capability: Capability,
    /// Text of the question; each `<image>` stands for the next of `images`.
    pub prompt: String,
    /// Images, one per placeholder, in order.
    pub images: Vec<ImageSource>,
    /// Ground-truth answer that the reward compares with.
    pub answer: String,
    /// Reference solution, where known: a full-reward completion, the target of supervised
    /// fine-tuning.
    pub solution: Option<String>,
    /// Pass rate of some model on the problem, where measured or known.
    pub pass_rate: Option<PassRate>,
    /// Name of the dataset that the problem comes from.
    pub source: String,
    /// Further tags that a curriculum may sort by.
    pub tags: BTreeMap<String, String>,
}

impl Problem {
    /// Placeholder of an image in `prompt`.
    pub const IMAGE_PLACEHOLDER: &'static str = "<image>";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_rates_are_fractions() {
        assert_eq!(PassRate::new(0.25).map(PassRate::fraction), Ok(0.25));
        assert!(PassRate::new(1.5).is_err());
        assert!(PassRate::new(f32::NAN).is_err());
    }

    #[test]
    fn images_check_their_length() {
        assert!(Image::new(2, 1, vec![0; 6]).is_ok());
        assert!(Image::new(2, 1, vec![0; 5]).is_err());
        assert!(Image::new(0, 1, vec![]).is_err());
        assert!(Image::new(u32::MAX, u32::MAX, vec![]).is_err());
    }
}
