//! Staged: one group of capabilities after the other. State and metrics: see the engine in `planned.rs`.

use crate::planned::Plan;
use crate::{Corpus, Curriculum, CurriculumError, Epochs, LastBatch, Order, Stage};
use seethink_core::Capability;
use serde::{Deserialize, Serialize};

/// Stages in the order listed: the paper's method, its stage-order and stage-combination rows, and with a sorted
/// [`Order`] capability × difficulty.
///
/// # Source
/// arXiv 2605.20177 §3.3 (perception → textual → visual), §4.5. Differs from the released curriculum launchers where
/// `epochs` is `PerStage`: they cycle all stages in every epoch ([`Epochs::OverWholePlan`]), and their batches may span
/// two capabilities where ours belong to one stage each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    /// What is trained after what; any order, any subset. The paper's three if not given.
    #[serde(default = "Staged::paper_stages")]
    pub stages: Vec<Stage>,
    /// Order of problems in an epoch of a stage.
    pub order: Order,
    /// How often problems are visited, and whether stages or epochs are the outer loop.
    pub epochs: Epochs,
    /// What becomes of an incomplete last batch.
    pub last_batch: LastBatch,
}

impl Staged {
    /// Perception, textual reasoning, visual reasoning: each with everything trainable, a fresh optimiser and a fresh
    /// reference.
    pub fn paper_stages() -> Vec<Stage> {
        Capability::ALL.map(Stage::of).into()
    }

    /// The curriculum over a corpus.
    ///
    /// # Errors
    /// If there are no stages, two share a name, one has no problems or no length, or a pass rate that the order needs
    /// is missing.
    pub fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let Self { order, epochs, last_batch, .. } = *self;
        let plan = Plan { policy: "staged", stages: &self.stages, order, epochs, last_batch };
        Ok(Box::new(plan.build(corpus, seed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_policy, drain, three};
    use crate::{Length, Merged};

    fn staged(order: Order, epochs: Epochs, last_batch: LastBatch) -> Staged {
        Staged { stages: Staged::paper_stages(), order, epochs, last_batch }
    }

    fn build_error(staged: &Staged, corpus: &Corpus) -> String {
        staged.build(corpus, 0).unwrap_err().to_string()
    }

    #[test]
    fn conforms() {
        check_policy(|order, epochs, last_batch, corpus, seed| staged(order, epochs, last_batch).build(corpus, seed));
    }

    #[test]
    fn the_released_scripts_steps_come_out() {
        // 16 epochs over 3,360 problems, then 15 each, in batches of 512 with the last one dropped: 96, 375, 465.
        let corpus = three(3360, 13_000, 16_000);
        let mut staged = staged(Order::Shuffled, Epochs::PerStage(15), LastBatch::Drop);
        staged.stages[0].length = Some(Length::Epochs(16));
        let curriculum = staged.build(&corpus, 1).unwrap();
        assert_eq!(curriculum.planned_steps(512), Some(vec![96, 375, 465]));
    }

    #[test]
    fn epochs_nest_inside_stages_or_around_them() {
        let corpus = three(4, 4, 4);
        let stages = |epochs| {
            let curriculum = &mut *staged(Order::EasyToHard, epochs, LastBatch::Keep).build(&corpus, 1).unwrap();
            drain(curriculum, &corpus, 4).iter().map(|batch| batch.stage).collect::<Vec<_>>()
        };
        assert_eq!(stages(Epochs::PerStage(2)), [0, 0, 1, 1, 2, 2]);
        assert_eq!(stages(Epochs::OverWholePlan(2)), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn any_order_and_any_subset() {
        let corpus = three(4, 4, 4);
        let stages = vec![Stage::of(Capability::VISUAL_REASONING), Stage::of(Capability::PERCEPTION)];
        let reversed = Staged { stages, ..staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep) };
        let batches = drain(&mut *reversed.build(&corpus, 1).unwrap(), &corpus, 4);
        let capabilities: Vec<&Capability> =
            batches.iter().map(|batch| &corpus.get(batch.problems[0]).unwrap().capability).collect();
        assert_eq!(capabilities, [&Capability::VISUAL_REASONING, &Capability::PERCEPTION]);
    }

    #[test]
    fn staged_and_merged_draw_equally_much_when_steps_say_so() {
        let corpus = three(5, 90, 40);
        let mut plan = staged(Order::Shuffled, Epochs::AsNeeded { steps: 10 }, LastBatch::Drop);
        plan.stages[0].length = Some(Length::Steps(25));
        let staged = plan.build(&corpus, 1).unwrap().planned_steps(8).unwrap();
        assert_eq!(staged, [25, 10, 10]);
        let epochs = Epochs::AsNeeded { steps: staged.iter().sum::<usize>() as u32 };
        let merged = Merged { stage: Stage::new("merged", []), order: plan.order, epochs, last_batch: plan.last_batch };
        assert_eq!(drain(&mut *merged.build(&corpus, 1).unwrap(), &corpus, 8).len(), 45);
    }

    #[test]
    fn seeds_and_epochs_shuffle_differently() {
        let corpus = three(40, 40, 40);
        let plan = staged(Order::Shuffled, Epochs::PerStage(2), LastBatch::Keep);
        let of = |seed| drain(&mut *plan.build(&corpus, seed).unwrap(), &corpus, 40);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1)[0], of(2)[0]);
        assert_ne!(of(1)[0], of(1)[1]);
        let cycled = staged(Order::Shuffled, Epochs::OverWholePlan(2), LastBatch::Keep);
        let batches = drain(&mut *cycled.build(&corpus, 1).unwrap(), &corpus, 40);
        assert_eq!(batches[0].stage, batches[3].stage);
        assert_ne!(batches[0], batches[3]);
    }

    #[test]
    fn batches_may_change_size_on_the_way() {
        let corpus = three(10, 10, 10);
        let mut curriculum = staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Drop).build(&corpus, 1).unwrap();
        let mut sizes = [4, 3, 4, 20, 20, 20, 20].into_iter();
        let drawn: Vec<(usize, usize)> = std::iter::from_fn(|| curriculum.next_batch(&corpus, sizes.next()?))
            .map(|b| (b.stage, b.problems.len()))
            .collect();
        // Three are left when four are asked for: they are dropped. A stage smaller than the batch is drawn whole.
        assert_eq!(drawn, [(0, 4), (0, 3), (1, 4), (2, 10)]);
    }

