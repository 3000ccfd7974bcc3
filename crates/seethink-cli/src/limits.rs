//! Options that limit the size of pictures.

use seethink::models::ImageLimits;

/// Image limits of a run (`images`), as options.
#[derive(clap::Args)]
pub(crate) struct Limits {
    /// Fewest pixels of a picture: a smaller one is enlarged before the checkpoint's own rules apply.
    #[arg(long, value_name = "N")]
    min_pixels: Option<u64>,
    /// Most pixels of a picture: a larger one is reduced before the checkpoint's own rules apply.
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
    /// Most tiles that a picture is cut into, instead of the checkpoint's number (InternVL).
    #[arg(long, value_name = "N")]
    max_tiles: Option<usize>,
}

impl Limits {
    /// The limits that are given, the others as they are.
    pub(crate) fn over(&self, limits: ImageLimits) -> ImageLimits {
        ImageLimits {
            min_pixels: self.min_pixels.or(limits.min_pixels),
            max_pixels: self.max_pixels.or(limits.max_pixels),
            max_tiles: self.max_tiles.or(limits.max_tiles),
        }
    }
}
