//! The completions of one step and what they are worth.

use super::group_advantages;
use crate::Ledger;
use crate::batch::{GroupInput, MicroBatch};
use crate::metrics::Metrics;
use seethink_core::{Completion, FinishReason, Group, Problem, ProblemId};
use seethink_curriculum::{GroupKey, GroupOutcome};
use seethink_models::{ForwardCost, PromptInput, VisualFeatures};
use seethink_reward::{Response, Reward, Score, Verdict};
use serde::{Deserialize, Serialize};

/// A prompt with its completions.
pub(super) struct Sampled {
    pub(super) prompt: PromptInput,
    /// Its images, as the policy of this step sees them.
    pub(super) features: Option<VisualFeatures>,
    /// Passes over the prompt.
    pub(super) n_prefills: usize,
    pub(super) completions: Vec<Completion>,
    /// Tokens that the row of each completion has read in decoding.
    pub(super) n_read: Vec<u32>,
    /// `[completion]`; empty where the group is of an earlier step.
    pub(super) scores: Vec<Score>,
    /// What came of it.
    pub(super) outcome: GroupOutcome,
}

/// Completions of a prompt, and the tokens that the row of each has read.
pub(super) type Decoded = (Vec<Completion>, Vec<u32>);

/// A group that may be trained on again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankedGroup {
    /// Tokens, and their log-probabilities when they were sampled.
    pub group: Group,
    /// What came of it.
    pub outcome: GroupOutcome,
    /// Index of the stage that it was sampled in, whose prompt it answers.
    pub stage: usize,
}

/// What is sampled in a step and what is trained on.
#[derive(Default)]
pub(super) struct Step {
    /// In the order drawn.
    pub(super) sampled: Vec<Sampled>,
    /// Whether the curriculum admits it, `[group]`.
    pub(super) admitted: Vec<bool>,
    /// Groups of earlier steps.
    pub(super) replayed: Vec<Sampled>,
}

impl Sampled {
    /// A prompt without completions.
    pub(super) fn new(problem: ProblemId, step: usize, prompt: PromptInput) -> Self {
        let key = GroupKey { step: step as u64, problem };
        let (rewards, accuracies, advantages, lengths) = Default::default();
        let outcome = GroupOutcome { key, rewards, accuracies, advantages, lengths, n_truncated: 0 };
        let (completions, n_read, scores) = Default::default();
        Self { prompt, features: None, n_prefills: 0, completions, n_read, scores, outcome }
    }

    /// With more completions and what their rows have read, all of them scored together.
    pub(super) fn extend(&mut self, (completions, n_read): Decoded, reward: &dyn Reward, problem: &Problem) {
        self.n_prefills += 1;
        self.completions.extend(completions);
        self.n_read.extend(n_read);
        let responses: Vec<Response<'_>> = self.completions.iter().map(Response::from).collect();
        self.scores = reward.score_group(problem, &responses);
        let rewards: Vec<f32> = self.scores.iter().map(|score| score.value).collect();
        self.outcome = GroupOutcome {
            key: self.outcome.key,
            accuracies: self.scores.iter().map(|score| score.part("accuracy").unwrap_or(score.value)).collect(),
            // A single completion has nothing to be compared with.
            advantages: if rewards.len() > 1 { group_advantages(&rewards) } else { vec![0.0; rewards.len()] },
            rewards,
            lengths: self.completions.iter().map(|completion| completion.tokens.len() as u32).collect(),
            n_truncated: self.completions.iter().filter(|completion| completion.finish == FinishReason::Length).count(),
        };
    }

    /// For later steps; `stage` is the index of this one's.
    pub(super) fn to_bank(&self, stage: usize) -> BankedGroup {
        let group = Group { problem: self.outcome.problem(), completions: self.completions.clone() };
        BankedGroup { group, outcome: self.outcome.clone(), stage }
    }
}

impl Step {
    /// Groups admitted so far.
    pub(super) fn n_admitted(&self) -> usize {
        self.admitted.iter().filter(|&&admitted| admitted).count()
    }

