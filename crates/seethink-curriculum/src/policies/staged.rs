//! Staged: one stage after the other.
//!
//! State: the place in the plan, recent values of the quantity watched, and the states of the walks
//! or policies of the stages. Metrics: `stage` (index), `steps_in_stage`, and those of the stage's
//! walk or policy.

use crate::course::ask_the_active_part;
use crate::curriculum::mean;
use crate::order::Levels;
use crate::policies::walk::Walk;
use crate::policy_config::PolicyConfig;
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, Epochs, GroupOutcome,
    LastBatch, Length, Metric, Order, Progress, Stage, State,
};
use seethink_core::Capability;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Stages in training order: the paper's method, its stage-order and stage-combination rows, and
/// with a sorted [`Order`] capability × difficulty.
///
/// # Source
/// arXiv 2605.20177 §3.3 (perception → textual → visual), §4.5. Differs from the released
/// curriculum launchers where `epochs` is `PerStage`: they cycle all stages in every epoch
/// ([`Epochs::OverWholePlan`]), and their batches may span two capabilities, where each batch here
/// belongs to one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    /// Stages in training order, any subset in any order; the paper's three by default.
    #[serde(default = "Staged::paper_stages")]
    pub stages: Vec<Stage>,
    /// Order of problems in an epoch of a stage.
    pub order: Order,
    /// Number of epochs, and whether stages or epochs are the outer loop.
    pub epochs: Epochs,
    /// Treatment of an incomplete last batch.
    pub last_batch: LastBatch,
}

impl PolicyConfig for Staged {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if self.stages.is_empty() {
            return Err(CurriculumError::NoStages);
        }
        let mut names = BTreeSet::new();
        if let Some(stage) = self.stages.iter().find(|stage| !names.insert(&stage.name)) {
            return Err(CurriculumError::DuplicateStage { name: stage.name.clone() });
        }
        let pools: Vec<StagePool> =
            self.stages.iter().map(|stage| StagePool::new(stage, self, corpus)).collect::<Result<_, _>>()?;
        let visit = Visit::default();
        let courses = (0..pools.len()).map(|stage| pools[stage].begin(stage, 0, seed)).collect::<Result<_, _>>()?;
        let stages = self.stages.clone();
        Ok(Box::new(Stages { stages, pools, passes: self.epochs.passes(), seed, courses, visit }))
    }

    fn is_endless(&self) -> bool {
        false
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn stages_mut(&mut self) -> &mut [Stage] {
        &mut self.stages
    }
}

impl Staged {
    /// Stages of the paper: perception, textual reasoning, visual reasoning, each with everything
    /// trainable, a fresh optimiser and a fresh reference.
    pub fn paper_stages() -> Vec<Stage> {
        Capability::ALL.map(Stage::of).into()
    }

    /// Stages of Curr-ReFT: the task formats, by the tag `format`: yes-or-no questions, then
    /// multiple choice, then open questions.
    ///
    /// # Source
    /// arXiv 2503.07065 §3.1. The rejection-sampled fine-tuning that follows there is not part of
    /// the curriculum.
    pub fn curr_reft_stages() -> Vec<Stage> {
        let stage = |format: &str| Stage {
            only: vec![crate::Only { axis: crate::Axis::Tag("format".into()), keys: vec![format.into()] }],
            ..Stage::new(format, [])
        };
        ["binary_decision", "multiple_choice", "open_ended"].map(stage).into()
    }
}

/// Problems of a stage, with their draws and the stage's length.
#[derive(Debug)]
struct StagePool {
    corpus: Corpus,
    draws: Draws,
    length: Length,
}

/// Draws of a stage: a walk, or a policy of its own.
#[derive(Debug)]
enum Draws {
    Walk { levels: Arc<Levels>, last_batch: LastBatch },
    Policy(Box<CurriculumConfig>),
}

impl StagePool {
    fn new(stage: &Stage, plan: &Staged, corpus: &Corpus) -> Result<Self, CurriculumError> {
        let length = plan.epochs.length(stage)?;
        let of_stage = corpus.try_filter(|entry| stage.draws_from(entry))?;
        if of_stage.is_empty() {
            let none = |names: Vec<String>, nothing: &str| {
                if names.is_empty() { nothing.to_owned() } else { names.join(", ") }
            };
            let only = stage.only.iter().map(|only| format!("{} in {:?}", only.axis, only.keys));
            let wanted = stage.capabilities.iter().map(|name| format!("`{name}`")).chain(only).collect();
            let available = corpus.capabilities().iter().map(|(capability, n)| format!("{capability} ({n})")).collect();
            return Err(CurriculumError::EmptyStage {
                stage: stage.name.clone(),
                wanted: none(wanted, "every capability"),
                available: none(available, "no problems at all"),
            });
        }
        let draws = match &stage.policy {
            Some(policy) => Draws::Policy(policy.clone()),
            None => Draws::Walk { levels: Arc::new(plan.order.levels(&of_stage)?), last_batch: plan.last_batch },
        };
        Ok(Self { corpus: of_stage, draws, length })
    }

