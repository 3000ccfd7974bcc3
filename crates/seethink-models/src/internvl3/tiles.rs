//! Image processor of InternVL: pictures cut into square tiles by the nearest aspect ratio, with
//! the whole picture as a thumbnail.

use super::config::Config;
use crate::checks::{check_count, expect};
use crate::image_processor::{Levels, Settings, settings};
use crate::tokenizer::TokenName;
use crate::{
    CheckpointFiles, ImageProcessor, ModelConfig, Pictures, Pixels, ProcessorError, Span, Tokenizer, resize_bicubic,
};
use rayon::prelude::*;
use seethink_core::{Image, SettingError};
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

/// Maximum number of tiles of an image, checked before anything is allocated.
const MOST_TILES: usize = 1 << 12;

/// Maximum number of pixels of all tiles of an image.
const MOST_PIXELS: usize = 1 << 25;

/// Image processor that resizes a picture to a grid of tiles, whatever its aspect ratio, and adds
/// the whole picture as a last tile where there are several.
///
/// Tiles go row by row, the patches of a tile as well; columns are `(channel, row, column)` within
/// a patch.
///
/// # Source
/// transformers 4.57 `models/got_ocr2/image_processing_got_ocr2_fast.py`, with `crop_to_patches` as
/// `InternVLProcessor` sets it: on, whatever `preprocessor_config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiles {
    /// Height and width of a tile, pixels.
    size: [usize; 2],
    /// Height and width of a patch, pixels.
    patch: [usize; 2],
    /// Patches per side of the squares that become one image token.
    shuffle_side: usize,
    /// Columns and rows of the possible grids, by area.
    grids: Vec<[usize; 2]>,
    levels: Levels,
    open: u32,
    close: u32,
}

/// Settings in `preprocessor_config.json`, in its own spelling.
#[derive(Deserialize)]
struct Preprocessing {
    size: Size,
    min_patches: Option<usize>,
    max_patches: Option<usize>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Deserialize)]
struct Size {
    height: usize,
    width: usize,
}

impl Preprocessing {
    /// Minimum and maximum number of tiles of an image, the one that shows the whole not counted.
    fn n_tiles(&self) -> (usize, usize) {
        (self.min_patches.unwrap_or(1), self.max_patches.unwrap_or(12))
    }

    /// Checks that the settings ask for what is implemented and fit the model.
    fn check(&self, config: &Config) -> Result<(), SettingError> {
        self.settings.check()?;
        let size = [self.size.height, self.size.width];
        let expected = config.vision_config.image_size.0;
        let note = format!("{expected:?}, the `image_size` of config.json");
        expect(size == expected, "size", format!("{size:?}"), note)?;
        let (min, max) = self.n_tiles();
        check_count("max_patches", max, MOST_TILES)?;
        check_count("min_patches", min, max)?;
        let pixels = max * size[0] * size[1];
        expect(pixels <= MOST_PIXELS, "max_patches", max, "tiles of at most 2^25 pixels together")
    }
}

/// Names of the tokens of an image: before it, for each of its parts, after it.
struct TokenNames {
    open: String,
    placeholder: String,
    close: String,
}

impl TokenNames {
    /// Reads the names from `tokenizer_config.json`, else takes those of all released checkpoints.
    fn read(files: &CheckpointFiles) -> Result<Self, ProcessorError> {
        #[derive(Default, Deserialize)]
        struct Config {
            start_image_token: Option<TokenName>,
            context_image_token: Option<TokenName>,
            end_image_token: Option<TokenName>,
        }
        let config: Config = files.json("tokenizer_config.json")?.unwrap_or_default();
        let name = |name: Option<TokenName>, usual: &str| name.map_or_else(|| usual.to_owned(), TokenName::into_text);
        Ok(Self {
            open: name(config.start_image_token, "<img>"),
            placeholder: name(config.context_image_token, "<IMG_CONTEXT>"),
            close: name(config.end_image_token, "</img>"),
        })
    }
}

