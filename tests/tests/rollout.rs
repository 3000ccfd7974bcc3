//! Rollouts: independence of batching, tokens that may be sampled, and equality of
//! log-probabilities with those of training.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Int, Tensor, TensorData};
use seethink::core::{FinishReason, Group, Problem, Purpose};
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::models::{Processor, PromptInput, Side, TokenRow, VisionLanguageModel, VlmInput};
use seethink::rollout::{DrawKey, Generator, Prompt, PromptFormat, RolloutError, Rollouts, Sampling};
use seethink::train::{GroupInput, LogProbs, MicroBatch, Policy};
use seethink_tests::ending::Ending;
use seethink_tests::tiny;

/// Tolerance between two orders of summation in `f32`: a batch of another size, or the whole
/// sequence at once.
const SAME: f32 = 1e-5;
const KEY: DrawKey = DrawKey { seed: 7, purpose: Purpose::Rollout, step: 3 };

struct World {
    model: Qwen3Vl,
    processor: Ending,
    problems: Vec<Problem>,
    prompts: Vec<PromptInput>,
}

impl World {
    /// Creates two problems of each capability: with and without images, of different lengths.
    fn new() -> Self {
        let (processor, problems) = (tiny::processor(), tiny::problems(2));
        let format = PromptFormat::default();
        let prompts = format.encode_all(&processor, &problems.iter().collect::<Vec<_>>()).unwrap();
        Self { model: tiny::model(3), processor, problems, prompts }
    }

    fn generator(&self, sampling: Sampling, max_batch: usize) -> Generator<'_, Qwen3Vl> {
        Generator { model: &self.model, processor: &self.processor, sampling, max_batch }
    }

    /// Samples completions of the problems with these indices.
    fn roll_out(&self, which: &[usize], n: usize, sampling: Sampling, max_batch: usize, key: DrawKey) -> Rollouts {
        let prompt = |&i: &usize| Prompt::new(self.problems[i].id, &self.prompts[i]);
        let prompts: Vec<Prompt<'_>> = which.iter().map(prompt).collect();
        self.generator(sampling, max_batch).generate(&prompts, n, key, &mut |_, _| true).unwrap()
    }

    fn log_probs(&self, temperature: f32) -> LogProbs {
        LogProbs { temperature, forbidden: self.processor.forbidden_token_ids().to_vec(), chunk: 64 }
    }

    /// Logits before each token of a completion, by one pass over the whole sequence:
    /// `[position][vocab]`.
    fn logits(&self, problem: usize, tokens: &[u32]) -> Vec<Vec<f32>> {
        let prompt = &self.prompts[problem];
        let mut row = TokenRow::prompt(prompt);
        let first = row.push_branch(0, prompt.next_position, tokens);
        let device = Device::default();
        let features =
            (!prompt.image_tokens.is_empty()).then(|| self.model.encode_images(prompt.pixels.to_tensor(&device)));
        let hidden = self.model.hidden_states(VlmInput::from_rows(&[row], 0, Side::Right, features, &device));
        let logits = self.model.lm_head(hidden.narrow(1, first - 1, tokens.len()).squeeze_dim(0));
        let mut logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        for row in logits.chunks_mut(self.model.vocab_size()) {
            self.processor.forbidden_token_ids().iter().for_each(|&id| row[id as usize] = f32::NEG_INFINITY);
        }
        logits.chunks(self.model.vocab_size()).map(<[f32]>::to_vec).collect()
    }
}

fn worst(a: impl IntoIterator<Item = f32>, b: impl IntoIterator<Item = f32>) -> f32 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d.is_nan() { d } else { worst.max(d) })
}

fn assert_same(what: &str, found: &Group, expected: &Group) {
    assert_eq!(found.problem, expected.problem, "{what}");
    assert_eq!(found.completions.len(), expected.completions.len(), "{what}");
    for (found, expected) in found.completions.iter().zip(&expected.completions) {
        assert_eq!(found.tokens, expected.tokens, "{what}");
        assert_eq!((&found.text, found.finish), (&expected.text, expected.finish), "{what}");
        assert_eq!(found.log_probs.len(), found.tokens.len(), "{what}");
        let off = worst(found.log_probs.iter().copied(), expected.log_probs.iter().copied());
        assert!(off <= SAME, "{what}: log-probabilities are off by {off:.1e}, allowed {SAME:.0e}");
    }
}