    /// Starts the walk of stage `stage` in pass `pass`, or the stage's policy, which serves all
    /// passes.
    fn begin(&self, stage: usize, pass: u32, seed: u64) -> Result<Course, CurriculumError> {
        Ok(Course::part(match &self.draws {
            Draws::Walk { levels, last_batch } => {
                let epochs = if let Length::Epochs(epochs) = self.length { Some(epochs) } else { None };
                let key = [u64::from(pass), stage as u64];
                Box::new(Walk::new(self.corpus.clone(), levels.clone(), *last_batch, epochs, seed, key))
            }
            Draws::Policy(policy) => policy.single("Staged", &self.corpus, seed, stage)?,
        }))
    }
}

/// Running plan of stages.
#[derive(Debug)]
struct Stages {
    stages: Vec<Stage>,
    pools: Vec<StagePool>,
    passes: u32,
    seed: u64,
    /// Course of each stage, `[stage]`; walks of stages still to come in this pass are of the pass
    /// before.
    courses: Vec<Course>,
    visit: Visit,
}

/// Place in the plan, and observations of the current visit to a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Visit {
    /// Number of passes over the whole plan that are finished.
    pass: u32,
    stage: usize,
    /// Steps of this visit that are over.
    steps: u32,
    /// Problems drawn in this visit.
    problems: u64,
    /// Values of the quantity watched in the last steps, oldest first; empty if the length depends
    /// on none.
    recent: Vec<f64>,
    /// `true` if the current step has drawn problems.
    open: bool,
}

impl Stages {
    fn is_over(&self) -> bool {
        let visit = &self.visit;
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        match self.pools[visit.stage].length {
            // A walk of so many epochs ends by itself.
            Length::Epochs(epochs) => match self.pools[visit.stage].draws {
                Draws::Walk { .. } => false,
                Draws::Policy(_) => visit.problems >= u64::from(epochs) * self.pools[visit.stage].corpus.len() as u64,
            },
            Length::Steps(steps) => visit.steps >= steps,
            Length::Threshold { at_least, window, at_most, .. } => {
                let full = visit.recent.len() == window as usize;
                visit.steps >= at_most || (full && mean_of(&visit.recent) >= at_least)
            }
            Length::Plateau { gain, window, at_most, .. } => {
                let window = window as usize;
                let flat = |recent: &[f64]| mean_of(&recent[window..]) - mean_of(&recent[..window]) < gain;
                visit.steps >= at_most || (visit.recent.len() == 2 * window && flat(&visit.recent))
            }
        }
    }

    /// Moves on to the next stage; returns `false` if the plan is over.
    fn advance(&mut self) -> bool {
        let visit = &self.visit;
        let (pass, stage) =
            if visit.stage + 1 < self.stages.len() { (visit.pass, visit.stage + 1) } else { (visit.pass + 1, 0) };
        if pass == self.passes {
            return false;
        }
        if matches!(self.pools[stage].draws, Draws::Walk { .. }) {
            // Starting a walk cannot fail, as it did not fail when the plan was built.
            let Ok(course) = self.pools[stage].begin(stage, pass, self.seed) else { return false };
            self.courses[stage] = course;
        }
        self.visit = Visit { pass, stage, ..Visit::default() };
        true
    }

    fn active(&self) -> &Course {
        &self.courses[self.visit.stage]
    }

    fn active_mut(&mut self) -> &mut Course {
        &mut self.courses[self.visit.stage]
    }
}

