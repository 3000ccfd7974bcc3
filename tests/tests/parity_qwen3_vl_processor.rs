//! The processor of the Qwen families against transformers 4.57.6 (fixtures/models/README.md).
//!
//! The tolerance is zero throughout: pixels are resized in the reference's fixed point and normalised in f32 in its order, and
//! all else is integers and text.

use safetensors::{Dtype, SafeTensors};
use seethink_core::{Image, ImageSource};
use seethink_data::{Alpha, ImageLoader};
use seethink_models::qwen3_vl::Qwen3VlProcessor;
use seethink_models::{
    Content, ImageProcessor, Message, Pixels, Processor, Role, TemplateOptions, Tokenizer, resize_bicubic,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const IMAGES: [&str; 5] = ["gray.png", "large.png", "rgba.png", "tiny.png", "wide.png"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(name)
}

fn json_fixture(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).expect("fixture exists")).expect("fixture is JSON")
}

fn processor() -> Qwen3VlProcessor {
    Qwen3VlProcessor::from_pretrained(&fixture("qwen3_vl/checkpoint")).expect("the tiny checkpoint is whole")
}

/// The processed image as transformers 4.57 sees it, which drops transparency.
fn image(name: &str, alpha: Alpha) -> Image {
    let loader = ImageLoader { alpha, ..ImageLoader::default() };
    loader.load(&ImageSource::Path(fixture("images").join(name))).expect("fixture images are fine")
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().expect("an array").iter().map(|number| number.as_i64().expect("an integer")).collect()
}

fn bytes<'a>(tensors: &SafeTensors<'a>, name: &str) -> &'a [u8] {
    let tensor = tensors.tensor(name).expect("the fixture has this tensor");
    assert_eq!(tensor.dtype(), Dtype::U8, "{name}");
    tensor.data()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = tensors.tensor(name).expect("the fixture has this tensor");
    assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
    tensor.data().chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])).collect()
}

/// Levels before normalisation to values, mean and deviation one half.
fn normalised(levels: &[u8]) -> Vec<f32> {
    levels.iter().map(|&level| (f32::from(level) - 127.5) / 127.5).collect()
}

/// Like `assert_eq!`, without printing 100 000 numbers.
fn assert_equal(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    assert_eq!(differences.fold(0.0, f32::max), 0.0, "{what}: largest difference");
    assert!(found.iter().all(|value| value.is_finite()), "{what}");
}

/// `[height, width, 3]` to `[3, height, width]`.
fn planes(image: &Image) -> Vec<u8> {
    (0..3).flat_map(|channel| image.rgb().iter().skip(channel).step_by(3).copied()).collect()
}

#[test]
fn resized_pictures_are_bit_equal() {
    let file = std::fs::read(fixture("qwen3_vl/preprocess.safetensors")).expect("fixture exists");
    let tensors = SafeTensors::deserialize(&file).expect("fixture is well formed");
    let facts = json_fixture("qwen3_vl/preprocess.json");
    for name in IMAGES {
        let size = |side: &str| facts[name][side].as_u64().expect("a size") as u32;
        let image = image(name, Alpha::Drop);
        assert_eq!((image.width(), image.height()), (size("width"), size("height")), "{name}");
        let resized = resize_bicubic(&image, size("resized_width"), size("resized_height"));
        assert_eq!(planes(&resized), bytes(&tensors, &format!("{name}.resized_u8")), "{name}");
    }
    assert_eq!(planes(&image("rgba.png", Alpha::White)), bytes(&tensors, "rgba.png.white_rgb_u8"));
}

