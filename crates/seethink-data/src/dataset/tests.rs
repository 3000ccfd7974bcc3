//! Tests of data sets over files made here, and one file made by Hugging Face's `datasets`.

#![cfg(feature = "parquet")]

use super::*;
use crate::{Columns, write_problems};
use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields};
use base64::Engine as _;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use seethink_core::{Capability, ImageSource};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::sync::Arc;

fn png(seed: usize) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(3 + seed as u32 % 50, 4, image::Rgb([seed as u8, (seed >> 8) as u8, 0]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn write_lines(file: &Path, rows: &[Value]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
}

/// Writes questions about one picture each, the same picture for three in a row.
fn write_parquet(file: &Path, rows: std::ops::Range<usize>, compression: Compression, group: usize) {
    let fields =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    let mut images = ListBuilder::new(StructBuilder::from_fields(fields, 0));
    for row in rows.clone() {
        let image = images.values();
        image.field_builder::<BinaryBuilder>(0).unwrap().append_value(png(row / 3));
        image.field_builder::<StringBuilder>(1).unwrap().append_null();
        image.append(true);
        images.append(true);
    }
    let columns: [(&str, ArrayRef); 5] = [
        ("images", Arc::new(images.finish())),
        ("problem", Arc::new(rows.clone().map(|row| Some(format!("<image>What is {row}?"))).collect::<StringArray>())),
        ("answer", Arc::new(rows.clone().map(|row| row as i64).collect::<Int64Array>())),
        ("level", Arc::new(rows.clone().map(|row| row as i64 % 4).collect::<Int64Array>())),
        ("pass_rate", Arc::new(rows.map(|row| Some(row as f64 % 5.0 / 4.0)).collect::<Float64Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(group));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(file).unwrap(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn perception(path: impl Into<PathBuf>) -> DataSource {
    DataSource { capability: Some(Capability::PERCEPTION), ..DataSource::new(path) }
}

fn open(sources: impl Into<Vec<DataSource>>) -> Result<Dataset, DataError> {
    Dataset::open(&DatasetConfig::new(sources), None)
}

fn all(dataset: &Dataset) -> Vec<Problem> {
    dataset.read(0..dataset.len()).collect::<Result<_, _>>().unwrap()
}

/// Error of opening the data set, without the folder's name.
#[track_caller]
fn refused(dir: &Path, config: &DatasetConfig) -> String {
    let error = Dataset::open(config, None).unwrap_err();
    error.to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn a_data_set_of_the_hub_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let shards = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/parquet");
    let columns = Columns { capability: Some("dataset".into()), tags: vec!["level".into()], ..Columns::default() };
    let capabilities = [("geometry3k", Capability::VISUAL_REASONING), ("orz", Capability::TEXTUAL_REASONING)];
    let capabilities = capabilities.map(|(name, capability)| (name.to_owned(), capability)).into();
    let source = DataSource { columns, capabilities, ..DataSource::new(format!("{shards}/train-*.parquet")) };
    let config = DatasetConfig { index: Some(dir.path().join("index")), ..DatasetConfig::new([source]) };
    for n_cached in [0, 2] {
        let dataset = Dataset::open(&config, None).unwrap();
        assert_eq!((dataset.len(), dataset.report().n_cached), (5, n_cached));
        let problems = all(&dataset);
        for (i, problem) in problems.iter().enumerate() {
            assert_eq!(problem.prompt, format!("{}What is {i} + 1?", "<image>".repeat(i % 3)));
            assert_eq!(problem.answer, (i + 1).to_string());
            assert_eq!(problem.pass_rate.map(PassRate::fraction), (i < 4).then_some(i as f32 / 4.0));
            assert_eq!(problem.tags, BTreeMap::from([("level".to_owned(), (i / 2).to_string())]));
            let entry = dataset.entry(i);
            let sizes: Vec<_> = (0..i as u32 % 3).map(|j| (8 + i as u32, 6 + j)).collect();
            assert_eq!(entry.image_sizes().collect::<Vec<_>>(), sizes);
            assert_eq!((entry.id, entry.pass_rate), (problem.id, problem.pass_rate));
            assert_eq!(entry.capability, if i % 3 == 0 { "textual_reasoning" } else { "visual_reasoning" });
            assert_eq!(dataset.tags(i).collect::<Vec<_>>(), [("level", (i / 2).to_string().as_str())]);
            assert_eq!(dataset.problem(i).unwrap(), *problem);
            assert_eq!(dataset.number(problem.id), Some(i));
        }
    }
}

#[test]
fn rows_of_tables_come_at_any_number_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    for (i, compression) in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(Default::default()), Compression::LZ4_RAW]
            .into_iter()
            .enumerate()
    {
        let file = dir.path().join(format!("data/train-{i}.parquet"));
        write_parquet(&file, i * 40..(i + 1) * 40, compression, [7, 40, 16, 1][i]);
    }
    let dataset = open([perception(dir.path())]).unwrap();
    assert_eq!(dataset.len(), 160);
    let problems = all(&dataset);
    let answers: Vec<String> = (0..160).map(|row: usize| row.to_string()).collect();
    assert!(problems.iter().map(|problem| &problem.answer).eq(&answers));
    assert_eq!(problems[100].images, [ImageSource::Encoded(png(33).into())]);
    let mut numbers: Vec<usize> = (0..160).map(|i| i * 73 % 160).collect();
    numbers.extend([5, 5, 6, 4, 159, 0]);
    for (number, problem) in numbers.iter().zip(dataset.read(numbers.clone())) {
        assert_eq!(problem.unwrap(), problems[*number]);
    }
}

#[test]
fn every_schema_gives_the_same_problem() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("DOCCI")).unwrap();
    fs::write(dir.path().join("DOCCI/x.png"), png(1)).unwrap();
    let file = dir.path().join("rows.jsonl");
    let base64 = base64::engine::general_purpose::STANDARD.encode(png(1));
    // A released row, one with a pass rate, EasyR1's keys, and two schemas by column names.
    let released =
        json!({"index": "0", "problem": "<image>Q", "answer": "A", "images": ["DOCCI/x.png"], "source": "docci"});
    let mut rated = released.clone();
    rated["predictions"] = json!(["A", "B"]);
    rated["correctness"] = json!([true, false]);
    rated["pass_rate"] = json!(0.5);
    let easy_r1 = json!({"problem": "<image>Q", "answer": "A", "images": [{"bytes": base64, "path": null}]});
    let formatted = json!({"index": "0", "answer": "A", "prompt": "<image>Q", "image_path": ["DOCCI/x.png"], "option_A": "a", "split": "train"});
    let single = json!({"question": "<image>Q", "label": "A", "image": format!("data:image/png;base64,{base64}")});
    let h4 = Columns { problem: "prompt".into(), images: Some("image_path".into()), ..Columns::default() };
    let vqa = Columns { problem: "question".into(), answer: "label".into(), ..Columns::default() };
    let rows = [
        (released, Columns::default()),
        (rated, Columns::default()),
        (easy_r1, Columns::default()),
        (formatted, h4),
        (single, vqa),
    ];
    let read = rows.map(|(row, columns)| {
        write_lines(&file, &[row]);
        let dataset = open([DataSource { columns, ..perception(&file) }]).unwrap();
        assert_eq!(dataset.entry(0).image_sizes().collect::<Vec<_>>(), [(4, 4)]);
        dataset.problem(0).unwrap()
    });
    for problem in &read {
        assert_eq!((problem.prompt.as_str(), problem.answer.as_str()), ("<image>Q", "A"));
    }
    assert!(read[0].id == read[1].id && read[0].id == read[3].id, "by path");
    assert!(read[2].id == read[4].id && read[0].id != read[2].id, "by content");
    assert_eq!(read[1].pass_rate.map(PassRate::fraction), Some(0.5));
    assert_eq!((read[1].tags["predictions"].as_str(), read[0].source.as_str()), (r#"["A","B"]"#, "docci"));
    assert_eq!(read[3].tags["option_A"], "a");
}

#[test]
fn what_is_wrong_with_rows_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train.jsonl");
    fs::write(dir.path().join("noise.png"), [7; 40]).unwrap();
    fs::write(dir.path().join("cut.png"), &png(1)[..20]).unwrap();
    let cases = [
        (json!({"problem": "a", "answer": "b"}), "there is no key \"capability\", and no capability was given"),
        (json!({"problem": "a", "answer": "b", "capability": 3}), "the column \"capability\" is 3, expected text"),
        (json!({"problem": ["a"], "answer": "b"}), "the column \"problem\" is [\"a\"], expected text"),
        (json!({"prompt": "a", "answer": "b"}), "there is no column \"problem\"; the row has \"prompt\", \"answer\""),
        (json!({"problem": "a", "answer": null}), "the answer is null, expected a string or a number"),
        (
            json!({"problem": "a", "answer": "b", "capability": "p", "pass_rate": 1.5}),
            "the pass rate is 1.5, expected a number in [0, 1]",
        ),
        (
            json!({"problem": "a", "answer": "b", "capability": "p", "pass_rate": "0.5"}),
            "the pass rate is \"0.5\", expected",
        ),
        (
            json!({"problem": "a<image>", "answer": "b", "capability": "p"}),
            "the text has 1 <image> placeholders for 0 images",
        ),
        (
            json!({"problem": "a<image>", "answer": "b", "capability": "p", "images": ["gone.png"]}),
            "there is no image file gone.png",
        ),
        (
            json!({"problem": "a<image>", "answer": "b", "capability": "p", "images": ["noise.png"]}),
            "cannot decode noise.png: ",
        ),
        (
            json!({"problem": "a<image>", "answer": "b", "capability": "p", "images": "cut.png"}),
            "cannot decode cut.png: ",
        ),
        (
            json!({"problem": "a<image>", "answer": "b", "capability": "p", "images": [7]}),
            "the image is 7, expected a path, ",
        ),
    ];
    let good = json!({"problem": "a", "answer": "good", "capability": "p"});
    for (row, expected) in &cases {
        write_lines(&file, &[good.clone(), row.clone()]);
        let message = refused(dir.path(), &DatasetConfig::new([DataSource::new(dir.path())]));
        assert!(message.starts_with("train.jsonl:2: problem #2: ") && message.contains(expected), "{message}");
    }
    let rows: Vec<Value> = cases.iter().map(|(row, _)| row.clone()).collect();
    write_lines(&file, &rows);
    let message = refused(dir.path(), &DatasetConfig::new([DataSource::new(dir.path())]));
    assert!(message.starts_with("12 bad rows\n  train.jsonl:1: problem #1: there is no key"), "{message}");
    assert!(message.ends_with("\n  and 2 more") && message.lines().count() == 12, "{message}");
    assert!(
        !fs::read_dir(dir.path()).unwrap().any(|entry| entry.unwrap().path().extension().unwrap() == "seethink-index")
    );
}

#[test]
fn named_columns_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train.jsonl");
    write_lines(&file, &[json!({"problem": "a", "answer": "b", "kind": "see", "rate": null})]);
    let name = |name: &str| Some(name.to_owned());
    let ok =
        Columns { capability: name("kind"), pass_rate: name("rate"), tags: vec!["kind".into()], ..Columns::default() };
    let dataset = open([DataSource { columns: ok, ..DataSource::new(&file) }]).unwrap();
    assert_eq!((dataset.entry(0).capability, dataset.entry(0).pass_rate), ("see", None));
    assert_eq!(dataset.problem(0).unwrap().tags["kind"], "see");
    let wrong = [
        Columns { images: name("picture"), ..Columns::default() },
        Columns { capability: name("picture"), ..Columns::default() },
        Columns { pass_rate: name("picture"), ..Columns::default() },
        Columns { solution: name("picture"), ..Columns::default() },
        Columns { source: name("picture"), ..Columns::default() },
        Columns { tags: vec!["picture".into()], ..Columns::default() },
    ];
    for columns in wrong {
        let message = refused(dir.path(), &DatasetConfig::new([DataSource { columns, ..perception(&file) }]));
        let expected = r#"train.jsonl:1: problem #1: there is no column "picture"; the row has "problem", "answer", "kind", "rate""#;
        assert_eq!(message, expected);
    }
    let columns = Columns { capability: name("kind"), ..Columns::default() };
    let capabilities = BTreeMap::from([("read".to_owned(), Capability::TEXTUAL_REASONING)]);
    let source = DataSource { columns, capabilities, ..DataSource::new(&file) };
    let message = refused(dir.path(), &DatasetConfig::new([source]));
    assert_eq!(message, r#"train.jsonl:1: problem #1: "see" stands for no capability, expected one of "read""#);
}

#[test]
fn damaged_and_missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train.parquet");
    let config = DatasetConfig::new([perception(&file)]);
    assert!(refused(dir.path(), &config).starts_with("cannot read train.parquet: "));
    write_parquet(&file, 0..30, Compression::SNAPPY, 10);
    let whole = fs::read(&file).unwrap();
    for end in [4, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..end]).unwrap();
        let message = refused(dir.path(), &config);
        assert!(message.starts_with("cannot read train.parquet as parquet: "), "{message}");
    }
    let mut noise = whole.clone();
    noise[200..1200].fill(0xa5);
    fs::write(&file, noise).unwrap();
    let message = refused(dir.path(), &config);
    assert!(message.contains("train.parquet"), "{message}");
    fs::write(&file, [0xff; 100]).unwrap();
    let message = refused(dir.path(), &config);
    assert!(message.starts_with("train.parquet:1: not a problem: "), "{message}");
}

