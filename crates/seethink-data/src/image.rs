//! Image decoding to RGB pixels.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::error::{DecodingError, ImageFormatHint};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};
use seethink_core::{Image, ImageSource};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::PathBuf;

/// Encodes an image as a PNG in base64: standard alphabet, no `data:` prefix.
///
/// # Errors
/// If the encoder refuses the image.
pub fn png_base64(image: &Image) -> io::Result<String> {
    let mut png = Cursor::new(Vec::new());
    let (width, height, format) = (image.width(), image.height(), ExtendedColorType::Rgb8);
    let encoded = image::write_buffer_with_format(&mut png, image.rgb(), width, height, format, ImageFormat::Png);
    encoded.map_err(io::Error::other)?;
    Ok(STANDARD.encode(png.into_inner()))
}

/// Treatment of transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alpha {
    /// The image is composited on white, as transformers 5 and `qwen_vl_utils` do.
    #[default]
    White,
    /// The alpha channel is dropped, as under transformers 4.
    Drop,
}

/// Image loader with a limit on the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLoader {
    /// Treatment of transparency.
    pub alpha: Alpha,
    /// Rotate the image by its EXIF orientation. Off by default, as in the pipelines that open
    /// images with Pillow and hand them to the processor; transformers' own `load_image` rotates
    /// them.
    pub exif_orientation: bool,
    /// Maximum number of pixels; an image whose header has more is not decoded.
    pub max_pixels: u64,
}

impl Default for ImageLoader {
    /// Composites on white, ignores the EXIF orientation, and decodes at most 178 956 970 pixels
    /// (where Pillow suspects a decompression bomb).
    fn default() -> Self {
        Self { alpha: Alpha::White, exif_orientation: false, max_pixels: 178_956_970 }
    }
}

/// Origin of an image, for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageOrigin {
    /// A file.
    File(PathBuf),
    /// Bytes in memory, with their number.
    Memory(usize),
}

impl fmt::Display for ImageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Memory(len) => write!(f, "an image of {len} encoded bytes"),
        }
    }
}

/// Errors of loading an image.
#[derive(Debug, thiserror::Error)]
pub enum LoadImageError {
    /// The file cannot be read.
    #[error("cannot read {origin}: {source}")]
    Read {
        /// Origin of the image.
        origin: ImageOrigin,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The bytes are not an image, or a damaged one.
    #[error("cannot decode {origin}: {source}")]
    Decode {
        /// Origin of the image.
        origin: ImageOrigin,
        /// Error of the decoder.
        source: Box<image::ImageError>,
    },
    /// The image has no pixels.
    #[error("{origin} has no pixels")]
    Empty {
        /// Origin of the image.
        origin: ImageOrigin,
    },
    /// The image is larger than allowed; it was not decoded.
    #[error("{origin} has {width}x{height} pixels, more than the {max_pixels} allowed")]
    TooLarge {
        /// Origin of the image.
        origin: ImageOrigin,
        /// Width, pixels.
        width: u32,
        /// Height, pixels.
        height: u32,
        /// Maximum number of pixels.
        max_pixels: u64,
    },
}

/// Image of known size.
enum Opened<'a> {
    /// Already decoded.
    Pixels(&'a Image),
    /// Not decoded yet.
    Header { decoder: Box<dyn ImageDecoder + 'a>, orientation: Orientation, format: Option<ImageFormat> },
}

impl ImageLoader {
    /// Decodes an image to RGB. Pixels that are in memory already are returned as they are.
    ///
    /// JPEG decoding is bit-identical to Pillow's libjpeg-turbo; other decoders differ by up to
    /// four levels. Grey becomes RGB by repetition, palettes are looked up, 16-bit channels are
    /// scaled to 8, animations give their first frame. The format is detected from the content, not
    /// from the file name.
    ///
    /// # Errors
    /// If the image cannot be read or decoded, or has too many pixels.
    pub fn load(&self, source: &ImageSource) -> Result<Image, LoadImageError> {
        let (decoder, orientation, format) = match self.open(source)? {
            Opened::Pixels(image) => return Ok(image.clone()),
            Opened::Header { decoder, orientation, format } => (decoder, orientation, format),
        };
        let failed = |error| LoadImageError::Decode { origin: origin(source), source: Box::new(error) };
        let colour = matches!(decoder.original_color_type(), ExtendedColorType::L8 | ExtendedColorType::Rgb8);
        let mut decoded = if format == Some(ImageFormat::Jpeg) && colour {
            drop(decoder);
            DynamicImage::from(self.jpeg(source)?)
        } else {
            DynamicImage::from_decoder(decoder).map_err(failed)?
        };
        decoded.apply_orientation(orientation);
        let (width, height) = (decoded.width(), decoded.height());
        let rgb = if self.alpha == Alpha::White && decoded.color().has_alpha() {
            decoded.into_rgba8().pixels().flat_map(|pixel| on_white(pixel.0)).collect()
        } else {
            decoded.into_rgb8().into_raw()
        };
        Image::new(width, height, rgb).map_err(|_| LoadImageError::Empty { origin: origin(source) })
    }

    /// Width and height of an image as [`load`](Self::load) gives it, read from its header alone.
    ///
    /// # Errors
    /// As [`load`](Self::load), except for damage beyond the header.
    pub fn size(&self, source: &ImageSource) -> Result<(u32, u32), LoadImageError> {
        Ok(match self.open(source)? {
            Opened::Pixels(image) => (image.width(), image.height()),
            Opened::Header { decoder, orientation, .. } => match decoder.dimensions() {
                (width, height) if turns(orientation) => (height, width),
                upright => upright,
            },
        })
    }

    /// Reads the header and checks the size; nothing is allocated for the pixels yet.
    fn open<'a>(&self, source: &'a ImageSource) -> Result<Opened<'a>, LoadImageError> {
        match source {
            ImageSource::Pixels(image) => Ok(Opened::Pixels(image)),
            ImageSource::Encoded(bytes) => self.header(Cursor::new(bytes.as_ref()), source),
            ImageSource::Path(path) => {
                let opened = File::open(path);
                let file = opened.map_err(|error| LoadImageError::Read { origin: origin(source), source: error })?;
                self.header(BufReader::new(file), source)
            }
        }
    }

