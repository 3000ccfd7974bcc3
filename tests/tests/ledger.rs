//! The ledger of a run against a count by hand: every product of the tiny model, shape by shape and
//! token by token.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::{Problem, ProblemId, Trainable};
use seethink::curriculum::{Batch, Course, Curriculum, GroupOutcome, Progress, Stage};
use seethink::models::PromptInput;
use seethink::reward::{Response, Reward, Score};
use seethink::rollout::{PromptFormat, Sampling};
use seethink::train::{
    ActivationMemory, CheckpointFolder, Grpo, GrpoConfig, Interrupter, Ledger, MemoryConfig, PolicyLoss,
};
use seethink_tests::tiny::{self, LetterReward};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

// The tiny model: `tiny::config(1072, 32)` with its 32 channels a head.
const VOCAB: u64 = 1072;
const HIDDEN: u64 = 32;
const LAYERS: u64 = 2;
const HEADS: u64 = 2;
const HEAD: u64 = 32;
const MLP: u64 = 48;
const PATCH: u64 = 3 * 2 * 16 * 16;
const VISION: u64 = 16;
const BLOCKS: u64 = 2;
const VISION_MLP: u64 = 24;
/// Channels of a merged cell: four patches side by side.
const MERGED: u64 = 4 * VISION;

/// Operations of a row times a matrix: for each output a product and a sum per input.
fn product(inputs: u64, outputs: u64) -> u64 {
    (0..outputs).map(|_| 2 * inputs).sum()
}

/// Operations of a token with the weights of the decoder.
fn weights() -> u64 {
    let (queries, keys) = (product(HIDDEN, HEADS * HEAD), product(HIDDEN, HEAD));
    let attention = queries + keys + keys + product(HEADS * HEAD, HIDDEN);
    let swiglu = product(HIDDEN, MLP) + product(HIDDEN, MLP) + product(MLP, HIDDEN);
    (0..LAYERS).map(|_| attention + swiglu).sum()
}

/// Operations of a token with the tokens that it sees: a score and a share of a value for each of
/// them, in each head of each layer.
fn attention(n_seen: usize) -> u64 {
    let mut n = 0;
    for _layer in 0..LAYERS {
        for _head in 0..HEADS {
            for _seen in 0..n_seen {
                n += product(HEAD, 1) + product(1, HEAD);
            }
        }
    }
    n
}

fn head() -> u64 {
    product(HIDDEN, VOCAB)
}

/// Operations of the pictures of a prompt, through the encoder and through the projector with its
/// one DeepStack level.
fn vision(prompt: &PromptInput) -> [u64; 2] {
    let block = product(VISION, 3 * VISION)
        + product(VISION, VISION)
        + product(VISION, VISION_MLP)
        + product(VISION_MLP, VISION);
    let patch = product(PATCH, VISION) + BLOCKS * block;
    let merger = product(MERGED, MERGED) + product(MERGED, HIDDEN);
    [prompt.pixels.n_patches() as u64 * patch, prompt.image_tokens.len() as u64 * 2 * merger]
}

/// Operations of a row of the update: weights, attention and head of the prompt and of each
/// completion after it.
fn row(n_prompt: usize, completions: &[usize]) -> [u64; 3] {
    let mut row = [0; 3];
    (1..=n_prompt).for_each(|seen| row[1] += attention(seen));
    row[0] += n_prompt as u64 * weights();
    for &length in completions {
        for token in 1..=length {
            row[0] += weights();
            row[1] += attention(n_prompt + token);
            // The hidden state before each token of a completion gives a distribution.
            row[2] += head();
        }
    }
    row
}

/// Operations of decoding a sequence: each token of the completion but the last is read, and gives
/// a distribution of the next.
fn decoding(n_prompt: usize, length: usize) -> u64 {
    (1..length).map(|token| weights() + attention(n_prompt + token) + head()).sum()
}

/// Curriculum of three steps of four problems: two that train everything, one that trains the
/// decoder. The first two problems of a step get two more completions after their first two.
#[derive(Debug)]
struct Plan {
    stages: Vec<Stage>,
    problems: Vec<ProblemId>,
    extended: Vec<ProblemId>,
}

impl Curriculum for Plan {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        let step = progress.steps as usize;
        let problems = self.problems.chunks(want).nth(step).unwrap_or_default().to_vec();
        self.extended = problems.iter().take(2).copied().collect();
        Batch { stage: step / 2, problems }
    }

    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        let more = partial.size() == 0 || (partial.size() == 2 && self.extended.contains(&partial.problem()));
        Some(if more { 2 } else { 0 })
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }
}

