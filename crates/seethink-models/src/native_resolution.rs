//! Image processor of the Qwen families: any aspect ratio, a budget of pixels, patches in
//! merge-block order.
//!
//! Everything that differs between the families is a number in `preprocessor_config.json`.

use crate::checks::{check_count, expect};
use crate::files::CheckpointFiles;
use crate::image_processor::{Levels, Settings, settings};
use crate::positions::Span;
use crate::{ImageProcessor, Pictures, Pixels, ProcessorError, Tokenizer, resize_bicubic};
use rayon::prelude::*;
use seethink_core::{Image, SettingError};
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

/// Maximum aspect ratio: the longer side of an image may be at most this many times the shorter.
const MAX_ASPECT_RATIO: u32 = 200;

/// Longest side of a block of patches that are merged, pixels.
const LONGEST_SIDE: usize = 256;
/// Maximum number of frames of a patch.
const MOST_FRAMES: usize = 4;
/// Largest lower bound of the pixels of an image: one that is enlarged to it takes some hundred
/// megabytes.
const MOST_MIN_PIXELS: u64 = 1 << 22;

/// Image processor that resizes pictures to whole patches within a pixel budget, aspect ratio
/// nearly kept.
///
/// Rows of the patches go by merge blocks from the top left, and within a block by its patches from
/// the top left. Columns are `(channel, frame, row, column)` within a patch; the one frame of a
/// still image is repeated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeResolution {
    patch_size: usize,
    merge_size: usize,
    temporal_patch_size: usize,
    min_pixels: u64,
    max_pixels: u64,
    levels: Levels,
}

/// Settings in `preprocessor_config.json`, in its own spelling.
#[derive(Deserialize)]
struct Config {
    patch_size: usize,
    merge_size: usize,
    temporal_patch_size: usize,
    /// Limits on the number of pixels, despite the name.
    size: Option<Size>,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Deserialize)]
struct Size {
    shortest_edge: Option<u64>,
    longest_edge: Option<u64>,
}

/// Names of tokens of pixels; the first stands for an image.
const MODALITY_TOKENS: [&str; 5] =
    ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"];

/// Image processing of both Qwen families.
///
/// # Errors
/// If the image settings are missing or cannot be implemented, or the tokenizer lacks a token.
pub(crate) fn qwen_pictures(files: &CheckpointFiles, tokenizer: &Tokenizer) -> Result<Pictures, ProcessorError> {
    let forbidden: Vec<u32> =
        MODALITY_TOKENS.iter().map(|token| tokenizer.token_id(token)).collect::<Result<_, _>>()?;
    let images = Arc::new(NativeResolution::from_files(files)?);
    Ok(Pictures { images, placeholder: forbidden[0], forbidden })
}

impl NativeResolution {
    /// Reads the image settings of a checkpoint folder.
    ///
    /// # Errors
    /// If they are missing or malformed, or ask for what is not supported (another filter, a step
    /// left out).
    pub fn from_pretrained(dir: &Path) -> Result<Self, ProcessorError> {
        Self::from_files(&CheckpointFiles::read(dir)?)
    }

    pub(crate) fn from_files(files: &CheckpointFiles) -> Result<Self, ProcessorError> {
        let (config, path) = settings(files)?;
        Self::new(&config).map_err(|error| ProcessorError::Setting { path, error })
    }

    /// Checks the settings, so that later only an image can cause an error.
    fn new(config: &Config) -> Result<Self, SettingError> {
        check_count("patch_size", config.patch_size, LONGEST_SIDE)?;
        check_count("merge_size", config.merge_size, LONGEST_SIDE)?;
        let block = config.patch_size * config.merge_size;
        expect(block <= LONGEST_SIDE, "patch_size * merge_size", block, format!("at most {LONGEST_SIDE}"))?;
        check_count("temporal_patch_size", config.temporal_patch_size, MOST_FRAMES)?;
        config.settings.check()?;
        let (min_pixels, max_pixels) = config.budget();
        // Pictures larger than the bound are enlarged from small ones.
        expect((1..=MOST_MIN_PIXELS).contains(&min_pixels), "min_pixels", min_pixels, "1 to 2^22")?;
        expect(min_pixels <= max_pixels, "max_pixels", max_pixels, format!("at least `min_pixels`, {min_pixels}"))?;
        Ok(Self {
            patch_size: config.patch_size,
            merge_size: config.merge_size,
            temporal_patch_size: config.temporal_patch_size,
            min_pixels,
            max_pixels,
            levels: config.settings.levels(),
        })
    }

