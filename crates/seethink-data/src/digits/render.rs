//! Rendering of a scene: each digit turned, scaled, moved, coloured and disturbed in its cell.
//!
//! Nothing here has a last bit that differs between platforms: sums, products and quotients alone.
//! Pictures enter the ids of problems.

use super::config::Pictures;
use super::dataset::{FULL_INK, SIDE};
use super::scene::bell;
use super::{CELL_SIDE, Cell, Digits, Scene};
use seethink_core::{Image, Rng};
use std::ops::RangeInclusive;

/// Width of the bar that hides a part of a digit, pixels.
const BAR: usize = CELL_SIDE / 8;

/// Renders the picture of a scene.
pub(super) fn render(scene: &Scene, rng: &mut Rng, pictures: &Pictures) -> Image {
    let (width, height) = (scene.n_columns * CELL_SIDE, scene.n_rows * CELL_SIDE);
    let mut rgb = vec![0; 3 * width * height];
    for (i, cell) in scene.cells.iter().enumerate() {
        let (top, left) = (i / scene.n_columns * CELL_SIDE, i % scene.n_columns * CELL_SIDE);
        let drawn = draw(cell, rng, pictures);
        for (y, row) in drawn.chunks_exact(CELL_SIDE).enumerate() {
            for (x, pixel) in row.iter().enumerate() {
                let at = 3 * ((top + y) * width + left + x);
                rgb[at..at + 3].copy_from_slice(pixel);
            }
        }
    }
    Image::new(width as u32, height as u32, rgb).expect("the picture has three bytes a pixel")
}

/// Draws a cell, `[CELL_SIDE, CELL_SIDE]` pixels.
fn draw(cell: &Cell, rng: &mut Rng, pictures: &Pictures) -> Vec<[u8; 3]> {
    let mut between =
        |range: &RangeInclusive<f32>| range.start() + (range.end() - range.start()) * rng.uniform() as f32;
    let mut to_either_side = |most: f32| between(&(-most..=most));
    let place = Placement {
        turn: half_angle_tangent(to_either_side(pictures.rotation)),
        shift: [to_either_side(pictures.shift), to_either_side(pictures.shift)],
        scale: between(&pictures.scale),
    };
    let (contrast, ground) = (between(&pictures.contrast), between(&pictures.ground));
    let noise = between(&pictures.noise);
    let is_reversed = rng.uniform() < f64::from(pictures.reversed);
    let bar = (rng.uniform() < f64::from(pictures.occluded)).then(|| {
        let (is_upright, start) = (rng.below(2) == 0, rng.below(CELL_SIDE - BAR + 1));
        move |x: usize, y: usize| (start..start + BAR).contains(&if is_upright { x } else { y })
    });
    let (grey, colour) = ([255.0 * ground; 3], cell.ink.rgb());
    let (figure, behind) = if is_reversed { (grey, colour) } else { (colour, grey) };
    let pixels = Digits::get().pixels(cell.image);
    let mut drawn = Vec::with_capacity(CELL_SIDE * CELL_SIDE);
    for y in 0..CELL_SIDE {
        for x in 0..CELL_SIDE {
            let hidden = bar.as_ref().is_some_and(|bar| bar(x, y));
            let ink = if hidden { 0.0 } else { contrast * place.ink(pixels, x, y) };
            drawn.push(std::array::from_fn(|channel| {
                let clean = behind[channel] + ink * (figure[channel] - behind[channel]);
                (clean + 255.0 * noise * bell(rng.next_u64()) + 0.5).clamp(0.0, 255.0) as u8
            }));
        }
    }
    drawn
}

/// Position of a digit in its cell.
struct Placement {
    /// Tangent of half the angle by which it is turned.
    turn: f32,
    /// Shift along x and y, in cells.
    shift: [f32; 2],
    /// Factor on the size.
    scale: f32,
}

impl Placement {
    /// Ink in `[0, 1]` at a pixel of the cell, bilinear between pixels of the digit.
    fn ink(&self, pixels: &[u8; SIDE * SIDE], x: usize, y: usize) -> f32 {
        let centred = |i: usize| (i as f32 + 0.5) / CELL_SIDE as f32 - 0.5;
        let (u, v) = (centred(x) - self.shift[0], centred(y) - self.shift[1]);
        let t = self.turn;
        let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let (u, v) = ((cos * u + sin * v) / self.scale, (cos * v - sin * u) / self.scale);
        let (column, row) = ((u + 0.5) * SIDE as f32 - 0.5, (v + 0.5) * SIDE as f32 - 0.5);
        let (left, top) = (column.floor(), row.floor());
        let (right_part, lower_part) = (column - left, row - top);
        let level = |column: f32, row: f32| {
            let inside = |i: f32| (0.0..SIDE as f32).contains(&i);
            if inside(column) && inside(row) { f32::from(pixels[row as usize * SIDE + column as usize]) } else { 0.0 }
        };
        let of_row = |row: f32| (1.0 - right_part) * level(left, row) + right_part * level(left + 1.0, row);
        ((1.0 - lower_part) * of_row(top) + lower_part * of_row(top + 1.0)) / f32::from(FULL_INK)
    }
}

