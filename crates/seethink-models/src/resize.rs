//! Antialiased bicubic resizing of 8-bit pictures in fixed point, bit for bit as torchvision's CPU
//! kernels or Pillow.

use rayon::prelude::*;
use seethink_core::Image;

/// Number of columns that are accumulated at a time: they stay in the fastest cache while the taps
/// pass over them.
const BLOCK: usize = 1024;

/// Side of the squares in which a matrix is transposed, which also stay in the fastest cache.
const TILE: usize = 32;

/// Minimum number of rows of a task of a parallel loop.
const MIN_ROWS: usize = 8;

/// Resizes a picture to `width` x `height`, aspect ratio not kept.
///
/// Bicubic (a = −0.5) over a support that widens with the reduction, one pass per axis, each
/// rounded to 8 bits: horizontal first; an axis that keeps its size is passed over. All sums are of
/// integers, so the result is the same on every machine and for every number of threads.
///
/// # Panics
/// If a side is zero.
///
/// # Source
/// torchvision 0.24 `resize(interpolation=BICUBIC, antialias=True)` on CPU `uint8`. Pillow rounds
/// its weights finer and differs by a level or two on less than 0.5 % of the pixels.
pub fn resize_bicubic(image: &Image, width: u32, height: u32) -> Image {
    resize(image, width, height, Rounding::Torchvision)
}

/// Resizes a picture with Pillow's weights.
///
/// # Panics
/// If a side is zero.
///
/// # Source
/// Pillow 12.0 `Image.resize` with its default filter on RGB. Pillow 13 sometimes takes the
/// vertical pass first.
pub(crate) fn resize_as_pillow(image: &Image, width: u32, height: u32) -> Image {
    resize(image, width, height, Rounding::Pillow)
}

/// Fixed-point rounding of a filter's weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// Torchvision's: as fine as 16 bits allow.
    Torchvision,
    /// Pillow's: 22 bits after the point.
    Pillow,
}

fn resize(image: &Image, width: u32, height: u32, rounding: Rounding) -> Image {
    assert!(width > 0 && height > 0, "a picture of {width}x{height} has no pixels");
    let (w_in, h_in) = (image.width() as usize, image.height() as usize);
    let (w_out, h_out) = (width as usize, height as usize);
    // The horizontal pass is a vertical one on the transpose, because the vertical pass vectorises.
    let widened = (w_in != w_out).then(|| {
        let columns = transpose(image.rgb(), h_in, 3 * w_in);
        transpose(&resample_rows(&columns, 3 * h_in, [w_in, w_out], rounding), 3 * w_out, h_in)
    });
    let resized = if h_in == h_out {
        widened
    } else {
        Some(resample_rows(widened.as_deref().unwrap_or(image.rgb()), 3 * w_out, [h_in, h_out], rounding))
    };
    match resized {
        Some(rgb) => Image::new(width, height, rgb).expect("the passes give a picture of the size asked for"),
        None => image.clone(),
    }
}

/// Transposes a matrix, `[rows, cols]` to `[cols, rows]`.
fn transpose(source: &[u8], rows: usize, cols: usize) -> Vec<u8> {
    let mut out = vec![0; rows * cols];
    out.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, out)| {
        for first_row in (0..rows).step_by(TILE) {
            for (c, out) in out.chunks_exact_mut(rows).enumerate() {
                let column = source[first_row * cols + tile * TILE + c..].iter().step_by(cols);
                let end = rows.min(first_row + TILE);
                out[first_row..end].iter_mut().zip(column).for_each(|(out, value)| *out = *value);
            }
        }
    });
    out
}

/// Resamples rows, `[n_in, row_len]` to `[n_out, row_len]`: every output row is a weighted sum of
/// input rows.
fn resample_rows(source: &[u8], row_len: usize, [n_in, n_out]: [usize; 2], rounding: Rounding) -> Vec<u8> {
    let filter = Filter::bicubic(n_in, n_out, rounding);
    let mut out = vec![0; n_out * row_len];
    out.par_chunks_mut(row_len).with_min_len(MIN_ROWS).enumerate().for_each(|(i, out)| {
        let Taps { first, weights } = &filter.taps[i];
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let mut sums = [1i32 << (filter.precision - 1); BLOCK];
            for (j, &weight) in weights.iter().enumerate() {
                let row = &source[(first + j) * row_len + block * BLOCK..][..out.len()];
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * i32::from(value));
            }
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum >> filter.precision).clamp(0, 255) as u8);
        }
    });
    out
}