#[test]
fn the_same_problem_twice_is_an_error_or_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let row = |i: usize| json!({"problem": format!("{i}"), "answer": "b", "capability": "p"});
    write_lines(&dir.path().join("a.jsonl"), &[row(0), row(1), row(0)]);
    write_lines(&dir.path().join("b.jsonl"), &[row(2), row(1), row(3)]);
    let config = DatasetConfig::new([DataSource::new(dir.path())]);
    let message = refused(dir.path(), &config);
    assert!(message.starts_with("2 bad rows\n"), "{message}");
    assert!(message.contains("a.jsonl:3: problem ") && message.contains(" stands already in a.jsonl:1"), "{message}");
    assert!(message.contains("b.jsonl:2: problem ") && message.contains(" stands already in a.jsonl:2"), "{message}");
    let dataset = Dataset::open(&DatasetConfig { duplicates: Duplicates::Drop, ..config }, None).unwrap();
    assert_eq!((dataset.report().n_duplicates, dataset.report().n_rows), (2, 6));
    let problems = all(&dataset);
    assert!(problems.iter().map(|problem| problem.prompt.as_str()).eq(["0", "1", "2", "3"]));
    for (number, problem) in problems.iter().enumerate() {
        assert_eq!(dataset.number(problem.id), Some(number));
    }
    assert_eq!(dataset.number(ProblemId(1)), None);
}

