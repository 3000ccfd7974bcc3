//! Progress display of a run.

use crate::config::RunConfig;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seethink_train::{Event, Observer, StepRecord};
use std::path::Path;
use std::time::{Duration, Instant};

/// Progress display: prints a line every few steps, and a live bar where there is a terminal.
pub(crate) struct ProgressLine {
    bar: ProgressBar,
    total: Option<usize>,
    shown: bool,
    /// Start of this process's first step, for the remaining time.
    started: Option<Instant>,
    /// Number of steps of this process.
    n_seen: usize,
    last_line: Option<Instant>,
}

/// Shortest time between two lines of progress, except for lines after a test.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl ProgressLine {
    /// Creates the display of a run with these numbers of steps per stage; prints nothing unless
    /// `shown`.
    pub(crate) fn new(planned_steps: Option<Vec<usize>>, shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let total = planned_steps.map(|steps| steps.iter().sum());
        Self { bar, total, shown, started: None, n_seen: 0, last_line: None }
    }

    /// Formats the line printed before a run: number of problems, batch size, seed and folder.
    pub(crate) fn headline(config: &RunConfig, n_problems: usize, folder: &Path) -> String {
        let grpo = &config.grpo;
        format!(
            "{n_problems} problems, {} x {} completions a step, seed {}, run folder {}",
            grpo.rollout_batch,
            grpo.group_size,
            config.seed,
            folder.display()
        )
    }

    /// Creates the observer of the run's events.
    pub(crate) fn observer(mut self) -> Box<Observer> {
        Box::new(move |event| self.on(event))
    }

    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Stage { index, stage, steps } => {
                self.started.get_or_insert_with(Instant::now);
                let steps = steps.map_or(String::new(), |steps| format!(", {steps} steps"));
                self.line(&format!("stage {}: {}{steps}", index + 1, stage.name));
            }
            Event::Generating { done, wanted } => self.bar.set_message(format!("sampling {done}/{wanted}")),
            Event::Updating => self.bar.set_message("updating"),
            Event::Validating => self.bar.set_message("measuring held-out accuracy"),
            Event::Step { record, stage_step, planned_steps } => {
                self.n_seen += 1;
                let line = step_line(record, stage_step, planned_steps, self.secs_left(record.step));
                let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
                let measured = record.metrics.keys().any(|key| key.starts_with("test/"));
                if due || measured {
                    self.last_line = Some(Instant::now());
                    self.line(&line);
                }
                if measured {
                    self.line(&accuracy_line(record));
                }
            }
            Event::Checkpoint { .. } => {}
        }
        self.bar.tick();
    }

    fn line(&self, text: &str) {
        match (self.shown, self.bar.is_hidden()) {
            (false, _) => {}
            (true, true) => println!("{text}"),
            (true, false) => self.bar.println(text),
        }
    }

    fn secs_left(&self, step: usize) -> Option<f64> {
        let left = self.total?.saturating_sub(step);
        Some(self.started?.elapsed().as_secs_f64() / self.n_seen as f64 * left as f64)
    }
}

fn step_line(record: &StepRecord, stage_step: usize, of_stage: Option<usize>, secs_left: Option<f64>) -> String {
    let value = |key: &str| record.metrics.get(key).copied().unwrap_or(f64::NAN);
    let of_stage = of_stage.map_or(String::new(), |steps| format!("/{steps}"));
    let left =
        secs_left.map_or(String::new(), |secs| format!("  left {:02}:{:02}", secs as u64 / 60, secs as u64 % 60));
    format!(
        "{:<18} {stage_step:>3}{of_stage}  reward {:.3}  accuracy {:.3}  length {:>5.1}  kl {:.4}  {:.2} s/step{left}",
        record.stage,
        value("reward/mean"),
        value("reward/accuracy"),
        value("rollout/length"),
        value("grpo/kl"),
        value("time/step_secs"),
    )
}

fn accuracy_line(record: &StepRecord) -> String {
    let accuracies = record.metrics.iter().filter_map(|(key, value)| {
        let capability = key.strip_prefix("test/")?.strip_suffix("/accuracy")?;
        Some(format!("{capability} {:.1} %", 100.0 * value))
    });
    format!("  test accuracy: {}", accuracies.collect::<Vec<_>>().join(", "))
}
