//! Overrides that shorten a run to a first result (`--quick`).

use crate::config::{DataConfig, Generated, RunConfig};
use seethink_curriculum::{
    CurriculumConfig, E2h, Epochs, Length, Merged, Mix, Repeat, Sections, Stage, Staged, WarmStart, With,
};

/// Steps of a stage.
const STEPS: u32 = 5;
/// Problems of a step.
const BATCH: usize = 16;
/// Training problems of each capability, and captioned images.
const PROBLEMS: usize = 256;
/// Test problems of each capability.
const TEST_PROBLEMS: usize = 64;

/// Overrides, as `--set` takes them, that shorten the run of a configuration: fewer steps in every
/// stage, and smaller batches, training sets and tests. Values that are small enough are left as
/// they are.
///
/// The steps of a [`Custom`](CurriculumConfig::Custom) curriculum are left to its program.
pub(crate) fn overrides(config: &RunConfig) -> Vec<String> {
    let mut shorter = Shorter(Vec::new());
    shorter.curriculum(&config.curriculum, "curriculum");
    shorter.at_most("grpo.rollout_batch", config.grpo.rollout_batch, BATCH);
    shorter.at_most("grpo.mini_batch", config.grpo.mini_batch, BATCH);
    match &config.data {
        DataConfig::Digits(of) => shorter.problems("data.Digits", of),
        DataConfig::DigitsV1(of) => shorter.problems("data.DigitsV1", of),
        DataConfig::Folder { .. } | DataConfig::Files(_) => {}
    }
    if let Some(captions) = &config.captions {
        shorter.at_most("captions.pictures", captions.pictures, PROBLEMS);
        shorter.at_most("captions.epochs", captions.epochs, 1);
    }
    shorter.at_most("evaluation.problems_per_capability", config.evaluation.problems_per_capability, TEST_PROBLEMS);
    shorter.0
}

/// Overrides so far.
struct Shorter(Vec<String>);

impl Shorter {
    /// Limits a number.
    fn at_most<N: PartialOrd + std::fmt::Display>(&mut self, path: &str, value: N, most: N) {
        if value > most {
            self.0.push(format!("{path}={most}"));
        }
    }

    /// Limits the training problems of a built-in world.
    fn problems<W>(&mut self, path: &str, of: &Generated<W>) {
        self.at_most(&format!("{path}.problems_per_capability"), of.problems_per_capability, PROBLEMS);
        for (capability, &n) in &of.problems_of {
            self.at_most(&format!("{path}.problems_of.{capability}"), n, PROBLEMS);
        }
    }

    /// Limits the steps of a curriculum.
    fn curriculum(&mut self, curriculum: &CurriculumConfig, path: &str) {
        use CurriculumConfig as C;
        match curriculum {
            C::Merged(Merged { stage, epochs, .. }) => {
                self.epochs(epochs, &format!("{path}.Merged"));
                self.length(stage, &format!("{path}.Merged.stage"));
            }
            C::Staged(Staged { stages, epochs, .. }) => {
                self.epochs(epochs, &format!("{path}.Staged"));
                for (i, stage) in stages.iter().enumerate() {
                    self.length(stage, &format!("{path}.Staged.stages.{i}"));
                }
            }
            C::With(With { policy, steps, .. }) => {
                let n_stages = curriculum.stages().len().max(1) as u32;
                self.at_most(&format!("{path}.With.steps"), steps.unwrap_or(0), STEPS * n_stages);
                self.curriculum(policy, &format!("{path}.With.policy"));
            }
            C::Mix(Mix { parts }) => {
                for (i, (_, policy)) in parts.iter().enumerate() {
                    self.curriculum(policy, &format!("{path}.Mix.parts.{i}.1"));
                }
            }
            C::WarmStart(WarmStart { steps, then, .. }) => {
                self.at_most(&format!("{path}.WarmStart.steps"), *steps, STEPS);
                self.curriculum(then, &format!("{path}.WarmStart.then"));
            }
            C::Sections(Sections { stages, .. }) => {
                for (i, stage) in stages.iter().enumerate() {
                    if !matches!(stage.length, Some(Length::Steps(steps)) if steps <= STEPS) {
                        self.0.push(format!("{path}.Sections.stages.{i}.length=Steps({STEPS})"));
                    }
                }
            }
            C::Repeat(Repeat { times, policy }) => {
                self.at_most(&format!("{path}.Repeat.times"), *times, 1);
                self.curriculum(policy, &format!("{path}.Repeat.policy"));
            }
            C::Band(band) => self.curriculum(&band.policy, &format!("{path}.Band.policy")),
            C::Replay(replay) => self.curriculum(&replay.policy, &format!("{path}.Replay.policy")),
            C::E2h(E2h { steps, .. }) => self.at_most(&format!("{path}.E2h.steps"), *steps, STEPS),
            // They end with the curriculum around them.
            C::AdaRft(_)
            | C::Sec(_)
            | C::Dump(_)
            | C::Ladder(_)
            | C::Pools(_)
            | C::Vas(_)
            | C::FgExpo(_)
            | C::Review(_)
            | C::Custom(_) => {}
        }
    }

    /// Limits the steps of stages without a length of their own.
    fn epochs(&mut self, epochs: &Epochs, path: &str) {
        if !matches!(epochs, Epochs::AsNeeded { steps } if *steps <= STEPS) {
            self.0.push(format!("{path}.epochs=AsNeeded(steps: {STEPS})"));
        }
    }

