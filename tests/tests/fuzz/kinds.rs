//! Kinds of files, with their mutations and their readers.

use super::mutate;
use seethink::core::{Capability, Image, ImageSource, Rng};
use seethink::data::{ImageLoader, ProblemReader};
use seethink::models::{
    AnyBackbone, Content, Message, Processor, Role, TemplateOptions, Tokenizer, VisionLanguageModel, VlmProcessor,
    WeightSummary,
};
use seethink::prelude::Device;
use seethink_tests::others::others;
use serde_json::{Value, json};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A kind of file.
pub(crate) struct Kind {
    /// Name of the kind.
    pub(crate) name: &'static str,
    /// Maximum bytes of memory that reading a file may take, whatever its content; the files have
    /// some kilobytes.
    pub(crate) bound: usize,
    seeds: Vec<Seed>,
    mutate: fn(&mut Rng, &Seed, &Seed) -> Vec<u8>,
    read: fn(&Path) -> bool,
    file: &'static str,
    /// Folder of the file and the files that belong to it.
    dir: TempDir,
}

/// Valid file, and the folder of the rest of its checkpoint.
struct Seed {
    bytes: Vec<u8>,
    json: Value,
    /// Name of a subfolder.
    folder: String,
}

impl Seed {
    fn new(bytes: Vec<u8>, folder: &str) -> Self {
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { bytes, json, folder: folder.to_owned() }
    }
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path.as_ref()).expect("a fixture")
}

const FAMILIES: [&str; 4] = ["qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5"];