#[test]
fn long_prompts_are_counted_and_dropped_refused_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train.parquet");
    write_parquet(&file, 0..30, Compression::SNAPPY, 10);
    // One token for each character, and one for each pixel of an image's width.
    let count =
        |text: &str, sizes: &[(u32, u32)]| Ok(text.len() + sizes.iter().map(|size| size.0 as usize).sum::<usize>());
    let counter = TokenCounter { name: "letters", count: &count };
    let config = |action| {
        let overlong = Some(Overlong { max_tokens: 26, action });
        DatasetConfig { overlong, ..DatasetConfig::new([perception(&file)]) }
    };
    let dropped = Dataset::open(&config(OverlongAction::Drop), Some(&counter)).unwrap();
    let report = dropped.report();
    let tokens = |row: usize| format!("<image>What is {row}?").len() + 3 + row / 3;
    let fitting: Vec<usize> = (0..30).filter(|&row| tokens(row) <= 26).collect();
    assert_eq!((report.n_overlong, report.longest), (30 - fitting.len(), Some(tokens(29) as u32)));
    assert!(fitting.len() > 5 && report.n_overlong > 5 && report.dropped_overlong);
    let answers: Vec<usize> = all(&dropped).iter().map(|problem| problem.answer.parse().unwrap()).collect();
    assert_eq!(answers, fitting);
    let kept = Dataset::open(&config(OverlongAction::Keep), Some(&counter)).unwrap();
    assert_eq!((kept.len(), kept.report().n_overlong, kept.report().n_cached), (30, report.n_overlong, 1));
    let error = Dataset::open(&config(OverlongAction::Error), Some(&counter)).unwrap_err().to_string();
    assert!(error.contains("has a prompt of 27 tokens, more than the 26 allowed"), "{error}");
    let error = Dataset::open(&config(OverlongAction::Keep), None).unwrap_err().to_string();
    assert!(error.contains("max_tokens 26 without a tokenizer"), "{error}");
    let refusing = TokenCounter { name: "refusing", count: &|_, _| Err("too thin".into()) };
    let error = Dataset::open(&config(OverlongAction::Keep), Some(&refusing)).unwrap_err().to_string();
    assert!(error.contains("train.parquet:1: problem #1: the prompt cannot be counted: too thin"), "{error}");
    let other = TokenCounter { name: "others", count: &count };
    assert_eq!(Dataset::open(&config(OverlongAction::Keep), Some(&other)).unwrap().report().n_cached, 0);
}

