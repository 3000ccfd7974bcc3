//! Where the problems of a run come from.

use super::{NO_PROBLEMS, RunConfig};
use crate::core::{Capability, Problem};
use crate::data::digits::{DigitsConfig, DigitsWorld};
use crate::data::{DataError, Dataset, DatasetConfig, PassRateTable, ProblemReader, Split, TokenCounter};
use crate::models::VlmProcessor;
use crate::train::PromptFormat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

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
    /// Pictures that stand in parquet files or in lines stay encoded, but in memory; those in files of their own are read when they are used.
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
                // Without a limit nobody asks for the lengths.
                let dataset = Dataset::open(config, counter.filter(|_| config.overlong.is_some()))?;
                let mut counts = BTreeMap::<&str, usize>::new();
                let wanted = (0..dataset.len()).filter(|&number| {
                    let entry = dataset.entry(number);
                    if entry.split != split {
                        return false;
                    }
                    let count = counts.entry(entry.capability).or_default();
                    *count += 1;
                    limit.is_none_or(|limit| *count <= limit)
                });
                dataset.read(wanted.collect::<Vec<_>>()).collect()
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
        let name = format!("{:?} {:?}", self.model, self.grpo.prompt);
        let count = count_prompts(processor, &self.grpo.prompt);
        self.data.counted(split, limit, Some(&TokenCounter { name: &name, count: &count }))
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
        let wrong = DatasetConfig { splits: Splits::ByHash { validation: 0.7, test: 0.7, seed: 0 }, ..files.clone() };
        assert!(DataConfig::Files(wrong).check().unwrap_err().to_string().starts_with("validation + test is 1.4"));
    }
}