impl Curriculum for Stages {
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        loop {
            if self.visit.open || !self.is_over() {
                let batch = self.active_mut().draw(want);
                // A stage does not end within a step.
                if self.visit.open || !batch.is_empty() {
                    self.visit.open = true;
                    self.visit.problems += batch.problems.len() as u64;
                    return Batch { stage: self.visit.stage, ..batch };
                }
            }
            if !self.advance() {
                return Batch::OVER;
            }
        }
    }

    ask_the_active_part!();

    fn observe(&mut self, groups: &[GroupOutcome]) {
        let visit = &mut self.visit;
        visit.open = false;
        visit.steps += 1;
        let (watched, n) = match self.pools[visit.stage].length {
            Length::Threshold { quantity, window, .. } => (Some(quantity), window as usize),
            Length::Plateau { quantity, window, .. } => (Some(quantity), 2 * window as usize),
            Length::Epochs(_) | Length::Steps(_) => (None, 0),
        };
        let value = watched.and_then(|quantity| mean(groups.iter().filter_map(|group| group.mean(quantity))));
        visit.recent.extend(value);
        let surplus = visit.recent.len().saturating_sub(n);
        visit.recent.drain(..surplus);
        self.active_mut().observe(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.courses.iter_mut().for_each(|course| course.watch(groups));
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let in_visit = |pool: &StagePool| match (pool.length, &pool.draws) {
            (Length::Epochs(epochs), Draws::Walk { levels, last_batch }) => {
                Some(epochs as usize * last_batch.batches_per_epoch(levels.len(), want?))
            }
            (Length::Steps(steps), _) => Some(steps as usize),
            _ => None,
        };
        self.pools.iter().map(|pool| Some(in_visit(pool)? * self.passes as usize)).collect()
    }

    fn state(&self) -> State {
        State::new(&(&self.visit, self.courses.iter().map(Course::to_record).collect::<Vec<_>>()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (visit, records): (Visit, Vec<CurriculumRecord>) = state.read()?;
        let n_stages = self.stages.len();
        if visit.stage >= n_stages || visit.pass >= self.passes || records.len() != n_stages {
            let passes = self.passes;
            let what =
                format!("{visit:?} with {} records, but there are {n_stages} stages, {passes} passes", records.len());
            return Err(CurriculumError::StateOutOfRange { what });
        }
        let mut courses = Vec::with_capacity(n_stages);
        for (stage, record) in records.iter().enumerate() {
            // Stages that come later in this pass still have the walk of the pass before; theirs
            // starts when they do.
            let pass = if stage <= visit.stage { visit.pass } else { visit.pass.saturating_sub(1) };
            let mut course = self.pools[stage].begin(stage, pass, self.seed)?;
            course.load_record(record)?;
            courses.push(course);
        }
        (self.visit, self.courses) = (visit, courses);
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics: Vec<Metric> =
            vec![("stage".into(), self.visit.stage as f64), ("steps_in_stage".into(), f64::from(self.visit.steps))];
        metrics.extend(self.active().curriculum().metrics().into_iter().map(|(key, value)| {
            let passes = if key == "epoch" { f64::from(self.visit.pass) } else { 0.0 };
            (key, value + passes)
        }));
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_policy, drain, outcome, step, three};
    use crate::{Length, Merged, Quantity};

    fn staged(order: Order, epochs: Epochs, last_batch: LastBatch) -> Staged {
        Staged { stages: Staged::paper_stages(), order, epochs, last_batch }
    }

    fn build(staged: &Staged, corpus: &Corpus, seed: u64) -> Course {
        CurriculumConfig::Staged(staged.clone()).build(corpus, seed).unwrap()
    }

    fn build_error(staged: &Staged, corpus: &Corpus) -> String {
        CurriculumConfig::Staged(staged.clone()).build(corpus, 0).unwrap_err().to_string()
    }

    fn planned(course: &Course, want: usize) -> Option<Vec<usize>> {
        course.curriculum().planned_steps(Some(want))
    }

    #[test]
    fn conforms() {
        check_policy(|order, epochs, last_batch| CurriculumConfig::Staged(staged(order, epochs, last_batch)));
    }

    #[test]
    fn the_released_scripts_steps_come_out() {
        // 16 epochs over 3,360 problems, then 15 of each other stage, in batches of 512 without the
        // incomplete last one: 96, 375, 465.
        let corpus = three(3360, 13_000, 16_000);
        let mut staged = staged(Order::Shuffled, Epochs::PerStage(15), LastBatch::Drop);
        staged.stages[0].length = Some(Length::Epochs(16));
        assert_eq!(planned(&build(&staged, &corpus, 1), 512), Some(vec![96, 375, 465]));
    }

    #[test]
    fn epochs_nest_inside_stages_or_around_them() {
        let corpus = three(4, 4, 4);
        let stages = |epochs| {
            let mut course = build(&staged(Order::EasyToHard, epochs, LastBatch::Keep), &corpus, 1);
            drain(&mut course, 4).iter().map(|batch| batch.stage).collect::<Vec<_>>()
        };
        assert_eq!(stages(Epochs::PerStage(2)), [0, 0, 1, 1, 2, 2]);
        assert_eq!(stages(Epochs::OverWholePlan(2)), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn any_order_and_any_subset() {
        let corpus = three(4, 4, 4);
        let stages = vec![Stage::of(Capability::VISUAL_REASONING), Stage::of(Capability::PERCEPTION)];
        let reversed = Staged { stages, ..staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep) };
        let batches = drain(&mut build(&reversed, &corpus, 1), 4);
        let capabilities: Vec<&Capability> =
            batches.iter().map(|batch| &corpus.get(batch.problems[0]).unwrap().capability).collect();
        assert_eq!(capabilities, [&Capability::VISUAL_REASONING, &Capability::PERCEPTION]);
    }

    #[test]
    fn staged_and_merged_draw_equally_much_when_steps_say_so() {
        let corpus = three(5, 90, 40);
        let mut plan = staged(Order::Shuffled, Epochs::AsNeeded { steps: 10 }, LastBatch::Drop);
        plan.stages[0].length = Some(Length::Steps(25));
        let staged = planned(&build(&plan, &corpus, 1), 8).unwrap();
        assert_eq!(staged, [25, 10, 10]);
        let epochs = Epochs::AsNeeded { steps: staged.iter().sum::<usize>() as u32 };
        let merged = Merged { stage: Stage::new("merged", []), order: plan.order, epochs, last_batch: plan.last_batch };
        let mut merged = CurriculumConfig::Merged(merged).build(&corpus, 1).unwrap();
        assert_eq!(drain(&mut merged, 8).len(), 45);
    }

    #[test]
    fn seeds_and_epochs_shuffle_differently() {
        let corpus = three(40, 40, 40);
        let plan = staged(Order::Shuffled, Epochs::PerStage(2), LastBatch::Keep);
        let of = |seed| drain(&mut build(&plan, &corpus, seed), 40);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1)[0], of(2)[0]);
        assert_ne!(of(1)[0], of(1)[1]);
        let cycled = staged(Order::Shuffled, Epochs::OverWholePlan(2), LastBatch::Keep);
        let batches = drain(&mut build(&cycled, &corpus, 1), 40);
        assert_eq!(batches[0].stage, batches[3].stage);
        assert_ne!(batches[0], batches[3]);
    }

    #[test]
    fn batches_may_change_size_on_the_way() {
        let corpus = three(10, 10, 10);
        let mut course = build(&staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Drop), &corpus, 1);
        let mut sizes = [4, 3, 4, 20, 20, 20, 20].into_iter();
        let drawn: Vec<(usize, usize)> =
            std::iter::from_fn(|| step(&mut course, sizes.next()?)).map(|b| (b.stage, b.problems.len())).collect();
        // Three problems are left when four are asked for, so they are dropped. A stage smaller
        // than the batch is drawn whole.
        assert_eq!(drawn, [(0, 4), (0, 3), (1, 4), (2, 10)]);
    }

    #[test]
    fn metrics_tell_where_it_stands() {
        let corpus = three(8, 8, 8);
        let mut course = build(&staged(Order::Shuffled, Epochs::PerStage(2), LastBatch::Keep), &corpus, 1);
        for _ in 0..7 {
            step(&mut course, 4).unwrap();
        }
        let metrics = [("stage", 1.0), ("steps_in_stage", 3.0), ("epoch", 1.5)].map(|(key, value)| (key.into(), value));
        assert_eq!(course.curriculum().metrics(), metrics);
    }

    #[test]
    fn what_cannot_be_trained_is_refused_by_name() {
        let corpus = three(2, 0, 3);
        let plan = staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep);
        let message = build_error(&plan, &corpus);
        assert!(message.contains("`textual_reasoning`") && message.contains("visual_reasoning (3)"), "{message}");
        let empty = Corpus::new([]).unwrap();
        assert!(build_error(&plan, &empty).contains("no problems at all"));
        let twice = Staged { stages: vec![Stage::of(Capability::PERCEPTION); 2], ..plan.clone() };
        assert!(build_error(&twice, &corpus).contains("two stages are named `perception`"));
        assert!(build_error(&Staged { stages: vec![], ..plan }, &corpus).contains("at least one stage"));
    }

    #[test]
    fn a_record_of_something_else_is_refused_and_changes_nothing() {
        let corpus = three(8, 8, 8);
        let plan = staged(Order::Shuffled, Epochs::PerStage(2), LastBatch::Keep);
        let mut course = build(&plan, &corpus, 1);
        step(&mut course, 4).unwrap();
        let record = course.to_record();

        let merged = Merged {
            stage: Stage::new("merged", []),
            order: plan.order.clone(),
            epochs: plan.epochs,
            last_batch: plan.last_batch,
        };
        let other_corpus = three(8, 8, 9);
        let shorter = staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep);
        let refusals = [
            (CurriculumConfig::Merged(merged).build(&corpus, 1).unwrap(), "another policy"),
            (build(&plan, &other_corpus, 1), "another corpus"),
            (build(&plan, &corpus, 2), "another seed"),
            (build(&shorter, &corpus, 1), "other settings"),
        ];
        for (mut other, expected) in refusals {
            let before = other.to_record();
            let message = other.load_record(&record).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(other.to_record(), before);
        }

        let text = serde_json::to_string(&record).unwrap();
        let without_a_stage = {
            let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
            json["state"][1].as_array_mut().unwrap().pop();
            json.to_string()
        };
        let beyond =
            [("\"position\":4", "\"position\":400"), ("\"stage\":0", "\"stage\":3"), ("\"pass\":0", "\"pass\":1")];
        for beyond in beyond.map(|(what, by)| text.replace(what, by)).into_iter().chain([without_a_stage]) {
            let message = course.load_record(&serde_json::from_str(&beyond).unwrap()).unwrap_err().to_string();
            assert!(message.contains("out of range"), "{message}");
            assert_eq!(course.to_record(), record);
        }

        // Settings of the trainer do not affect the draws, so the record still fits.
        let mut gentler = plan;
        gentler.stages[1].overrides.set("learning_rate", 1e-7);
        build(&gentler, &corpus, 1).load_record(&record).unwrap();
    }

    #[test]
    fn a_stage_ends_at_a_threshold_or_on_a_plateau() {
        let corpus = three(50, 50, 50);
        let mut plan = staged(Order::Shuffled, Epochs::AsNeeded { steps: 4 }, LastBatch::Keep);
        let quantity = Quantity::Accuracy;
        plan.stages[0].length = Some(Length::Threshold { quantity, at_least: 9.0 / 16.0, window: 2, at_most: 20 });
        plan.stages[1].length = Some(Length::Plateau { quantity, gain: 0.125, window: 3, at_most: 20 });
        let mut course = build(&plan, &corpus, 1);
        assert_eq!(planned(&course, 4), None);
        // Accuracy rises by 1/8 a step up to 1 and stays there.
        let mut stages = Vec::new();
        let mut in_stage = 0;
        loop {
            let batch = course.draw(4);
            if batch.is_empty() {
                break;
            }
            in_stage = if stages.last() == Some(&batch.stage) { in_stage + 1 } else { 0 };
            let rewards: Vec<f32> = (0..8).map(|i| f32::from(u8::from(i < in_stage))).collect();
            course.observe(&batch.problems.iter().map(|id| outcome(id.0, &rewards)).collect::<Vec<_>>());
            stages.push(batch.stage);
        }
        // (4 + 5) / 16 reaches the threshold. Of 24 parts, (8 + 8 + 8) − (6 + 7 + 8) are an eighth,
        // and (8 + 8 + 8) − (7 + 8 + 8) are less.
        let steps = |stage| stages.iter().filter(|&&visited| visited == stage).count();
        assert_eq!([steps(0), steps(1), steps(2)], [6, 13, 4]);

        let mut hopeless = build(&plan, &corpus, 1);
        let first = drain(&mut hopeless, 4).iter().filter(|batch| batch.stage == 0).count();
        assert_eq!(first, 20, "at most so many steps");
    }

    #[test]
    fn a_stage_does_not_end_within_a_step() {
        let corpus = three(6, 6, 6);
        let mut course = build(&staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep), &corpus, 1);
        assert_eq!(course.draw(4).problems.len(), 4);
        assert_eq!(course.draw(4).problems.len(), 2);
        assert!(course.draw(4).is_empty());
        course.observe(&[]);
        assert_eq!(course.draw(4).stage, 1);
    }

    #[test]
    fn a_stage_draws_from_what_it_selects_alone() {
        let corpus = three(20, 20, 20).with_tag("format", |entry| {
            Some(["binary_decision", "multiple_choice", "open_ended"][entry.id.0 as usize % 3].to_owned())
        });
        let stages = Staged::curr_reft_stages();
        let plan = Staged { stages, ..staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep) };
        let mut course = build(&plan, &corpus, 1);
        let batches = drain(&mut course, 8);
        assert_eq!(batches.iter().map(|batch| batch.problems.len()).sum::<usize>(), 60);
        for batch in batches {
            let format = &course.curriculum().stages()[batch.stage].name;
            assert!(batch.problems.iter().all(|&id| corpus.get(id).unwrap().tags["format"] == *format));
        }
        assert!(build_error(&plan, &three(1, 1, 1)).contains("no tag `format`"));
    }
}
