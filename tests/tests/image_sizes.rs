//! Sizes, tilings and pixels at the published settings against transformers 4.57.6
//! (fixtures/models/README.md).
//!
//! The tolerance is zero: pictures are resized in the reference's fixed point and normalised in f32
//! in its order.

use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use seethink::core::{Image, ImageSource};
use seethink::data::{Alpha, ImageLoader};
use seethink::models::internvl3::Tiles;
use seethink::models::{ImageProcessor, NativeResolution, Span};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const IMAGES: [&str; 5] = ["gray.png", "large.png", "rgba.png", "tiny.png", "wide.png"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(name)
}

fn json_fixture(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).expect("fixture exists")).expect("fixture is JSON")
}

/// Loads a picture as transformers 4.57 does, which drops transparency.
fn image(name: &str) -> Image {
    let loader = ImageLoader { alpha: Alpha::Drop, ..ImageLoader::default() };
    loader.load(&ImageSource::Path(fixture("images").join(name))).expect("fixture images are fine")
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().expect("an array").iter().map(|number| number.as_i64().expect("an integer")).collect()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = tensors.tensor(name).expect("the fixture has this tensor");
    assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
    tensor.data().chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])).collect()
}

/// Image processor with given settings, read from a folder as any other.
fn image_processor(settings: &Value) -> NativeResolution {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("preprocessor_config.json"), settings.to_string()).expect("it can be written to");
    NativeResolution::from_pretrained(folder.path()).expect("these settings are fine")
}

#[test]
fn sizes_equal_the_reference() {
    let tables = json_fixture("preprocess_tables.json");
    let tables = tables["smart_resize"].as_array().expect("a list of tables");
    let mut n_rows = 0;
    for table in tables {
        let processor = image_processor(&json!({
            "patch_size": table["factor"].as_u64().expect("a factor") / 2, "merge_size": 2, "temporal_patch_size": 2,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "min_pixels": table["min_pixels"], "max_pixels": table["max_pixels"],
        }));
        let rows = &table["rows_height_width_to_height_width_or_null_if_aspect_error"];
        for row in rows.as_array().expect("a list of rows") {
            let side = |i: usize| row[i].as_u64().map(|side| side as u32);
            let (height, width) = side(0).zip(side(1)).expect("the size of an image");
            let resized = processor.resized_size(width, height).ok();
            assert_eq!(resized, side(2).zip(side(3)).map(<[u32; 2]>::from), "{}: {row}", table["name"]);
            n_rows += 1;
        }
    }
    assert_eq!(n_rows, 736);
}

/// Image processor of InternVL with tiles of this size; all other settings are the tiny
/// checkpoint's.
fn tiles(tile: u64, patch: u64, min: u64, max: u64) -> Tiles {
    let source = fixture("internvl3/checkpoint");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write =
        |name: &str, json: &Value| std::fs::write(folder.path().join(name), json.to_string()).expect("writable");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(source.join(name)).expect("fixture exists")).expect("fixture is JSON")
    };
    let mut config = read("config.json");
    config["vision_config"]["image_size"] = json!([tile, tile]);
    config["vision_config"]["patch_size"] = json!([patch, patch]);
    write("config.json", &config);
    let mut settings = read("preprocessor_config.json");
    settings["size"] = json!({"height": tile, "width": tile});
    (settings["min_patches"], settings["max_patches"]) = (min.into(), max.into());
    write("preprocessor_config.json", &settings);
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(source.join(name), folder.path().join(name)).expect("fixture exists");
    }
    Tiles::from_pretrained(folder.path()).expect("these settings are fine")
}

#[test]
fn tilings_equal_the_reference() {
    let tables = json_fixture("preprocess_tables.json");
    let mut n_rows = 0;
    for table in tables["tiles"].as_array().expect("a list of tables") {
        let [tile, min, max] = ["tile", "min_patches", "max_patches"].map(|key| table[key].as_u64().expect("a number"));
        let tiles = tiles(tile, 14, min, max);
        for row in table["rows_height_width_to_columns_rows"].as_array().expect("a list of rows") {
            let [height, width, columns, rows] = integers(row)[..] else { panic!("{row}") };
            let found = tiles.tiling(width as u32, height as u32).expect("an image with pixels");
            assert_eq!(found, [columns as usize, rows as usize], "{width}x{height} of at most {max}");
            n_rows += 1;
        }
    }
    assert!(n_rows > 100, "{n_rows} rows");
}

/// Value at the flat index of the reference's layout, `[tiles, 3, height, width]`, from our
/// patches.
fn tile_value(values: &[f32], index: usize, tile: usize, patch: usize) -> f32 {
    let (x, y) = (index % tile, index / tile % tile);
    let (channel, n) = (index / tile.pow(2) % 3, index / tile.pow(2) / 3);
    let side = tile / patch;
    let cell = (n * side + y / patch) * side + x / patch;
    values[(cell * 3 + channel) * patch.pow(2) + y % patch * patch + x % patch]
}

