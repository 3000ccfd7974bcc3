//! Run configuration: all settings of a run, as one value and one file.
//!
//! Files are RON with two conveniences always on: `Some` may be left out, and `Staged(order: …)`
//! may stand for `Staged((order: …))`. Unknown keys are errors everywhere; errors name the file,
//! the line and the column.
//!
//! # Examples
//! ```
//! use seethink_run::RunConfig;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = &dir.path().join("short.ron");
//! # std::fs::copy("../../configs/digits_v1/qwen3_vl/staged.ron", path)?;
//! let config =
//!     RunConfig::load(path, &["seed=7".into(), "grpo.optimizer.learning_rate=3e-4".into()])?;
//! assert_eq!((config.seed, config.grpo.optimizer.learning_rate), (7, 3e-4));
//!
//! let error = RunConfig::load(path, &["grpo.grup_size=16".into()]).unwrap_err();
//! assert!(error.to_string().contains("group_size"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod data;
mod error;
mod overrides;

pub use data::{DataConfig, Generated, TokenCount, count_prompts, counter_name};
pub use error::ConfigError;

use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use seethink_core::SettingError;
use seethink_curriculum::CurriculumConfig;
use seethink_models::{ImageLimits, ProcessorError, VlmProcessor, WeightDtype};
use seethink_reward::AnswerReward;
use seethink_rollout::Sampling;
use seethink_train::{GrpoConfig, OptimizerConfig, SftConfig, StageConfig, TrainError};
use serde::de::{DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Configuration of a run: all settings that decide its outcome, except for the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of all random draws of the run.
    pub seed: u64,
    /// Model to be trained.
    pub model: ModelSource,
    /// Number format of parameters, moments and computation: `F32`, or `Bf16` for half the memory.
    ///
    /// RMS norms, softmaxes, log-probabilities and losses are taken in `f32` in any case.
    /// Parameters have no `f32` copies: an update smaller than 1/512 of a `Bf16` parameter is lost.
    #[serde(default)]
    pub dtype: WeightDtype,
    /// Limits on the size of pictures, beside the checkpoint's own.
    #[serde(default, skip_serializing_if = "ImageLimits::is_none")]
    pub images: ImageLimits,
    /// Training and evaluation data.
    pub data: DataConfig,
    /// Supervised fine-tuning on captions before the first step, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captions: Option<CaptionTuning>,
    /// Curriculum: the order and the stages of training.
    pub curriculum: CurriculumConfig,
    /// Settings of GRPO.
    pub grpo: GrpoConfig,
    /// Reward of completions, unless a stage overrides it.
    #[serde(default)]
    pub reward: AnswerReward,
    /// Named rewards for the overrides of stages.
    #[serde(default)]
    pub rewards: BTreeMap<String, AnswerReward>,
    /// Settings of the evaluation.
    pub evaluation: EvaluationConfig,
}

/// Model to start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSource {
    /// Small model of the digits world that ships with the programs, which has learnt to read
    /// narrow pictures of its own digits.
    DigitsBase {
        /// Family of the model.
        family: BaseFamily,
        /// Seed of its training: there are several models of a family, to tell what is of one of
        /// them from what is of all.
        #[serde(default = "first_base")]
        seed: u64,
    },
    /// Small model of a family that ships with the programs, deliberately under-trained on the
    /// first digits world.
    DigitsV1Base(BaseFamily),
    /// A Hugging Face folder, or a name on its hub.
    Pretrained(PathBuf),
}

fn first_base() -> u64 {
    1
}

/// Model families that ship a small base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BaseFamily {
    /// Qwen2.5-VL.
    Qwen2_5Vl,
    /// Qwen3-VL.
    #[default]
    Qwen3Vl,
    /// InternVL3.
    InternVl3,
    /// InternVL3.5.
    InternVl3_5,
}

