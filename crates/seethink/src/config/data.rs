//! Where the problems of a run come from.

use super::{NO_PROBLEMS, RunConfig};
use crate::core::{Capability, Problem};
use crate::curriculum::CorpusEntry;
use crate::data::digits::{DigitsConfig, DigitsWorld};
use crate::data::{DataError, Dataset, DatasetConfig, PassRateTable, ProblemReader, Split, TokenCounter};
use crate::models::{Processor, VlmProcessor};
use crate::train::{Problems, PromptFormat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the problems come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DataConfig {
    /// The built-in digits world.
    Digits {
        /// How hard it is.
        world: DigitsConfig,
        /// Training problems of each capability.
        problems_per_capability: usize,
        /// Seed of the problems: apart from the run's, so that runs of several seeds share their problems.
        seed: u64,
        /// A table of pass rates that `seethink data pass-rate` wrote.
        #[serde(default)]
        pass_rates: Option<PathBuf>,
    },
    /// A folder of JSONL files with their images.
    Folder(PathBuf),
    /// JSON-lines and parquet files of any schema, checked once.
    Files(DatasetConfig),
}

impl DataConfig {
    /// The problems of a split, capability by capability where they are made; `limit` is per capability.
    ///
    /// All of them are in memory, pictures that stand in parquet files or in lines too, though encoded; those in files of their own are read
    /// when they are used. What a run trains on need not be: [`RunConfig::training`].
    ///
    /// # Errors
    /// If the world is out of range, a file cannot be read or has bad rows, or the length of prompts is limited: that takes a processor
    /// ([`RunConfig::problems`]). The error says where.
    pub fn problems(&self, split: Split, limit: Option<usize>) -> Result<Vec<Problem>, DataError> {
        self.counted(split, limit, None)
    }

    fn counted(
        &self,
        split: Split,
        limit: Option<usize>,
        counter: Option<&TokenCounter<'_>>,
    ) -> Result<Vec<Problem>, DataError> {
        match self {
            Self::Digits { world, problems_per_capability, seed, pass_rates } => {
                let world = DigitsWorld::new(world.clone())?;
                let n = limit.unwrap_or(*problems_per_capability);
                let of = |capability| world.problems(split, capability, *seed).take(n);
                let mut problems: Vec<Problem> = Capability::ALL.iter().flat_map(of).collect();
                if let Some(path) = pass_rates {
                    PassRateTable::read(path)?.apply(&mut problems);
                }
                Ok(problems)
            }
            Self::Folder(dir) => {
                let mut counts = BTreeMap::<Capability, usize>::new();
                let mut kept = Vec::new();
                for problem in ProblemReader::open(dir.join(split.as_str()))? {
                    let problem = problem?;
                    let count = counts.entry(problem.capability.clone()).or_default();
                    *count += 1;
                    if limit.is_none_or(|limit| *count <= limit) {
                        kept.push(problem);
                    }
                }
                Ok(kept)
            }
            Self::Files(config) => {
                let dataset = Dataset::open(config, counter)?;
                dataset.read(numbers(&dataset, split, limit)).collect()
            }
        }
    }

    /// Captioned pictures of the training split, `limit` at most: problems whose solution is the caption. A folder has them in
    /// its subfolder `captions`.
    ///
    /// # Errors
    /// As [`problems`](Self::problems), and if the files are of a schema of their own.
    pub fn captions(&self, limit: usize) -> Result<Vec<Problem>, DataError> {
        match self {
            Self::Digits { world, seed, .. } => {
                Ok(DigitsWorld::new(world.clone())?.captions(Split::Train, *seed).take(limit).collect())
            }
            Self::Folder(dir) => ProblemReader::open(dir.join("captions"))?.take(limit).collect(),
            Self::Files(_) => Err(DataError::Setting {
                field: "captions",
                found: "data from `Files`".into(),
                expected: "`Folder` with a subfolder `captions`, or `Digits`",
            }),
        }
    }

    /// Checks what can be checked without files.
    ///
    /// # Errors
    /// If a value is out of range; the error names it.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        match self {
            Self::Digits { problems_per_capability: 0, .. } => Err(NO_PROBLEMS.into()),
            Self::Digits { world, .. } => Ok(DigitsWorld::new(world.clone()).map(drop)?),
            Self::Folder(_) => Ok(()),
            Self::Files(config) => Ok(config.splits.check()?),
        }
    }
}

impl RunConfig {
    /// The problems of a split as a run with this processor asks them; `limit` is per capability.
    ///
    /// # Errors
    /// As [`DataConfig::problems`].
    pub fn problems(
        &self,
        split: Split,
        limit: Option<usize>,
        processor: &VlmProcessor,
    ) -> Result<Vec<Problem>, DataError> {
        self.count(Some(processor), |counter| self.data.counted(split, limit, counter))
    }

    /// What a curriculum knows of the training problems, and the problems: those of [`DataConfig::Files`] stay in their files until they are
    /// drawn. `limit` is per capability; the processor is needed where the length of prompts is limited.
    ///
    /// # Errors
    /// As [`DataConfig::problems`].
    pub fn training(
        &self,
        limit: Option<usize>,
        processor: Option<&VlmProcessor>,
    ) -> Result<(Vec<CorpusEntry>, Problems), DataError> {
        let DataConfig::Files(config) = &self.data else {
            let problems = self.data.problems(Split::Train, limit)?;
            return Ok((problems.iter().map(CorpusEntry::from).collect(), problems.into_iter().collect()));
        };
        let dataset = self.count(processor, |counter| Dataset::open(config, counter))?;
        let entries =
            numbers(&dataset, Split::Train, limit).into_iter().map(|number| known(&dataset, number)).collect();
        Ok((entries, Problems::Files(Arc::new(dataset))))
    }

