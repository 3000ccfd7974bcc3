//! Limits on the size of pictures: from the file of a run to the tokens of a prompt.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::{Image, ImageSource};
use seethink::data::{Alpha, ImageLoader};
use seethink::models::{Content, ImageLimits, Message, Role, VlmProcessor};
use seethink::prelude::*;
use std::path::{Path, PathBuf};

const NONE: ImageLimits = ImageLimits { min_pixels: None, max_pixels: None, max_tiles: None };

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn checkpoint(family: &str) -> PathBuf {
    fixtures("models").join(family).join("checkpoint")
}

/// Processor of a family in a run whose file has these `images`.
fn in_run(family: &str, images: &str) -> VlmProcessor {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = include_str!("../../configs/digits_v1/qwen3_vl/staged.ron");
    std::fs::write(file.path(), text.replacen("seed: 1,", &format!("seed: 1, images: {images},"), 1)).unwrap();
    RunConfig::load(file.path(), &[]).unwrap().processor(&checkpoint(family)).unwrap()
}

fn refused(family: &str, limits: ImageLimits) -> String {
    VlmProcessor::from_pretrained(&checkpoint(family)).unwrap().with_image_limits(&limits).unwrap_err().to_string()
}

/// Number of image tokens of a prompt with a grey picture of this size, counted in the prompt.
fn n_tokens(processor: &VlmProcessor, width: u32, height: u32) -> usize {
    let image = Image::new(width, height, vec![127; 3 * (width * height) as usize]).unwrap();
    let messages = [Message { role: Role::User, content: vec![Content::Image] }];
    let n = processor.encode(&messages, &[image]).unwrap().image_tokens.len();
    assert_eq!(processor.image_processor().n_image_tokens(width, height).unwrap(), n);
    n
}

#[test]
fn sizes_equal_the_reference() {
    let rows: Vec<Vec<Option<u64>>> =
        serde_json::from_slice(&std::fs::read(fixtures("image_limits/sizes.json")).unwrap()).unwrap();
    assert_eq!(rows.len(), 335);
    for row in rows {
        let side = |i: usize| row[i].unwrap() as u32;
        let limits = ImageLimits { min_pixels: row[2], max_pixels: row[3], max_tiles: None };
        assert_eq!(limits.fitted_size(side(0), side(1)), [side(4), side(5)], "{row:?}");
    }
}

#[test]
fn pictures_equal_the_reference() {
    let loader = ImageLoader { alpha: Alpha::Drop, ..ImageLoader::default() };
    let load = |path: PathBuf| loader.load(&ImageSource::Path(path)).unwrap();
    let mut n = 0;
    for entry in std::fs::read_dir(fixtures("image_limits")).unwrap() {
        let path = entry.unwrap().path();
        let Some((name, bounds)) = path.file_name().unwrap().to_str().unwrap().split_once('.') else { continue };
        let Some((min, max)) = bounds.strip_suffix(".png").and_then(|bounds| bounds.split_once('-')) else { continue };
        let limits = ImageLimits { min_pixels: min.parse().ok(), max_pixels: max.parse().ok(), ..NONE };
        let fitted = limits.fit(&load(fixtures("models/images").join(format!("{name}.png"))));
        assert!(fitted == load(path.clone()), "{}", path.display());
        n += 1;
    }
    assert_eq!(n, 5);
}

#[test]
fn a_limit_in_a_file_changes_the_tokens_of_qwen() {
    // Cells of 28 and 32 pixels; the checkpoints allow 3,136 to 12,544 and 4,096 to 16,384 pixels,
    // 16 cells.
    for (family, cell) in [("qwen2_5_vl", 28.0), ("qwen3_vl", 32.0)] {
        let side = (4.0 * cell) as u32;
        let pixels = f64::from(side * side);
        assert_eq!(n_tokens(&in_run(family, "()"), side, side), 16, "{family}");
        for max_pixels in [pixels / 2.0, pixels / 3.0] {
            let fitted = (f64::from(side) * (max_pixels / pixels).sqrt()).floor();
            let expected = (fitted / cell).round().powi(2) as usize;
            let limited = in_run(family, &format!("(max_pixels: {max_pixels:.0})"));
            assert_eq!(n_tokens(&limited, side, side), expected, "{family} {max_pixels}");
            assert!(expected < 16);
        }
        // Twice the side of the smallest picture: four times the cells.
        let (small, least) = ((2.0 * cell) as u32, (16.0 * cell * cell) as u64);
        assert_eq!(n_tokens(&in_run(family, "()"), small, small), 4, "{family}");
        assert_eq!(n_tokens(&in_run(family, &format!("(min_pixels: {least})")), small, small), 16, "{family}");
    }
}

