//! Rendering of a scene: its digits at twice their size, on a dark ground.

use super::config::DigitsConfig;
use crate::digits::scene::bell;
use crate::digits::{CELL_SIDE, Digits, FULL_INK, SIDE, Scene};
use seethink_core::{Image, Rng};
use std::ops::RangeInclusive;

/// Background colour, RGB.
const BACKGROUND: [f32; 3] = [16.0, 16.0, 24.0];

/// Renders the picture with a brightness for each digit and one noise level.
///
/// Returns the picture and its noise level. Uses no function whose last bit differs between
/// platforms.
pub(super) fn render(scene: &Scene, rng: &mut Rng, config: &DigitsConfig) -> (Image, f32) {
    let between = |range: &RangeInclusive<f32>, u: f64| range.start() + (range.end() - range.start()) * u as f32;
    let (width, height) = (scene.n_columns * CELL_SIDE, scene.n_rows * CELL_SIDE);
    let mut canvas = vec![BACKGROUND; width * height];
    for (i, cell) in scene.cells.iter().enumerate() {
        let brightness = between(&config.brightness, rng.uniform());
        let (top, left) = (i / scene.n_columns * CELL_SIDE, i % scene.n_columns * CELL_SIDE);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;
    use crate::digits::Ink;
    use crate::digits::scene::Palette;
    use seethink_core::Purpose;

    fn scene(grid: (usize, usize)) -> Scene {
        let images = |digit| Digits::get().images(Split::Train, digit);
        Scene::draw(&mut Rng::new(1, Purpose::World, &[]), images, grid, &Palette::FULL)
    }

    #[test]
    fn a_clean_picture_shows_its_digits_in_their_inks() {
        let scene = scene((2, 3));
        let config = DigitsConfig { noise: 0.0..=0.0, brightness: 1.0..=1.0, ..DigitsConfig::default() };
        let (image, _) = render(&scene, &mut Rng::new(0, Purpose::World, &[]), &config);
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