#[test]
fn patches_equal_the_reference() {
    let file = std::fs::read(fixture("qwen3_vl/preprocess.safetensors")).expect("fixture exists");
    let tensors = SafeTensors::deserialize(&file).expect("fixture is well formed");
    let facts = json_fixture("qwen3_vl/preprocess.json");
    let processor = processor();
    let images = IMAGES.map(|name| image(name, Alpha::Drop));
    let expected = IMAGES.map(|name| match tensors.tensor(&format!("{name}.pixel_values")) {
        Ok(_) => floats(&tensors, &format!("{name}.pixel_values")),
        Err(_) => normalised(bytes(&tensors, &format!("{name}.pixel_values_u8"))),
    });
    let pixels = processor.image_processor().process(&images).expect("fixture images can be resized");
    for ((name, image), grid) in IMAGES.iter().zip(&images).zip(&pixels.grids) {
        assert_eq!(grid.map(|n| n as i64), integers(&facts[name]["image_grid_thw"])[..], "{name}");
        let n_tokens = processor.image_processor().n_image_tokens(image.width(), image.height());
        let expected = facts[name]["num_image_tokens"].as_u64();
        assert_eq!(n_tokens.ok().map(|n| n as u64), expected, "{name}");
    }
    assert_equal(&pixels.values, &expected.concat(), "pixel values");

    let alone: Vec<Pixels> = images
        .iter()
        .map(|image| processor.image_processor().process(std::slice::from_ref(image)).expect("as above"))
        .collect();
    assert_eq!(Pixels::concat(&alone), pixels, "images do not depend on their neighbours");

    let white = processor.image_processor().process(&[image("rgba.png", Alpha::White)]).expect("as above");
    let expected = normalised(bytes(&tensors, "rgba.png.pixel_values_u8_white"));
    assert_equal(&white.values, &expected, "pixel values on white");
}

/// An image processor of given settings, read from a folder as any other.
fn image_processor(settings: &Value) -> ImageProcessor {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("preprocessor_config.json"), settings.to_string()).expect("it can be written to");
    ImageProcessor::from_pretrained(folder.path()).expect("these settings are fine")
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

#[test]
fn published_settings_equal_the_reference() {
    let file = std::fs::read(fixture("real_scale_preprocess.safetensors")).expect("fixture exists");
    let tensors = SafeTensors::deserialize(&file).expect("fixture is well formed");
    let facts = json_fixture("preprocess_tables.json");
    let mut families = [
        (
            "qwen2_5_vl",
            json!({
                "patch_size": 14, "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711], "min_pixels": 3136, "max_pixels": 12_845_056,
            }),
        ),
        (
            "qwen3_vl",
            json!({
                "patch_size": 16, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
                "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
            }),
        ),
    ];
    for (family, settings) in &mut families {
        settings["merge_size"] = 2.into();
        settings["temporal_patch_size"] = 2.into();
        let processor = image_processor(settings);
        for name in IMAGES {
            let key = format!("{family}/{name}");
            let facts = &facts["real_scale_preprocess"][&key];
            let pixels = processor.process(&[image(name, Alpha::Drop)]).expect("fixture images can be resized");
            assert_eq!(pixels.grids[0].map(|n| n as i64), integers(&facts["image_grid_thw"])[..], "{key}");
            let shape = integers(&facts["shape"]);
            assert_eq!(pixels.values.len() as i64, shape[0] * shape[1], "{key}");
            let stride = facts["stride_over_flattened"].as_u64().expect("a stride") as usize;
            let sample: Vec<f32> = pixels.values.iter().step_by(stride).copied().collect();
            assert_equal(&sample, &floats(&tensors, &key), &key);
            let total: f64 = pixels.values.iter().map(|value| f64::from(value.abs())).sum();
            let expected = facts["sum_abs"].as_f64().expect("a sum");
            // Only the order of summation differs.
            assert!((total / expected - 1.0).abs() < 1e-12, "{key}: {total} against {expected}");
        }
    }
}

/// A conversation of the fixture, and the names of its images.
fn messages(case: &Value) -> Vec<Message> {
    let text = |text: &Value| Content::Text { text: text.as_str().expect("text").to_owned() };
    let content = |content: &Value| match content {
        Value::Array(pieces) => pieces
            .iter()
            .map(|piece| if piece["type"] == "image" { Content::Image } else { text(&piece["text"]) })
            .collect(),
        whole => vec![text(whole)],
    };
    let role = |role: &Value| match role.as_str() {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        other => panic!("a role that fixtures do not have: {other:?}"),
    };
    let messages = case["messages"].as_array().expect("a list of messages");
    messages.iter().map(|one| Message { role: role(&one["role"]), content: content(&one["content"]) }).collect()
}