impl Kind {
    /// All kinds.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::checkpoint("tokenizer.json", 64 * MIB, tokenizer),
            Self::checkpoint("config.json", 256 * MIB, config),
            Self::checkpoint("preprocessor_config.json", 512 * MIB, preprocessor),
            Self::safetensors(),
            Self::parquet(),
            Self::json_lines(),
            Self::images(),
        ]
    }

    /// Mutated file.
    pub(crate) fn input(&self, rng: &mut Rng) -> (usize, Vec<u8>) {
        let mut seed = || rng.below(self.seeds.len());
        let (one, other) = (seed(), seed());
        (one, (self.mutate)(rng, &self.seeds[one], &self.seeds[other]))
    }

    /// Reads a file; returns whether it was read.
    pub(crate) fn feed(&self, (seed, bytes): &(usize, Vec<u8>)) -> bool {
        let folder = self.dir.path().join(&self.seeds[*seed].folder);
        fs::write(folder.join(self.file), bytes).expect("room for a file");
        (self.read)(&folder)
    }

    /// Kind of a small file of a checkpoint, beside all others of its family.
    fn checkpoint(file: &'static str, bound: usize, read_it: fn(&Path) -> bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let seed = |family: &&str| {
            let folder = dir.path().join(family);
            fs::create_dir_all(&folder).expect("a folder");
            for entry in fs::read_dir(fixture("models").join(family).join("checkpoint")).expect("fixtures") {
                let path = entry.expect("fixtures").path();
                let name = path.file_name().expect("a file").to_string_lossy().into_owned();
                let size = path.metadata().expect("fixtures").len();
                // No file that would be read instead of the mutated one.
                if size < 100_000 && !["vocab.json", "merges.txt"].contains(&name.as_str()) {
                    fs::copy(&path, folder.join(name)).expect("room for a file");
                }
            }
            let path = folder.join("tokenizer.json");
            let own_pattern = file == "tokenizer.json" && *family == FAMILIES[0];
            fs::write(&path, smaller(&read(&path), own_pattern)).expect("room for a file");
            Seed::new(read(folder.join(file)), family)
        };
        let seeds = FAMILIES.iter().map(seed).collect();
        let mutate = |rng: &mut Rng, seed: &Seed, other: &Seed| mutate::json(rng, &seed.json, &other.json);
        Self { name: file, bound, seeds, mutate, read: read_it, file, dir }
    }

    fn safetensors() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let seed = |(number, other): (usize, seethink_tests::others::Other)| {
            let folder = number.to_string();
            let path = dir.path().join(&folder);
            other.model(1).save_pretrained(&path).expect("room for a model");
            let mut seed = Seed::new(read(path.join("model.safetensors")), &folder);
            seed.json = serde_json::from_slice(header(&seed.bytes)).expect("a header");
            seed
        };
        let seeds = others().into_iter().take(3).enumerate().map(seed).collect();
        let mutate = |rng: &mut Rng, seed: &Seed, other: &Seed| {
            let end = 8 + header(&seed.bytes).len();
            match rng.below(10) {
                0 => return mutate::bytes(rng, seed.bytes.clone(), end..usize::MAX, &other.bytes),
                1..4 => return mutate::bytes(rng, seed.bytes.clone(), 0..end, &other.bytes[..200]),
                _ => {}
            }
            let header = mutate::json(rng, &seed.json, &other.json);
            let length = (header.len() as u64).to_le_bytes();
            [&length[..], &header, &seed.bytes[end..]].concat()
        };
        let read = |folder: &Path| {
            let summary = WeightSummary::read(folder).is_ok();
            AnyBackbone::from_pretrained(folder, &Device::default()).is_ok() || summary
        };
        Self { name: "safetensors", bound: 64 * MIB, seeds, mutate, read, file: "model.safetensors", dir }
    }

    fn parquet() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let names = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];
        let seeds = names.map(|name| Seed::new(read(fixture("parquet").join(name)), "")).into();
        let mutate = |rng: &mut Rng, seed: &Seed, other: &Seed| {
            let n = seed.bytes.len();
            let footer: [u8; 4] = seed.bytes[n - 8..n - 4].try_into().expect("four bytes");
            let start = n - 8 - u32::from_le_bytes(footer) as usize;
            let range = if rng.below(4) == 0 { 4..start } else { start..n };
            mutate::bytes(rng, seed.bytes.clone(), range, &other.bytes)
        };
        Self { name: "parquet", bound: 64 * MIB, seeds, mutate, read: problems, file: "problems.jsonl", dir }
    }

    fn json_lines() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::copy(fixture("models/images/tiny.png"), dir.path().join("tiny.png")).expect("room for a picture");
        let row = json!({
            "index": "7", "id": "00112233445566ff", "problem": "<image>How many? <image>", "answer": 3, "source": "world",
            "images": ["tiny.png", {"bytes": null, "path": "tiny.png"}], "capability": "perception", "pass_rate": 0.25,
            "solution": "There are \\boxed{3}.", "tags": {"level": 2, "of": ["a", {"b": null}]}, "more": [1, [2.5, "x"]]
        });
        let seeds = vec![Seed { bytes: Vec::new(), json: row, folder: String::new() }];
        let mutate = |rng: &mut Rng, seed: &Seed, other: &Seed| {
            let lines: Vec<Vec<u8>> = (0..3).map(|_| mutate::json(rng, &seed.json, &other.json)).collect();
            lines.join(&b'\n')
        };
        Self { name: "JSON lines", bound: 64 * MIB, seeds, mutate, read: problems, file: "problems.jsonl", dir }
    }

    fn images() -> Self {
        use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        let dir = tempfile::tempdir().expect("a folder");
        let picture = image::RgbImage::from_fn(16, 12, |x, y| image::Rgb([x as u8 * 15, y as u8 * 20, (x * y) as u8]));
        let encoded = [Bmp, Gif, Jpeg, Png, Tiff, WebP].map(|format| {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).expect("pictures in memory can be encoded");
            bytes.into_inner()
        });
        let names = ["420.jpg", "progressive.jpg", "grey.jpg", "rotated.jpg", "palette.png", "gray_alpha.png"];
        let stored = names.map(|name| read(fixture("decoding").join(name)));
        let seeds = encoded.into_iter().chain(stored).map(|bytes| Seed::new(bytes, "")).collect();
        let mutate = |rng: &mut Rng, seed: &Seed, other: &Seed| {
            // Sizes stand at the beginning, except in TIFF, whose first bytes give their place.
            let end = if rng.below(2) == 0 { 64 } else { usize::MAX };
            let mut bytes = mutate::bytes(rng, seed.bytes.clone(), 0..end, &other.bytes);
            if rng.below(4) > 0 && bytes.starts_with(b"\x89PNG") {
                mutate::mend_png(&mut bytes);
            }
            bytes
        };
        let read = |folder: &Path| {
            let loader = ImageLoader { max_pixels: 1 << 20, exif_orientation: true, ..ImageLoader::default() };
            let source = ImageSource::Path(folder.join("picture"));
            let (size, pixels) = (loader.size(&source), loader.load(&source));
            if let (Ok(size), Ok(pixels)) = (&size, &pixels) {
                assert_eq!(*size, (pixels.width(), pixels.height()), "the header and the pixels");
            }
            pixels.is_ok()
        };
        Self { name: "images", bound: 288 * MIB, seeds, mutate, read, file: "picture", dir }
    }
}