#[test]
fn completions_do_not_depend_on_the_company() {
    let world = World::new();
    let sampling = Sampling::plain(24);
    let together = world.roll_out(&[0, 1, 2, 3, 4, 5], 3, sampling, 64, KEY).groups;
    for max_batch in [1, 3, 7] {
        let batches = world.roll_out(&[0, 1, 2, 3, 4, 5], 3, sampling, max_batch, KEY).groups;
        together.iter().zip(&batches).for_each(|(a, b)| assert_same(&format!("batches of {max_batch}"), b, a));
    }
    let reversed = world.roll_out(&[5, 4, 3, 2, 1, 0], 3, sampling, 64, KEY).groups;
    together.iter().zip(reversed.iter().rev()).for_each(|(a, b)| assert_same("reversed", b, a));
    for (i, expected) in together.iter().enumerate() {
        assert_same("alone", &world.roll_out(&[i], 3, sampling, 64, KEY).groups[0], expected);
        let mut fewer = expected.clone();
        fewer.completions.truncate(2);
        assert_same("in a smaller group", &world.roll_out(&[i], 2, sampling, 64, KEY).groups[0], &fewer);
    }
}

#[test]
fn completions_depend_on_all_of_their_key() {
    let world = World::new();
    let draw = |key| world.roll_out(&[0], 2, Sampling::plain(24), 8, key).groups[0].clone();
    let base = draw(KEY);
    assert_eq!(draw(KEY), base);
    assert_ne!(base.completions[0].tokens, base.completions[1].tokens);
    for key in [DrawKey { seed: 8, ..KEY }, DrawKey { step: 4, ..KEY }, DrawKey { purpose: Purpose::Evaluation, ..KEY }]
    {
        assert_ne!(draw(key).completions[0].tokens, base.completions[0].tokens, "{key:?}");
    }
}

#[test]
fn training_recomputes_the_log_probabilities_of_sampling() {
    let world = World::new();
    let policy = Policy { model: world.model.clone() };
    let mut largest: f32 = 0.0;
    for temperature in [1.0, 0.6] {
        let sampling = Sampling { temperature, ..Sampling::plain(40) };
        let rollouts = world.roll_out(&[0, 1, 2, 3, 4, 5], 4, sampling, 64, KEY);
        // The features of the rollout, and pixels that are encoded again.
        for frozen in [true, false] {
            let groups: Vec<GroupInput<'_>> = rollouts
                .groups
                .iter()
                .zip(world.prompts.iter().zip(&rollouts.features))
                .map(|(group, (prompt, features))| {
                    GroupInput::of_completions(
                        prompt,
                        features.as_ref().filter(|_| frozen),
                        &group.completions,
                        vec![0.0; 4],
                    )
                })
                .collect();
            for batch in MicroBatch::pack(&groups, 1500) {
                let found = policy.log_probs(&batch, &world.log_probs(temperature), world.processor.pad_token_id());
                largest = largest.max(worst(found, batch.targets.old_log_probs.iter().copied()));
            }
        }
    }
    println!("cached decoding and one pass: log-probabilities are off by {largest:.1e}, allowed {SAME:.0e}");
    assert!(largest > 0.0 && largest <= SAME, "off by {largest:.1e}");
}

