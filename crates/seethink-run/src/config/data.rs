//! Data section of a configuration: the problems of a run.

use super::{ModelSource, RunConfig, no_problems};
use seethink_core::{Capability, Problem, SettingError};
use seethink_curriculum::CorpusEntry;
use seethink_data::{
    DataError, DataSource, Dataset, DatasetConfig, Overlong, PassRateTable, ProblemReader, Split, TokenCounter, digits,
    digits_v1,
};
use seethink_models::{ImageLimits, Processor, VlmProcessor};
use seethink_rollout::{Problems, PromptFormat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// Source of the problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DataConfig {
    /// The built-in digits world, with digits of their own for base models, rewards and tests.
    Digits(Generated<digits::DigitsConfig>),
    /// The first digits world, `digits-v1`, whose base models know the digits of training.
    DigitsV1(Generated<digits_v1::DigitsConfig>),
    /// A folder with a subfolder of JSON-lines or parquet files, and their images, for each split,
    /// as [`write_problems`](seethink_data::write_problems) makes them.
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// Treatment of overlong prompts; tokens are not counted if not given.
        #[serde(default)]
        overlong: Option<Overlong>,
        /// Folder for the indices of checked files; beside the files if not given.
        #[serde(default)]
        index: Option<PathBuf>,
    },
    /// JSON-lines and parquet files of any schema, checked once.
    Files(DatasetConfig),
}

/// Problems of a built-in world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generated<W> {
    /// Settings of the world.
    pub world: W,
    /// Number of training problems of each capability.
    pub problems_per_capability: usize,
    /// Numbers of training problems of capabilities that have another number; 0 for none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub problems_of: BTreeMap<Capability, usize>,
    /// Seed of the problems; separate from the run's, so that runs of several seeds share their
    /// problems.
    pub seed: u64,
    /// Table of pass rates written by `seethink data pass-rate`.
    #[serde(default)]
    pub pass_rates: Option<PathBuf>,
    /// Table of pass rates of perception problems. Training then has the perception problems that
    /// the table's model never answered rightly, as the paper keeps those that a model answers from
    /// the caption and not from the picture: from the caption each problem of a digits world can be
    /// answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perception_filter: Option<PathBuf>,
}

impl<W> Generated<W> {
    /// Number of training problems of a capability.
    pub fn n_problems(&self, capability: &Capability) -> usize {
        self.problems_of.get(capability).copied().unwrap_or(self.problems_per_capability)
    }

    /// Problems of a split of each capability, so many at most, ordered by capability, with their
    /// pass rates. `draw` passes on all problems of a capability.
    fn problems(
        &self,
        split: Split,
        limit: Option<usize>,
        draw: impl Fn(&Capability, &dyn Fn(&mut dyn Iterator<Item = Problem>) -> Vec<Problem>) -> Vec<Problem>,
    ) -> Result<Vec<Problem>, DataError> {
        let filter = match &self.perception_filter {
            Some(path) if split == Split::Train => Some(PassRateTable::read(path)?),
            _ => None,
        };
        let mut problems = Vec::new();
        for capability in &Capability::ALL {
            let n = limit.unwrap_or_else(|| self.n_problems(capability));
            let Some(table) = filter.as_ref().filter(|_| *capability == Capability::PERCEPTION) else {
                problems.extend(draw(capability, &|all| all.take(n).collect()));
                continue;
            };
            // Problems were attempted in the order in which they are made.
            let attempted = |problem: &Problem| !table.attempts(problem.id).is_empty();
            let never_right = |problem: &Problem| !table.attempts(problem.id).contains(&true);
            let found = draw(capability, &|all| all.take_while(attempted).filter(never_right).take(n).collect());
            if found.len() < n {
                let expected = format!("a table of more attempts: {n} problems that were never answered rightly");
                return Err(SettingError::new("data.perception_filter", found.len(), expected).into());
            }
            problems.extend(found);
        }
        if let Some(path) = &self.pass_rates {
            PassRateTable::read(path)?.apply(&mut problems);
        }
        Ok(problems)
    }
}

