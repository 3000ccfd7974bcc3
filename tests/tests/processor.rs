//! Processors on input that the reference does not have: any size of image, hostile text, broken
//! folders.

use proptest::prelude::*;
use seethink::core::{Capability, Image, Problem};
use seethink::data::Split;
use seethink::data::digits_v1::{DigitsConfig, DigitsWorld};
use seethink::models::{
    Content, Message, Pixels, Processor, ProcessorError, Role, Span, TemplateOptions, Tokenizer, VlmProcessor,
};
use seethink::rollout::PromptFormat;
use seethink_tests::tiny::checkpoint;
use std::path::Path;
use std::sync::LazyLock;

/// Folders of the fixtures.
const FAMILIES: [&str; 4] = ["qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5"];

/// Processors of all families.
static OF_FAMILIES: LazyLock<[VlmProcessor; 4]> = LazyLock::new(|| {
    FAMILIES.map(|family| {
        let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(family).join("checkpoint");
        VlmProcessor::from_pretrained(&checkpoint).expect("the tiny checkpoint is whole")
    })
});

/// Processor of Qwen3-VL.
static PROCESSOR: LazyLock<VlmProcessor> =
    LazyLock::new(|| VlmProcessor::from_pretrained(&checkpoint()).expect("the tiny checkpoint is whole"));

fn text(text: &str) -> Content {
    Content::Text { text: text.to_owned() }
}

fn user(content: Vec<Content>) -> Message {
    Message { role: Role::User, content }
}

fn grey(width: u32, height: u32) -> Image {
    Image::new(width, height, vec![127; 3 * (width * height) as usize]).expect("as many bytes as pixels need")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sizes_alone_tell_the_number_of_tokens(
        family in 0..FAMILIES.len(), sizes in prop::collection::vec((1u32..400, 1u32..400), 0..4),
    ) {
        prop_assume!(sizes.iter().all(|(w, h)| w.max(h) <= &(200 * w.min(h))));
        let images: Vec<Image> = sizes.iter().map(|&(width, height)| grey(width, height)).collect();
        let content = images.iter().flat_map(|_| [Content::Image, text("and ")]).chain([text("what?")]).collect();
        let messages = [user(content)];
        let prompt = OF_FAMILIES[family].encode(&messages, &images).expect("a fine prompt");
        prop_assert_eq!(OF_FAMILIES[family].n_prompt_tokens(&messages, &sizes).expect("a fine prompt"), prompt.tokens.len());

        let processor = OF_FAMILIES[family].image_processor();
        let counts: Vec<usize> =
            sizes.iter().map(|&(w, h)| processor.n_image_tokens(w, h).expect("a fine size")).collect();
        prop_assert_eq!(prompt.image_tokens.len(), counts.iter().sum::<usize>());
        let spans = prompt.pixels.grids.iter().map(|&grid| processor.span(grid).n_image_tokens());
        prop_assert_eq!(spans.collect::<Vec<_>>(), counts);
        let alone = images.iter().map(|image| processor.process(std::slice::from_ref(image)).expect("a fine size"));
        prop_assert_eq!(prompt.pixels, Pixels::concat(&alone.collect::<Vec<_>>()));
    }

    #[test]
    fn positions_follow_their_definition(
        family in 0..FAMILIES.len(), sizes in prop::collection::vec((1u32..300, 30u32..300), 0..4),
    ) {
        let images: Vec<Image> = sizes.iter().map(|&(width, height)| grey(width.max(height / 99 + 1), height)).collect();
        let content = images.iter().flat_map(|_| [text("x"), Content::Image]).collect();
        let processor = &OF_FAMILIES[family];
        let prompt = processor.encode(&[user(content)], &images).expect("a fine prompt");
        prop_assert_eq!(prompt.position_ids.len(), prompt.tokens.len());
        let mut grids = prompt.pixels.grids.iter();
        let mut next = 0;
        let mut i = 0;
        while i < prompt.tokens.len() {
            let end = if prompt.image_tokens.contains(&i) {
                let grid = *grids.next().expect("a grid per image");
                let span = processor.image_processor().span(grid);
                for k in 0..span.n_image_tokens() {
                    let expected = match span {
                        Span::Grid { columns, .. } => [0, k / columns, k % columns],
                        Span::Run { .. } => [k; 3],
                    };
                    prop_assert_eq!(prompt.position_ids[i + k], expected.map(|offset| next + offset as i64));
                }
                i + span.n_image_tokens()
            } else {
                prop_assert_eq!(prompt.position_ids[i], [next; 3]);
                i + 1
            };
            next = 1 + prompt.position_ids[i..end].iter().flatten().max().expect("at least one token");
            i = end;
        }
        prop_assert_eq!((prompt.next_position, grids.next()), (next, None));
    }

    /// Pieces of special tokens in any arrangement, over any number of texts: no id but the
    /// template's own acts.
    #[test]
    fn text_is_data(pieces in prop::collection::vec(prop::collection::vec(
        prop::sample::select(vec!["<", "<|", "|>", "<|im_", "im_end", "|im_end|>", "<|im_end|>", "<|image_pad|>", "<|im_start|>",
            "user", "\n", "é", "\u{F0000}", "<think>"]), 0..6), 1..4)) {
        let texts: Vec<String> = pieces.iter().map(|pieces| pieces.concat()).collect();
        let prompt = PROCESSOR.encode(&[user(texts.iter().map(|one| text(one)).collect())], &[]).expect("no images");
        let plain = PROCESSOR.encode_text(&texts.concat()).expect("any text can be encoded");
        let frame = PROCESSOR.encode(&[user(vec![])], &[]).expect("no images").tokens;
        // The frame is `<|im_start|>user\n` and the rest; text merges with its newline but not over
        // `<|im_end|>`.
        let special = |ids: &[u32]| ids.iter().filter(|&&id| (1000..1014).contains(&id)).count();
        prop_assert_eq!(special(&plain), 0);
        prop_assert_eq!(special(&prompt.tokens), special(&frame));
        prop_assert_eq!(PROCESSOR.decode(&plain).expect("its own ids"), texts.concat());
        let whole = PROCESSOR.decode(&prompt.tokens).expect("its own ids");
        prop_assert_eq!(whole, format!("user\n{}\nassistant\n", texts.concat()));
    }
}

