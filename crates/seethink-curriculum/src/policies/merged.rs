//! Merged: all capabilities at once, in a single stage. State and metrics are those of `staged.rs`.

use crate::policy_config::PolicyConfig;
use crate::{Corpus, Curriculum, CurriculumError, Epochs, LastBatch, Order, Stage, Staged};
use serde::{Deserialize, Serialize};

/// Single stage over all problems: the paper's baseline, and with a sorted [`Order`] its
/// "difficulty only" row.
///
/// # Source
/// arXiv 2605.20177 §3.3.2 and the curriculum table of §4.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// Stage of the whole run, over every capability of the corpus unless it names some.
    #[serde(default = "everything")]
    pub stage: Stage,
    /// Order of problems in an epoch.
    pub order: Order,
    /// Number of epochs; with one stage, `PerStage` and `OverWholePlan` visit problems equally
    /// often.
    pub epochs: Epochs,
    /// Treatment of an incomplete last batch.
    pub last_batch: LastBatch,
}

impl PolicyConfig for Merged {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let Self { stage, order, epochs, last_batch } = self.clone();
        Staged { stages: vec![stage], order, epochs, last_batch }.build(corpus, seed)
    }

    fn is_endless(&self) -> bool {
        false
    }

    fn stages(&self) -> &[Stage] {
        std::slice::from_ref(&self.stage)
    }

    fn stages_mut(&mut self) -> &mut [Stage] {
        std::slice::from_mut(&mut self.stage)
    }
}

/// Stage of a configuration that names none.
fn everything() -> Stage {
    Stage::new("merged", [])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CurriculumConfig;
    use crate::checks::{check_policy, corpus, drain};
    use seethink_core::Capability;

    #[test]
    fn one_stage_mixes_all_capabilities() {
        let corpus = corpus(&[(Capability::PERCEPTION, 30), (Capability::VISUAL_REASONING, 30)]);
        let merged = Merged {
            stage: everything(),
            order: Order::Shuffled,
            epochs: Epochs::PerStage(1),
            last_batch: LastBatch::Drop,
        };
        let batches = drain(&mut CurriculumConfig::Merged(merged).build(&corpus, 3).unwrap(), 20);
        assert_eq!(batches.len(), 3);
        for batch in batches {
            assert_eq!(batch.stage, 0);
            let perceives = |id: &&_| corpus.get(**id).unwrap().capability == Capability::PERCEPTION;
            let n_perception = batch.problems.iter().filter(perceives).count();
            assert!((1..20).contains(&n_perception), "{n_perception} of 20");
        }
    }

    #[test]
    fn a_subset_leaves_the_rest_out() {
        let corpus = corpus(&[(Capability::PERCEPTION, 7), (Capability::VISUAL_REASONING, 5)]);
        let stage = Stage::new("reasoning", [Capability::VISUAL_REASONING]);
        let merged =
            Merged { stage, order: Order::EasyToHard, epochs: Epochs::PerStage(2), last_batch: LastBatch::Keep };
        let batches = drain(&mut CurriculumConfig::Merged(merged).build(&corpus, 3).unwrap(), 4);
        assert_eq!(batches.iter().map(|batch| batch.problems.len()).collect::<Vec<_>>(), [4, 1, 4, 1]);
    }

    #[test]
    fn conforms() {
        check_policy(|order, epochs, last_batch| {
            CurriculumConfig::Merged(Merged { stage: everything(), order, epochs, last_batch })
        });
    }
}
