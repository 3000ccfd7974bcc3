//! Configuration of curricula: the policies by name, as a configuration file chooses one.

use crate::policy_config::PolicyConfig;
use crate::{
    AdaRft, Band, Corpus, Course, Curriculum, CurriculumError, Dump, E2h, FgExpo, Ladder, Merged, Mix, Overrides,
    Pools, Repeat, Replay, Review, Sec, Sections, Stage, Staged, Vas, WarmStart, With,
};
use seethink_core::{Purpose, Rng, Trainable};
use serde::{Deserialize, Serialize};

/// Declares a variant of [`CurriculumConfig`] per policy: a new policy is a line below and its file.
macro_rules! policies {
    ($($(#[$doc:meta])* $policy:ident,)*) => {
        /// Configuration of a curriculum: a policy with its settings.
        ///
        /// RON reads the syntax below with its extension `unwrap_variant_newtypes`; without it, the syntax
        /// is `Staged((…))`.
        ///
        /// # Examples
        /// ```
        /// use seethink_curriculum::{CurriculumConfig, Length};
        ///
        /// let text = r#"
        /// #![enable(unwrap_variant_newtypes)]
        /// Staged(
        ///     stages: [
        ///         (name: "perception", capabilities: ["perception"], length: Some(Epochs(16))),
        ///         (name: "reasoning", capabilities: ["textual_reasoning", "visual_reasoning"],
        ///          overrides: (learning_rate: Some(3e-7), kl_coef: Some(0.05))),
        ///     ],
        ///     order: EasyToHard,
        ///     epochs: PerStage(15),
        ///     last_batch: Keep,
        /// )
        /// "#;
        /// let CurriculumConfig::Staged(staged) = ron::from_str(text)? else { panic!() };
        /// assert_eq!(staged.stages[0].length, Some(Length::Epochs(16)));
        /// # Ok::<(), ron::error::SpannedError>(())
        /// ```
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum CurriculumConfig {
            $($(#[$doc])* $policy($policy),)*
            /// Custom curriculum, built by a program; the configuration of its run only names it.
            Custom(String),
        }

        impl CurriculumConfig {
            /// Settings of the policy.
            ///
            /// # Errors
            /// If the curriculum is [`Custom`](Self::Custom).
            fn settings(&self) -> Result<&dyn PolicyConfig, CurriculumError> {
                match self {
                    $(Self::$policy(settings) => Ok(settings),)*
                    Self::Custom(name) => Err(CurriculumError::Custom { name: name.clone() }),
                }
            }

            /// The [`settings`](Self::settings), to change them.
            fn settings_mut(&mut self) -> Option<&mut dyn PolicyConfig> {
                match self {
                    $(Self::$policy(settings) => Some(settings),)*
                    Self::Custom(_) => None,
                }
            }
        }
    };
}

policies! {
    /// All capabilities at once.
    Merged,
    /// One stage after the other.
    Staged,
    /// Policy under rules, or with an end.
    With,
    /// Policies side by side, each with its share of every batch.
    Mix,
    /// One policy, then another (warm start).
    WarmStart,
    /// One policy cut into stages: resets without an order.
    Sections,
    /// Curriculum several times over.
    Repeat,
    /// Policy over the problems in a range of an axis.
    Band,
    /// Experience replay: a share of every batch for groups of earlier steps.
    Replay,
    /// Problems nearest to a target difficulty.
    AdaRft,
    /// Bandit over categories.
    Sec,
    /// Upper confidence bounds over categories.
    Dump,
    /// Levels by a schedule from easy to hard.
    E2h,
    /// Levels up and down, by success and failure.
    Ladder,
    /// Pools of problems by the latest result.
    Pools,
    /// Variance-aware sampling: half of a batch where rewards vary.
    Vas,
    /// Gaussian weights around a pass rate.
    FgExpo,
    /// Spaced review: mastered problems at growing intervals.
    Review,
}

impl CurriculumConfig {
    /// Stages as configured; empty for a policy that defines none.
    pub fn stages(&self) -> &[Stage] {
        self.settings().map_or(&[], PolicyConfig::stages)
    }

    /// The [`stages`](Self::stages), to change them. Stages in the parts of a mix, in the first
    /// policy of a warm start and in the policy of a stage have no settings of the trainer: they are
    /// refused there.
    pub fn stages_mut(&mut self) -> &mut [Stage] {
        self.settings_mut().map_or(&mut [], PolicyConfig::stages_mut)
    }

    /// Returns whether the curriculum never ends by itself.
    pub fn is_endless(&self) -> bool {
        self.settings().is_ok_and(PolicyConfig::is_endless)
    }

    /// Builds the curriculum over a corpus. Equal arguments give equal draws.
    ///
    /// # Errors
    /// If a setting is out of range, a stage has no problems, a problem lacks a property that the
    /// curriculum uses, or the curriculum is [`Custom`](Self::Custom).
    pub fn build(&self, corpus: &Corpus, seed: u64) -> Result<Course, CurriculumError> {
        let settings = format!("{seed} {:?}", self.drawing());
        Ok(Course::with_settings(self.build_policy(corpus, seed)?, corpus, &settings))
    }

    /// Builds the policy that draws the problems.
    pub(crate) fn build_policy(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        self.settings()?.build(corpus, seed)
    }

    /// Builds the policy as part `index` of a larger curriculum, with random draws of its own.
    pub(crate) fn build_part(
        &self,
        corpus: &Corpus,
        seed: u64,
        index: usize,
    ) -> Result<Box<dyn Curriculum>, CurriculumError> {
        const PARTS: u64 = u64::MAX; // No pass of a plan has this number: walks are keyed by it.
        self.build_policy(corpus, Rng::new(seed, Purpose::Curriculum, &[PARTS, index as u64]).next_u64())
    }

    /// Builds the policy as [`build_part`](Self::build_part) does, and refuses stages and settings of the
    /// trainer, which a part of `policy` cannot have.
    pub(crate) fn single(
        &self,
        policy: &'static str,
        corpus: &Corpus,
        seed: u64,
        index: usize,
    ) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let part = self.build_part(corpus, seed, index)?;
        if *self != self.drawing() {
            return Err(CurriculumError::NestedSettings { policy });
        }
        match part.stages() {
            [_] => Ok(part),
            stages => {
                let stages = stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", ");
                Err(CurriculumError::NestedStages { policy, stages })
            }
        }
    }

    /// Copy without the settings that only the trainer reads, which do not affect the draws.
    fn drawing(&self) -> Self {
        let mut config = self.clone();
        for stage in config.stages_mut() {
            stage.trainable = Trainable::ALL;
            stage.reset_optimizer = true;
            stage.snapshot_reference = true;
            stage.overrides = Overrides::default();
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::three;
    use ron::extensions::Extensions;

    fn read(text: &str) -> Result<CurriculumConfig, ron::error::SpannedError> {
        ron::Options::default().with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES).from_str(text)
    }

    #[test]
    fn the_four_cells_of_capability_and_difficulty_are_two_fields_each() {
        let corpus = three(4, 4, 4);
        for (policy, n_stages) in [("Merged", 1), ("Staged", 3)] {
            for order in ["Shuffled", "EasyToHard"] {
                let text = format!("{policy}(order: {order}, epochs: PerStage(1), last_batch: Keep)");
                let curriculum = read(&text).unwrap().build(&corpus, 1).unwrap();
                assert_eq!(curriculum.curriculum().stages().len(), n_stages);
            }
        }
    }

    #[test]
    fn axes_are_always_spelled_out_and_unknown_keys_refused() {
        let wrong = [
            ("Merged(order: Shuffled, last_batch: Keep)", "epochs"),
            ("Merged(order: Shuffled, epochs: PerStage(1))", "last_batch"),
            ("Staged(epochs: PerStage(1), last_batch: Keep)", "order"),
            ("Staged(order: Sideways, epochs: PerStage(1), last_batch: Keep)", "EasyToHard"),
            ("Staged(order: Shuffled, epochs: PerStage(1), last_batch: Keep, shuffle: true)", "shuffle"),
            ("Mixed(order: Shuffled)", "Staged"),
        ];
        for (text, expected) in wrong {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn settings_that_nobody_would_read_are_refused() {
        let corpus = three(4, 4, 4);
        let merged = |stage: &str| {
            format!("Merged(stage: (name: \"inner\"{stage}), order: Shuffled, epochs: PerStage(1), last_batch: Keep)")
        };
        let held = |inner: &str| {
            let staged = format!(
                "Staged(stages: [(name: \"outer\", policy: Some({inner}))], order: Shuffled, epochs: PerStage(1), last_batch: Keep)"
            );
            [
                staged,
                format!("Mix(parts: [(1.0, {inner})])"),
                format!("WarmStart(steps: 1, first: {inner}, then: {inner})"),
            ]
        };
        for text in held(&merged("")) {
            assert!(read(&text).unwrap().build(&corpus, 1).is_ok(), "{text}");
        }
        for setting in [", reset_optimizer: false", ", overrides: (kl_coef: Some(0.1))"] {
            // The setting is refused at any depth.
            let (inner, plain) = (merged(setting), merged(""));
            let wrapped = [
                inner.clone(),
                format!("With(policy: {inner})"),
                format!("Repeat(times: 1, policy: {inner})"),
                format!("Band(axis: PassRate, policy: {inner})"),
                format!("Replay(share: 0.0, capacity: 0, policy: {inner})"),
                format!("Mix(parts: [(1.0, {inner})])"),
                format!("WarmStart(steps: 1, first: {inner}, then: {plain})"),
                format!("WarmStart(steps: 1, first: {plain}, then: {inner})"),
                format!(
                    "Staged(stages: [(name: \"inner\"{setting})], order: Shuffled, epochs: PerStage(1), last_batch: Keep)"
                ),
            ];
            for text in wrapped.iter().flat_map(|wrapped| held(wrapped)) {
                let message = read(&text).unwrap().build(&corpus, 1).unwrap_err().to_string();
                assert!(message.contains("outermost"), "{text}: {message}");
            }
        }
    }

    /// Settings that a file may leave out (`#` marks the place), with their documented defaults.
    #[test]
    fn settings_left_out_have_their_documented_values() {
        let merged = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let levels = "by: (axes: [PassRate])";
        let rule = |rule: &str| format!("With(policy: {merged}, rules: [{rule}])");
        let pools = "pools: [(name: \"hard\", up_to: 0.25, weight: 0.2), (name: \"normal\", up_to: 0.75, weight: 1.0), (name: \"easy\", up_to: 1.0, weight: 0.2)]";
        let cases = [
            (
                "AdaRft(difficulty: PassRate, revisit: Always, #)".to_owned(),
                "step_size: 50.0, sensitivity: 2.0, target_reward: 0.5, range: (0.0, 100.0), start: 0.0",
            ),
            (format!("Sec({levels}, rate: 0.5, temperature: 1.0, #)"), "absent: Stays"),
            (format!("Dump({levels}, #)"), "window: 300, exploration: 1.0, temperature: 0.1"),
            (format!("E2h({levels}, schedule: Classic, steps: 9, #)"), "hardest_first: false"),
            (format!("Ladder({levels}, up: 0.7, down: 0.3, window: 20, #)"), "hardest_first: false, below: Nothing"),
            (format!("Pools({pools}, #)"), "unseen: 1.0"),
            ("Pools(#)".into(), pools),
            ("Vas(#)".into(), "share: 0.5"),
            ("FgExpo(#)".into(), "target: 0.5, sigma: 0.35, memory: 0.9"),
            (format!("Replay(share: 0.5, capacity: 9, policy: {merged}, #)"), "alpha: 1.0"),
            (format!("Band(axis: PassRate, policy: {merged}, #)"), "at_least: None, at_most: None"),
            (format!("With(policy: {merged}, #)"), "rules: [], steps: None"),
            (rule("ZeroVariance(#)"), "quantity: Accuracy"),
            (rule("AdvantageGate(#)"), "low: 0.0, high: 0.0"),
            (rule("Speed(screen: 4, more: 12, #)"), "quantity: Accuracy"),
            (rule("Vcrl(capacity: 9, #)"), "early: 0.3, early_steps: 20, late: 0.8, memory: 0.9, uses: 2"),
            (rule("Weight(Odsw(favour: Hard, #))"), "binary: false, none_right: 0.25"),
        ];
        for (text, settings) in cases {
            let [short, full] = ["", settings].map(|settings| read(&text.replace('#', settings)).unwrap());
            assert_eq!(short, full, "{text}");
        }
    }

    /// Settings at and beyond the ends of their ranges.
    #[test]
    fn settings_out_of_range_are_refused_and_their_bounds_are_not() {
        let corpus = three(4, 4, 4);
        let merged = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let pools = |a: &str, b: &str, weight: &str, unseen: &str| {
            let pool = |up_to: &str| format!("(name: \"{up_to}\", up_to: {up_to}, weight: {weight})");
            format!("Pools(pools: [{}, {}], unseen: {unseen})", pool(a), pool(b))
        };
        let sec = |rate: &str, temperature: &str| {
            format!("Sec(by: (axes: [Capability]), rate: {rate}, temperature: {temperature})")
        };
        let dump = |rest: &str| format!("Dump(by: (axes: [Capability]), {rest})");
        let e2h = |rest: &str| format!("E2h(by: (axes: [Capability]), {rest})");
        let ladder = |rest: &str| format!("Ladder(by: (axes: [Capability]), {rest})");
        let rule = |rule: &str| format!("With(policy: {merged}, rules: [{rule}])");
        let replay = |rest: &str| format!("Replay({rest}, capacity: 4, policy: {merged})");
        let adarft = |rest: &str| format!("AdaRft(difficulty: PassRate, revisit: Always, {rest})");
        let fits = [
            adarft("range: (3.0, 3.0)"),
            sec("1.0", "0.1"),
            dump("window: 1, exploration: 0.0"),
            e2h("schedule: Gaussian(mu_exp: 0.1, sigma: 0.1), steps: 1"),
            ladder("up: 0.5, down: 0.5, window: 1"),
            pools("0.2", "0.3", "0.0", "1.0"),
            pools("0.2", "0.3", "1.0", "0.0"),
            "Vas(share: 0.0)".into(),
            "Vas(share: 1.0)".into(),
            "FgExpo(memory: 0.0)".into(),
            "Review(mastered: 1.0, first: 1, share: 1.0)".into(),
            "Review(mastered: 0.1, first: 1, share: 0.0)".into(),
            format!("Mix(parts: [(0.0, {merged}), (0.1, {merged})])"),
            format!("Repeat(times: 1, policy: {merged})"),
            replay("share: 0.0, alpha: 0.0"),
            format!("With(policy: {merged}, steps: 1)"),
            rule("Filter(quantity: Reward, low: 0.5, high: 0.5, inclusive: true)"),
            rule("Speed(screen: 2, more: 1)"),
            rule("Vcrl(early: 0.0, late: 1.0, memory: 1.0, capacity: 0)"),
            rule("Weight(Odsw(favour: Hard, none_right: 0.0))"),
            rule("Weight(Focal(gamma: 0.0))"),
            rule("Weight(Gaussian(target: 0.5, sigma: 0.1))"),
        ];
        for text in fits {
            let text = format!("#![enable(implicit_some)] {text}");
            assert!(read(&text).unwrap().build(&corpus, 1).is_ok(), "{text}");
        }
        let does_not = [
            adarft("range: (3.0, 2.9)"),
            adarft("start: NaN"),
            adarft("step_size: inf"),
            sec("0.0", "0.1"),
            sec("1.1", "0.1"),
            sec("0.5", "0.0"),
            sec("0.5", "inf"),
            dump("window: 0"),
            dump("exploration: -0.1"),
            dump("exploration: inf"),
            dump("temperature: 0.0"),
            dump("temperature: inf"),
            e2h("schedule: Cosine, steps: 0"),
            e2h("schedule: Gaussian(mu_exp: 0.0, sigma: 0.1), steps: 1"),
            e2h("schedule: Gaussian(mu_exp: 0.1, sigma: 0.0), steps: 1"),
            e2h("schedule: Gaussian(mu_exp: inf, sigma: 0.1), steps: 1"),
            e2h("schedule: Gaussian(mu_exp: 0.1, sigma: inf), steps: 1"),
            ladder("up: 0.4, down: 0.5, window: 1"),
            ladder("up: 0.5, down: 0.5, window: 0"),
            pools("0.3", "0.3", "1.0", "1.0"),
            pools("0.2", "0.3", "-1.0", "9.0"),
            pools("0.2", "0.3", "inf", "1.0"),
            pools("0.2", "0.3", "0.0", "0.0"),
            "Pools(pools: [])".into(),
            "Vas(share: 1.1)".into(),
            "Vas(share: -0.1)".into(),
            "FgExpo(memory: 1.0)".into(),
            "FgExpo(sigma: 0.0)".into(),
            "FgExpo(sigma: inf)".into(),
            "FgExpo(target: inf)".into(),
            "Review(mastered: 0.0, first: 1, share: 1.0)".into(),
            "Review(mastered: 1.1, first: 1, share: 1.0)".into(),
            "Review(mastered: 1.0, first: 0, share: 1.0)".into(),
            "Review(mastered: 1.0, first: 1, share: 1.1)".into(),
            format!("Mix(parts: [(0.0, {merged})])"),
            format!("Mix(parts: [(-0.1, {merged}), (1.0, {merged})])"),
            format!("Mix(parts: [(inf, {merged})])"),
            format!("Repeat(times: 0, policy: {merged})"),
            replay("share: 1.0"),
            replay("share: 0.5, alpha: -0.1"),
            replay("share: 0.5, alpha: inf"),
            format!("With(policy: {merged}, steps: 0)"),
            rule("Filter(quantity: Reward, low: 0.6, high: 0.5, inclusive: true)"),
            rule("Filter(quantity: Reward, low: 0.6, high: inf, inclusive: true)"),
            rule("Speed(screen: 1, more: 1)"),
            rule("Speed(screen: 2, more: 0)"),
            rule("Vcrl(early: 1.1, capacity: 1)"),
            rule("Vcrl(late: -0.1, capacity: 1)"),
            rule("Vcrl(memory: 1.1, capacity: 1)"),
            rule("Weight(Odsw(favour: Hard, none_right: -0.1))"),
            rule("Weight(Odsw(favour: Hard, none_right: inf))"),
            rule("Weight(Focal(gamma: -0.1))"),
            rule("Weight(Focal(gamma: inf))"),
            rule("Weight(Gaussian(target: inf, sigma: 0.1))"),
            rule("Weight(Gaussian(target: 0.5, sigma: 0.0))"),
            rule("Weight(Gaussian(target: 0.5, sigma: inf))"),
        ];
        for text in does_not {
            let text = format!("#![enable(implicit_some)] {text}");
            let error = read(&text).unwrap().build(&corpus, 1).map(|_| ()).unwrap_err();
            assert!(matches!(error, CurriculumError::Setting(_)), "{text}: {error}");
        }
    }

    #[test]
    fn what_never_ends_is_known() {
        let ends = "With(policy: Mix(parts: [(1.0, Vas())]), steps: Some(9))";
        let merged = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let in_a_stage = "Staged(stages: [(name: \"a\", policy: Some(Pools()))], order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        for text in [ends, merged, in_a_stage] {
            assert!(!read(text).unwrap().is_endless(), "{text}");
        }
        for text in
            ["Vas()", "With(policy: Vas())", "Repeat(times: 2, policy: Pools())", "Band(axis: PassRate, policy: Vas())"]
        {
            assert!(read(text).unwrap().is_endless(), "{text}");
        }
        let warm = format!("WarmStart(steps: 3, first: {merged}, then: Vas())");
        let mixed = format!("Mix(parts: [(1.0, {merged}), (0.0, Vas())])");
        assert_eq!([warm, mixed].map(|text| read(&text).unwrap().is_endless()), [true, false]);
    }

    #[test]
    fn configurations_survive_a_round_trip() {
        let text = "Staged(order: HardToEasy, epochs: AsNeeded(steps: 40), last_batch: Drop)";
        let config = read(text).unwrap();
        let plain = ron::to_string(&config).unwrap();
        assert_eq!(ron::from_str::<CurriculumConfig>(&plain).unwrap(), config);
        let pretty = ron::ser::PrettyConfig::new().extensions(Extensions::UNWRAP_VARIANT_NEWTYPES);
        let spelled = ron::ser::to_string_pretty(&config, pretty).unwrap();
        assert_eq!(ron::from_str::<CurriculumConfig>(&spelled).unwrap(), config, "{spelled}");
    }
}