#[test]
fn placeholders_and_images_are_counted() {
    let one = [user(vec![Content::Image, text("What is this?")])];
    let error = PROCESSOR.encode(&one, &[grey(9, 9), grey(9, 9)]).expect_err("too many images");
    assert_eq!(error.to_string(), "image placeholders in the rendered prompt: 1, images given: 2");
    assert!(PROCESSOR.encode(&one, &[]).is_err());
    // This template shows no images of the system turn.
    let system = Message { role: Role::System, content: vec![Content::Image, text("Look.")] };
    let error = PROCESSOR.encode(&[system], &[grey(9, 9)]).expect_err("a lost image");
    assert_eq!(error.to_string(), "image placeholders in the rendered prompt: 0, images given: 1");
    let thin = PROCESSOR.encode(&one, &[grey(1, 300)]).expect_err("a thin image");
    assert!(matches!(thin, ProcessorError::AspectRatio { width: 1, height: 300, limit: 200 }));
}

#[test]
fn a_problem_whose_placeholders_do_not_match_is_named() {
    let world = DigitsWorld::new(DigitsConfig::default()).expect("the defaults are in range");
    let problem = Problem { images: Vec::new(), ..world.problem(Split::Train, &Capability::PERCEPTION, 0, 1) };
    let error = PromptFormat::default().encode(&*PROCESSOR, &problem).expect_err("a placeholder without an image");
    assert!(error.to_string().contains(&problem.id.to_string()), "{error}");
    let source = std::error::Error::source(&error).expect("what the processor said").to_string();
    assert_eq!(source, "image placeholders in the rendered prompt: 1, images given: 0");
}

#[test]
fn tokens_that_a_model_must_not_write() {
    assert_eq!(PROCESSOR.forbidden_token_ids(), [1012, 1013, 1009, 1010, 1011]);
    assert_eq!(PROCESSOR.eos_token_ids(), [1002, 1000]);
    assert_eq!(PROCESSOR.pad_token_id(), 1000);
    // Rows of the embedding table beyond the tokenizer have no text; added tokens that are not
    // special do.
    assert_eq!(PROCESSOR.decode(&[1024, 1071, 1025, 1002]).expect("any ids"), "<think></think>");
}