impl Tiles {
    /// Reads the image settings of a checkpoint folder.
    ///
    /// # Errors
    /// If the settings are missing, cannot be implemented or do not fit the model, or the tokenizer
    /// lacks a token.
    pub fn from_pretrained(dir: &Path) -> Result<Self, ProcessorError> {
        let files = CheckpointFiles::read(dir)?;
        let config = ModelConfig::<Config>::read(dir)?;
        Self::new(&files, &Tokenizer::from_files(&files)?, &config)
    }

    fn new(files: &CheckpointFiles, tokenizer: &Tokenizer, config: &Config) -> Result<Self, ProcessorError> {
        let names = TokenNames::read(files)?;
        let (settings, path): (Preprocessing, _) = settings(files)?;
        settings.check(config).map_err(|error| ProcessorError::Setting { path, error })?;
        let (min, max) = settings.n_tiles();
        Ok(Self {
            size: config.vision_config.image_size.0,
            patch: config.vision_config.patch_size.0,
            shuffle_side: config.shuffle_side(),
            grids: grids(min, max),
            levels: settings.settings.levels(),
            open: tokenizer.token_id(&names.open)?,
            close: tokenizer.token_id(&names.close)?,
        })
    }

    /// Image processing of this family.
    ///
    /// # Errors
    /// As [`from_pretrained`](Self::from_pretrained).
    pub(super) fn pictures(
        files: &CheckpointFiles,
        tokenizer: &Tokenizer,
        config: &Config,
    ) -> Result<Pictures, ProcessorError> {
        let images = Self::new(files, tokenizer, config)?;
        let placeholder = tokenizer.token_id(&TokenNames::read(files)?.placeholder)?;
        // Not every checkpoint's table of tokens has that for videos, and some models have no row
        // for it.
        let video = tokenizer.token_id("<video>").ok();
        let forbidden = [placeholder, images.open, images.close].into_iter().chain(video).collect();
        Ok(Pictures { images: Arc::new(images), placeholder, forbidden })
    }

    /// Columns and rows of tiles of an image of this size: the grid of the nearest aspect ratio,
    /// and of several equally near the largest that the image fills by more than half.
    ///
    /// # Errors
    /// If a side is zero.
    pub fn tiling(&self, width: u32, height: u32) -> Result<[usize; 2], ProcessorError> {
        if width == 0 || height == 0 {
            return Err(ProcessorError::EmptyImage { width, height });
        }
        let ratio = f64::from(width) / f64::from(height);
        let area = f64::from(width) * f64::from(height);
        let tile = (self.size[0] * self.size[1]) as f64;
        let mut best = self.grids[0];
        let mut nearest = f64::INFINITY;
        for &[columns, rows] in &self.grids {
            let distance = (ratio - columns as f64 / rows as f64).abs();
            if distance < nearest || (distance == nearest && area > 0.5 * tile * (columns * rows) as f64) {
                nearest = distance;
                best = [columns, rows];
            }
        }
        Ok(best)
    }

    /// Minimum and maximum number of tiles of an image, the one that shows the whole not counted.
    fn n_tiles(&self) -> [usize; 2] {
        let n = |grid: Option<&[usize; 2]>| grid.map_or(1, |[columns, rows]| columns * rows);
        [n(self.grids.first()), n(self.grids.last())]
    }

    /// Grid of patches of a tile: rows, columns.
    fn patches(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis] / self.patch[axis])
    }

    fn patch_len(&self) -> usize {
        3 * self.patch[0] * self.patch[1]
    }

    /// Resizes an image to its tiles, and to a thumbnail where there are several, and writes their
    /// patches.
    fn cut(&self, image: &Image, [columns, rows]: [usize; 2], table: &[[f32; 256]; 3], out: &mut [f32]) {
        let [height, width] = self.size;
        let tile_len = self.patches().iter().product::<usize>() * self.patch_len();
        let (tiles, thumbnail) = out.split_at_mut(columns * rows * tile_len);
        let resized = resize_bicubic(image, (columns * width) as u32, (rows * height) as u32);
        tiles.par_chunks_exact_mut(tile_len).enumerate().for_each(|(i, out)| {
            self.cut_tile(&resized, [i / columns * height, i % columns * width], table, out);
        });
        if !thumbnail.is_empty() {
            let resized = resize_bicubic(image, width as u32, height as u32);
            self.cut_tile(&resized, [0, 0], table, thumbnail);
        }
    }

    fn cut_tile(&self, image: &Image, [top, left]: [usize; 2], table: &[[f32; 256]; 3], out: &mut [f32]) {
        let ([height, width], [_, columns]) = (self.patch, self.patches());
        for (i, patch) in out.chunks_exact_mut(self.patch_len()).enumerate() {
            for y in 0..height {
                let row = top + i / columns * height + y;
                let start = row * image.width() as usize + left + i % columns * width;
                for (x, pixel) in image.rgb()[3 * start..][..3 * width].chunks_exact(3).enumerate() {
                    for (c, &level) in pixel.iter().enumerate() {
                        patch[(c * height + y) * width + x] = table[c][usize::from(level)];
                    }
                }
            }
        }
    }
}

