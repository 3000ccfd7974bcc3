//! Curriculum order of problem files, for trainers that read a file from its first line to its
//! last.

use crate::DataError;
use seethink_core::{PassRate, Purpose, Rng};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// Sorts problem files by difficulty, one file for each capability.
///
/// # Source
/// VLM-CapCurriculum `data_pipeline/` at `ccde3ff` (`generate_curriculum_per_stage.py`,
/// `generate_curriculum_merged.py`). Differs: a row without a pass rate is an error and not the
/// hardest; where ties go by file the files keep their order (there it is reversed); and the file
/// of capability × difficulty, which no released script makes, is written too. Ties are shuffled
/// with our generator, not Python's.
#[derive(Debug, Clone)]
pub struct Ordering {
    /// JSON-lines files, in the order of stages.
    pub files: Vec<PathBuf>,
    /// True if the hardest problems come first.
    pub hard_to_easy: bool,
    /// Seed of the order of problems with equal pass rates.
    pub seed: u64,
}

/// Line with its sort keys.
#[derive(Debug, Clone)]
struct Row {
    text: String,
    file: usize,
    pass_rate: f32,
}

impl Ordering {
    /// Writes the sorted files into the folder `out`, which is created if need be:
    ///
    /// - `NAME_curriculum.jsonl` for each file: by pass rate, ties shuffled;
    /// - `merged_random.jsonl`: all files by pass rate, ties shuffled;
    /// - `merged_file_order.jsonl`: all files by pass rate, ties by file and shuffled within;
    /// - `capability_x_difficulty.jsonl`: the files one after the other, each by pass rate;
    /// - and each of these once more as `…_filtered.jsonl`, without problems of pass rate 1.
    ///
    /// Returns the files and their numbers of rows.
    ///
    /// # Errors
    /// If a file cannot be read, or a row has no pass rate in `[0, 1]`; then nothing was written.
    /// Or if a file cannot be written; the files before it are whole then.
    pub fn write(&self, out: &Path) -> Result<Vec<(PathBuf, usize)>, DataError> {
        let rows =
            self.files.iter().enumerate().map(|(index, file)| read(file, index)).collect::<Result<Vec<_>, _>>()?;
        let mut orders: Vec<(String, Vec<&Row>)> = Vec::new();
        for (index, (file, rows)) in self.files.iter().zip(&rows).enumerate() {
            let name = file.file_stem().map_or_else(|| "problems".into(), |stem| stem.to_string_lossy());
            orders.push((format!("{name}_curriculum"), self.sorted(rows.iter(), index as u64, false)));
        }
        let staged = orders.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
        let all = self.files.len() as u64;
        orders.push(("merged_random".into(), self.sorted(rows.iter().flatten(), all, false)));
        orders.push(("merged_file_order".into(), self.sorted(rows.iter().flatten(), all + 1, true)));
        orders.push(("capability_x_difficulty".into(), staged));
        fs::create_dir_all(out).map_err(DataError::io("create", out))?;
        let mut written = Vec::new();
        for (name, rows) in orders {
            let filtered: Vec<&Row> = rows.iter().copied().filter(|row| row.pass_rate < 1.0).collect();
            for (name, rows) in [(format!("{name}.jsonl"), rows), (format!("{name}_filtered.jsonl"), filtered)] {
                let path = out.join(name);
                write(&path, &rows)?;
                written.push((path, rows.len()));
            }
        }
        Ok(written)
    }

    /// Sorts rows by pass rate, with ties in a random order, or by file and then in a random order.
    fn sorted<'a>(&self, rows: impl Iterator<Item = &'a Row>, stream: u64, by_file: bool) -> Vec<&'a Row> {
        let mut rows: Vec<&Row> = rows.collect();
        Rng::new(self.seed, Purpose::Curriculum, &[stream]).shuffle(&mut rows);
        // Stable sorts: rows that compare equal stay in their random order.
        rows.sort_by(|a, b| {
            let by_rate = if self.hard_to_easy {
                a.pass_rate.total_cmp(&b.pass_rate)
            } else {
                b.pass_rate.total_cmp(&a.pass_rate)
            };
            by_rate.then(if by_file { a.file.cmp(&b.file) } else { std::cmp::Ordering::Equal })
        });
        rows
    }
}

/// Reads the rows of a file; empty lines are skipped.
fn read(path: &Path, file: usize) -> Result<Vec<Row>, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::io("read", path))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let row = |(line, text): (u64, &str)| {
        let row: Map<String, Value> =
            serde_json::from_str(text).map_err(|source| DataError::Json { file: path.to_owned(), line, source })?;
        let found = row.get("pass_rate");
        let rate = found.and_then(Value::as_f64).and_then(|rate| PassRate::new(rate as f32).ok());
        let Some(rate) = rate else {
            let found = found.map_or_else(|| "no pass rate".to_owned(), |found| format!("the pass rate {found}"));
            return Err(DataError::Unrated { file: path.to_owned(), line, found });
        };
        // Adding zero turns −0 into 0; −0 would be a level of its own.
        Ok(Row { text: text.to_owned(), file, pass_rate: rate.fraction() + 0.0 })
    };
    lines.map(row).collect()
}