#[test]
fn the_index_is_of_one_state_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train.jsonl");
    let row = |i: usize| json!({"problem": format!("{i}"), "answer": "b", "capability": "p", "solution": "ab"});
    let indices = || {
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().unwrap() == "seethink-index").collect::<Vec<_>>()
    };
    let n_cached = || open([DataSource::new(&file)]).unwrap().report().n_cached;
    write_lines(&file, &[row(0), row(1)]);
    assert_eq!([n_cached(), n_cached()], [0, 1]);
    assert_eq!(open([perception(&file)]).unwrap().report().n_cached, 0, "read in another way");
    assert_eq!(n_cached(), 1);
    let opened = open([DataSource::new(&file)]).unwrap();
    assert_eq!(opened.entry(1).solution_length, Some(2));
    write_lines(&file, &[row(1), row(0), row(2)]);
    let error = opened.problem(0).unwrap_err();
    assert!(matches!(error, DataError::Changed { line: 1, .. }), "{error}");
    assert_eq!([n_cached(), n_cached()], [0, 1]);
    // A damaged index is made again in every case.
    assert_eq!(indices().len(), 2, "one for each way to read");
    for end in [0, 3, 2000, usize::MAX] {
        for index in indices() {
            let whole = fs::read(&index).unwrap();
            fs::write(index, &whole[..end.min(whole.len().saturating_sub(1))]).unwrap();
        }
        assert_eq!([n_cached(), n_cached()], [0, 1]);
    }
    fs::write(&file, "").unwrap();
    assert!(open([DataSource::new(&file)]).unwrap().is_empty());
}