    fn header<'a, R: BufRead + Seek + 'a>(&self, bytes: R, source: &ImageSource) -> Result<Opened<'a>, LoadImageError> {
        let guessed = ImageReader::new(bytes).with_guessed_format();
        let mut reader = guessed.map_err(|error| LoadImageError::Read { origin: origin(source), source: error })?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(self.max_bytes());
        reader.limits(limits);
        let format = reader.format();
        let failed = |error| LoadImageError::Decode { origin: origin(source), source: Box::new(error) };
        let mut decoder = reader.into_decoder().map_err(failed)?;
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return Err(LoadImageError::Empty { origin: origin(source) });
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(LoadImageError::TooLarge {
                origin: origin(source),
                width,
                height,
                max_pixels: self.max_pixels,
            });
        }
        let orientation = if self.exif_orientation { decoder.orientation() } else { Ok(Orientation::NoTransforms) };
        Ok(Opened::Header { decoder: Box::new(decoder), orientation: orientation.map_err(failed)?, format })
    }

    /// Decodes a JPEG image with a valid header. The decoder reads the header again, under the same
    /// limits.
    fn jpeg(&self, source: &ImageSource) -> Result<RgbImage, LoadImageError> {
        let read;
        let bytes = match source {
            ImageSource::Path(path) => {
                let bytes = std::fs::read(path);
                read = bytes.map_err(|error| LoadImageError::Read { origin: origin(source), source: error })?;
                &read
            }
            ImageSource::Encoded(bytes) => bytes.as_ref(),
            ImageSource::Pixels(image) => image.rgb(),
        };
        let failed = |error| {
            let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
            let error = ImageError::Decoding(DecodingError::new(format, error));
            LoadImageError::Decode { origin: origin(source), source: Box::new(error) }
        };
        let limits =
            DecodeLimits { max_pixels: self.max_pixels, max_memory: Some(self.max_bytes()), ..DecodeLimits::default() };
        let decode = || {
            let mut decoder = Decoder::new_with_limits(bytes, limits)?;
            decoder.set_output_format(PixelFormat::Rgb);
            decoder.decode_image()
        };
        let decoded = decode().map_err(|error| failed(error.to_string()))?;
        let (width, height) = (decoded.width as u32, decoded.height as u32);
        RgbImage::from_raw(width, height, decoded.data).ok_or_else(|| failed("the pixels are incomplete".to_owned()))
    }

    /// Memory limit of a decoder, bytes: room for the pixels at 16 bits per channel, and as much
    /// again.
    fn max_bytes(&self) -> u64 {
        self.max_pixels.saturating_mul(16).saturating_add(1 << 24)
    }
}

fn origin(source: &ImageSource) -> ImageOrigin {
    match source {
        ImageSource::Path(path) => ImageOrigin::File(path.clone()),
        ImageSource::Encoded(bytes) => ImageOrigin::Memory(bytes.len()),
        ImageSource::Pixels(image) => ImageOrigin::Memory(image.rgb().len()),
    }
}