#[test]
fn prompts_equal_the_reference() {
    let processor = processor();
    let cases = json_fixture("qwen3_vl/prompts.json");
    let cases = cases.as_object().expect("cases by name");
    assert_eq!(cases.len(), 8);
    for (name, case) in cases {
        let add_generation_prompt = case["add_generation_prompt"].as_bool().expect("a flag");
        let mut options = TemplateOptions { add_generation_prompt, ..TemplateOptions::default() };
        if let Some(flag) = case.get("add_vision_id") {
            options.variables.insert("add_vision_id".to_owned(), flag.clone());
        }
        let messages = messages(case);
        let files = case["images"].as_array().expect("a list of images").iter();
        let images: Vec<Image> = files.map(|file| image(file.as_str().expect("a file name"), Alpha::Drop)).collect();

        assert_eq!(processor.render(&messages, &options).expect("the template runs"), case["prompt"], "{name}");
        let prompt = processor.encode_with(&messages, &images, &options).expect("a fine prompt");
        let ids: Vec<i64> = prompt.tokens.iter().map(|&id| i64::from(id)).collect();
        assert_eq!(ids, integers(&case["input_ids"]), "{name}");
        let expanded = processor.tokenizer().decode(&prompt.tokens, false).expect("its own tokens");
        assert_eq!(expanded, case["expanded"], "{name}");
        for axis in 0..3 {
            let positions: Vec<i64> = prompt.position_ids.iter().map(|position| position[axis]).collect();
            assert_eq!(positions, integers(&case["position_ids"][axis]), "{name}, axis {axis}");
        }
        // 4.57 stores the next position less the length of the row.
        let next = case["rope_delta"].as_i64().expect("an offset") + ids.len() as i64;
        assert_eq!(prompt.next_position, next, "{name}");
        let grids: Vec<Vec<i64>> =
            prompt.pixels.grids.iter().map(|grid| grid.iter().map(|&n| n as i64).collect()).collect();
        let expected = case.get("image_grid_thw").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        assert_eq!(grids, expected.iter().map(integers).collect::<Vec<_>>(), "{name}");
        let image_token = processor.tokenizer().token_id("<|image_pad|>").expect("the model has images");
        let places = (0..prompt.tokens.len()).filter(|&i| prompt.tokens[i] == image_token);
        assert_eq!(prompt.image_tokens, places.collect::<Vec<_>>(), "{name}");
        if options == TemplateOptions::default() {
            assert_eq!(processor.encode(&messages, &images).expect("as above"), prompt, "{name}");
        }
    }
}

fn check_tokenizer(tokenizer: &Tokenizer) {
    let cases = json_fixture("qwen3_vl/tokenizer_cases.json");
    let cases = cases.as_array().expect("a list of cases");
    assert_eq!(cases.len(), 217);
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let ids = tokenizer.encode(text).expect("any text can be encoded");
        assert_eq!(ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>(), integers(&case["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&ids, false).expect("its own ids"), case["decoded"], "{text:?}");
        assert_eq!(tokenizer.decode(&ids, true).expect("its own ids"), case["decoded_skip_special"], "{text:?}");
        // Taken as data, a text comes back whole, special tokens and all, and none of its ids acts.
        let plain = tokenizer.encode_plain(text).expect("any text can be encoded");
        assert_eq!(tokenizer.decode(&plain, true).expect("its own ids"), case["decoded"], "{text:?}");
        assert_eq!(plain == ids, case["decoded"] == case["decoded_skip_special"], "{text:?}");
    }
}

#[test]
fn tokens_equal_the_reference() {
    check_tokenizer(processor().tokenizer());
}

#[test]
fn vocabulary_and_merges_give_the_same_tokenizer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(fixture("qwen3_vl/checkpoint").join(name), folder.path().join(name)).expect("fixture exists");
    }
    check_tokenizer(&Tokenizer::from_pretrained(folder.path()).expect("the files suffice"));
}

#[test]
fn a_saved_processor_is_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let saved = folder.path().join("step_1/policy");
    processor().save_pretrained(&saved).expect("the folder can be written");
    let read = Qwen3VlProcessor::from_pretrained(&saved).expect("what was saved is whole");
    check_tokenizer(read.tokenizer());
    assert_eq!(read.image_processor(), processor().image_processor());
    assert_eq!((read.eos_token_ids(), read.pad_token_id()), (&[1002, 1000][..], 1000));
    let case = &json_fixture("qwen3_vl/prompts.json")["system"];
    let rendered = read.render(&messages(case), &TemplateOptions::default()).expect("the template runs");
    assert_eq!(rendered, case["prompt"]);
    assert!(!saved.join("config.json").exists(), "config.json is the model's");
}