    /// Limits the steps of a stage with a length of its own.
    fn length(&mut self, stage: &Stage, path: &str) {
        if stage.length.is_some_and(|length| !matches!(length, Length::Steps(steps) if steps <= STEPS)) {
            self.0.push(format!("{path}.length=Steps({STEPS})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::{Capability, PassRate, ProblemId};
    use seethink_curriculum::{Corpus, CorpusEntry, Simulation};

    const FILE: &str = include_str!("../../../configs/digits_v1/qwen3_vl/staged.ron");

    /// Configuration of the file with a curriculum, and its steps by stage, before and after it is
    /// shortened.
    fn steps(curriculum: &str) -> [Vec<usize>; 2] {
        let entry = |id: u64| CorpusEntry {
            pass_rate: PassRate::new((id % 11) as f32 / 10.0).ok(),
            ..CorpusEntry::new(ProblemId(id), Capability::ALL[id as usize % 3].clone())
        };
        let corpus = Corpus::new((0..600).map(entry)).unwrap();
        let whole = RunConfig::parse(FILE, "run.ron", &[format!("curriculum={curriculum}")]).unwrap();
        let set: Vec<String> = [format!("curriculum={curriculum}")].into_iter().chain(overrides(&whole)).collect();
        let quick = RunConfig::parse(FILE, "run.ron", &set).unwrap();
        assert_eq!(overrides(&quick), [] as [&str; 0], "{set:?}");
        [whole, quick].map(|config| {
            let mut course = config.curriculum.build(&corpus, 1).unwrap();
            let batch = config.grpo.rollout_batch;
            let simulation = Simulation { batch, group_size: 4, max_draws: 1, max_steps: 500, seed: 1 };
            let drawn = simulation.run(&mut course, &corpus, &mut |_: &CorpusEntry| 0.5);
            let mut steps = vec![0; course.curriculum().stages().len()];
            drawn.iter().for_each(|step| steps[step.stage] += 1);
            steps
        })
    }

    #[test]
    fn every_stage_of_every_curriculum_is_shortened_and_none_is_left_out() {
        let staged = |stages: &str, epochs: &str| {
            let stages = if stages.is_empty() { String::new() } else { format!("stages: [{stages}], ") };
            format!("Staged({stages}order: Shuffled, epochs: {epochs}, last_batch: Drop)")
        };
        let merged = "Merged(order: Shuffled, epochs: PerStage(9), last_batch: Drop)";
        let bandit = "Sec(by: (axes: [Capability]), rate: 0.5, temperature: 1.0)";
        let lengths = "(name: a, length: Steps(20)), (name: b, length: Epochs(4)), \
                       (name: c, length: Plateau(quantity: Accuracy, gain: 0.0, window: 2, at_most: 30))";
        let cases = [
            (merged.to_owned(), vec![5]),
            (staged("", "AsNeeded(steps: 40)"), vec![5; 3]),
            (staged("", "AsNeeded(steps: 4)"), vec![4; 3]),
            (staged("", "PerStage(2)"), vec![5; 3]),
            (staged("", "OverWholePlan(3)"), vec![5; 3]),
            (staged(lengths, "PerStage(1)"), vec![5; 3]),
            (staged("(name: a, length: Steps(3)), (name: b)", "AsNeeded(steps: 40)"), vec![3, 5]),
            (format!("With(policy: {bandit}, steps: 100)"), vec![5]),
            (format!("With(policy: {}, steps: 100)", staged("", "AsNeeded(steps: 40)")), vec![5; 3]),
            (format!("With(policy: {merged}, rules: [ZeroVariance()])"), vec![5]),
            (format!("Repeat(times: 4, policy: {merged})"), vec![5]),
            (format!("Band(axis: PassRate, at_least: 0.1, policy: {merged})"), vec![5]),
            (format!("Replay(share: 0.5, capacity: 8, policy: {merged})"), vec![5]),
            (format!("WarmStart(steps: 30, first: {merged}, then: {merged})"), vec![10]),
            ("E2h(by: (axes: [PassRate]), schedule: Cosine, steps: 60)".to_owned(), vec![5]),
        ];
        for (curriculum, expected) in cases {
            let [whole, quick] = steps(&curriculum);
            assert_eq!(quick, expected, "{curriculum}");
            assert!(whole >= quick, "{curriculum}: {whole:?}");
        }
        // Each of two parts fills a share of every batch.
        let [whole, quick] = steps(&format!("Mix(parts: [(1.0, {merged}), (1.0, {merged})])"));
        assert!(whole[0] > 20 && quick[0] <= 10, "{whole:?} {quick:?}");
    }

    #[test]
    fn captions_are_shortened_where_there_are_any() {
        let plain = RunConfig::parse(FILE, "run.ron", &[]).unwrap();
        assert!(!overrides(&plain).iter().any(|set| set.starts_with("captions")));
        let optimizer = "(learning_rate: 1e-3, betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.0, max_grad_norm: 1.0, \
                         schedule: (warmup: 0.0, decay: Constant, floor: 0.0))";
        let captions = format!("captions=(pictures: 900, epochs: 1, batch: 4, optimizer: {optimizer})");
        let set = overrides(&RunConfig::parse(FILE, "run.ron", &[captions]).unwrap());
        let of_captions: Vec<_> = set.iter().filter(|set| set.starts_with("captions")).collect();
        assert_eq!(of_captions, ["captions.pictures=256"]);
    }
}