/// Tangent of half an angle of up to 45 degrees, by its series: right to a ten-thousandth.
fn half_angle_tangent(degrees: f32) -> f32 {
    let x = degrees * (std::f32::consts::PI / 360.0);
    let square = x * x;
    x * (1.0 + square * (1.0 / 3.0 + square * (2.0 / 15.0 + square * (17.0 / 315.0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::{GlyphSet, Ink};
    use seethink_core::Purpose;

    fn plain() -> Pictures {
        Pictures {
            rotation: 0.0,
            scale: 1.0..=1.0,
            shift: 0.0,
            contrast: 1.0..=1.0,
            ground: 0.0..=0.0,
            noise: 0.0..=0.0,
            reversed: 0.0,
            occluded: 0.0,
        }
    }

    fn cell(ink: Ink) -> Cell {
        Cell { digit: 3, ink, image: Digits::get().glyphs(GlyphSet::Test, 3)[0] }
    }

    fn drawn(ink: Ink, pictures: &Pictures) -> Vec<[u8; 3]> {
        draw(&cell(ink), &mut Rng::new(1, Purpose::World, &[]), pictures)
    }

    /// Brightness of all pixels, and its centre.
    fn mass(pixels: &[[u8; 3]]) -> (f32, [f32; 2]) {
        let (mut sum, mut centre) = (0.0, [0.0; 2]);
        for (i, pixel) in pixels.iter().enumerate() {
            let level = pixel.iter().map(|&x| f32::from(x)).sum::<f32>();
            sum += level;
            centre[0] += level * (i % CELL_SIDE) as f32;
            centre[1] += level * (i / CELL_SIDE) as f32;
        }
        (sum, centre.map(|x| x / sum))
    }

    #[test]
    fn an_undisturbed_digit_keeps_its_ink_and_turns_and_moves_as_a_whole() {
        let (sum, [x, y]) = mass(&drawn(Ink::Red, &plain()));
        let ink: u32 = Digits::get().pixels(cell(Ink::Red).image).iter().map(|&level| u32::from(level)).sum();
        let red: f32 = Ink::Red.rgb().iter().sum();
        let share = sum / (4.0 * red * ink as f32 / f32::from(FULL_INK));
        // What a digit has at its border fades into the border of the cell.
        assert!((0.9..1.01).contains(&share), "{share}");
        let place = Placement { turn: half_angle_tangent(30.0), shift: [0.0; 2], scale: 0.8 };
        let pixels = Digits::get().pixels(cell(Ink::Red).image);
        let turned: Vec<[u8; 3]> = (0..CELL_SIDE * CELL_SIDE)
            .map(|i| [(200.0 * place.ink(pixels, i % CELL_SIDE, i / CELL_SIDE)) as u8; 3])
            .collect();
        let middle = (CELL_SIDE as f32 - 1.0) / 2.0;
        let (cos, sin) = (0.75f32.sqrt(), 0.5);
        let (u, v) = (x - middle, y - middle);
        let expected = [middle + 0.8 * (cos * u - sin * v), middle + 0.8 * (sin * u + cos * v)];
        let (_, found) = mass(&turned);
        assert!((found[0] - expected[0]).abs() < 0.1 && (found[1] - expected[1]).abs() < 0.1, "{found:?} {expected:?}");
    }

    #[test]
    fn half_angles_are_right() {
        for degrees in [-45.0f32, -12.0, 0.0, 8.0, 45.0] {
            let expected = (degrees.to_radians() / 2.0).tan();
            assert!((half_angle_tangent(degrees) - expected).abs() < 1e-4, "{degrees}");
        }
    }

    #[test]
    fn a_reversed_digit_is_dark_on_its_colour_and_a_bar_hides_ink() {
        let usual = drawn(Ink::Green, &plain());
        let reversed = drawn(Ink::Green, &Pictures { reversed: 1.0, ..plain() });
        for (a, b) in usual.iter().zip(&reversed) {
            for (channel, full) in Ink::Green.rgb().into_iter().enumerate() {
                assert!((f32::from(a[channel]) + f32::from(b[channel]) - full).abs() <= 1.5, "{a:?} {b:?}");
            }
        }
        let (whole, _) = mass(&usual);
        let (rest, _) = mass(&drawn(Ink::Green, &Pictures { occluded: 1.0, ..plain() }));
        assert!(rest < whole && rest > 0.5 * whole, "{rest} of {whole}");
    }

    #[test]
    fn every_setting_changes_the_picture() {
        let wide = Pictures { rotation: 0.0, ..Pictures::WIDE };
        let base = drawn(Ink::Blue, &wide);
        for other in [
            Pictures { rotation: 45.0, ..wide.clone() },
            Pictures { scale: 0.5..=0.5, ..wide.clone() },
            Pictures { shift: 0.5, ..wide.clone() },
            Pictures { contrast: 0.1..=0.1, ..wide.clone() },
            Pictures { ground: 0.5..=0.5, ..wide.clone() },
            Pictures { noise: 0.5..=0.5, ..wide.clone() },
            Pictures { reversed: 0.0, ..wide.clone() },
            Pictures { occluded: 1.0, ..wide.clone() },
        ] {
            assert_ne!(drawn(Ink::Blue, &other), base, "{other:?}");
        }
    }
}