    /// Size `[height, width]` that an image is resized to: the nearest whole number of merge blocks
    /// per side, or, if that leaves the budget, the nearest within it that keeps the aspect ratio
    /// as well as blocks allow.
    ///
    /// # Errors
    /// If a side is zero or more than 200 times the other.
    ///
    /// # Source
    /// transformers 4.57 `models/qwen2_vl/image_processing_qwen2_vl.py` `smart_resize`: halves
    /// round to even.
    pub fn resized_size(&self, width: u32, height: u32) -> Result<[u32; 2], ProcessorError> {
        if width == 0 || height == 0 {
            return Err(ProcessorError::EmptyImage { width, height });
        }
        if u64::from(width.max(height)) > u64::from(width.min(height)) * u64::from(MAX_ASPECT_RATIO) {
            return Err(ProcessorError::AspectRatio { width, height, limit: MAX_ASPECT_RATIO });
        }
        let factor = (self.patch_size * self.merge_size) as f64;
        let sides = [f64::from(height), f64::from(width)];
        let (min_pixels, max_pixels) = (self.min_pixels as f64, self.max_pixels as f64);
        let area = sides[0] * sides[1];
        let nearest = sides.map(|side| (side / factor).round_ties_even() * factor);
        let resized = if nearest[0] * nearest[1] > max_pixels {
            let shrink = (area / max_pixels).sqrt();
            sides.map(|side| factor.max((side / shrink / factor).floor() * factor))
        } else if nearest[0] * nearest[1] < min_pixels {
            let grow = (min_pixels / area).sqrt();
            sides.map(|side| (side * grow / factor).ceil() * factor)
        } else {
            nearest
        };
        Ok(resized.map(|side| side as u32))
    }

    /// Number of values per patch.
    fn patch_len(&self) -> usize {
        3 * self.temporal_patch_size * self.patch_size.pow(2)
    }

    /// Resizes an image to its grid and writes its patches.
    fn cut(&self, image: &Image, [_, rows, columns]: [usize; 3], levels: &[[f32; 256]; 3], out: &mut [f32]) {
        let (patch, merge, area) = (self.patch_size, self.merge_size, self.patch_size.pow(2));
        let resized = resize_bicubic(image, (columns * patch) as u32, (rows * patch) as u32);
        let lines: Vec<&[u8]> = resized.rgb().chunks_exact(3 * columns * patch).collect();
        let band_len = merge * columns * self.patch_len();
        // A band is a row of merge blocks: its patches are neighbours in the output.
        out.par_chunks_exact_mut(band_len).zip(lines.par_chunks_exact(merge * patch)).for_each(|(out, lines)| {
            for (n, out) in out.chunks_exact_mut(self.patch_len()).enumerate() {
                let (block, row, column) = (n / merge.pow(2), n / merge % merge, n % merge);
                let left = (block * merge + column) * patch;
                for (y, line) in lines[row * patch..][..patch].iter().enumerate() {
                    for (x, pixel) in line[3 * left..][..3 * patch].chunks_exact(3).enumerate() {
                        for (c, &level) in pixel.iter().enumerate() {
                            out[c * self.temporal_patch_size * area + y * patch + x] = levels[c][usize::from(level)];
                        }
                    }
                }
                for channel in out.chunks_exact_mut(self.temporal_patch_size * area) {
                    (1..self.temporal_patch_size).for_each(|frame| channel.copy_within(..area, frame * area));
                }
            }
        });
    }
}

impl ImageProcessor for NativeResolution {
    fn grid(&self, width: u32, height: u32) -> Result<[usize; 3], ProcessorError> {
        let [height, width] = self.resized_size(width, height)?;
        Ok([1, height as usize / self.patch_size, width as usize / self.patch_size])
    }

    fn span(&self, [_, rows, columns]: [usize; 3]) -> Span {
        Span::Grid { rows: rows / self.merge_size, columns: columns / self.merge_size }
    }

    fn process(&self, images: &[Image]) -> Result<Pixels, ProcessorError> {
        let grids: Vec<_> =
            images.iter().map(|image| self.grid(image.width(), image.height())).collect::<Result<_, _>>()?;
        let mut pixels = Pixels::zeros(grids, self.patch_len());
        let table = self.levels.table();
        pixels
            .parts_mut()
            .into_par_iter()
            .zip(images)
            .for_each(|((grid, out), image)| self.cut(image, grid, &table, out));
        Ok(pixels)
    }

    fn rules(&self) -> String {
        let Self { patch_size: patch, merge_size: merge, min_pixels, max_pixels, .. } = self;
        format!(
            "any size, aspect ratio kept: {min_pixels} to {max_pixels} pixels, patches of {patch}x{patch}, {merge}x{merge} of them a token"
        )
    }

    fn pixel_range(&self) -> RangeInclusive<u64> {
        self.min_pixels..=self.max_pixels
    }

    fn pixels_per_token(&self) -> u64 {
        ((self.patch_size * self.merge_size) as u64).pow(2)
    }
}