#[test]
fn a_limit_in_a_file_changes_the_tokens_of_internvl() {
    // Tiles of 28 and 32 pixels; the checkpoints allow 6 and 12 of them.
    for (family, tile) in [("internvl3", 28), ("internvl3_5", 32)] {
        let usual = in_run(family, "()");
        let per_tile = n_tokens(&usual, tile, tile);
        let with_whole = |n: usize| per_tile * if n > 1 { n + 1 } else { 1 };
        assert_eq!(n_tokens(&usual, 4 * tile, tile), with_whole(4), "{family}");
        for n in 1..4 {
            let limited = in_run(family, &format!("(max_tiles: {n})"));
            assert_eq!(n_tokens(&limited, 4 * tile, tile), with_whole(n), "{family}, {n} tiles");
        }
        // Of grids that are square, the picture has to fill more than half: two by two if it is
        // larger than two tiles.
        assert_eq!(n_tokens(&usual, 2 * tile, 2 * tile), with_whole(4), "{family}");
        let two_tiles = 2 * tile * tile;
        let limited = in_run(family, &format!("(max_pixels: {two_tiles})"));
        assert_eq!(n_tokens(&limited, 2 * tile, 2 * tile), with_whole(1), "{family}");
        assert_eq!(n_tokens(&usual, tile, tile), with_whole(1));
        let enlarged = in_run(family, &format!("(min_pixels: {})", 3 * tile * tile));
        assert_eq!(n_tokens(&enlarged, tile, tile), with_whole(4), "{family}");
    }
}

#[test]
fn pixels_are_those_of_a_picture_that_was_resized_before() {
    let image = ImageLoader::default().load(&ImageSource::Path(fixtures("models/images/large.png"))).unwrap();
    for family in ["qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5"] {
        let limits = ImageLimits { max_pixels: Some(9_000), ..NONE };
        let plain = VlmProcessor::from_pretrained(&checkpoint(family)).unwrap();
        let limited = plain.clone().with_image_limits(&limits).unwrap();
        let process = |processor: &VlmProcessor, image| processor.image_processor().process(&[image]).unwrap();
        assert_eq!(process(&limited, image.clone()), process(&plain, limits.fit(&image)), "{family}");
        assert!(process(&limited, image.clone()).values != process(&plain, image.clone()).values, "{family}");
        assert!(limited.image_processor().rules().starts_with("at most 9000 pixels in the run; then "));
    }
}

#[test]
fn limits_that_do_nothing_or_too_much_are_refused() {
    let (min, max, tiles) = (
        |n| ImageLimits { min_pixels: Some(n), ..NONE },
        |n| ImageLimits { max_pixels: Some(n), ..NONE },
        |n| ImageLimits { max_tiles: Some(n), ..NONE },
    );
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        let message = refused(family, tiles(4));
        assert_eq!(message, "`max_tiles` is 4, expected none: this model does not cut images into tiles");
    }
    for (family, limits, expected) in [
        ("qwen2_5_vl", min(12_545), "`min_pixels` is 12545, expected at most 12544, which the checkpoint reduces"),
        ("qwen3_vl", max(4_095), "`max_pixels` is 4095, expected at least 4096, which the checkpoint enlarges"),
        ("internvl3", min(4_705), "expected at most 4704"),
        ("internvl3", max(783), "expected at least 784"),
        ("internvl3", tiles(4_097), "`max_tiles` is 4097, expected 1 (`min_patches` of the checkpoint) to 4096"),
        ("qwen3_vl", max(u64::MAX), "and the model has 262144 positions"),
        ("internvl3_5", max(u64::MAX), "and the model has 40960 positions"),
        ("qwen2_5_vl", max(0), "`max_pixels` is 0, expected at least 1"),
        (
            "internvl3",
            ImageLimits { min_pixels: Some(2000), max_pixels: Some(1000), ..NONE },
            "at most max_pixels, 1000",
        ),
    ] {
        let message = refused(family, limits);
        assert!(message.contains(expected), "{family}: {message}");
    }
}

#[test]
fn more_tiles_than_positions_are_refused() {
    // The published sizes: tiles of 448 pixels, 256 tokens each.
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(checkpoint("internvl3")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".safetensors") {
            continue;
        }
        let mut content = std::fs::read_to_string(&path).unwrap();
        if name == "config.json" || name == "preprocessor_config.json" {
            let mut json: serde_json::Value = serde_json::from_str(&content).unwrap();
            match json.get_mut("vision_config") {
                Some(vision) => {
                    vision["image_size"] = serde_json::json!([448, 448]);
                    vision["patch_size"] = serde_json::json!([14, 14]);
                }
                None => json["size"] = serde_json::json!({"height": 448, "width": 448}),
            }
            content = json.to_string();
        }
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let limited = |n| {
        let processor = VlmProcessor::from_pretrained(folder.path()).unwrap();
        processor.with_image_limits(&ImageLimits { max_tiles: Some(n), ..NONE })
    };
    // 32,768 positions, which a dynamic base stretches by a factor of two.
    assert_eq!(limited(255).unwrap().image_processor().n_image_tokens(255, 1).unwrap(), 65_536);
    assert_eq!(
        limited(256).unwrap_err().to_string(),
        "`max_tiles` is 256, expected fewer: that many take 65792 tokens, and the model has 65536 positions"
    );
}