fn header(bytes: &[u8]) -> &[u8] {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    &bytes[8..8 + length as usize]
}

/// A smaller `tokenizer.json`, with the bytes and few merges, or also with a pattern that compiles
/// quickly: all of its parts, in less time.
fn smaller(bytes: &[u8], own_pattern: bool) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(bytes).expect("a tokenizer");
    const KEPT: u64 = 300;
    let vocab = file["model"]["vocab"].as_object_mut().expect("a vocabulary");
    vocab.retain(|_, id| id.as_u64().is_some_and(|id| id < KEPT));
    let n_merges = vocab.len().saturating_sub(256);
    file["model"]["merges"].as_array_mut().expect("merges").truncate(n_merges);
    if !own_pattern {
        let split = &mut file["pre_tokenizer"]["pretokenizers"][0];
        split["pattern"]["Regex"] = json!("[a-zA-Z]+|[0-9]{1,3}|\\s+(?!\\S)|\\s+|.");
    }
    file.to_string().into_bytes()
}

fn tokenizer(folder: &Path) -> bool {
    let Ok(tokenizer) = Tokenizer::from_pretrained(folder) else { return false };
    let long = "a b  c\n\n1234 ünïcödé <|im_end|> ".repeat(50) + &" ".repeat(500) + "x";
    for text in ["", "How many digits are there?", "<|im_start|>user\n 日本語\u{301} <think>", &long, "\u{0}\u{10ffff}"]
    {
        let _ = tokenizer.encode_plain(text);
        if let Ok(ids) = tokenizer.encode(text) {
            let _ = tokenizer.decode(&ids, true);
            let _ = tokenizer.decode(&ids, false);
        }
    }
    let _ = tokenizer.decode(&[0, 1, 255, 256, 299, 1000, 1001, u32::MAX], false);
    true
}

fn config(folder: &Path) -> bool {
    let model = AnyBackbone::skeleton(folder);
    if let Ok(model) = &model {
        assert!(!model.parameters().is_empty() && !model.display_name().is_empty());
    }
    if model.is_ok() {
        preprocessor(folder);
    }
    model.is_ok()
}

fn preprocessor(folder: &Path) -> bool {
    let Ok(processor) = VlmProcessor::from_pretrained(folder) else { return false };
    let content = vec![Content::Image, Content::Text { text: "How many?".into() }];
    let messages = [Message { role: Role::User, content }];
    for size in [(1, 1), (30, 20), (2000, 10), (65_535, 65_535), (u32::MAX, 1)] {
        let _ = processor.n_prompt_tokens(&messages, &[size]);
    }
    let image = Image::new(30, 20, vec![99; 1800]).expect("a picture");
    let _ = processor.encode_with(&messages, &[image], &TemplateOptions::default());
    true
}

fn problems(folder: &Path) -> bool {
    let Ok(reader) = ProblemReader::open(folder.join("problems.jsonl")) else { return false };
    let loader = ImageLoader { max_pixels: 1 << 20, ..ImageLoader::default() };
    let rows = reader.capability(Capability::PERCEPTION).decode(loader).take(10_000);
    rows.filter(Result::is_ok).count() > 0
}
