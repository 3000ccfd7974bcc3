//! Command-line options of training programs.

use crate::config::{ConfigError, ModelSource, RunConfig};
use crate::job::Job;
use crate::{RunError, device, quick};
use seethink_models::WeightDtype;
use seethink_train::Interrupter;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Command-line options of a training program, shared by `seethink train` and the examples.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainArgs {
    /// Overrides of the configuration, such as grpo.group_size=16; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Short run for a first result with all stages and the report: at most 5 steps a stage, 16
    /// problems a step, 256 training and 64 test problems of a capability. --set takes precedence.
    #[arg(long)]
    pub quick: bool,
    /// Seed of the run.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Model to start from, instead of that of the configuration: a Hugging Face folder, or a name
    /// on its hub.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Number format of parameters and computation: f32 or bf16.
    #[arg(long)]
    pub dtype: Option<WeightDtype>,
    /// Run folder; a new one under runs/ if not given.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the run in --out from its last checkpoint.
    #[arg(long, requires = "out", conflicts_with_all = ["set", "quick", "seed", "model", "dtype"])]
    pub resume: bool,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Show burn's dashboard instead of a line of progress.
    #[arg(long)]
    pub dashboard: bool,
}

impl Default for TrainArgs {
    fn default() -> Self {
        Self {
            set: Vec::new(),
            quick: false,
            seed: None,
            model: None,
            dtype: None,
            out: None,
            resume: false,
            device: "auto".into(),
            dashboard: false,
        }
    }
}

impl TrainArgs {
    /// Reads a configuration with these options applied; `read` takes the overrides.
    ///
    /// # Errors
    /// If the configuration or an option is wrong.
    pub fn configure(&self, read: impl Fn(&[String]) -> Result<RunConfig, ConfigError>) -> Result<RunConfig, RunError> {
        let mut set = if self.quick { quick::overrides(&read(&[])?) } else { Vec::new() };
        if self.quick {
            println!("quick: {}", set.join(", "));
        }
        set.extend(self.set.clone());
        set.extend(self.seed.map(|seed| format!("seed={seed}")));
        let mut config = read(&set)?;
        if let Some(model) = &self.model {
            config.model = ModelSource::Pretrained(model.into());
        }
        if let Some(dtype) = self.dtype {
            config.dtype = dtype;
            config.check()?;
        }
        Ok(config)
    }

    /// Creates the job of these options with a configuration, in `out` or a new folder under `runs/`,
    /// named after `name` and the seed.
    ///
    /// # Errors
    /// If there is no device of this name.
    pub fn job<'a>(&self, config: RunConfig, name: &str) -> Result<Job<'a>, RunError> {
        let quick = if self.quick { "-quick" } else { "" };
        let free = || free_folder(&format!("runs/{name}{quick}-seed{}", config.seed));
        let folder = self.out.clone().unwrap_or_else(free);
        Ok(self.options_of(Job::new(config, folder, device(&self.device)?)))
    }

    /// Creates the job that continues the run in `out`.
    ///
    /// # Errors
    /// If there is no run to continue, or no such device.
    pub fn resumed<'a>(&self) -> Result<Job<'a>, RunError> {
        let folder = self.out.as_deref().unwrap_or(Path::new("."));
        Ok(self.options_of(Job::resumed(folder, device(&self.device)?)?))
    }

    fn options_of<'a>(&self, job: Job<'a>) -> Job<'a> {
        Job { dashboard: self.dashboard && std::io::stdout().is_terminal(), show_progress: !self.dashboard, ..job }
    }
}

/// Path of a free run folder: `name`, or `name-2`, `name-3`, … where a run is there already.
fn free_folder(name: &str) -> PathBuf {
    let candidates = std::iter::once(PathBuf::from(name)).chain((2..).map(|n| PathBuf::from(format!("{name}-{n}"))));
    candidates.into_iter().find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

/// Handles Ctrl-C: the first triggers the returned interrupter, which stops the job with a
/// checkpoint; the second ends the program.
///
/// To be called once per program.
pub fn interrupter() -> Interrupter {
    let interrupter = Interrupter::new();
    let stop = interrupter.clone();
    let handler = move || {
        if stop.should_stop() {
            std::process::exit(130);
        }
        eprintln!("\nstopping with a checkpoint; press Ctrl-C again to stop at once");
        stop.stop(Some("interrupted"));
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("Ctrl-C will not leave a checkpoint: {error}");
    }
    interrupter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quick;

    #[test]
    fn what_is_set_takes_precedence_over_a_quick_run() {
        const FILE: &str = include_str!("../../../configs/digits_v1/qwen3_vl/staged.ron");
        let configure = |quick, set: &[&str]| {
            let set = set.iter().map(|set| set.to_string()).collect();
            let args = TrainArgs { quick, set, ..TrainArgs::default() };
            args.configure(|set| RunConfig::parse(FILE, "staged.ron", set)).unwrap()
        };
        let plain = configure(false, &[]);
        assert_eq!(quick::overrides(&configure(true, &[])), [] as [&str; 0]);
        let chosen = configure(true, &["grpo.rollout_batch=24", "curriculum.Staged.epochs=AsNeeded(steps: 9)"]);
        assert_eq!((chosen.grpo.rollout_batch, chosen.grpo.mini_batch), (24, 16));
        let steps = |config: &RunConfig| match &config.curriculum {
            seethink_curriculum::CurriculumConfig::Staged(staged) => staged.epochs,
            other => panic!("{other:?}"),
        };
        assert_eq!(steps(&chosen), seethink_curriculum::Epochs::AsNeeded { steps: 9 });
        // What is not shortened is that of the configuration.
        assert_eq!((chosen.grpo.group_size, &chosen.model), (plain.grpo.group_size, &plain.model));
        assert_eq!(chosen.grpo.optimizer, plain.grpo.optimizer);
    }
}
