//! The completions of one step and what they are worth.

use super::group_advantages;
use crate::batch::{GroupInput, MicroBatch};
use crate::metrics::Metrics;
use seethink_core::FinishReason;
use seethink_curriculum::GroupOutcome;
use seethink_models::PromptInput;
use seethink_reward::Score;
use seethink_rollout::Rollouts;

/// Prompts, rollouts and scores of one step, all in the same order.
pub(super) struct Step {
    pub(super) prompts: Vec<PromptInput>,
    pub(super) rollouts: Rollouts,
    /// `[problem][completion]`
    pub(super) scores: Vec<Vec<Score>>,
}

impl Step {
    /// Micro-batches of each mini-batch, in order; advantages are computed here and only here.
    ///
    /// `keep_features`: whether to use the image features of the rollouts, instead of the pixels again.
    pub(super) fn mini_batches(
        &self,
        mini_batch: usize,
        max_tokens: usize,
        keep_features: bool,
    ) -> Vec<Vec<MicroBatch>> {
        let groups: Vec<GroupInput<'_>> = self
            .prompts
            .iter()
            .zip(&self.rollouts.groups)
            .zip(self.rollouts.features.iter().zip(&self.scores))
            .map(|((prompt, group), (features, scores))| {
                let rewards: Vec<f32> = scores.iter().map(|score| score.value).collect();
                let features = features.as_ref().filter(|_| keep_features);
                GroupInput::of_group(prompt, features, group, group_advantages(&rewards))
            })
            .collect();
        groups.chunks(mini_batch).map(|groups| MicroBatch::pack(groups, max_tokens)).collect()
    }

    /// What the curriculum hears.
    pub(super) fn outcomes(&self) -> Vec<GroupOutcome> {
        let groups = self.rollouts.groups.iter().zip(&self.scores);
        groups
            .map(|(group, scores)| GroupOutcome {
                problem: group.problem,
                rewards: scores.iter().map(|score| score.value).collect(),
                accuracies: scores.iter().map(|score| score.part("accuracy").unwrap_or(score.value)).collect(),
                mean_length: mean(group.completions.iter().map(|completion| completion.tokens.len() as f64)),
            })
            .collect()
    }

    /// Reward and length metrics.
    pub(super) fn metrics(&self) -> Metrics {
        let scores = || self.scores.iter().flatten();
        let completions = || self.rollouts.groups.iter().flat_map(|group| &group.completions);
        let mut metrics = Metrics::from([
            ("reward/mean".into(), mean(scores().map(|score| f64::from(score.value)))),
            ("rollout/length".into(), mean(completions().map(|completion| completion.tokens.len() as f64))),
            (
                "rollout/truncated".into(),
                mean(completions().map(|completion| f64::from(u8::from(completion.finish == FinishReason::Length)))),
            ),
            (
                "rollout/zero_variance".into(),
                mean(
                    self.scores
                        .iter()
                        .map(|group| f64::from(u8::from(group.iter().all(|score| score.value == group[0].value)))),
                ),
            ),
        ]);
        for (part, _) in scores().next().map_or(&[][..], |score| &score.parts) {
            metrics
                .insert(format!("reward/{part}"), mean(scores().filter_map(|score| score.part(part)).map(f64::from)));
        }
        metrics
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    sum / n.max(1) as f64
}
