//! Comparison of image processing: pictures to patches.

use super::reference::{Reference, get, read_json};
use super::table::Table;
use anyhow::{Context, Result};
use seethink::core::{Image, ImageSource};
use seethink::data::{Alpha, ImageLoader};
use seethink::models::{Pixels, VlmProcessor, resize_bicubic};
use serde_json::Value;

/// Loads the picture as transformers 4.57 does, which drops transparency, or as 5 does, which lays
/// it on white.
pub(super) fn load(reference: &Reference, name: &str, alpha: Alpha) -> Result<Image> {
    load_with(reference, name, ImageLoader { alpha, ..ImageLoader::default() })
}

fn load_with(reference: &Reference, name: &str, loader: ImageLoader) -> Result<Image> {
    Ok(loader.load(&ImageSource::Path(reference.image(name)))?)
}

/// Compares resized pictures, patches, grids and token counts of every picture of the folder.
pub(super) fn compare(reference: &Reference, processor: &VlmProcessor, table: &mut Table) -> Result<()> {
    let facts = reference.json("preprocess").as_object().context("preprocess.json is no object")?;
    let tensors = reference.tensors("preprocess");
    let mut images = Vec::new();
    for (name, facts) in facts {
        let image = load(reference, name, Alpha::Drop)?;
        for (what, size) in [("resized_u8", None), ("thumb_u8", None), ("white_rgb_u8", Some(Alpha::White))] {
            let key = format!("{name}.{what}");
            if tensors.contains(&key) {
                let &[_, height, width] = tensors.shape(&key)? else { anyhow::bail!("{key} is no picture") };
                let source = size.map_or_else(|| Ok(image.clone()), |alpha| load(reference, name, alpha))?;
                let found = resize_bicubic(&source, width as u32, height as u32);
                table.equal("resized pictures, 8 bits", &key, &planes(&found), tensors.bytes(&key)?);
            }
        }
        let tokens = processor.image_processor().n_image_tokens(image.width(), image.height())?;
        table.equal("image token counts", name, &[tokens], &[get::<usize>(facts, "num_image_tokens")?]);
        let (_, expected) = expected(reference, name)?;
        let found = processor.image_processor().process(std::slice::from_ref(&image))?;
        table.equal("image grids", name, &found.grids, &expected.grids);
        table.within("pixel values", name, &found.values, &expected.values, TOLERANCE);
        if tensors.contains(&format!("{name}.pixel_values_u8_white")) {
            let white = load(reference, name, Alpha::White)?;
            let found = processor.image_processor().process(&[white])?;
            let expected = from_levels(reference, &format!("{name}.pixel_values_u8_white"), &expected.grids)?;
            table.within("pixel values on white", name, &found.values, &expected.values, TOLERANCE);
        }
        let key = format!("{name}.pixel_values_u8_exif");
        if tensors.contains(&key) {
            let loader = ImageLoader { alpha: Alpha::Drop, exif_orientation: true, ..ImageLoader::default() };
            let turned = processor.image_processor().process(&[load_with(reference, name, loader)?])?;
            let expected = from_levels(reference, &key, &turned.grids)?;
            table.within("pixel values, turned by EXIF", name, &turned.values, &expected.values, TOLERANCE);
        }
        images.push((image, found));
    }
    let (images, alone): (Vec<Image>, Vec<Pixels>) = images.into_iter().unzip();
    let together = processor.image_processor().process(&images)?;
    table.equal("pixel values in a batch", "all", &together.values, &Pixels::concat(&alone).values);
    Ok(())
}

/// Tolerance of pixel values: both sides do one subtraction and one division in `f32`; a half level
/// is 2e-3.
pub(super) const TOLERANCE: f64 = 5e-7;

/// The reference's patches of a picture in our layout, and its number of image tokens.
pub(super) fn expected(reference: &Reference, name: &str) -> Result<(usize, Pixels)> {
    let facts = &reference.json("preprocess")[name];
    let n_tokens = get(facts, "num_image_tokens").with_context(|| format!("preprocess.json, {name}"))?;
    let shape: Vec<usize> = get(facts, "pixel_values_shape")?;
    let grids = match shape[..] {
        [_, _] => {
            let grid: [usize; 3] = get(facts, "image_grid_thw")?;
            vec![grid]
        }
        [tiles, _, height, width] => {
            let [rows, columns] = patch_size(reference)?;
            vec![[tiles, height / rows, width / columns]]
        }
        _ => anyhow::bail!("pixel_values of {name} have shape {shape:?}"),
    };
    let key = format!("{name}.pixel_values");
    let tensors = reference.tensors("preprocess");
    let pixels = if tensors.contains(&key) {
        in_patches(reference, tensors.floats(&key)?, grids)?
    } else {
        from_levels(reference, &format!("{name}.pixel_values_u8"), &grids)?
    };
    Ok((n_tokens, pixels))
}

/// Normalises 8-bit levels of the reference.
fn from_levels(reference: &Reference, key: &str, grids: &[[usize; 3]]) -> Result<Pixels> {
    let levels = reference.tensors("preprocess").bytes(key)?;
    let shape = reference.tensors("preprocess").shape(key)?;
    let [mean, std]: [[f32; 3]; 2] = [setting(reference, "image_mean")?, setting(reference, "image_std")?];
    // Channels are the second dimension of tiles, and the outermost of the columns of patches.
    let run = match shape {
        [_, 3, height, width] => height * width,
        [_, columns] => columns / 3,
        _ => anyhow::bail!("{key} has shape {shape:?}"),
    };
    let value = |(i, &level): (usize, &u8)| {
        let channel = i / run % 3;
        (f32::from(level) - 255.0 * mean[channel]) / (255.0 * std[channel])
    };
    in_patches(reference, &levels.iter().enumerate().map(value).collect::<Vec<_>>(), grids.to_vec())
}

/// Converts the reference's tiles, kept as pictures `[tiles, 3, height, width]`, to patches row by
/// row. Patches of the reference are laid out like ours.
fn in_patches(reference: &Reference, values: &[f32], grids: Vec<[usize; 3]>) -> Result<Pixels> {
    let [tiles, rows, columns] = grids[0];
    let tiled = read_json(&reference.checkpoint().join("config.json"))?["vision_config"].get("image_size").is_some();
    if !tiled {
        return Ok(Pixels { values: values.to_vec(), grids });
    }
    let [height, width] = patch_size(reference)?;
    let mut out = Vec::with_capacity(values.len());
    for tile in 0..tiles {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for (channel, y) in (0..3).flat_map(|channel| (0..height).map(move |y| (channel, y))) {
                let line = ((tile * 3 + channel) * rows * height + row * height + y) * columns * width;
                out.extend_from_slice(&values[line + column * width..][..width]);
            }
        }
    }
    Ok(Pixels { values: out, grids })
}

fn patch_size(reference: &Reference) -> Result<[usize; 2]> {
    let config = read_json(&reference.checkpoint().join("config.json"))?;
    match &config["vision_config"]["patch_size"] {
        Value::Array(sides) => Ok([0, 1].map(|i| sides[i].as_u64().unwrap_or(1) as usize)),
        side => Ok([side.as_u64().context("patch_size is no number")? as usize; 2]),
    }
}

fn setting(reference: &Reference, key: &str) -> Result<[f32; 3]> {
    get(&read_json(&reference.checkpoint().join("preprocessor_config.json"))?, key)
}

/// Transposes a picture from `[height, width, 3]` to `[3, height, width]`.
fn planes(image: &Image) -> Vec<u8> {
    (0..3).flat_map(|channel| image.rgb().iter().skip(channel).step_by(3).copied()).collect()
}