impl BaseFamily {
    /// All families with their names on command lines.
    pub const ALL: [(&'static str, Self); 4] = [
        ("qwen2_5_vl", Self::Qwen2_5Vl),
        ("qwen3_vl", Self::Qwen3Vl),
        ("internvl3", Self::InternVl3),
        ("internvl3_5", Self::InternVl3_5),
    ];
}

impl FromStr for BaseFamily {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(one, _)| *one == name).map(|(_, family)| family);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(|(name, _)| name).join(", ")))
    }
}

/// Supervised fine-tuning on captions, with all parameters trainable: the baseline for a first
/// stage of reinforcement learning.
///
/// # Source
/// arXiv 2605.20177 §4.4, whose scripts state that the fine-tuning is full-parameter and asks for a
/// detailed caption, but no hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionTuning {
    /// Maximum number of captioned images of the training split.
    pub pictures: usize,
    /// Number of epochs over the images.
    pub epochs: usize,
    /// Number of images per optimiser step.
    pub batch: usize,
    /// Optimiser settings.
    pub optimizer: OptimizerConfig,
    /// Examples to imitate.
    #[serde(default, skip_serializing_if = "Imitated::is_captions")]
    pub of: Imitated,
}

/// Examples of the supervised fine-tuning before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Imitated {
    /// Captions of pictures.
    #[default]
    Captions,
    /// Solutions of the perception problems that a stage of rewards would draw from; of those without
    /// a solution the boxed answer.
    Perception,
}

impl Imitated {
    fn is_captions(&self) -> bool {
        *self == Self::Captions
    }
}

impl CaptionTuning {
    /// Settings of the supervised fine-tuning, with the prompt and the memory settings of the run.
    pub fn sft(&self, grpo: &GrpoConfig) -> SftConfig {
        let Self { epochs, batch, optimizer, .. } = *self;
        SftConfig { prompt: grpo.prompt.clone(), batch, epochs, optimizer, memory: grpo.memory }
    }
}

/// Settings of the evaluation between stages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Maximum number of held-out problems of each capability.
    pub problems_per_capability: usize,
    /// Maximum number of validation problems of each capability; a quarter of those of the test if
    /// not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_problems: Option<usize>,
    /// Sampling settings of the completions, one for each problem.
    pub sampling: Sampling,
    /// Number of answers of each capability that every test stores, for the report and for judges.
    #[serde(default = "EvaluationConfig::samples", skip_serializing_if = "EvaluationConfig::is_usual")]
    pub samples: usize,
}

impl EvaluationConfig {
    /// Default number of samples.
    fn samples() -> usize {
        12
    }

    fn is_usual(samples: &usize) -> bool {
        *samples == Self::samples()
    }
}

