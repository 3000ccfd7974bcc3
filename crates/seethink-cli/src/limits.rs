//! Command-line options that limit the size of images.

use seethink::models::ImageLimits;

/// Image limits of a run (`images`), as command-line options.
#[derive(clap::Args)]
pub(crate) struct Limits {
    /// Minimum number of pixels of an image: a smaller one is enlarged before the checkpoint's own
    /// rules apply.
    #[arg(long, value_name = "N")]
    min_pixels: Option<u64>,
    /// Maximum number of pixels of an image: a larger one is reduced before the checkpoint's own
    /// rules apply.
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
    /// Maximum number of tiles of an image, instead of the checkpoint's number (InternVL).
    #[arg(long, value_name = "N")]
    max_tiles: Option<usize>,
}

impl Limits {
    /// Overrides the given limits by those of the options.
    pub(crate) fn over(&self, limits: ImageLimits) -> ImageLimits {
        ImageLimits {
            min_pixels: self.min_pixels.or(limits.min_pixels),
            max_pixels: self.max_pixels.or(limits.max_pixels),
            max_tiles: self.max_tiles.or(limits.max_tiles),
        }
    }
}