/// Columns and rows of all grids of `min` to `max` tiles, by area; of one area the narrow ones
/// first.
fn grids(min: usize, max: usize) -> Vec<[usize; 2]> {
    let mut grids: Vec<[usize; 2]> = (1..=max)
        .flat_map(|columns| (1..=max / columns).map(move |rows| [columns, rows]))
        .filter(|[columns, rows]| columns * rows >= min)
        .collect();
    grids.sort_by_key(|[columns, rows]| columns * rows);
    grids
}

impl ImageProcessor for Tiles {
    /// Grid of an image: tiles, with the thumbnail if there is one, and the rows and columns of
    /// patches of each.
    fn grid(&self, width: u32, height: u32) -> Result<[usize; 3], ProcessorError> {
        let n = self.tiling(width, height)?.iter().product::<usize>();
        let [rows, columns] = self.patches();
        Ok([if n > 1 { n + 1 } else { 1 }, rows, columns])
    }

    fn span(&self, [tiles, rows, columns]: [usize; 3]) -> Span {
        let n = tiles * (rows / self.shuffle_side) * (columns / self.shuffle_side);
        Span::Run { open: self.open, n, close: self.close }
    }

    fn process(&self, images: &[Image]) -> Result<Pixels, ProcessorError> {
        let sizes = images.iter().map(|image| (image.width(), image.height()));
        let tilings: Vec<_> = sizes.clone().map(|(w, h)| self.tiling(w, h)).collect::<Result<_, _>>()?;
        let grids: Vec<_> = sizes.map(|(w, h)| self.grid(w, h)).collect::<Result<_, _>>()?;
        let mut pixels = Pixels::zeros(grids, self.patch_len());
        let table = self.levels.table();
        let parts = pixels.parts_mut().into_par_iter().zip(images).zip(tilings);
        parts.for_each(|(((_, out), image), tiling)| self.cut(image, tiling, &table, out));
        Ok(pixels)
    }

    fn rules(&self) -> String {
        let [height, width] = self.size;
        let [rows, columns] = self.patches();
        let tokens = self.span([1, rows, columns]).n_image_tokens();
        let [min, max] = self.n_tiles();
        format!(
            "{min} to {max} tiles of {height}x{width} pixels and, of several, the whole once more; {tokens} tokens each"
        )
    }

    fn pixel_range(&self) -> RangeInclusive<u64> {
        let tile = (self.size[0] * self.size[1]) as u64;
        let [least, most] = self.n_tiles();
        least as u64 * tile..=most as u64 * tile
    }

    fn pixels_per_token(&self) -> u64 {
        (self.patch[0] * self.patch[1] * self.shuffle_side.pow(2)) as u64
    }

    fn with_max_tiles(&self, max_tiles: usize) -> Result<Arc<dyn ImageProcessor>, ProcessorError> {
        let [least, _] = self.n_tiles();
        if !(least..=MOST_TILES).contains(&max_tiles) {
            let expected = format!("{least} (`min_patches` of the checkpoint) to {MOST_TILES}");
            return Err(SettingError::new("max_tiles", max_tiles, expected).into());
        }
        Ok(Arc::new(Self { grids: grids(least, max_tiles), ..self.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_ordered_by_area() {
        assert_eq!(grids(1, 4), [[1, 1], [1, 2], [2, 1], [1, 3], [3, 1], [1, 4], [2, 2], [4, 1]]);
        assert_eq!(grids(3, 3), [[1, 3], [3, 1]]);
    }
}