impl Config {
    /// Minimum and maximum number of pixels of a resized image.
    ///
    /// # Source
    /// transformers 4.57: the pair `min_pixels`, `max_pixels` wins over `size`; each bound has a
    /// default.
    fn budget(&self) -> (u64, u64) {
        if let (Some(min_pixels), Some(max_pixels)) = (self.min_pixels, self.max_pixels) {
            return (min_pixels, max_pixels);
        }
        let size = self.size.as_ref();
        let min_pixels = size.and_then(|size| size.shortest_edge).unwrap_or(56 * 56);
        (min_pixels, size.and_then(|size| size.longest_edge).unwrap_or(28 * 28 * 1280))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn processor(changes: Value) -> Result<NativeResolution, SettingError> {
        let mut config = json!({
            "patch_size": 2, "merge_size": 2, "temporal_patch_size": 2, "image_mean": [0.0, 0.0, 0.0],
            "image_std": [1.0, 1.0, 1.0], "min_pixels": 16, "max_pixels": 1024,
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        NativeResolution::new(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn patches_go_block_by_block() {
        // Each pixel encodes its place: red the column, green the row.
        let rgb: Vec<u8> = (0..4u8).flat_map(|y| (0..8u8).flat_map(move |x| [x, y, 255])).collect();
        let image = Image::new(8, 4, rgb).unwrap();
        let pixels = processor(json!({})).unwrap().process(&[image]).unwrap();
        assert_eq!(pixels.grids, [[1, 2, 4]]);
        let corners: Vec<[f32; 2]> =
            pixels.values.chunks(24).map(|patch| [patch[0], patch[8]].map(|v| (v * 255.0).round())).collect();
        let expected =
            [[0, 0], [2, 0], [0, 2], [2, 2], [4, 0], [6, 0], [4, 2], [6, 2]].map(|[x, y]| [x as f32, y as f32]);
        assert_eq!(corners, expected);
        // Second patch, red, both frames: columns 2 and 3 of rows 0 and 1.
        let red = pixels.values[24..32].iter().map(|v| (v * 255.0).round());
        assert_eq!(red.collect::<Vec<_>>(), [2.0, 3.0, 2.0, 3.0, 2.0, 3.0, 2.0, 3.0]);
    }

    #[test]
    fn sizes_that_cannot_be() {
        let processor = processor(json!({})).unwrap();
        assert!(matches!(processor.n_image_tokens(0, 5), Err(ProcessorError::EmptyImage { .. })));
        assert!(processor.n_image_tokens(200, 1).is_ok());
        let error = processor.n_image_tokens(1, 201).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an image of 1x201 is too thin: the longer side may be at most 200 times the shorter"
        );
        assert!(processor.n_image_tokens(u32::MAX, u32::MAX).is_ok());
    }

    #[test]
    fn settings_that_cannot_be_honoured_are_named() {
        for (change, key, found, expected) in [
            (json!({"patch_size": 0}), "patch_size", "0", "1 to 256"),
            (json!({"do_resize": false}), "do_resize", "false", "true"),
            (json!({"resample": 2}), "resample", "2", "3 (bicubic)"),
            (json!({"rescale_factor": 1.5}), "rescale_factor", "1.5", "1/255"),
            (json!({"image_std": [1.0, 0.0, 1.0]}), "image_std", "[1.0, 0.0, 1.0]", "three positive numbers"),
            (json!({"min_pixels": 0}), "min_pixels", "0", "1 to 2^22"),
            (json!({"min_pixels": 1u64 << 40, "max_pixels": 1u64 << 40}), "min_pixels", "1099511627776", "1 to 2^22"),
            (json!({"patch_size": 200, "merge_size": 200}), "patch_size * merge_size", "40000", "at most 256"),
            (json!({"temporal_patch_size": 1000}), "temporal_patch_size", "1000", "1 to 4"),
            (json!({"max_pixels": 15}), "max_pixels", "15", "at least `min_pixels`, 16"),
        ] {
            assert_eq!(processor(change), Err(SettingError::new(key, found, expected)));
        }
        let error = processor(json!({"patch_size": 0})).unwrap_err();
        let error = ProcessorError::Setting { path: "preprocessor_config.json".into(), error };
        assert_eq!(error.to_string(), "preprocessor_config.json: `patch_size` is 0, expected 1 to 256");
    }

    #[test]
    fn the_pair_of_budgets_wins_over_size() {
        let size = json!({"size": {"shortest_edge": 4, "longest_edge": 64}});
        assert_eq!(processor(size).unwrap().max_pixels, 1024);
        let size = json!({"size": {"shortest_edge": 4, "longest_edge": 64}, "min_pixels": null});
        assert_eq!(processor(size).unwrap().max_pixels, 64);
        let neither = processor(json!({"min_pixels": null, "max_pixels": null})).unwrap();
        assert_eq!((neither.min_pixels, neither.max_pixels), (3136, 1_003_520));
    }
}