/// Returns whether an orientation swaps width and height.
fn turns(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Composites a pixel on white: `round((c a + 255 (255 − a)) / 255)` per channel; 255 is odd, so
/// there are no halves.
fn on_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let a = u32::from(a);
    [r, g, b].map(|c| ((u32::from(c) * a + 255 * (255 - a) + 127) / 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, RgbImage, RgbaImage};

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> ImageSource {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).expect("pictures in memory can be encoded");
        ImageSource::Encoded(bytes.into_inner().into())
    }

    fn error(loader: ImageLoader, source: &ImageSource) -> String {
        loader.load(source).expect_err("this picture is bad").to_string()
    }

    #[test]
    fn transparency_shows_white_or_nothing() {
        let pixels = vec![10, 20, 30, 0, 10, 20, 30, 255, 10, 20, 30, 128];
        let source = encoded(RgbaImage::from_raw(3, 1, pixels).expect("3 pixels"), ImageFormat::Png);
        let white = ImageLoader::default().load(&source).expect("a fine picture");
        assert_eq!(white.rgb(), [255, 255, 255, 10, 20, 30, 132, 137, 142]);
        let loader = ImageLoader { alpha: Alpha::Drop, ..ImageLoader::default() };
        assert_eq!(loader.load(&source).expect("a fine picture").rgb(), [10, 20, 30, 10, 20, 30, 10, 20, 30]);
    }

    #[test]
    fn every_format_is_told_by_its_content() {
        let picture = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 50, y as u8 * 60, 90]));
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Gif] {
            let image = ImageLoader::default().load(&encoded(picture.clone(), format)).expect("a fine picture");
            assert_eq!((image.width(), image.height()), (5, 4));
            if format != ImageFormat::Gif {
                assert_eq!(image.rgb(), picture.as_raw().as_slice(), "{format:?}");
            }
        }
    }

    #[test]
    fn a_large_picture_is_refused_from_its_header() {
        // A bitmap header that announces 4 294 836 225 pixels, and no pixel data.
        let mut header = b"BM".to_vec();
        header.extend([0; 8]);
        for number in [54u32, 40, 65_535, 65_535] {
            header.extend(number.to_le_bytes());
        }
        header.extend([1, 0, 24, 0]);
        header.extend([0; 24]);
        let source = ImageSource::Encoded(header.into());
        let message = error(ImageLoader::default(), &source);
        assert_eq!(message, "an image of 54 encoded bytes has 65535x65535 pixels, more than the 178956970 allowed");
        let small = encoded(RgbImage::new(5, 4), ImageFormat::Png);
        assert!(ImageLoader { max_pixels: 20, ..ImageLoader::default() }.load(&small).is_ok());
        assert!(ImageLoader { max_pixels: 19, ..ImageLoader::default() }.size(&small).is_err());
    }

    #[test]
    fn bad_pictures_are_named() {
        let missing = error(ImageLoader::default(), &ImageSource::Path("no/such/picture.png".into()));
        assert!(missing.starts_with("cannot read no/such/picture.png: "), "{missing}");
        let noise = error(ImageLoader::default(), &ImageSource::Encoded(vec![7; 99].into()));
        assert!(noise.starts_with("cannot decode an image of 99 encoded bytes: "), "{noise}");
        let ImageSource::Encoded(whole) = encoded(RgbImage::new(64, 64), ImageFormat::Png) else { unreachable!() };
        let half = ImageSource::Encoded(whole[..whole.len() / 2].into());
        assert!(error(ImageLoader::default(), &half).starts_with("cannot decode"));
        // A GIF screen of 0 by 0 pixels.
        let nothing = ImageSource::Encoded(b"GIF89a\0\0\0\0\0\0\0;".as_slice().into());
        assert!(ImageLoader::default().load(&nothing).is_err());
        assert_eq!(ImageLoader::default().size(&half).expect("the header is whole"), (64, 64));
    }

    #[test]
    fn a_jpeg_that_ends_early_is_damaged() {
        let picture = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y % 251) as u8]));
        let ImageSource::Encoded(whole) = encoded(picture, ImageFormat::Jpeg) else { unreachable!() };
        assert!(ImageLoader::default().load(&ImageSource::Encoded(whole.clone())).is_ok());
        let half = ImageSource::Encoded(whole[..whole.len() * 2 / 3].into());
        assert!(error(ImageLoader::default(), &half).starts_with("cannot decode"));
    }

    #[test]
    fn exif_turns_only_when_asked() {
        // A TIFF structure with one entry, orientation (0x0112, a short) = 6: turn a quarter
        // clockwise.
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let ImageSource::Encoded(plain) = encoded(RgbImage::new(16, 8), ImageFormat::Jpeg) else { unreachable!() };
        let mut jpeg = plain[..2].to_vec();
        jpeg.extend([0xff, 0xe1, 0, exif.len() as u8 + 2]);
        jpeg.extend_from_slice(exif);
        jpeg.extend_from_slice(&plain[2..]);
        let source = ImageSource::Encoded(jpeg.into());
        for (exif_orientation, size) in [(false, (16, 8)), (true, (8, 16))] {
            let loader = ImageLoader { exif_orientation, ..ImageLoader::default() };
            let image = loader.load(&source).expect("a fine picture");
            assert_eq!((image.width(), image.height()), size);
            assert_eq!(loader.size(&source).expect("a fine picture"), size);
        }
    }
}