#[test]
fn an_empty_line_keeps_numbers_of_lines_right() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train.jsonl");
    let row = |i: usize| json!({"problem": format!("é{i}"), "answer": i, "capability": "p"}).to_string();
    fs::write(&file, format!("\n{}\r\n  \n{}\n\n{}", row(0), row(1), row(2))).unwrap();
    let dataset = open([DataSource::new(&file)]).unwrap();
    for number in [2, 0, 1] {
        assert_eq!(dataset.problem(number).unwrap().answer, number.to_string());
    }
    fs::write(&file, format!("\n{}\n\n{{", row(0))).unwrap();
    assert!(
        refused(dir.path(), &DatasetConfig::new([DataSource::new(&file)])).starts_with("train.jsonl:4: not a problem")
    );
}

#[test]
fn parts_go_by_name_and_a_table_of_pass_rates_wins() {
    let dir = tempfile::tempdir().unwrap();
    let row = |i: usize| json!({"problem": format!("{i}"), "answer": "b", "capability": "p", "pass_rate": 0.25});
    for (i, name) in ["train.jsonl", "val.jsonl", "test/problems.jsonl"].into_iter().enumerate() {
        write_lines(&dir.path().join(name), &[row(i)]);
    }
    let mut config = DatasetConfig::new([DataSource::new(dir.path())]);
    let dataset = Dataset::open(&config, None).unwrap();
    let mut splits: Vec<_> =
        (0..3).map(|number| (all(&dataset)[number].prompt.clone(), dataset.entry(number).split)).collect();
    splits.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(splits.iter().map(|(_, split)| *split).eq(Split::ALL));
    assert_eq!(dataset.report().problems, BTreeMap::from([("p".to_owned(), [1, 1, 1])]));
    let rates = dir.path().join("rates");
    let id = dataset.entry(0).id;
    PassRateTable::open(&rates, &Map::new()).unwrap().push(id, &[true, true]).unwrap();
    config.pass_rates = Some(rates);
    let dataset = Dataset::open(&config, None).unwrap();
    assert_eq!(dataset.entry(0).pass_rate.map(PassRate::fraction), Some(1.0));
    assert_eq!(dataset.problem(0).unwrap().pass_rate, dataset.entry(0).pass_rate);
    assert_eq!(dataset.entry(1).pass_rate.map(PassRate::fraction), Some(0.25));
}