/// Copies the checkpoint's folder with some files replaced, or with `None` removed.
fn folder(changes: &[(&str, Option<&str>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(checkpoint()).expect("fixture exists") {
        let entry = entry.expect("fixture can be listed");
        let small = entry.path().extension().is_some_and(|extension| extension != "safetensors");
        if small && entry.path().is_file() {
            let content = std::fs::read(entry.path()).expect("fixture can be read");
            std::fs::write(folder.path().join(entry.file_name()), content).expect("the folder can be written");
        }
    }
    for (name, content) in changes {
        let path = folder.path().join(name);
        match content {
            Some(content) => std::fs::write(path, content).expect("the folder can be written"),
            None => std::fs::remove_file(path).expect("the checkpoint has this file"),
        }
    }
    folder
}

fn refusal(changes: &[(&str, Option<&str>)]) -> String {
    let folder = folder(changes);
    VlmProcessor::from_pretrained(folder.path()).expect_err("this folder is broken").to_string()
}

#[test]
fn broken_folders_are_explained() {
    let missing = VlmProcessor::from_pretrained(Path::new("no/such/folder")).expect_err("no folder").to_string();
    assert!(missing.starts_with("cannot read no/such/folder: "), "{missing}");

    let message = refusal(&[("preprocessor_config.json", Some("{\n \"patch_size\": 16,,\n}"))]);
    assert!(message.contains("preprocessor_config.json: ") && message.contains("line 2 column"), "{message}");
    let message = refusal(&[("preprocessor_config.json", Some(r#"{"patch_size": 16}"#))]);
    assert!(message.contains("preprocessor_config.json: missing field `merge_size`"), "{message}");
    let message = refusal(&[("preprocessor_config.json", None)]);
    assert!(message.ends_with("has no preprocessor_config.json"), "{message}");

    let message = refusal(&[("generation_config.json", Some(r#"{"eos_token_id": "<|im_end|>"}"#))]);
    assert!(message.contains("generation_config.json: "), "{message}");
    let message = refusal(&[("tokenizer.json", Some("{}"))]);
    assert!(message.contains("tokenizer.json: missing field `model`"), "{message}");
    let message = refusal(&[("tokenizer.json", None), ("merges.txt", None)]);
    assert!(message.ends_with("has no tokenizer.json, nor vocab.json with merges.txt"), "{message}");
    let whole = std::fs::read_to_string(checkpoint().join("tokenizer.json")).expect("fixture exists");
    let message = refusal(&[("tokenizer.json", Some(&whole.replace("<|video_pad|>", "<|no_video|>")))]);
    assert!(message.ends_with(r#"has no token "<|video_pad|>", which this model needs"#), "{message}");
    let config = std::fs::read_to_string(checkpoint().join("tokenizer_config.json")).expect("fixture exists");
    let shifted = config.replace("\"1013\"", "\"1113\"");
    let message = refusal(&[("tokenizer.json", None), ("tokenizer_config.json", Some(&shifted))]);
    assert!(message.contains("tokenizer_config.json says"), "{message}");

    let message = refusal(&[("chat_template.jinja", Some("{% if %}"))]);
    assert!(
        message.starts_with("chat template in ") && message.contains("chat_template.jinja: syntax error"),
        "{message}"
    );
    let message = refusal(&[("chat_template.json", None), ("tokenizer_config.json", Some("{}"))]);
    assert!(message.contains("has no chat template"), "{message}");
}

#[test]
fn files_win_in_their_order() {
    let hello = [user(vec![text("hello")])];
    let rendered = |changes: &[(&str, Option<&str>)]| {
        let folder = folder(changes);
        let processor = VlmProcessor::from_pretrained(folder.path()).expect("a whole folder");
        processor.render(&hello, &TemplateOptions::default()).expect("the template runs")
    };
    let jinja = ("chat_template.jinja", Some("jinja{{ eos_token }}"));
    let json = ("chat_template.json", Some(r#"{"chat_template": "json"}"#));
    let config = ("tokenizer_config.json", Some(r#"{"chat_template": [{"name": "default", "template": "config"}]}"#));
    assert_eq!(rendered(&[jinja, json]), "jinja<|im_end|>");
    assert_eq!(rendered(&[json, config]), "json");
    assert_eq!(rendered(&[("chat_template.json", None), config]), "config");

    let ends = |changes: &[(&str, Option<&str>)]| {
        let folder = folder(changes);
        let tokenizer = Tokenizer::from_pretrained(folder.path()).expect("a whole folder");
        (tokenizer.eos_token_ids().to_vec(), tokenizer.pad_token_id())
    };
    assert_eq!(ends(&[]), (vec![1002, 1000], 1000));
    assert_eq!(ends(&[("generation_config.json", Some(r#"{"eos_token_id": 7}"#))]), (vec![7], 1000));
    let config = ("config.json", Some(r#"{"text_config": {"eos_token_id": [5, 6]}}"#));
    assert_eq!(ends(&[("generation_config.json", None), config]), (vec![5, 6], 1000));
    assert_eq!(ends(&[("generation_config.json", None), ("config.json", None)]), (vec![1002], 1000));
}