#[test]
fn forbidden_tokens_are_never_written_and_have_no_probability() {
    let world = World::new();
    let allowed = 100..110;
    let forbidden: Vec<u32> = (0..world.model.vocab_size() as u32).filter(|id| !allowed.contains(id)).collect();
    let processor = Ending { forbidden: forbidden.clone(), ..tiny::processor() };
    let prompts: Vec<Prompt<'_>> = (0..6).map(|i| Prompt::new(world.problems[i].id, &world.prompts[i])).collect();
    let mut used = std::collections::BTreeSet::new();
    for sampling in
        [Sampling::plain(16), Sampling::greedy(16), Sampling { top_k: 3, top_p: 0.9, ..Sampling::plain(16) }]
    {
        let generator = Generator { model: &world.model, processor: &processor, sampling, max_batch: 64 };
        let rollouts = generator.generate(&prompts, 2, KEY, &mut |_, _| true).unwrap();
        used.extend(rollouts.groups.iter().flat_map(|group| &group.completions).flat_map(|c| c.tokens.clone()));
    }
    assert!(used.iter().all(|id| allowed.contains(id)) && used.len() > 5, "{used:?}");

    let n = world.model.vocab_size();
    let hidden = Tensor::<2>::ones([1, 32], &Device::default()).repeat_dim(0, n);
    let ids = Tensor::<1, Int>::from_data(TensorData::new((0..n as i64).collect::<Vec<_>>(), [n]), &Device::default());
    let log_probs = LogProbs { temperature: 0.7, forbidden, chunk: 100 }.of(&world.model, hidden, ids);
    let probabilities: Vec<f32> = log_probs.exp().into_data().iter::<f32>().collect();
    let (inside, outside): (Vec<_>, Vec<_>) = (0..n).partition(|&id| allowed.contains(&(id as u32)));
    assert!((inside.iter().map(|&id| probabilities[id]).sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(outside.iter().all(|&id| probabilities[id] == 0.0));
}

#[test]
fn greedy_takes_the_most_likely_token_and_filters_narrow_towards_it() {
    let world = World::new();
    let draw = |sampling, seed| world.roll_out(&[0, 2], 1, sampling, 8, DrawKey { seed, ..KEY }).groups;
    let greedy = draw(Sampling::greedy(16), 1);
    assert_eq!(greedy, draw(Sampling::greedy(16), 2), "greedy decoding draws nothing");
    let tokens = |groups: &[Group]| groups.iter().map(|group| group.completions[0].tokens.clone()).collect::<Vec<_>>();
    for narrow in [Sampling { top_k: 1, ..Sampling::plain(16) }, Sampling { top_p: 1e-6, ..Sampling::plain(16) }] {
        assert_eq!(tokens(&draw(narrow, 1)), tokens(&greedy), "{narrow:?}");
    }

    for (group, problem) in greedy.iter().zip([0, 2]) {
        let completion = &group.completions[0];
        for (logits, &token) in world.logits(problem, &completion.tokens).iter().zip(&completion.tokens) {
            let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(best - logits[token as usize] <= SAME, "{token} is not the most likely");
        }
    }
    let (mut seen, top_k) = (false, 5);
    for seed in 0..4 {
        for (group, problem) in draw(Sampling { top_k, ..Sampling::plain(16) }, seed).iter().zip([0, 2]) {
            let tokens = &group.completions[0].tokens;
            for (logits, &token) in world.logits(problem, tokens).iter().zip(tokens) {
                let better = logits.iter().filter(|&&logit| logit > logits[token as usize] + SAME).count();
                assert!(better < top_k, "{better} tokens are likelier than {token}");
                seen |= better == top_k - 1;
            }
        }
    }
    assert!(seen, "the fifth is drawn as well");
}

#[test]
fn a_completion_ends_with_its_first_end_token_or_at_the_limit() {
    let world = World::new();
    let groups = world.roll_out(&[0, 1, 2, 3, 4, 5], 8, Sampling::plain(20), 64, KEY).groups;
    let ends = world.processor.eos_token_ids();
    let mut n_stopped = 0;
    let completions: Vec<_> = groups.iter().flat_map(|group| &group.completions).collect();
    for completion in &completions {
        let first_end = completion.tokens.iter().position(|token| ends.contains(token));
        match completion.finish {
            FinishReason::Stop => assert_eq!(first_end, Some(completion.tokens.len() - 1)),
            FinishReason::Length => assert_eq!((first_end, completion.tokens.len()), (None, 20)),
        }
        n_stopped += usize::from(completion.finish == FinishReason::Stop);
    }
    assert!((1..completions.len()).contains(&n_stopped), "{n_stopped} of {} stopped", completions.len());
}

#[test]
fn generation_reports_its_progress_and_can_be_stopped() {
    let world = World::new();
    let prompts: Vec<Prompt<'_>> = (0..6).map(|i| Prompt::new(world.problems[i].id, &world.prompts[i])).collect();
    let generator = world.generator(Sampling::plain(8), 4);
    let mut heard = Vec::new();
    let all = generator.generate(&prompts, 2, KEY, &mut |done, wanted| {
        heard.push((done, wanted));
        true
    });
    assert_eq!(all.unwrap().groups.len(), 6);
    assert!(heard.is_sorted() && heard.iter().all(|&(_, wanted)| wanted == 12), "{heard:?}");
    assert_eq!(heard.last(), Some(&(12, 12)));
    let stopped = generator.generate(&prompts, 2, KEY, &mut |done, _| done < 5);
    assert!(matches!(stopped, Err(RolloutError::Interrupted)));
    let wrong = world.generator(Sampling { top_p: 0.0, ..Sampling::plain(8) }, 4);
    assert!(matches!(wrong.generate(&prompts, 2, KEY, &mut |_, _| true), Err(RolloutError::Sampling(_))));
}
