//! Training batches: rows of tokens, the tokens that are trained, and their advantages.

use seethink_core::Completion;
use seethink_models::{Pixels, PromptInput, TokenRow, VisualFeatures};
use std::cmp::Reverse;

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

    /// Returns whether the policy gradient of every completion is zero.
    pub(crate) fn has_no_advantage(&self) -> bool {
        self.advantages.iter().all(|&advantage| advantage == 0.0)
    }

    /// Number of trained tokens.
    pub(crate) fn n_targets(&self) -> usize {
        self.completions.iter().map(|(tokens, _)| tokens.len()).sum()
    }

    /// Length of the row, tokens.
    fn len(&self) -> usize {
        self.prompt.tokens.len() + self.n_targets()
    }
}

impl MicroBatch {
    /// Packs groups into micro-batches of at most `max_tokens` tokens, padding included (at least
    /// one group each): the longest first, so that rows of similar lengths share one.
    pub fn pack(groups: &[GroupInput<'_>], max_tokens: usize) -> Vec<Self> {
        let mut by_length: Vec<&GroupInput<'_>> = groups.iter().collect();
        by_length.sort_by_key(|group| Reverse(group.len()));
        let mut rest = by_length.as_mut_slice();
        let mut batches = Vec::new();
        while let Some(longest) = rest.first() {
            let n = (max_tokens / longest.len().max(1)).clamp(1, rest.len());
            let (batch, others) = rest.split_at_mut(n);
            // Images of one size are encoded together where they follow one another.
            batch.sort_by_key(|group| &group.prompt.pixels.grids);
            batches.push(Self::of_groups(batch));
            rest = others;
        }
        batches
    }

    fn of_groups(groups: &[&GroupInput<'_>]) -> Self {
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
    fn packing_respects_the_budget_and_puts_rows_of_similar_lengths_together() {
        let prompts: Vec<_> = [3, 5, 2, 5].into_iter().map(prompt).collect();
        let groups: Vec<_> = prompts
            .iter()
            .map(|prompt| GroupInput { prompt, features: None, completions: vec![(&[1], &[])], advantages: vec![] })
            .collect();
        let lengths = |max_tokens| {
            let of_batch = |batch: &MicroBatch| batch.rows.iter().map(|row| row.tokens.len()).collect::<Vec<_>>();
            MicroBatch::pack(&groups, max_tokens).iter().map(of_batch).collect::<Vec<_>>()
        };
        assert_eq!(lengths(12), [vec![6, 6], vec![4, 3]]);
        assert_eq!(lengths(1), [[6], [6], [4], [3]], "a group that is too large still goes alone");
    }

    #[test]
    fn pictures_of_one_size_follow_one_another() {
        let picture = |rows| PromptInput {
            image_tokens: vec![1],
            pixels: Pixels { values: vec![rows as f32; rows], grids: vec![[1, rows, 1]] },
            ..prompt(3)
        };
        let prompts = [4, 2, 4, 2].map(picture);
        let groups = prompts.each_ref().map(|prompt| GroupInput {
            prompt,
            features: None,
            completions: vec![(&[1], &[])],
            advantages: vec![prompt.pixels.values[0]],
        });
        let [batch] = &MicroBatch::pack(&groups, 100)[..] else { panic!("one batch") };
        let Vision::Pixels(pixels) = &batch.vision else { panic!("pictures") };
        assert_eq!(pixels.grids, [[1, 2, 1], [1, 2, 1], [1, 4, 1], [1, 4, 1]]);
        assert_eq!(batch.targets.advantages, [2.0, 2.0, 4.0, 4.0], "rows go with their pictures");
    }
}