/// Reward that records the lengths of completions.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<BTreeMap<ProblemId, Vec<usize>>>>);

impl Reward for Listening {
    fn name(&self) -> &'static str {
        "listening"
    }

    fn score(&self, problem: &Problem, response: Response<'_>) -> Score {
        LetterReward.score(problem, response)
    }

    fn score_group(&self, problem: &Problem, responses: &[Response<'_>]) -> Vec<Score> {
        let lengths = responses.iter().map(|response| response.tokens.len()).collect();
        self.0.lock().unwrap().insert(problem.id, lengths);
        responses.iter().map(|response| self.score(problem, *response)).collect()
    }
}

#[test]
fn a_run_costs_what_its_products_are() {
    let problems = tiny::problems(4);
    let heard = Listening::default();
    let mut second = Stage::new("second", []);
    second.trainable = Trainable::LANGUAGE_MODEL;
    let plan = Plan {
        stages: vec![Stage::new("first", []), second],
        // Every step has problems of all capabilities: with pictures and without.
        problems: (0..12).map(|i| problems[i % 3 * 4 + i / 3].id).collect(),
        extended: Vec::new(),
    };
    let order = plan.problems.clone();
    let processor = Arc::new(tiny::processor());
    let format = PromptFormat { system: None, suffix: String::new() };
    let prompts: BTreeMap<ProblemId, PromptInput> =
        problems.iter().map(|problem| (problem.id, format.encode(&*processor, problem).unwrap())).collect();
    let corpus = seethink::curriculum::Corpus::new(problems.iter().map(Into::into)).unwrap();
    let grpo = Grpo {
        config: GrpoConfig {
            group_size: 2,
            sampling: Sampling::plain(12),
            loss: PolicyLoss { kl_coef: 0.05, ..PolicyLoss::default() },
            memory: MemoryConfig {
                decode_batch: 64,
                micro_batch_tokens: 400,
                logit_chunk: 7,
                activations: ActivationMemory::Auto,
            },
            ..tiny::grpo_config()
        },
        seed: 5,
        processor,
        reward: Arc::new(heard.clone()),
        rewards: Default::default(),
        curriculum: Course::new(plan, &corpus),
        problems: problems.into_iter().collect(),
        validate: None,
        observer: Box::new(|_| {}),
        dashboard: false,
    };
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(grpo.train(tiny::model(3), folder.path(), false, Interrupter::new()).unwrap().steps, 3);
    let found = CheckpointFolder::new(folder.path()).unwrap().latest().unwrap().ledger;

    let lengths = heard.0.lock().unwrap();
    let mut expected = Ledger { updates: 6, ..Ledger::default() };
    let (mut forward, mut backward) = (0, 0);
    for (step, batch) in order.chunks(4).enumerate() {
        // The first two problems are prefilled and their images encoded a second time for their
        // second two completions.
        for (ids, which) in [(batch, 0..2), (&batch[..2], 2..4)] {
            for prompt in ids.iter().map(|id| &prompts[id]) {
                let n_prompt = prompt.tokens.len();
                let [encoder, projector] = vision(prompt);
                let [weights, attention, _] = row(n_prompt, &[]);
                forward += encoder + projector + weights + attention + head();
                expected.tokens_prompt += n_prompt as u64;
                expected.tokens_image += prompt.image_tokens.len() as u64;
            }
            for id in ids {
                let lengths = &lengths[id][which.clone()];
                forward += lengths.iter().map(|&length| decoding(prompts[id].tokens.len(), length)).sum::<u64>();
            }
        }
        for id in batch {
            let (prompt, completions) = (&prompts[id], &lengths[id]);
            let [encoder, projector] = vision(prompt);
            let [weights, attention, head] = row(prompt.tokens.len(), completions);
            expected.completions += completions.len() as u64;
            expected.tokens_generated += completions.iter().sum::<usize>() as u64;
            expected.tokens_trained += (prompt.tokens.len() + completions.iter().sum::<usize>()) as u64;
            // The reference; it encodes images itself in the second step, when the policy's vision
            // side differs from its own.
            forward += weights + attention + head + if step == 1 { encoder + projector } else { 0 };
            // The update: backwards two products for each of the forward pass.
            forward += weights + attention + head;
            backward += 2 * (weights + attention + head);
            if step < 2 {
                forward += encoder + projector;
                backward += 2 * (encoder + projector);
            }
        }
    }
    assert!(lengths.values().any(|lengths| lengths.len() == 4), "nothing to count");
    expected.forward_flops = forward as f64;
    expected.backward_flops = backward as f64;
    assert_eq!(found, expected);
}