impl RunConfig {
    /// Loads a configuration file, applies `path=value` overrides in their order and checks the
    /// result.
    ///
    /// A path names keys, variants and positions: `grpo.group_size=16`,
    /// `curriculum.Staged.order=EasyToHard`, `curriculum.Staged.stages.0.length=Steps(40)`. A value
    /// is spelled as in a file or as in JSON; text needs no quotes.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, an override names an unknown key or has a value of the
    /// wrong type, or a value is out of range.
    pub fn load(path: impl AsRef<Path>, overrides: &[String]) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, overrides)
    }

    /// Parses text that was read already, as [`load`](Self::load) does; `path` is for errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, path: impl AsRef<Path>, overrides: &[String]) -> Result<Self, ConfigError> {
        let file = Self::from_ron(text, path.as_ref())?;
        let config = overrides.iter().try_fold(file, |config, assignment| overrides::apply(&config, assignment))?;
        config.check()?;
        Ok(config)
    }

    /// Parses the text of a file; `path` is for errors.
    ///
    /// # Errors
    /// If a key is unknown or missing, or a value is of the wrong type.
    fn from_ron(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut key = String::new();
        options().from_str_seed(text, Tracked { key: &mut key }).map_err(|error| {
            let (line, column) = (error.span.start.line, error.span.start.col);
            let source = text.lines().nth(line - 1).unwrap_or_default();
            // The parser reports the place before the space that precedes the error.
            let column = column + source.chars().skip(column - 1).take_while(|c| c.is_whitespace()).count();
            let excerpt = format!("{line:>5} | {source}\n      | {:>column$}", '^');
            ConfigError::Syntax { path: path.to_owned(), line, column, key, error: Box::new(error.code), excerpt }
        })
    }

    /// Formats the configuration as the text of a file, which [`load`](Self::load) reads back to an
    /// equal value.
    ///
    /// # Panics
    /// Never: a configuration can always be written.
    pub fn to_ron(&self) -> String {
        let pretty = PrettyConfig::new().compact_ranges(true);
        let mut text = options().to_string_pretty(self, pretty).expect("a configuration is plain data");
        text.push('\n');
        text
    }

    /// Loads the processor of a checkpoint folder, with the run's limits on the size of images.
    ///
    /// # Errors
    /// If a file is missing or malformed, or a limit does not suit the model.
    pub fn processor(&self, dir: &Path) -> Result<VlmProcessor, ProcessorError> {
        VlmProcessor::from_pretrained(dir)?.with_image_limits(&self.images)
    }

    /// Checks the values that need no problems and no model.
    ///
    /// # Errors
    /// If a value is out of range; the error names it.
    pub fn check(&self) -> Result<(), ConfigError> {
        fn wrong<E: Into<Box<dyn Error + Send + Sync>>>(section: &'static str) -> impl FnOnce(E) -> ConfigError {
            move |error| ConfigError::Setting { section, error: error.into() }
        }
        if self.dtype == WeightDtype::F16 {
            let expected = "F32 or Bf16: F16 loses small gradients, and losses are not scaled here";
            return Err(wrong("dtype")(SettingError::new("dtype", "F16", expected)));
        }
        self.images.check().map_err(wrong("images"))?;
        self.grpo.check(self.curriculum.stages()).map_err(wrong("grpo"))?;
        if self.curriculum.is_endless() {
            let expected = "it in `With(steps: …, policy: …)` or in a stage";
            return Err(wrong("curriculum")(SettingError::new("curriculum", "a policy that never ends", expected)));
        }
        for stage in self.curriculum.stages() {
            let StageConfig { reward, .. } = self.grpo.of_stage(stage).map_err(wrong("curriculum"))?;
            if let Some(reward) = reward.filter(|name| !self.rewards.contains_key(name)) {
                let known = self.rewards.keys().cloned().collect::<Vec<_>>().join(", ");
                let stage = stage.name.clone();
                return Err(wrong("curriculum")(TrainError::UnknownReward { stage, reward, known }));
            }
        }
        self.reward.check().map_err(wrong("reward"))?;
        self.rewards.values().try_for_each(|reward| reward.check()).map_err(wrong("rewards"))?;
        self.evaluation.sampling.check().map_err(wrong("evaluation"))?;
        if self.evaluation.problems_per_capability == 0 {
            return Err(wrong("evaluation")(no_problems()));
        }
        if let Some(captions) = &self.captions {
            captions.sft(&self.grpo).check().map_err(wrong("captions"))?;
            if captions.pictures == 0 {
                return Err(wrong("captions")(SettingError::new("pictures", 0, "at least 1")));
            }
        }
        self.data.check().map_err(wrong("data"))?;
        Ok(())
    }
}

/// Error of a number of problems that is zero.
fn no_problems() -> SettingError {
    SettingError::new("problems_per_capability", 0, "at least 1")
}

/// Options of the RON parser.
fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME | Extensions::UNWRAP_VARIANT_NEWTYPES)
}