    /// Calls `then` with what counts the tokens of prompts.
    fn count<T>(&self, processor: Option<&VlmProcessor>, then: impl FnOnce(Option<&TokenCounter<'_>>) -> T) -> T {
        let Some(processor) = processor else { return then(None) };
        let name = format!("{:?} {:?}", self.model, self.grpo.prompt);
        let count = count_prompts(processor, &self.grpo.prompt);
        then(Some(&TokenCounter { name: &name, count: &count }))
    }
}

/// The numbers of the problems of a split, the first `limit` of each capability.
fn numbers(dataset: &Dataset, split: Split, limit: Option<usize>) -> Vec<usize> {
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut wanted = |&number: &usize| {
        let entry = dataset.entry(number);
        if entry.split != split {
            return false;
        }
        let count = counts.entry(entry.capability).or_default();
        *count += 1;
        limit.is_none_or(|limit| *count <= limit)
    };
    (0..dataset.len()).filter(|number| wanted(number)).collect()
}

/// What a curriculum knows of a problem that is not read.
fn known(dataset: &Dataset, number: usize) -> CorpusEntry {
    let entry = dataset.entry(number);
    CorpusEntry {
        pass_rate: entry.pass_rate,
        source: entry.source.into(),
        n_images: entry.n_images() as u32,
        solution_length: entry.solution_length,
        tags: dataset.tags(number).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..CorpusEntry::new(entry.id, Capability::new(entry.capability))
    }
}

/// Tokens of a prompt, or why it cannot be one.
pub type TokenCount = Result<usize, Box<dyn Error + Send + Sync>>;

/// Counts the tokens of questions as `prompt` asks them: what a [`TokenCounter`] takes.
pub fn count_prompts(processor: &VlmProcessor, prompt: &PromptFormat) -> impl Fn(&str, &[(u32, u32)]) -> TokenCount {
    |question, sizes| Ok(processor.n_prompt_tokens(&prompt.conversation(question), sizes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ProblemId;
    use crate::data::{Columns, DataSource, Splits};

    #[test]
    fn files_of_any_schema_are_data() {
        let dir = tempfile::tempdir().unwrap();
        let row =
            |i: usize| format!("{{\"q\": \"{i}\", \"answer\": {i}, \"kind\": \"{}\"}}\n", ["see", "think"][i % 2]);
        std::fs::write(dir.path().join("rows.jsonl"), (0..40).map(row).collect::<String>()).unwrap();
        let ron = format!(
            r#"Files(
                sources: [(
                    path: {:?},
                    columns: (problem: "q", capability: "kind"),
                    capabilities: {{"see": "perception", "think": "textual_reasoning"}},
                )],
                splits: ByHash(validation: 0.2, test: 0.3),
            )"#,
            dir.path().join("*.jsonl"),
        );
        let config: DataConfig = crate::config::options().from_str(&ron).unwrap();
        let columns = Columns { problem: "q".into(), capability: Some("kind".into()), ..Columns::default() };
        let DataConfig::Files(files) = &config else { panic!("{config:?}") };
        assert_eq!(files.sources[0], DataSource { columns, ..files.sources[0].clone() });
        assert_eq!(files.splits, Splits::ByHash { validation: 0.2, test: 0.3, seed: 0 });
        assert!(config.check().is_ok());
        let counts = Split::ALL.map(|split| config.problems(split, None).unwrap().len());
        assert!(counts.iter().sum::<usize>() == 40 && counts.iter().all(|&n| n > 0), "{counts:?}");
        assert_eq!(config.problems(Split::Train, Some(2)).unwrap().len(), 4);
        let run = RunConfig::parse(include_str!("../../../../configs/micro/qwen3_vl/staged.ron"), "", &[]).unwrap();
        let run = RunConfig { data: config.clone(), ..run };
        let all = config.problems(Split::Train, None).unwrap();
        let (entries, in_files) = run.training(None, None).unwrap();
        assert_eq!(entries, all.iter().map(CorpusEntry::from).collect::<Vec<_>>());
        let ids: Vec<_> = all.iter().rev().chain(&all[..1]).map(|problem| problem.id).collect();
        let read = in_files.get(&ids).unwrap();
        assert!(read.iter().eq(all.iter().rev().chain(&all[..1])));
        assert!(in_files.get(&[ProblemId(7)]).unwrap_err().to_string().contains("0000000000000007"));
        std::fs::remove_file(dir.path().join("rows.jsonl")).unwrap();
        assert!(in_files.get(&ids[..1]).unwrap_err().to_string().contains("rows.jsonl"));
        let wrong = DatasetConfig { splits: Splits::ByHash { validation: 0.7, test: 0.7, seed: 0 }, ..files.clone() };
        assert!(DataConfig::Files(wrong).check().unwrap_err().to_string().starts_with("validation + test is 1.4"));
    }
}
