//! Scenes: pictures of digits in a grid, the names of their cells, and their rendering.

use super::config::{DigitsConfig, GRIDS};
use super::dataset::{Digits, FULL_INK, SIDE};
use crate::Split;
use seethink_core::{Image, Rng};
use std::fmt;
use std::ops::RangeInclusive;

/// Side length of a cell, pixels: each pixel of a digit becomes two by two.
pub const CELL_SIDE: usize = 2 * SIDE;
/// Background colour, RGB.
const BACKGROUND: [f32; 3] = [16.0, 16.0, 24.0];

/// Ink colour of a digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ink {
    /// `(235, 50, 50)`
    Red,
    /// `(50, 210, 80)`
    Green,
    /// `(80, 120, 255)`
    Blue,
    /// `(245, 225, 60)`
    Yellow,
}

impl Ink {
    /// All four inks.
    pub const ALL: [Self; 4] = [Self::Red, Self::Green, Self::Blue, Self::Yellow];

    /// Name of the ink in questions and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
        }
    }

    fn rgb(self) -> [f32; 3] {
        match self {
            Self::Red => [235.0, 50.0, 50.0],
            Self::Green => [50.0, 210.0, 80.0],
            Self::Blue => [80.0, 120.0, 255.0],
            Self::Yellow => [245.0, 225.0, 60.0],
        }
    }
}

/// Cell of a picture: one digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Digit in the cell, 0 to 9.
    pub digit: u8,
    /// Ink colour.
    pub ink: Ink,
    /// Index of the image in [`Digits`] that is drawn.
    pub image: usize,
}

impl fmt::Display for Cell {
    /// Formats a cell, as in "red 7".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ink.name(), self.digit)
    }
}

/// Content of a picture: the ground truth behind every question about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Number of rows, 2 or 3.
    pub n_rows: usize,
    /// Number of columns, 2 or 3.
    pub n_columns: usize,
    /// Cells, `[row, column]`, row-major.
    pub cells: Vec<Cell>,
}

/// Digits and inks that cells may have.
pub(super) struct Palette<'a> {
    pub(super) digits: &'a [u8],
    pub(super) inks: &'a [Ink],
}

impl Palette<'_> {
    /// All digits in all inks.
    pub(super) const FULL: Palette<'static> = Palette { digits: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], inks: &Ink::ALL };
}

impl Scene {
    /// Draws a random scene of `n_rows` by `n_columns`, made of images of `split`.
    pub(super) fn draw(
        rng: &mut Rng,
        split: Split,
        (n_rows, n_columns): (usize, usize),
        palette: &Palette<'_>,
    ) -> Self {
        let cells = (0..n_rows * n_columns).map(|_| {
            let digit = *rng.choose(palette.digits);
            Cell { digit, ink: *rng.choose(palette.inks), image: *rng.choose(Digits::get().images(split, digit)) }
        });
        let cells = cells.collect();
        Self { n_rows, n_columns, cells }
    }

    /// Draws the grid of a random picture with a number of cells in this range.
    pub(super) fn draw_grid(rng: &mut Rng, cells: &RangeInclusive<usize>) -> (usize, usize) {
        let allowed: Vec<_> = GRIDS.into_iter().filter(|(rows, columns)| cells.contains(&(rows * columns))).collect();
        *rng.choose(&allowed)
    }

    /// Name of the place of a cell: "top left", "middle right", "center", …
    pub fn place(&self, cell: usize) -> String {
        let (row, column) = (cell / self.n_columns, cell % self.n_columns);
        match (row_name(self.n_rows, row), column_name(self.n_columns, column)) {
            ("middle", "middle") => "center".into(),
            (row, column) => format!("{row} {column}"),
        }
    }

    /// Index of the cell with this digit and ink, if there is exactly one.
    pub fn unique(&self, digit: u8, ink: Ink) -> Option<usize> {
        let mut matches = (0..self.cells.len()).filter(|&i| self.cells[i].digit == digit && self.cells[i].ink == ink);
        let first = matches.next()?;
        matches.next().is_none().then_some(first)
    }