/// Resampling filter of one axis.
struct Filter {
    /// Bits after the point of the weights, at most 22: their sums times 255 fit 32 bits.
    precision: u32,
    /// Taps of each output sample.
    taps: Vec<Taps>,
}

/// Taps of one output sample: neighbouring input samples and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Filter {
    fn bicubic(n_in: usize, n_out: usize, rounding: Rounding) -> Self {
        let scale = n_in as f64 / n_out as f64;
        let stretch = scale.max(1.0);
        let support = 2.0 * stretch;
        let taps: Vec<(usize, Vec<f64>)> = (0..n_out)
            .map(|i| {
                let centre = (i as f64 + 0.5) * scale;
                // Casts truncate towards zero, as the reference does.
                let first = (centre - support + 0.5).max(0.0) as usize;
                let end = ((centre + support + 0.5) as usize).min(n_in);
                let weights: Vec<f64> = (first..end).map(|j| cubic((j as f64 - centre + 0.5) / stretch)).collect();
                let total: f64 = weights.iter().sum();
                (first, weights.into_iter().map(|weight| weight / total).collect())
            })
            .collect();
        let largest = taps.iter().flat_map(|(_, weights)| weights).fold(0.0f64, |max, &weight| max.max(weight));
        let fits = |bits: u32| ((0.5 + largest * f64::from(1u32 << bits)) as i64) < 1 << 15;
        let precision = match rounding {
            Rounding::Torchvision => {
                (1..=22).take_while(|&bits| fits(bits)).last().expect("weights of at most about 1 leave bits")
            }
            Rounding::Pillow => 22,
        };
        let one = f64::from(1u32 << precision);
        // Rust's `round` takes halves away from zero, as truncating `w ± 0.5` does.
        let fixed = |weights: Vec<f64>| weights.into_iter().map(|weight| (weight * one).round() as i32).collect();
        Self {
            precision,
            taps: taps.into_iter().map(|(first, weights)| Taps { first, weights: fixed(weights) }).collect(),
        }
    }
}

/// Keys' cubic convolution kernel, a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> Image {
        let rgb: Vec<u8> = (0..3 * width * height).map(|i| (i * i / 7 % 251) as u8).collect();
        Image::new(width, height, rgb).unwrap()
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let image = picture(37, 21);
        assert_eq!(resize_bicubic(&image, 37, 21), image);
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        for level in [0, 1, 127, 255] {
            let image = Image::new(61, 1, vec![level; 3 * 61]).unwrap();
            let resized = resize_bicubic(&image, 7, 90);
            assert!(resized.rgb().iter().all(|&value| value == level), "level {level}");
        }
    }

    #[test]
    fn axes_are_treated_alike() {
        // One axis at a time, so that the order of the passes cannot matter.
        let image = picture(40, 33);
        let turned = |image: &Image| {
            let (w, h) = (image.width(), image.height());
            let at = |x, y| image.rgb()[3 * (y * w + x) as usize..][..3].to_vec();
            let rgb: Vec<u8> = (0..w).flat_map(|x| (0..h).flat_map(move |y| at(x, y))).collect();
            Image::new(h, w, rgb).unwrap()
        };
        assert_eq!(turned(&resize_bicubic(&image, 40, 70)), resize_bicubic(&turned(&image), 70, 40));
        assert_eq!(turned(&resize_bicubic(&image, 40, 9)), resize_bicubic(&turned(&image), 9, 40));
    }

    #[test]
    fn halving_averages() {
        // A step edge halved in size: the taps of the two samples beside it are known in closed
        // form.
        let rgb: Vec<u8> = (0..16).flat_map(|x| [if x < 8 { 0 } else { 200 }; 3]).collect();
        let resized = resize_bicubic(&Image::new(16, 1, rgb).unwrap(), 8, 1);
        let levels: Vec<u8> = resized.rgb().chunks(3).map(|pixel| pixel[0]).collect();
        // Weights of the samples at these distances, in output pixels, normalised to a sum of 1.
        let kernel = [0.25, 0.75, 1.25, 1.75].map(cubic);
        let beyond = 200.0 * (kernel[1] + kernel[2] + kernel[3]) / (2.0 * kernel.iter().sum::<f64>());
        assert_eq!(levels[..2], [0, 0]);
        assert_eq!(f64::from(levels[3]), beyond.round());
        assert_eq!(f64::from(levels[4]), (200.0 - beyond).round());
        assert_eq!(levels[6..], [200, 200]);
    }
}