/// Deserialiser that records in `key` the place of an error.
struct Tracked<'a> {
    key: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for Tracked<'_> {
    type Value = RunConfig;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RunConfig, D::Error> {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            *self.key = error.path().to_string();
            error.into_inner()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_curriculum::{Length, Order};
    use seethink_data::digits_v1::DigitsConfig;

    const FILE: &str = include_str!("../../../../configs/digits_v1/qwen3_vl/staged.ron");

    fn read(text: &str) -> Result<RunConfig, ConfigError> {
        RunConfig::from_ron(text, Path::new("run.ron"))
    }

    fn set(assignments: &[&str]) -> Result<RunConfig, ConfigError> {
        assignments.iter().try_fold(read(FILE)?, |config, assignment| overrides::apply(&config, assignment))
    }

    /// Error of the file with `what` replaced by `by`.
    #[track_caller]
    fn spoil(what: &str, by: &str) -> String {
        assert!(FILE.contains(what), "{what}");
        read(&FILE.replacen(what, by, 1)).unwrap_err().to_string()
    }

    #[test]
    fn errors_in_a_file_say_where_and_what_was_expected() {
        let cases = [
            ("group_size: 8", "grup_size: 8", "in grpo: unknown key `grup_size`; expected one of `prompt`, "),
            ("group_size: 8", "group_size: \"8\"", "in grpo.group_size: expected integer"),
            ("group_size: 8,", "group_size: 8.5,", "in grpo: expected comma"),
            ("Shuffled", "Sideways", "order: unknown variant `Sideways`; expected one of `Shuffled`, `EasyToHard`"),
            ("Staged(", "Stagd(", "in curriculum: unknown variant `Stagd`; expected one of `Merged`, `Staged`, "),
            ("kl_coef: 0.01", "kl_coef: low", "in grpo.loss.kl_coef: expected float"),
            ("4..=6", "4..6", "in data.DigitsV1.world.cells: expected `..=`"),
            ("(steps: 40)", "(step: 40)", "epochs.AsNeeded: unknown key `step`; expected `steps`"),
            ("seed: 1,", "seed: 1, seed: 1,", "key `seed` stands here twice"),
            ("DigitsV1Base(Qwen3Vl)", "Pretrained(7)", "in model.Pretrained: expected string"),
        ];
        for (what, by, expected) in cases {
            let message = spoil(what, by);
            let line = 1 + FILE[..FILE.find(what).unwrap()].matches('\n').count();
            assert!(message.starts_with(&format!("run.ron:{line}:")), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn columns_point_at_the_trouble() {
        for (what, by) in [("group_size: 8,", "group_size: @,"), ("kl_coef: 0.01", "kl_coef: @"), ("Shuffled", "@")] {
            let text = FILE.replacen(what, by, 1);
            let ConfigError::Syntax { line, column, excerpt, .. } = read(&text).unwrap_err() else { panic!("{by}") };
            assert_eq!(text.lines().nth(line - 1).unwrap().chars().nth(column - 1), Some('@'));
            let [shown, mark] = excerpt.lines().collect::<Vec<_>>()[..] else { panic!("{excerpt}") };
            assert_eq!(shown.find('@'), mark.find('^'), "{excerpt}");
        }
    }

    #[test]
    fn missing_keys_are_named_with_what_lacks_them() {
        assert!(spoil("seed: 1,", "").contains("missing key `seed`"));
        assert!(spoil("group_size: 8,", "").contains("in grpo: missing key `group_size`"));
        assert!(spoil("order: Shuffled,", "").contains("in curriculum.Staged: missing key `order`"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = RunConfig::load("nowhere/run.ron", &[]).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }) && error.to_string().contains("nowhere/run.ron"), "{error}");
    }

    #[test]
    fn overrides_reach_every_kind_of_value() {
        let config = set(&[
            "seed=18446744073709551615",
            "model=Pretrained(runs/my base)",
            "data.DigitsV1.world.cells=4..=9",
            "curriculum.Staged.order=EasyToHard",
            "curriculum.Staged.epochs=PerStage(3)",
            "curriculum.Staged.stages.0.length=Steps(40)",
            "curriculum.Staged.stages[1].overrides.learning_rate=Some(1e-5)",
            "curriculum.Staged.stages[2].trainable=(vision_encoder: false, projector: true, language_model: true)",
            "grpo.prompt.system=Be brief, but think.",
            "grpo.sampling.top_p=0.95",
            "grpo.optimizer.betas=(0.8, 0.95)",
            "grpo.optimizer.schedule.decay = Cosine",
            "evaluation.samples=3",
        ]);
        let config = config.unwrap();
        assert_eq!((config.seed, config.grpo.sampling.top_p), (u64::MAX, 0.95));
        assert_eq!(config.model, ModelSource::Pretrained("runs/my base".into()));
        let DataConfig::DigitsV1(Generated { world, .. }) = &config.data else { panic!("{:?}", config.data) };
        assert_eq!(*world, DigitsConfig { cells: 4..=9, operations: 1..=3, ..DigitsConfig::default() });
        let CurriculumConfig::Staged(staged) = &config.curriculum else { panic!("{:?}", config.curriculum) };
        assert_eq!(staged.order, Order::EasyToHard);
        assert_eq!(staged.epochs, seethink_curriculum::Epochs::PerStage(3));
        assert_eq!(staged.stages[0].length, Some(Length::Steps(40)));
        assert_eq!(staged.stages[1].overrides.0["learning_rate"], 1e-5.into());
        assert!(!staged.stages[2].trainable.vision_encoder);
        assert_eq!(config.grpo.prompt.system.as_deref(), Some("Be brief, but think."));
        assert_eq!(config.grpo.optimizer.betas, (0.8, 0.95));
        assert_eq!(config.grpo.optimizer.schedule.decay, seethink_train::Decay::Cosine);
        assert_eq!(config.evaluation.samples, 3);
        // An option set to none, and a variant replaced as a whole.
        let config = overrides::apply(&config, "grpo.prompt.system=None").unwrap();
        assert_eq!(config.grpo.prompt.system, None);
        let merged = "curriculum=Merged(order: Shuffled, epochs: AsNeeded(steps: 3), last_batch: Keep)";
        let config = overrides::apply(&config, merged).unwrap();
        assert!(matches!(config.curriculum, CurriculumConfig::Merged(_)));
    }

    #[test]
    fn overrides_leave_everything_else_as_it_was() {
        let mut config = read(FILE).unwrap();
        config.grpo.sampling.temperature = f32::from_bits(0x3dcc_cccd);
        config.grpo.optimizer.epsilon = f32::MIN_POSITIVE;
        config.grpo.loss.kl_coef = 1.0 / 3.0;
        config.seed = u64::MAX;
        let CurriculumConfig::Staged(staged) = &mut config.curriculum else { panic!() };
        staged.stages[0].overrides.set("kl_coef", 0.1);
        staged.stages[1].length = Some(Length::Epochs(2));
        for same in ["grpo.group_size=8", "model=DigitsV1Base(Qwen3Vl)", "curriculum.Staged.stages.2.length=None"] {
            assert_eq!(overrides::apply(&config, same).unwrap(), config);
        }
        assert_eq!(read(&config.to_ron()).unwrap(), config, "{}", config.to_ron());
        config.grpo.optimizer.max_grad_norm = f64::INFINITY;
        assert_eq!(read(&config.to_ron()).unwrap(), config);
        assert!(matches!(overrides::apply(&config, "seed=1"), Err(ConfigError::NotFinite)));
    }

    #[test]
    fn wrong_overrides_say_what_would_be_right() {
        let cases = [
            ("grpo.grup_size=16", "no `grup_size` in `grpo`; expected one of `prompt`, `rollout_batch`, `group_size`"),
            ("gpro.group_size=16", "no `gpro` in the configuration; expected one of `seed`, `model`"),
            ("curriculum.order=Shuffled", "no `order` in `curriculum`; expected `Staged`"),
            ("curriculum.Staged.stages.3.name=x", "no `3` in `stages`; expected one of `0`, `1`, `2`"),
            ("seed.x=1", "no `x` in `seed`; it has no parts"),
            ("grpo.group_size=16.5", "grpo.group_size: invalid type: floating point `16.5`, expected usize"),
            (
                "grpo.loss=(clip_low: 0.2, clip: 0.3)",
                "grpo.loss.clip: unknown field `clip`, expected one of `clip_low`",
            ),
            ("images.maxpixels=5", "images.maxpixels: unknown field `maxpixels`, expected one of `min_pixels`"),
            ("imges.max_pixels=5", "no `imges` in the configuration; expected one of `seed`, `model`"),
            ("captions.optimizer.rate=5", "captions.optimizer.rate: unknown field `rate`"),
            ("captions=(pictures: 1, epoch: 1)", "captions.epoch: unknown field `epoch`"),
            ("curriculum.Staged.order=Sideways", "unknown variant `Sideways`, expected one of `Shuffled`"),
            ("seed", "expected path=value"),
            ("=1", "expected path=value"),
        ];
        for (assignment, expected) in cases {
            let message = set(&[assignment]).unwrap_err().to_string();
            assert!(message.contains(&format!("`--set {assignment}`")) && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let cases = [
            ("grpo.group_size=1", "group_size"),
            ("grpo.sampling.top_p=0", "`grpo.sampling.top_p` is 0"),
            ("grpo.mini_batch=33", "mini_batch"),
            ("grpo.optimizer.betas=(1.0, 0.9)", "`grpo.optimizer` is "),
            ("evaluation.sampling.top_p=0", "top_p"),
            ("evaluation.problems_per_capability=0", "problems_per_capability"),
            ("data.DigitsV1.problems_per_capability=0", "problems_per_capability"),
            ("data.DigitsV1.world.cells=1..=9", "`world.cells` is 1..=9"),
            ("reward.rule=Numeric(absolute: -1.0, relative: 0.0)", "`rule.absolute` is -1"),
            ("reward.penalties=[(1.0, Repetition(ngram: 0))]", "`repetition.ngram` is 0"),
            ("images.max_pixels=0", "`max_pixels` is 0"),
            ("images=(min_pixels: 9, max_pixels: 8)", "`min_pixels` is 9, expected at most max_pixels, 8"),
            ("data=Folder(path: x, overlong: (max_tokens: 0))", "`overlong.max_tokens` is 0"),
        ];
        assert!(read(FILE).unwrap().check().is_ok());
        let mut named = read(FILE).unwrap();
        let overlong = seethink_reward::Penalty::Overlong { max_tokens: 64, buffer: 65, unbounded: false };
        named.rewards.insert("short".into(), AnswerReward { penalties: vec![(0.5, overlong)], ..Default::default() });
        let message = named.check().unwrap_err().to_string();
        assert!(message.contains("in rewards: ") && message.contains("`overlong.buffer` is 65"), "{message}");
        let stage = set(&["curriculum.Staged.stages[1].overrides.clip_low=Some(1.2)"]).unwrap();
        let message = stage.check().unwrap_err().to_string();
        assert!(
            message.contains("stage `textual_reasoning`, `grpo.loss`") && message.contains("clip_low in [0, 1)"),
            "{message}"
        );
        // Overrides of a stage, which a file leaves out where there are none.
        let stage = |value: &str| set(&[&format!("curriculum.Staged.stages[1].overrides.{value}")]).unwrap();
        assert_eq!(stage("dual_clip=0").check().map_err(|error| error.to_string()), Ok(()));
        assert_eq!(stage("warmup=0.05").check().map_err(|error| error.to_string()), Ok(()));
        for (value, expected) in
            [("dual_clip=0.9", "dual_clip above 1, or 0 for none"), ("warmup=5", "warmup and floor")]
        {
            let message = stage(value).check().unwrap_err().to_string();
            assert!(message.contains("stage `textual_reasoning`, `grpo.") && message.contains(expected), "{message}");
        }
        for (value, expected) in
            [("lr=0.1", "`overrides.lr` is 0.1"), ("max_tokens=0.5", "`overrides.max_tokens` is 0.5")]
        {
            let message = stage(value).check().unwrap_err().to_string();
            assert!(message.contains("stage `textual_reasoning`, `") && message.contains(expected), "{message}");
        }
        for (assignment, name) in cases {
            let message = set(&[assignment]).unwrap().check().unwrap_err().to_string();
            let section = assignment.split(['.', '=']).next().unwrap();
            assert!(message.contains(&format!("in {section}: ")) && message.contains(name), "{message}");
        }
    }
}
