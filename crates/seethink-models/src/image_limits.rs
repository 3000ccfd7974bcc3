//! Limits on the size of pictures that a run sets, applied before those of a checkpoint.

use crate::positions::Span;
use crate::resize::resize_as_pillow;
use crate::{ImageProcessor, Pixels, ProcessorError};
use seethink_core::{Image, SettingError};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Limits on the size of pictures, set by a run and not by a checkpoint; nothing is limited by
/// default.
///
/// `min_pixels` and `max_pixels` resize a picture of any family, aspect ratio nearly kept, before
/// the family's own rules apply to it:
/// ```text
/// if w·h > max_pixels:  f = √(max_pixels / w·h),  (w, h) ← (⌊w·f⌋, ⌊h·f⌋)
/// if w·h < min_pixels:  f = √(min_pixels / w·h),  (w, h) ← (⌊w·f⌋, ⌊h·f⌋)
/// ```
/// The checkpoint's own limits stay in force after that. They belong to the model and are saved
/// with it; these belong to the run and are not.
///
/// # Source
/// EasyR1 `verl/utils/dataset.py` `process_image` at `b44b311`, with its `data.min_pixels` and
/// `data.max_pixels`, before the processor of transformers. Differs: pictures with a palette or
/// with transparency are resized as RGB, there in the mode that they are stored in; a side never
/// becomes zero, there that ends the run. `max_tiles` is InternVL's `max_patches`, which EasyR1
/// leaves to the checkpoint.
///
/// # Examples
/// ```
/// use seethink_models::ImageLimits;
///
/// let limits = ImageLimits { max_pixels: Some(500_000), ..ImageLimits::default() };
/// assert_eq!(limits.fitted_size(1600, 1200), [816, 612]);
/// assert_eq!(limits.fitted_size(640, 480), [640, 480]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageLimits {
    /// Minimum number of pixels of a picture; a smaller one is enlarged to about that.
    pub min_pixels: Option<u64>,
    /// Maximum number of pixels of a picture; a larger one is reduced to that.
    pub max_pixels: Option<u64>,
    /// Maximum number of tiles that a picture is cut into, without the tile that shows the whole,
    /// in the place of the checkpoint's number. For families that cut pictures into tiles.
    pub max_tiles: Option<usize>,
}

impl ImageLimits {
    /// Returns whether no limit is set.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the limits as far as possible without a checkpoint.
    ///
    /// # Errors
    /// If a limit is zero, or the maximum of pixels is below the minimum.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { min_pixels, max_pixels, max_tiles } = *self;
        let limits =
            [("min_pixels", min_pixels), ("max_pixels", max_pixels), ("max_tiles", max_tiles.map(|n| n as u64))];
        if let Some((limit, _)) = limits.into_iter().find(|(_, value)| *value == Some(0)) {
            return Err(SettingError::new(limit, 0, "at least 1"));
        }
        match (min_pixels, max_pixels) {
            (Some(min), Some(max)) if min > max => {
                Err(SettingError::new("min_pixels", min, format!("at most max_pixels, {max}")))
            }
            _ => Ok(()),
        }
    }

    /// Size `[width, height]` that a picture is resized to before a family's own rules apply to it.
    pub fn fitted_size(&self, width: u32, height: u32) -> [u32; 2] {
        let area = |[width, height]: [u32; 2]| u64::from(width) * u64::from(height);
        // An empty picture is refused later, by name.
        let resized = |sides: [u32; 2], pixels: u64| {
            let factor = (pixels as f64 / area(sides) as f64).sqrt();
            sides.map(|side| ((f64::from(side) * factor) as u32).max(1))
        };
        let mut sides = [width, height];
        if area(sides) == 0 {
            return sides;
        }
        if let Some(max) = self.max_pixels.filter(|max| area(sides) > *max) {
            sides = resized(sides, max);
        }
        if let Some(min) = self.min_pixels.filter(|min| area(sides) < *min) {
            sides = resized(sides, min);
        }
        sides
    }

    /// Resizes a picture to its [`fitted_size`](Self::fitted_size).
    pub fn fit(&self, image: &Image) -> Image {
        let [width, height] = self.fitted_size(image.width(), image.height());
        resize_as_pillow(image, width, height)
    }

    /// Image processor within these limits, for a model with `positions` positions.
    ///
    /// # Errors
    /// If a limit is of no use to the family, contradicts what the checkpoint says, or allows a
    /// picture more tokens than there are positions.
    pub(crate) fn apply(
        &self,
        mut images: Arc<dyn ImageProcessor>,
        positions: usize,
    ) -> Result<Arc<dyn ImageProcessor>, ProcessorError> {
        self.check()?;
        let wrong = |limit, found: u64, expected: String| Err(SettingError::new(limit, found, expected).into());
        if let Some(n) = self.max_tiles {
            images = images.with_max_tiles(n)?;
            // Whatever the limit is, a picture that is that many times as wide as high reaches it.
            let n_tokens = images.n_image_tokens(u32::try_from(n).unwrap_or(u32::MAX), 1)?;
            if n_tokens > positions {
                let expected =
                    format!("fewer: that many take {n_tokens} tokens, and the model has {positions} positions");
                return wrong("max_tiles", n as u64, expected);
            }
        }
        let pixels = images.pixel_range();
        if let Some(max) = self.max_pixels {
            let n_tokens = max / images.pixels_per_token();
            if n_tokens > positions as u64 {
                let expected =
                    format!("fewer: that many take {n_tokens} tokens, and the model has {positions} positions");
                return wrong("max_pixels", max, expected);
            }
            if max < *pixels.start() {
                let expected =
                    format!("at least {}, which the checkpoint enlarges smaller pictures to", pixels.start());
                return wrong("max_pixels", max, expected);
            }
        }
        if let Some(min) = self.min_pixels.filter(|min| min > pixels.end()) {
            let expected = format!("at most {}, which the checkpoint reduces larger pictures to", pixels.end());
            return wrong("min_pixels", min, expected);
        }
        let resizes = self.min_pixels.is_some() || self.max_pixels.is_some();
        Ok(if resizes { Arc::new(Fitted { limits: *self, images }) } else { images })
    }
}