/// Writes the lines of a file.
fn write(path: &Path, rows: &[&Row]) -> Result<(), DataError> {
    let text: String = rows.iter().flat_map(|row| [row.text.as_str(), "\n"]).collect();
    seethink_files::write(path, text.as_bytes()).map_err(DataError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(folder: &Path) -> Ordering {
        let files = ["perception_train", "visual_reasoning_train"].map(|name| {
            let row =
                |i: usize| format!("{{\"index\": \"{name}-{i}\",  \"pass_rate\": {}}}\n", (i * 7 % 5) as f32 / 4.0);
            let path = folder.join(format!("{name}.jsonl"));
            fs::write(&path, (0..40).map(row).collect::<String>() + "\n").unwrap();
            path
        });
        Ordering { files: files.into(), hard_to_easy: false, seed: 42 }
    }

    /// File, pass rate and text of each row.
    fn rows(path: &Path) -> Vec<(bool, f32, String)> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| (line.contains("visual"), read_rate(line), line.to_owned())).collect()
    }

    fn read_rate(line: &str) -> f32 {
        serde_json::from_str::<Value>(line).unwrap()["pass_rate"].as_f64().unwrap() as f32
    }

    #[test]
    fn every_file_has_every_row_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("ordered");
        let written = world(folder.path()).write(&out).unwrap();
        let names: Vec<String> =
            written.iter().map(|(path, n)| format!("{} {n}", path.file_name().unwrap().display())).collect();
        assert_eq!(
            names,
            [
                "perception_train_curriculum.jsonl 40",
                "perception_train_curriculum_filtered.jsonl 32",
                "visual_reasoning_train_curriculum.jsonl 40",
                "visual_reasoning_train_curriculum_filtered.jsonl 32",
                "merged_random.jsonl 80",
                "merged_random_filtered.jsonl 64",
                "merged_file_order.jsonl 80",
                "merged_file_order_filtered.jsonl 64",
                "capability_x_difficulty.jsonl 80",
                "capability_x_difficulty_filtered.jsonl 64",
            ]
        );
        let merged = rows(&out.join("merged_random.jsonl"));
        assert!(merged.is_sorted_by(|a, b| a.1 >= b.1));
        assert!(!merged[..16].is_sorted_by_key(|row| row.0), "ties of both files are mixed");
        let by_file = rows(&out.join("merged_file_order.jsonl"));
        assert!(by_file.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 <= b.0)));
        let both = rows(&out.join("capability_x_difficulty.jsonl"));
        assert!(both.is_sorted_by(|a, b| !a.0 & b.0 || (a.0 == b.0 && a.1 >= b.1)));
        for mut rows in [merged, by_file, both] {
            rows.sort_by(|a, b| a.2.cmp(&b.2));
            rows.dedup();
            assert_eq!(rows.len(), 80);
        }
        assert!(rows(&out.join("merged_random_filtered.jsonl")).iter().all(|row| row.1 < 1.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |name: &str, ordering: &Ordering| {
            ordering.write(&folder.path().join(name)).unwrap();
            fs::read(folder.path().join(name).join("merged_random.jsonl")).unwrap()
        };
        let ordering = world(folder.path());
        assert_eq!(bytes("a", &ordering), bytes("b", &ordering));
        assert_ne!(bytes("a", &ordering), bytes("c", &Ordering { seed: 43, ..ordering.clone() }));
        let reversed = Ordering { hard_to_easy: true, ..ordering };
        bytes("d", &reversed);
        assert!(rows(&folder.path().join("d/merged_random.jsonl")).is_sorted_by(|a, b| a.1 <= b.1));
    }

    #[test]
    fn a_row_without_a_pass_rate_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let ordering = world(folder.path());
        let out = folder.path().join("out");
        for (line, expected) in
            [("{}", "no pass rate"), ("{\"pass_rate\": 1.5}", "the pass rate 1.5"), ("[]", "not a problem")]
        {
            let text = fs::read_to_string(&ordering.files[1]).unwrap();
            fs::write(&ordering.files[1], format!("{{\"pass_rate\": 1}}\n{line}\n")).unwrap();
            let message = ordering.write(&out).unwrap_err().to_string();
            assert!(message.contains("visual_reasoning_train.jsonl:2: ") && message.contains(expected), "{message}");
            assert!(!out.exists());
            fs::write(&ordering.files[1], text).unwrap();
        }
    }
}