impl DataConfig {
    /// Loads the problems of a split; those of a digits world are ordered by capability; `limit`
    /// is per capability.
    ///
    /// All problems are held in memory, with the encoded images of parquet files and JSON lines;
    /// image files are read on use. Training reads its problems from disk instead:
    /// [`RunConfig::training`].
    ///
    /// # Errors
    /// If the world is out of range, a file cannot be read or has bad rows, or the length of
    /// prompts is limited, which takes a processor ([`RunConfig::problems`]). The error gives the
    /// place.
    pub fn problems(&self, split: Split, limit: Option<usize>) -> Result<Vec<Problem>, DataError> {
        self.counted(split, limit, None)
    }

    /// Number of training problems of each capability, where a built-in world makes them.
    pub fn problems_per_capability(&self) -> Option<usize> {
        match self {
            Self::Digits(of) => Some(of.problems_per_capability),
            Self::DigitsV1(of) => Some(of.problems_per_capability),
            Self::Folder { .. } | Self::Files(_) => None,
        }
    }

    /// Tables of pass rates of the problems that a built-in world makes, that of the problems and
    /// that of the perception filter; `None` for problems in files, which have their own.
    pub fn tables_mut(&mut self) -> Option<[&mut Option<PathBuf>; 2]> {
        match self {
            Self::Digits(of) => Some([&mut of.pass_rates, &mut of.perception_filter]),
            Self::DigitsV1(of) => Some([&mut of.pass_rates, &mut of.perception_filter]),
            Self::Folder { .. } | Self::Files(_) => None,
        }
    }

    fn counted(
        &self,
        split: Split,
        limit: Option<usize>,
        counter: Option<&TokenCounter<'_>>,
    ) -> Result<Vec<Problem>, DataError> {
        match self {
            Self::Digits(of) => {
                let world = digits::DigitsWorld::new(of.world.clone())?;
                of.problems(split, limit, |capability, take| take(&mut world.problems(split, capability, of.seed)))
            }
            Self::DigitsV1(of) => {
                let world = digits_v1::DigitsWorld::new(of.world.clone())?;
                of.problems(split, limit, |capability, take| take(&mut world.problems(split, capability, of.seed)))
            }
            Self::Folder { .. } | Self::Files(_) => {
                let dataset = self.open(split, counter)?;
                dataset.read(numbers(&dataset, split, limit)).collect()
            }
        }
    }

    /// Creates the configuration of a folder of problems without a length limit.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::Folder { path: path.into(), overlong: None, index: None }
    }

    /// Data set of the files of a split, or of all splits if none is given; `None` for generated
    /// problems.
    pub fn files(&self, split: Option<Split>) -> Option<DatasetConfig> {
        match self {
            Self::Digits(_) | Self::DigitsV1(_) => None,
            Self::Folder { path, overlong, index } => {
                let path = split.map_or_else(|| path.clone(), |split| path.join(split.as_str()));
                let (overlong, index) = (*overlong, index.clone());
                Some(DatasetConfig { overlong, index, ..DatasetConfig::new([DataSource::new(path)]) })
            }
            Self::Files(config) => Some(config.clone()),
        }
    }

    /// Returns whether the length of prompts is limited, so that opening the data takes a
    /// tokenizer.
    pub fn limits_prompts(&self) -> bool {
        self.files(None).is_some_and(|files| files.overlong.is_some())
    }

    /// Opens the data set of a split.
    fn open(&self, split: Split, counter: Option<&TokenCounter<'_>>) -> Result<Dataset, DataError> {
        let Some(config) = self.files(Some(split)) else {
            return Err(SettingError::new("data", "`Digits`", "`Folder` or `Files`").into());
        };
        Dataset::open(&config, counter)
    }

    /// Loads at most `limit` captioned images of the training split: problems whose solution is the
    /// caption. A folder has them in its subfolder `captions`.
    ///
    /// # Errors
    /// As [`problems`](Self::problems), and if the data are `Files`.
    pub fn captions(&self, limit: usize) -> Result<Vec<Problem>, DataError> {
        match self {
            Self::Digits(Generated { world, seed, .. }) => {
                let world = digits::DigitsWorld::new(world.clone())?;
                Ok((0..limit as u64).map(|index| world.caption(Split::Train, index, *seed)).collect())
            }
            Self::DigitsV1(Generated { world, seed, .. }) => {
                let world = digits_v1::DigitsWorld::new(world.clone())?;
                Ok(world.captions(Split::Train, *seed).take(limit).collect())
            }
            Self::Folder { path, .. } => ProblemReader::open(path.join("captions"))?.take(limit).collect(),
            Self::Files(_) => {
                let expected = "`Folder` with a subfolder `captions`, or `Digits`";
                Err(SettingError::new("captions", "data from `Files`", expected).into())
            }
        }
    }

    /// Checks the values that need no files.
    ///
    /// # Errors
    /// If a value is out of range; the error names it.
    pub(super) fn check(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        match self {
            Self::Digits(Generated { problems_per_capability: 0, .. })
            | Self::DigitsV1(Generated { problems_per_capability: 0, .. }) => Err(no_problems().into()),
            Self::Digits(of) => Ok(digits::DigitsWorld::new(of.world.clone()).map(drop)?),
            Self::DigitsV1(of) => Ok(digits_v1::DigitsWorld::new(of.world.clone()).map(drop)?),
            Self::Folder { overlong: Some(Overlong { max_tokens: 0, .. }), .. }
            | Self::Files(DatasetConfig { overlong: Some(Overlong { max_tokens: 0, .. }), .. }) => {
                Err(SettingError::new("overlong.max_tokens", 0, "at least 1").into())
            }
            Self::Folder { .. } => Ok(()),
            Self::Files(config) => Ok(config.splits.check()?),
        }
    }
}