    /// What is trained on.
    fn trained(&self) -> impl Iterator<Item = &Sampled> {
        let admitted = self.sampled.iter().zip(&self.admitted).filter(|(_, admitted)| **admitted);
        admitted.map(|(group, _)| group).chain(&self.replayed)
    }

    /// Micro-batches of each mini-batch, in order; advantages are weighted here and only here.
    ///
    /// `keep_features`: whether to use the image features of the rollouts, instead of the pixels again.
    pub(super) fn mini_batches(
        &self,
        mini_batch: usize,
        max_tokens: usize,
        keep_features: bool,
        weight: impl Fn(&GroupOutcome) -> f64,
    ) -> Vec<Vec<MicroBatch>> {
        let groups: Vec<GroupInput<'_>> = self
            .trained()
            .map(|group| {
                let weight = weight(&group.outcome) as f32;
                let advantages = group.outcome.advantages.iter().map(|advantage| weight * advantage).collect();
                let features = group.features.as_ref().filter(|_| keep_features);
                GroupInput::of_completions(&group.prompt, features, &group.completions, advantages)
            })
            .collect();
        groups.chunks(mini_batch).map(|groups| MicroBatch::pack(groups, max_tokens)).collect()
    }

    /// What the curriculum hears.
    pub(super) fn outcomes(&self) -> Vec<GroupOutcome> {
        self.sampled.iter().map(|group| group.outcome.clone()).collect()
    }

    /// Completions sampled.
    pub(super) fn n_completions(&self) -> usize {
        self.sampled.iter().map(|group| group.completions.len()).sum()
    }

    /// What was spent on completions.
    pub(super) fn ledger(&self, cost: &ForwardCost) -> Ledger {
        let mut ledger = Ledger::default();
        self.sampled
            .iter()
            .for_each(|group| ledger.sample(cost, &group.prompt, group.n_prefills, &group.outcome.lengths, &group.n_read));
        self.replayed.iter().for_each(|group| ledger.look(cost, &group.prompt));
        ledger
    }

    /// Reward and length metrics of what was sampled.
    pub(super) fn metrics(&self) -> Metrics {
        let groups = || self.sampled.iter();
        let scores = || groups().flat_map(|group| &group.scores);
        let lengths = || groups().flat_map(|group| &group.outcome.lengths);
        let n_completions = self.n_completions().max(1) as f64;
        let share = |flag: bool| f64::from(u8::from(flag));
        let mut metrics = Metrics::from([
            ("reward/mean".into(), mean(scores().map(|score| f64::from(score.value)))),
            ("rollout/length".into(), mean(lengths().map(|&length| f64::from(length)))),
            (
                "rollout/truncated".into(),
                groups().map(|group| group.outcome.n_truncated as f64).sum::<f64>() / n_completions,
            ),
            ("rollout/zero_variance".into(), mean(groups().map(|group| share(group.outcome.has_no_variance())))),
            ("rollout/admitted".into(), mean(self.admitted.iter().map(|&admitted| share(admitted)))),
            ("rollout/replayed".into(), self.replayed.len() as f64),
        ]);
        for (part, _) in scores().next().map_or(&[][..], |score| &score.parts) {
            metrics
                .insert(format!("reward/{part}"), mean(scores().filter_map(|score| score.part(part)).map(f64::from)));
        }
        // Of the answers that were judged, those of which it could not be told whether they are right.
        let verdicts = || scores().filter_map(|score| score.verdict);
        if verdicts().next().is_some() {
            let share_of = |which: fn(&Verdict) -> bool| mean(verdicts().map(|verdict| share(which(&verdict))));
            metrics.insert("reward/unscorable".into(), share_of(|verdict| matches!(verdict, Verdict::Unscorable(_))));
            metrics.insert("reward/out_of_fuel".into(), share_of(|verdict| *verdict == Verdict::OutOfFuel));
        }
        metrics
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    sum / n.max(1) as f64
}