    /// Renders the picture with a brightness for each digit and one noise level.
    ///
    /// Returns the picture and its noise level. Uses no function whose last bit differs between
    /// platforms.
    pub(super) fn render(&self, rng: &mut Rng, config: &DigitsConfig) -> (Image, f32) {
        let between = |range: &RangeInclusive<f32>, u: f64| range.start() + (range.end() - range.start()) * u as f32;
        let (width, height) = (self.n_columns * CELL_SIDE, self.n_rows * CELL_SIDE);
        let mut canvas = vec![BACKGROUND; width * height];
        for (i, cell) in self.cells.iter().enumerate() {
            let brightness = between(&config.brightness, rng.uniform());
            let (top, left) = (i / self.n_columns * CELL_SIDE, i % self.n_columns * CELL_SIDE);
            let pixels = Digits::get().pixels(cell.image);
            for y in 0..CELL_SIDE {
                for x in 0..CELL_SIDE {
                    let ink = brightness * doubled(pixels, y, x);
                    let pixel = &mut canvas[(top + y) * width + left + x];
                    for (channel, full) in pixel.iter_mut().zip(cell.ink.rgb()) {
                        *channel += ink * (full - *channel);
                    }
                }
            }
        }
        let sigma = between(&config.noise, rng.uniform());
        let rgb: Vec<u8> = canvas
            .into_iter()
            .flatten()
            .map(|channel| (channel + 255.0 * sigma * bell(rng.next_u64()) + 0.5).clamp(0.0, 255.0) as u8)
            .collect();
        let image = Image::new(width as u32, height as u32, rgb).expect("the canvas has three bytes a pixel");
        (image, sigma)
    }
}

/// Name of a row: "top", "middle" or "bottom".
pub(super) fn row_name(n_rows: usize, row: usize) -> &'static str {
    ["top", "middle", "bottom"][if row > 0 && row + 1 == n_rows { 2 } else { row }]
}

/// Name of a column: "left", "middle" or "right".
pub(super) fn column_name(n_columns: usize, column: usize) -> &'static str {
    ["left", "middle", "right"][if column > 0 && column + 1 == n_columns { 2 } else { column }]
}

/// Ink in `[0, 1]` at a pixel of a digit scaled up to twice its side, bilinear between pixel
/// centres.
fn doubled(pixels: &[u8; SIDE * SIDE], y: usize, x: usize) -> f32 {
    // An even pixel lies a quarter before the centre of its source pixel, an odd one a quarter
    // after it.
    let neighbour =
        |i: usize| (if i.is_multiple_of(2) { (i / 2).saturating_sub(1) } else { (i / 2 + 1).min(SIDE - 1) }, i / 2);
    let ((far_y, near_y), (far_x, near_x)) = (neighbour(y), neighbour(x));
    let row = |y: usize| 0.75 * f32::from(pixels[y * SIDE + near_x]) + 0.25 * f32::from(pixels[y * SIDE + far_x]);
    (0.75 * row(near_y) + 0.25 * row(far_y)) / f32::from(FULL_INK)
}

/// Draws a nearly normal number of mean 0 and variance 1 from 64 random bits: the scaled sum of
/// four uniform 16-bit numbers.
///
/// Sums are the same on every platform, logarithms and cosines are not; pictures, and so problem
/// ids, must be.
fn bell(bits: u64) -> f32 {
    let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
    // Each of the four has variance 1/12.
    (sum as f32 / 65536.0 - 2.0 + 2.0 / 65536.0) * 3f32.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::Purpose;

    fn scene(grid: (usize, usize)) -> Scene {
        Scene::draw(&mut Rng::new(1, Purpose::World, &[]), Split::Train, grid, &Palette::FULL)
    }

    #[test]
    fn places_are_distinct() {
        for grid in GRIDS {
            let scene = scene(grid);
            let names: std::collections::BTreeSet<_> = (0..scene.cells.len()).map(|i| scene.place(i)).collect();
            assert_eq!(names.len(), scene.cells.len());
        }
        assert_eq!(scene((3, 3)).place(4), "center");
        assert_eq!(scene((3, 2)).place(3), "middle right");
        assert_eq!(scene((2, 3)).place(4), "bottom middle");
    }

    #[test]
    fn noise_has_the_stated_deviation() {
        let mut rng = Rng::new(0, Purpose::World, &[]);
        let draws: Vec<f32> = (0..100_000).map(|_| bell(rng.next_u64())).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / draws.len() as f32;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn a_clean_picture_shows_its_digits_in_their_inks() {
        let scene = scene((2, 3));
        let config = DigitsConfig { noise: 0.0..=0.0, brightness: 1.0..=1.0, ..DigitsConfig::default() };
        let (image, _) = scene.render(&mut Rng::new(0, Purpose::World, &[]), &config);
        assert_eq!((image.width(), image.height()), (48, 32));
        for (i, cell) in scene.cells.iter().enumerate() {
            let (top, left) = (i / 3 * CELL_SIDE, i % 3 * CELL_SIDE);
            let pixels = Digits::get().pixels(cell.image);
            let (source, _) = pixels.iter().enumerate().max_by_key(|(_, level)| **level).expect("64 pixels");
            let (y, x) = (top + source / SIDE * 2, left + source % SIDE * 2);
            let at = 3 * (y * 48 + x);
            let rgb = &image.rgb()[at..at + 3];
            let nearest = Ink::ALL.into_iter().min_by_key(|ink| {
                ink.rgb().iter().zip(rgb).map(|(a, b)| (*a as i32 - i32::from(*b)).pow(2)).sum::<i32>()
            });
            assert_eq!(nearest, Some(cell.ink), "cell {i}: {rgb:?}");
        }
    }
}
