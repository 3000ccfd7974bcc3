//! Training batches: rows of tokens, the tokens that are trained, and their advantages.

use seethink_core::Completion;
use seethink_models::{Pixels, PromptInput, TokenRow, VisualFeatures};

/// The images of a micro-batch.
#[derive(Debug, Clone, Default)]
pub enum Vision {
    /// No row has an image.
    #[default]
    None,
    /// The vision side is frozen: its features are constants, computed once.
    Features(Box<VisualFeatures>),
    /// The vision side learns: it is run again under gradient tracking.
    Pixels(Pixels),
}

/// The trained tokens of a batch, flat, in the order of rows.
///
/// All vectors are as long as `ids`, except those that are empty where they do not apply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Targets {
    /// Row of each token.
    pub rows: Vec<usize>,
    /// Column of the hidden state that predicts the token: the token before it, or the prompt's
    /// last.
    pub columns: Vec<usize>,
    /// Token ids.
    pub ids: Vec<u32>,
    /// Old log-probability of each token, under the policy that sampled it. Nats; empty in
    /// supervised fine-tuning.
    pub old_log_probs: Vec<f32>,
    /// Log-probability of each token under the reference policy. Nats; empty without a reference.
    pub reference_log_probs: Vec<f32>,
    /// Advantage of each token's completion. Empty in supervised fine-tuning.
    pub advantages: Vec<f32>,
}

/// Rows that go through the model together.
#[derive(Debug, Clone, Default)]
pub struct MicroBatch {
    /// One row per group: the prompt, then every completion as a branch of its own.
    pub rows: Vec<TokenRow>,
    /// Images of all rows, in order.
    pub vision: Vision,
    /// Trained tokens.
    pub targets: Targets,
}

/// A prompt with the completions to train on.
#[derive(Debug, Clone)]
pub struct GroupInput<'a> {
    /// The prompt.
    pub prompt: &'a PromptInput,
    /// Image features, where the vision side is frozen.
    pub features: Option<&'a VisualFeatures>,
    /// Tokens of each completion, with their log-probabilities when they were sampled (empty
    /// otherwise).
    pub completions: Vec<(&'a [u32], &'a [f32])>,
    /// Advantage of each completion; empty in supervised fine-tuning.
    pub advantages: Vec<f32>,
}

impl<'a> GroupInput<'a> {
    /// Creates a group from the completions of a rollout.
    pub fn of_completions(
        prompt: &'a PromptInput,
        features: Option<&'a VisualFeatures>,
        completions: &'a [Completion],
        advantages: Vec<f32>,
    ) -> Self {
        let completions = completions.iter().map(|c| (c.tokens.as_slice(), c.log_probs.as_slice())).collect();
        Self { prompt, features, completions, advantages }
    }

    /// Length of the row, tokens.
    fn len(&self) -> usize {
        self.prompt.tokens.len() + self.completions.iter().map(|(tokens, _)| tokens.len()).sum::<usize>()
    }
}

impl MicroBatch {
    /// Packs groups, in order, into micro-batches of at most `max_tokens` tokens, padding included
    /// (at least one group each).
    pub fn pack(groups: &[GroupInput<'_>], max_tokens: usize) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut start = 0;
        while start < groups.len() {
            let mut longest = groups[start].len();
            let mut end = start + 1;
            while end < groups.len() {
                longest = longest.max(groups[end].len());
                if longest * (end + 1 - start) > max_tokens {
                    break;
                }
                end += 1;
            }
            batches.push(Self::of_groups(&groups[start..end]));
            start = end;
        }
        batches
    }

    fn of_groups(groups: &[GroupInput<'_>]) -> Self {
        let mut batch = Self::default();
        for (row_idx, group) in groups.iter().enumerate() {
            let mut row = TokenRow::prompt(group.prompt);
            let last_of_prompt = row.tokens.len() - 1;
            for (c, (tokens, log_probs)) in group.completions.iter().enumerate() {
                let first = row.push_branch(c as i64 + 1, group.prompt.next_position, tokens);
                let targets = &mut batch.targets;
                targets.ids.extend_from_slice(tokens);
                targets.rows.extend(std::iter::repeat_n(row_idx, tokens.len()));
                targets.columns.extend((0..tokens.len()).map(|t| if t == 0 { last_of_prompt } else { first + t - 1 }));
                targets.old_log_probs.extend_from_slice(log_probs);
                if let Some(&advantage) = group.advantages.get(c) {
                    targets.advantages.extend(std::iter::repeat_n(advantage, tokens.len()));
                }
            }
            batch.rows.push(row);
        }
        batch.vision = if groups.iter().all(|group| group.prompt.image_tokens.is_empty()) {
            Vision::None
        } else if let Some(features) = VisualFeatures::concat(groups.iter().filter_map(|group| group.features)) {
            Vision::Features(Box::new(features))
        } else {
            Vision::Pixels(Pixels::concat(groups.iter().map(|group| &group.prompt.pixels)))
        };
        batch
    }

    /// Number of trained tokens.
    pub fn n_targets(&self) -> usize {
        self.targets.ids.len()
    }

    /// Number of tokens that go through the model, padding left out.
    pub fn n_tokens(&self) -> usize {
        self.rows.iter().map(|row| row.tokens.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(n: usize) -> PromptInput {
        PromptInput {
            tokens: (0..n as u32).collect(),
            position_ids: (0..n as i64).map(|p| [p; 3]).collect(),
            next_position: n as i64,
            image_tokens: Vec::new(),
            pixels: Pixels::default(),
        }
    }

    #[test]
    fn a_group_is_one_row_and_each_token_knows_its_predecessor() {
        let prompt = prompt(3);
        let group = GroupInput {
            prompt: &prompt,
            features: None,
            completions: vec![(&[7, 8], &[-0.1, -0.2]), (&[9], &[-0.3])],
            advantages: vec![1.0, -1.0],
        };
        let batches = MicroBatch::pack(&[group], 100);
        let [batch] = batches.as_slice() else { panic!("one batch") };
        assert_eq!(batch.rows[0].tokens, [0, 1, 2, 7, 8, 9]);
        assert_eq!(batch.rows[0].segments, [0, 0, 0, 1, 1, 2]);
        assert_eq!(batch.rows[0].position_ids[5], [3; 3], "a branch starts where the prompt ends");
        assert_eq!(batch.targets.columns, [2, 3, 2]);
        assert_eq!(batch.targets.advantages, [1.0, 1.0, -1.0]);
    }

    #[test]
    fn packing_respects_the_budget_and_keeps_order() {
        let prompts: Vec<_> = [3, 5, 2, 2].into_iter().map(prompt).collect();
        let groups: Vec<_> = prompts
            .iter()
            .map(|prompt| GroupInput { prompt, features: None, completions: vec![(&[1], &[])], advantages: vec![] })
            .collect();
        let sizes: Vec<_> = MicroBatch::pack(&groups, 12).iter().map(|batch| batch.rows.len()).collect();
        assert_eq!(sizes, [2, 2]);
        let sizes: Vec<_> = MicroBatch::pack(&groups, 1).iter().map(|batch| batch.rows.len()).collect();
        assert_eq!(sizes, [1, 1, 1, 1], "a group that is too large still goes alone");
    }
}