#[test]
fn what_we_write_is_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    write_parquet(&dir.path().join("train.parquet"), 0..9, Compression::SNAPPY, 4);
    let problems = all(&open([perception(dir.path())]).unwrap());
    let copy = dir.path().join("copy/train");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    write_problems(&copy, &problems).unwrap();
    let read = open([DataSource::new(dir.path().join("copy"))]).unwrap();
    for (problem, copied) in problems.iter().zip(all(&read)) {
        assert_eq!((problem.id, &problem.prompt, &problem.tags), (copied.id, &copied.prompt, &copied.tags));
    }
}

/// Split of each problem, by its text.
fn parts(rows: &[(usize, usize)], seed: u64) -> BTreeMap<String, Split> {
    let dir = tempfile::tempdir().unwrap();
    for picture in rows.iter().filter(|row| row.1 > 0).map(|row| row.1).collect::<BTreeSet<_>>() {
        fs::write(dir.path().join(format!("{picture}.png")), png(picture)).unwrap();
    }
    let row = |&(question, picture): &(usize, usize)| {
        let images: Vec<String> = (picture > 0).then(|| format!("{picture}.png")).into_iter().collect();
        let problem = format!("{}{question} {picture}", "<image>".repeat(images.len()));
        json!({"problem": problem, "answer": "b", "capability": "p", "images": images})
    };
    write_lines(&dir.path().join("train.jsonl"), &rows.iter().map(row).collect::<Vec<_>>());
    let splits = Splits::ByHash { validation: 0.3, test: 0.3, seed };
    let config = DatasetConfig { splits, ..DatasetConfig::new([DataSource::new(dir.path())]) };
    let dataset = Dataset::open(&config, None).unwrap();
    assert_eq!(dataset.report().n_shared_images, 0);
    all(&dataset).into_iter().enumerate().map(|(i, problem)| (problem.prompt, dataset.entry(i).split)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn parts_stay_when_rows_move_or_go(
        rows in proptest::collection::btree_set((0usize..50, 0usize..5), 1..30),
        keep in proptest::collection::vec(any::<bool>(), 30),
        seed: u64,
    ) {
        let rows: Vec<_> = rows.into_iter().collect();
        let whole = parts(&rows, seed);
        let mut fewer: Vec<_> = rows.iter().zip(keep).filter(|(_, keep)| *keep).map(|(row, _)| *row).collect();
        fewer.reverse();
        for (problem, split) in parts(&fewer, seed) {
            prop_assert_eq!(whole[&problem], split);
        }
        // All questions about a picture are in one split.
        let by_picture: BTreeSet<_> = whole.iter().filter(|(text, _)| text.starts_with('<'))
            .map(|(text, split)| (text.rsplit(' ').next(), split.as_str())).collect();
        let pictures: BTreeSet<_> = by_picture.iter().map(|(picture, _)| picture).collect();
        prop_assert_eq!(by_picture.len(), pictures.len());
    }
}

#[test]
fn images_that_parts_share_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["1.png", "2.png"] {
        fs::write(dir.path().join(name), png(1)).unwrap();
    }
    let row =
        |text: &str, images: &[&str]| json!({"problem": text, "answer": "b", "capability": "p", "images": images});
    write_lines(
        &dir.path().join("train.jsonl"),
        &[row("<image><image>", &["1.png", "2.png"]), row("<image>x", &["1.png"])],
    );
    write_lines(&dir.path().join("test.jsonl"), &[row("<image>", &["1.png"])]);
    let report = open([DataSource::new(dir.path())]).unwrap().report();
    assert_eq!((report.n_images, report.n_shared_images), (4, 1));
    let text = report.to_string();
    assert!(text.contains("4 images from 4x4 to 4x4 pixels\n1 images stand in more than one of train"), "{text}");
}