#[test]
fn published_settings_equal_the_reference() {
    let file = std::fs::read(fixture("real_scale_preprocess.safetensors")).expect("fixture exists");
    let tensors = SafeTensors::deserialize(&file).expect("fixture is well formed");
    let facts = json_fixture("preprocess_tables.json");
    let qwen = |more: Value| {
        let mut settings = json!({"merge_size": 2, "temporal_patch_size": 2});
        settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Box::new(image_processor(&settings)) as Box<dyn ImageProcessor>
    };
    let families: [(&str, Box<dyn ImageProcessor>); 3] = [
        (
            "qwen2_5_vl",
            qwen(json!({
                "patch_size": 14, "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711], "min_pixels": 3136, "max_pixels": 12_845_056,
            })),
        ),
        (
            "qwen3_vl",
            qwen(json!({
                "patch_size": 16, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
                "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
            })),
        ),
        ("internvl", Box::new(tiles(448, 14, 1, 12))),
    ];
    for (family, processor) in &families {
        for name in IMAGES {
            let key = format!("{family}/{name}");
            let facts = &facts["real_scale_preprocess"][&key];
            let pixels = processor.process(&[image(name)]).expect("fixture images can be resized");
            let shape = integers(&facts["shape"]);
            assert_eq!(pixels.values.len() as i64, shape.iter().product::<i64>(), "{key}");
            let stride = facts["stride_over_flattened"].as_u64().expect("a stride") as usize;
            let sample: Vec<f32> = if *family == "internvl" {
                assert_eq!(pixels.grids[0][0] as i64, facts["num_tiles"], "{key}");
                (0..pixels.values.len()).step_by(stride).map(|i| tile_value(&pixels.values, i, 448, 14)).collect()
            } else {
                assert_eq!(pixels.grids[0].map(|n| n as i64), integers(&facts["image_grid_thw"])[..], "{key}");
                pixels.values.iter().step_by(stride).copied().collect()
            };
            assert!(sample == floats(&tensors, &key), "{key}");
            let total: f64 = pixels.values.iter().map(|value| f64::from(value.abs())).sum();
            let expected = facts["sum_abs"].as_f64().expect("a sum");
            // Only the order of summation differs.
            assert!((total / expected - 1.0).abs() < 1e-12, "{key}: {total} against {expected}");
        }
    }
}

#[test]
fn pixels_are_those_of_the_reference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/decoding");
    let load = |name: String, loader: &ImageLoader| {
        loader.load(&ImageSource::Path(folder.join(name))).expect("fixture images are fine")
    };
    let check = |name: &str, loader: ImageLoader, what: &str| {
        let (stem, _) = name.split_once('.').expect("a file name");
        let expected = load(format!("{stem}.{what}.png"), &ImageLoader::default());
        assert!(load(name.to_owned(), &loader) == expected, "{name}, {what}");
    };
    let as_stored = ImageLoader { alpha: Alpha::Drop, ..ImageLoader::default() };
    for name in ["420.jpg", "422.jpg", "444.jpg", "progressive.jpg", "grey.jpg", "rotated.jpg"] {
        check(name, as_stored, "decoded");
    }
    check("rotated.jpg", ImageLoader { exif_orientation: true, ..as_stored }, "upright");
    for name in ["palette.png", "gray_alpha.png"] {
        check(name, as_stored, "decoded");
        check(name, ImageLoader::default(), "white");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_size_is_resized_within_its_budget(width in 1u32..6000, height in 1u32..6000, factor in 1u64..4) {
        let (min, max) = (56 * 56, 28 * 28 * 64 * factor);
        let processor = image_processor(&json!({
            "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "min_pixels": min, "max_pixels": max,
        }));
        match processor.grid(width, height) {
            Err(_) => prop_assert!(width.max(height) > 200 * width.min(height)),
            Ok([frames, rows, columns]) => {
                prop_assert_eq!((frames, rows % 2, columns % 2), (1, 0, 0));
                prop_assert!(rows > 0 && columns > 0);
                let pixels = (rows * columns * 14 * 14) as u64;
                // A side is never less than a cell, so a thin picture may exceed the budget by
                // that.
                let thin = rows == 2 || columns == 2;
                prop_assert!(thin || (min..=max).contains(&pixels), "{} pixels", pixels);
                prop_assert_eq!(processor.span([1, rows, columns]), Span::Grid { rows: rows / 2, columns: columns / 2 });
                prop_assert_eq!(processor.n_image_tokens(width, height).ok(), Some(rows * columns / 4));
            }
        }
    }
}

#[test]
fn any_size_has_tiles_of_about_its_shape() {
    let tiles = tiles(448, 14, 1, 12);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 512, ..ProptestConfig::default() });
    let sizes = (1u32..6000, 1u32..6000);
    let check = |(width, height): (u32, u32)| {
        let [columns, rows] = tiles.tiling(width, height).expect("an image with pixels");
        prop_assert!((1..=12).contains(&(columns * rows)));
        let ratio = f64::from(width) / f64::from(height);
        for (c, r) in (1..=12).flat_map(|c| (1..=12 / c).map(move |r| (c, r))) {
            let distance = |c: usize, r: usize| (ratio - c as f64 / r as f64).abs();
            prop_assert!(distance(columns, rows) <= distance(c, r));
        }
        let n = columns * rows;
        let expected = 256 * if n > 1 { n + 1 } else { 1 };
        prop_assert_eq!(tiles.n_image_tokens(width, height).ok(), Some(expected));
        Ok(())
    };
    runner.run(&sizes, check).expect("every size has a tiling");
    assert!(tiles.tiling(0, 5).is_err() && tiles.tiling(u32::MAX, 1).is_ok());
    let one = tiles.with_max_tiles(1).expect("the checkpoint does not ask for more");
    assert_eq!(one.n_image_tokens(3000, 1000).ok(), Some(256));
}
