//! Scenes: what a picture of digits shows, and the names of its cells.

use super::dataset::SIDE;
use seethink_core::Rng;
use std::fmt;
use std::ops::RangeInclusive;

/// Side length of a cell, pixels: twice that of a digit in the dataset.
pub const CELL_SIDE: usize = 2 * SIDE;
/// Numbers of rows and columns that a picture may have.
pub(crate) const GRIDS: [(usize, usize); 4] = [(2, 2), (2, 3), (3, 2), (3, 3)];

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

    pub(crate) fn rgb(self) -> [f32; 3] {
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
    /// Index of the image in [`Digits`](super::Digits) that is drawn.
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

impl fmt::Display for Scene {
    /// Formats a scene, as in "red 3, blue 5 / green 1, red 0", rows from the top.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, cell) in self.cells.iter().enumerate() {
            let before = if i == 0 {
                ""
            } else if i % self.n_columns == 0 {
                " / "
            } else {
                ", "
            };
            write!(f, "{before}{cell}")?;
        }
        Ok(())
    }
}

/// Digits and inks that cells may have.
pub(crate) struct Palette<'a> {
    pub(crate) digits: &'a [u8],
    pub(crate) inks: &'a [Ink],
}

impl Palette<'_> {
    /// All digits in all inks.
    pub(crate) const FULL: Palette<'static> = Palette { digits: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], inks: &Ink::ALL };
}

impl Scene {
    /// Draws a random scene of `n_rows` by `n_columns`; `images` lists those that show a digit.
    pub(crate) fn draw<'a>(
        rng: &mut Rng,
        images: impl Fn(u8) -> &'a [usize],
        (n_rows, n_columns): (usize, usize),
        palette: &Palette<'_>,
    ) -> Self {
        let cells = (0..n_rows * n_columns).map(|_| {
            let digit = *rng.choose(palette.digits);
            Cell { digit, ink: *rng.choose(palette.inks), image: *rng.choose(images(digit)) }
        });
        let cells = cells.collect();
        Self { n_rows, n_columns, cells }
    }

    /// Draws the grid of a random picture with a number of cells in this range.
    pub(crate) fn draw_grid(rng: &mut Rng, cells: &RangeInclusive<usize>) -> (usize, usize) {
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
}

/// Name of a row: "top", "middle" or "bottom".
pub(crate) fn row_name(n_rows: usize, row: usize) -> &'static str {
    ["top", "middle", "bottom"][if row > 0 && row + 1 == n_rows { 2 } else { row }]
}

/// Name of a column: "left", "middle" or "right".
pub(crate) fn column_name(n_columns: usize, column: usize) -> &'static str {
    ["left", "middle", "right"][if column > 0 && column + 1 == n_columns { 2 } else { column }]
}

/// Draws a nearly normal number of mean 0 and variance 1 from 64 random bits: the scaled sum of
/// four uniform 16-bit numbers.
///
/// Sums are the same on every platform, logarithms and cosines are not; pictures, and so problem
/// ids, must be.
pub(crate) fn bell(bits: u64) -> f32 {
    let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
    // Each of the four has variance 1/12.
    (sum as f32 / 65536.0 - 2.0 + 2.0 / 65536.0) * 3f32.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;
    use crate::digits::Digits;
    use seethink_core::Purpose;

    #[test]
    fn places_are_distinct() {
        for grid in GRIDS {
            let images = |digit| Digits::get().images(Split::Train, digit);
            let scene = Scene::draw(&mut Rng::new(1, Purpose::World, &[]), images, grid, &Palette::FULL);
            let names: std::collections::BTreeSet<_> = (0..scene.cells.len()).map(|i| scene.place(i)).collect();
            assert_eq!(names.len(), scene.cells.len());
            match grid {
                (3, 3) => assert_eq!(scene.place(4), "center"),
                (3, 2) => assert_eq!(scene.place(3), "middle right"),
                (2, 3) => assert_eq!(scene.place(4), "bottom middle"),
                _ => {}
            }
        }
    }

    #[test]
    fn noise_has_the_stated_deviation() {
        let mut rng = Rng::new(0, Purpose::World, &[]);
        let draws: Vec<f32> = (0..100_000).map(|_| bell(rng.next_u64())).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / draws.len() as f32;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