/// Image processor that resizes pictures to the limits first.
#[derive(Debug)]
struct Fitted {
    limits: ImageLimits,
    images: Arc<dyn ImageProcessor>,
}

impl ImageProcessor for Fitted {
    fn grid(&self, width: u32, height: u32) -> Result<[usize; 3], ProcessorError> {
        let [width, height] = self.limits.fitted_size(width, height);
        self.images.grid(width, height)
    }

    fn span(&self, grid: [usize; 3]) -> Span {
        self.images.span(grid)
    }

    fn process(&self, images: &[Image]) -> Result<Pixels, ProcessorError> {
        for image in images {
            self.grid(image.width(), image.height())?;
        }
        self.images.process(&images.iter().map(|image| self.limits.fit(image)).collect::<Vec<_>>())
    }

    fn rules(&self) -> String {
        let bound = |words: &str, pixels: Option<u64>| pixels.map(|pixels| format!("{words} {pixels}"));
        let bounds = [bound("at least", self.limits.min_pixels), bound("at most", self.limits.max_pixels)];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        format!("{} pixels in the run; then {}", bounds.join(" and "), self.images.rules())
    }

    fn pixel_range(&self) -> RangeInclusive<u64> {
        self.images.pixel_range()
    }

    fn pixels_per_token(&self) -> u64 {
        self.images.pixels_per_token()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_be_are_named() {
        let refused = |limits: ImageLimits| limits.check().unwrap_err().to_string();
        let none = ImageLimits::default();
        assert!(none.check().is_ok() && none.is_none());
        assert_eq!(refused(ImageLimits { min_pixels: Some(0), ..none }), "`min_pixels` is 0, expected at least 1");
        assert_eq!(refused(ImageLimits { max_pixels: Some(0), ..none }), "`max_pixels` is 0, expected at least 1");
        assert_eq!(refused(ImageLimits { max_tiles: Some(0), ..none }), "`max_tiles` is 0, expected at least 1");
        let crossed = ImageLimits { min_pixels: Some(8), max_pixels: Some(7), ..none };
        assert_eq!(refused(crossed), "`min_pixels` is 8, expected at most max_pixels, 7");
        assert!(ImageLimits { min_pixels: Some(7), max_pixels: Some(7), max_tiles: Some(1) }.check().is_ok());
    }

    #[test]
    fn sizes_follow_the_formula() {
        let limits = ImageLimits { min_pixels: Some(262_144), max_pixels: Some(4_194_304), max_tiles: None };
        // Computed by hand: f is 0.5, 1.0667 and 2 here.
        for (size, fitted) in [
            ((4096, 4096), [2048, 2048]),
            ((600, 400), [627, 418]),
            ((256, 256), [512, 512]),
            ((2048, 2048), [2048, 2048]),
            ((512, 512), [512, 512]),
            ((0, 7), [0, 7]),
        ] {
            assert_eq!(limits.fitted_size(size.0, size.1), fitted, "{size:?}");
        }
        // A picture that is rounded down below the minimum is enlarged again, here by too little
        // for a pixel.
        let same = ImageLimits { min_pixels: Some(1000), max_pixels: Some(1000), max_tiles: None };
        assert_eq!(same.fitted_size(100, 70), [37, 26]);
        // No side becomes zero.
        assert_eq!(ImageLimits { max_pixels: Some(4), ..ImageLimits::default() }.fitted_size(1000, 1), [63, 1]);
    }
}