    #[test]
    fn metrics_tell_where_it_stands() {
        let corpus = three(8, 8, 8);
        let mut curriculum = staged(Order::Shuffled, Epochs::PerStage(2), LastBatch::Keep).build(&corpus, 1).unwrap();
        for _ in 0..7 {
            curriculum.next_batch(&corpus, 4).unwrap();
        }
        assert_eq!(curriculum.metrics(), [("stage", 1.0), ("epoch", 1.5), ("steps_in_stage", 3.0)]);
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
        let mut curriculum = plan.build(&corpus, 1).unwrap();
        curriculum.next_batch(&corpus, 4).unwrap();
        let record = curriculum.to_record();

        let merged = Merged {
            stage: Stage::new("merged", []),
            order: plan.order,
            epochs: plan.epochs,
            last_batch: plan.last_batch,
        };
        let other_corpus = three(8, 8, 9);
        let shorter = staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep);
        let refusals = [
            (merged.build(&corpus, 1), "policy `staged`"),
            (plan.build(&other_corpus, 1), "another corpus"),
            (plan.build(&corpus, 2), "another seed"),
            (shorter.build(&corpus, 1), "other settings"),
        ];
        for (other, expected) in refusals {
            let mut other = other.unwrap();
            let before = other.to_record();
            let message = other.load_record(record.clone()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(other.to_record(), before);
        }

        let beyond = ron::to_string(&record).unwrap().replace("position:4", "position:400");
        let message = curriculum.load_record(ron::from_str(&beyond).unwrap()).unwrap_err().to_string();
        assert!(message.contains("out of range"), "{message}");

        // What the trainer does with a stage does not decide what is drawn: the same record goes on.
        let mut gentler = plan;
        gentler.stages[1].overrides.learning_rate = Some(1e-7);
        gentler.build(&corpus, 1).unwrap().load_record(record).unwrap();
    }

    #[test]
    #[should_panic(expected = "the corpus that it was built for")]
    fn another_corpus_is_a_programmers_error() {
        let plan = staged(Order::Shuffled, Epochs::PerStage(1), LastBatch::Keep);
        plan.build(&three(1, 1, 1), 1).unwrap().next_batch(&three(1, 1, 2), 1);
    }
}