impl RunConfig {
    /// Loads the problems of a split, with prompts counted by the processor of a run; `limit` is
    /// per capability.
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

    /// Opens the training problems, with the corpus entries for the curriculum; problems in files
    /// are read when they are drawn. `limit` is per capability; the processor is needed where the
    /// length of prompts is limited.
    ///
    /// # Errors
    /// As [`DataConfig::problems`].
    pub fn training(
        &self,
        limit: Option<usize>,
        processor: Option<&VlmProcessor>,
    ) -> Result<(Vec<CorpusEntry>, Problems), DataError> {
        if self.data.problems_per_capability().is_some() {
            let problems = self.data.problems(Split::Train, limit)?;
            return Ok((problems.iter().map(CorpusEntry::from).collect(), problems.into_iter().collect()));
        }
        let dataset = self.count(processor, |counter| self.data.open(Split::Train, counter))?;
        let entries =
            numbers(&dataset, Split::Train, limit).into_iter().map(|number| known(&dataset, number)).collect();
        Ok((entries, Problems::Files(Arc::new(dataset))))
    }

    /// Calls `then` with a token counter for prompts.
    fn count<T>(&self, processor: Option<&VlmProcessor>, then: impl FnOnce(Option<&TokenCounter<'_>>) -> T) -> T {
        let Some(processor) = processor else { return then(None) };
        let name = counter_name(&self.model, &self.grpo.prompt, &self.images);
        let count = count_prompts(processor, &self.grpo.prompt);
        then(Some(&TokenCounter { name: &name, count: &count }))
    }
}

/// Numbers of the problems of a split, the first `limit` of each capability.
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

/// Corpus entry of a problem, from the index alone.
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

/// Number of tokens of a prompt, or the reason why it cannot be a prompt.
pub type TokenCount = Result<usize, Box<dyn Error + Send + Sync>>;

/// Name of a token counter: all settings that its counts depend on.
pub fn counter_name(model: &ModelSource, prompt: &PromptFormat, images: &ImageLimits) -> String {
    format!("{model:?} {prompt:?} {images:?}")
}

/// Creates the counting function of a [`TokenCounter`]: tokens of questions in the format of
/// `prompt`.
pub fn count_prompts(processor: &VlmProcessor, prompt: &PromptFormat) -> impl Fn(&str, &[(u32, u32)]) -> TokenCount {
    |question, sizes| Ok(processor.n_prompt_tokens(&prompt.conversation(question), sizes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::ProblemId;
    use seethink_data::{Columns, Splits};

    #[test]
    fn prompts_that_are_too_long_are_left_out_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        for split in Split::ALL {
            let row = |i: usize| {
                let problem = vec!["word"; i].join(" ");
                let name = split.as_str();
                format!("{{\"problem\": \"{name} {problem}\", \"answer\": \"1\", \"capability\": \"perception\"}}\n")
            };
            std::fs::create_dir(dir.path().join(split.as_str())).unwrap();
            let file = dir.path().join(split.as_str()).join("problems.jsonl");
            std::fs::write(file, (0..10).map(row).collect::<String>()).unwrap();
        }
        let words = |question: &str, _: &[(u32, u32)]| Ok(question.split_whitespace().count());
        let counter = TokenCounter { name: "words", count: &words };
        let path = dir.path().display();
        let of = |ron: String| crate::config::options().from_str::<DataConfig>(&ron).unwrap();
        let n = |data: &DataConfig, split| data.counted(split, None, Some(&counter)).map(|problems| problems.len());
        let (all, short) =
            (of(format!("Folder(path: {path:?})")), of(format!("Folder(path: {path:?}, overlong: (max_tokens: 4))")));
        assert_eq!(all, DataConfig::folder(dir.path()));
        for split in Split::ALL {
            assert_eq!((n(&all, split).unwrap(), n(&short, split).unwrap()), (10, 4), "{split:?}");
        }
        let report = short.open(Split::Train, Some(&counter)).unwrap().report();
        assert_eq!((report.n_rows, report.n_overlong, report.dropped_overlong), (10, 6, true));
        assert!(report.to_string().contains("longest prompt 10 tokens; 6 too long, left out"), "{report}");
        let strict = of(format!("Folder(path: {path:?}, overlong: (max_tokens: 9, action: Error))"));
        let message = n(&strict, Split::Test).unwrap_err().to_string();
        assert!(message.contains("problems.jsonl") && message.contains("10 tokens"), "{message}");
        assert!(short.limits_prompts() && !all.limits_prompts());
        let message = short.problems(Split::Train, None).unwrap_err().to_string();
        assert!(message.contains("without a tokenizer"), "{message}");
        assert_eq!(all.problems(Split::Validation, Some(3)).unwrap().len(), 3);
        std::fs::remove_dir_all(dir.path().join("validation")).unwrap();
        assert!(all.problems(Split::Validation, None).unwrap_err().to_string().contains("validation"));
    }

    #[test]
    fn perception_problems_pass_the_filter_of_another_model() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perception.jsonl");
        let ron = |filter: &str| format!("Digits(world: (), problems_per_capability: 4, seed: 1{filter})");
        let of = |ron: &str| crate::config::options().from_str::<DataConfig>(ron).unwrap();
        let all = of(&ron(", problems_of: {\"perception\": 12}"));
        let perception = |data: &DataConfig, split| -> Vec<Problem> {
            let problems = data.problems(split, None).unwrap().into_iter();
            problems.filter(|problem| problem.capability == Capability::PERCEPTION).collect()
        };
        let attempted = perception(&all, Split::Train);
        assert_eq!((attempted.len(), all.problems(Split::Train, None).unwrap().len()), (12, 20));
        // Every other one is answered rightly.
        let mut table = PassRateTable::open(&path, &serde_json::Map::new()).unwrap();
        attempted.iter().enumerate().for_each(|(i, problem)| table.push(problem.id, &[i % 2 == 0]).unwrap());
        drop(table);
        let filtered = of(&ron(&format!(", perception_filter: {path:?}")));
        let wrong: Vec<Problem> = attempted.into_iter().skip(1).step_by(2).take(4).collect();
        assert_eq!(perception(&filtered, Split::Train), wrong);
        let (train, plain) = (filtered.problems(Split::Train, None).unwrap(), of(&ron("")));
        assert_eq!(train[4..], plain.problems(Split::Train, None).unwrap()[4..]);
        assert_eq!(perception(&filtered, Split::Test), perception(&plain, Split::Test));
        let more = of(&ron(&format!(
            ", problems_of: {{\"perception\": 8, \"textual_reasoning\": 0}}, perception_filter: {path:?}"
        )));
        let message = more.problems(Split::Train, None).unwrap_err().to_string();
        assert!(message.contains("perception_filter") && message.contains("is 6, expected"), "{message}");
    }

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
        let run = RunConfig::parse(include_str!("../../../../configs/digits_v1/qwen3_vl/staged.ron"), "", &[]).unwrap();
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
        assert!(DataConfig::Files(wrong).check().unwrap_err().to_string().starts_with("`validation + test` is 1.4"));
    }
}
