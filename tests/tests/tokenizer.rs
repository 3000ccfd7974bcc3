//! The published Qwen vocabulary with each family's added tokens (fixtures/tokenizer/README.md),
//! and the tiny ones.

use flate2::read::GzDecoder;
use seethink::models::{Tokenizer, VlmProcessor};
use serde_json::{Map, Value};
use std::io::Read;
use std::path::{Path, PathBuf};

const FAMILIES: [&str; 4] = ["qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn unzipped(name: &str) -> String {
    let file = std::fs::File::open(fixture(name)).expect("fixture exists");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("fixture is text");
    text
}

fn check(tokenizer: &Tokenizer, cases: &Value) {
    let cases = cases.as_array().expect("a list of cases");
    assert_eq!(cases.len(), 217);
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
        let ids = tokenizer.encode(text).expect("any text can be encoded");
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(tokenizer.decode(&ids, false).expect("its own ids"), case["decoded"], "{text:?}");
        assert_eq!(tokenizer.decode(&ids, true).expect("its own ids"), case["decoded_skip_special"], "{text:?}");
        // Encoded as data, a text comes back whole, special tokens included, and none of its ids
        // acts.
        let plain = tokenizer.encode_plain(text).expect("any text can be encoded");
        assert_eq!(tokenizer.decode(&plain, true).expect("its own ids"), case["decoded"], "{text:?}");
        assert_eq!(plain == ids, case["decoded"] == case["decoded_skip_special"], "{text:?}");
    }
}

#[test]
fn the_published_vocabulary_passes_every_case() {
    let merges = unzipped("tokenizer/merges.txt.gz");
    // Ids go on from the bytes, in the order of the characters that stand for them, through the
    // merges.
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut bytes: Vec<char> = alphabet.into_iter().collect();
    bytes.sort_unstable();
    let merged = merges.lines().filter(|line| !line.starts_with("#version")).map(|line| line.replace(' ', ""));
    let vocab = bytes.iter().map(char::to_string).chain(merged);
    let vocab: Map<String, Value> = vocab.enumerate().map(|(id, token)| (token, id.into())).collect();
    assert_eq!(vocab.len(), 151_643);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    write("vocab.json", &Value::Object(vocab).to_string());
    write("merges.txt", &merges);
    let cases: Value = serde_json::from_str(&unzipped("tokenizer/cases.json.gz")).expect("fixture is JSON");
    for family in FAMILIES {
        let config = std::fs::read_to_string(fixture(&format!("tokenizer/{family}.json"))).expect("fixture exists");
        write("tokenizer_config.json", &config);
        let tokenizer = Tokenizer::from_pretrained(folder.path()).expect("the files suffice");
        for (token, id) in cases[family]["added"].as_object().expect("tokens") {
            assert_eq!(Some(u64::from(tokenizer.token_id(token).expect("it was added"))), id.as_u64(), "{token}");
        }
        assert_eq!(tokenizer.encode("Hello world").expect("text"), [9707, 1879]);
        check(&tokenizer, &cases[family]["cases"]);
    }
}

#[test]
fn vocabulary_and_merges_give_the_tokenizer_of_the_whole_file() {
    for family in FAMILIES {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "generation_config.json"] {
            let source = fixture(&format!("models/{family}/checkpoint/{name}"));
            std::fs::copy(source, folder.path().join(name)).expect("fixture exists");
        }
        let cases = std::fs::read(fixture(&format!("models/{family}/tokenizer_cases.json"))).expect("fixture exists");
        let cases: Value = serde_json::from_slice(&cases).expect("fixture is JSON");
        check(&Tokenizer::from_pretrained(folder.path()).expect("the files suffice"), &cases);
    }
}

#[test]
fn a_saved_processor_is_the_same() {
    for family in FAMILIES {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoint = fixture(&format!("models/{family}/checkpoint"));
        let processor = VlmProcessor::from_pretrained(&checkpoint).expect("the fixtures are whole");
        let saved = folder.path().join("step_1/policy");
        processor.save_pretrained(&saved).expect("the folder can be written");
        assert!(!saved.join("config.json").exists(), "config.json is the model's");
        std::fs::copy(checkpoint.join("config.json"), saved.join("config.json")).expect("fixture exists");
        let again = VlmProcessor::from_pretrained(&saved).expect("what was saved is whole");
        assert_eq!(again.generation_config(), processor.generation_config());
        for size in [(640, 480), (31, 200), (1, 1)] {
            let [a, b] = [&again, &processor].map(|one| one.image_processor().grid(size.0, size.1).ok());
            assert_eq!(a, b);
        }
        let cases = std::fs::read(fixture(&format!("models/{family}/tokenizer_cases.json"))).expect("fixture exists");
        check(again.tokenizer(), &serde_json::from_slice(&cases).expect("fixture is JSON"));
    }
}

#[test]
fn sampling_and_ends_come_from_the_checkpoint() {
    let of = |family: &str| {
        let checkpoint = fixture(&format!("models/{family}/checkpoint"));
        VlmProcessor::from_pretrained(&checkpoint).expect("the fixtures are whole")
    };
    let qwen = *of("qwen3_vl").generation_config();
    assert_eq!((qwen.do_sample, qwen.temperature, qwen.top_p, qwen.top_k), (true, 0.7, 0.8, 20));
    let older = *of("qwen2_5_vl").generation_config();
    assert_eq!((older.temperature, older.repetition_penalty, older.top_k), (1e-6, 1.05, 50));
    assert!(!of("internvl3").generation_config().do_sample);
    assert_eq!(of("internvl3").tokenizer().eos_token_ids(), [1002]);
    assert_eq!(of("qwen2_5_vl").tokenizer().eos_token_ids(), [1002, 1000]);
}
