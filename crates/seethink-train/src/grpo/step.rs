//! Completions of one step and their advantages.

use crate::Ledger;
use crate::advantage::group_advantages;
use crate::bank::BankedGroup;
use crate::batch::{GroupInput, MicroBatch};
use crate::metrics::Metrics;
use seethink_core::{Completion, FinishReason, Group, Problem, ProblemId};
use seethink_curriculum::{GroupKey, GroupOutcome, Quantity};
use seethink_models::{ForwardCost, PromptInput, VisualFeatures};
use seethink_reward::{Response, Reward, Score, Verdict};

/// A prompt with its completions.
pub(super) struct Sampled {
    pub(super) prompt: PromptInput,
    /// Image features of the prompt, as the policy of this step computes them.
    pub(super) features: Option<VisualFeatures>,
    /// Number of prefills of the prompt.
    pub(super) n_prefills: usize,
    pub(super) completions: Vec<Completion>,
    /// Number of tokens that the row of each completion has read in decoding.
    pub(super) n_read: Vec<u32>,
    /// Scores, `[completion]`; empty where the group is of an earlier step.
    pub(super) scores: Vec<Score>,
    /// Outcome of the group.
    pub(super) outcome: GroupOutcome,
}

/// Completions of a prompt, and the number of tokens that the row of each has read.
pub(super) type Decoded = (Vec<Completion>, Vec<u32>);

/// Groups of one step: sampled, admitted and replayed.
#[derive(Default)]
pub(super) struct Step {
    /// Groups sampled, in the order drawn.
    pub(super) sampled: Vec<Sampled>,
    /// True where the curriculum admits the group, `[group]`.
    pub(super) admitted: Vec<bool>,
    /// Groups of earlier steps that are trained on again.
    pub(super) replayed: Vec<Sampled>,
}

/// Division of the groups of a step for its updates.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// Groups of a mini-batch.
    pub(super) mini_batch: usize,
    /// Most tokens of a micro-batch.
    pub(super) max_tokens: usize,
    /// True if the image features of the rollouts are used, instead of encoding the pixels again.
    pub(super) keep_features: bool,
    /// True if nothing but advantages moves the policy, so that groups without any are left out.
    pub(super) advantages_only: bool,
}

/// Groups of one optimiser step.
pub(super) struct MiniBatch {
    pub(super) micro_batches: Vec<MicroBatch>,
    /// Number of tokens of groups that are left out.
    pub(super) n_left_out: usize,
}

impl Sampled {
    /// Creates a prompt without completions.
    pub(super) fn new(problem: ProblemId, step: usize, prompt: PromptInput) -> Self {
        let key = GroupKey { step: step as u64, problem };
        let (rewards, accuracies, advantages, lengths) = Default::default();
        let outcome = GroupOutcome { key, rewards, accuracies, advantages, lengths, n_truncated: 0 };
        let (completions, n_read, scores) = Default::default();
        Self { prompt, features: None, n_prefills: 0, completions, n_read, scores, outcome }
    }

    /// Adds completions and the tokens that their rows have read; scores all completions together.
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
            // A single completion has no other to be compared with.
            advantages: if rewards.len() > 1 { group_advantages(&rewards) } else { vec![0.0; rewards.len()] },
            rewards,
            lengths: self.completions.iter().map(|completion| completion.tokens.len() as u32).collect(),
            n_truncated: self.completions.iter().filter(|completion| completion.finish == FinishReason::Length).count(),
        };
    }

    /// Banked group for later steps; `stage` is the index of this step's stage.
    pub(super) fn to_bank(&self, stage: usize) -> BankedGroup {
        let group = Group { problem: self.outcome.problem(), completions: self.completions.clone() };
        BankedGroup { group, outcome: self.outcome.clone(), stage }
    }
}

impl Step {
    /// Number of groups admitted so far.
    pub(super) fn n_admitted(&self) -> usize {
        self.admitted.iter().filter(|&&admitted| admitted).count()
    }

    /// Groups that are trained on.
    fn trained(&self) -> impl Iterator<Item = &Sampled> {
        let admitted = self.sampled.iter().zip(&self.admitted).filter(|(_, admitted)| **admitted);
        admitted.map(|(group, _)| group).chain(&self.replayed)
    }

    /// Mini-batches, in order; advantages are weighted here and only here.
    pub(super) fn mini_batches(&self, cut: Cut, weight: impl Fn(&GroupOutcome) -> f64) -> Vec<MiniBatch> {
        let mut groups: Vec<GroupInput<'_>> = self
            .trained()
            .map(|group| {
                let weight = weight(&group.outcome) as f32;
                let advantages = group.outcome.advantages.iter().map(|advantage| weight * advantage).collect();
                let features = group.features.as_ref().filter(|_| cut.keep_features);
                GroupInput::of_completions(&group.prompt, features, &group.completions, advantages)
            })
            .collect();
        let cut_one = |groups: &mut [GroupInput<'_>]| {
            let n_kept = if cut.advantages_only { move_to_the_end_what_moves_nothing(groups) } else { groups.len() };
            let (kept, left_out) = groups.split_at(n_kept);
            MiniBatch {
                micro_batches: MicroBatch::pack(kept, cut.max_tokens),
                n_left_out: left_out.iter().map(GroupInput::n_targets).sum(),
            }
        };
        groups.chunks_mut(cut.mini_batch).map(cut_one).collect()
    }

    /// Outcomes that the curriculum receives.
    pub(super) fn outcomes(&self) -> Vec<GroupOutcome> {
        self.sampled.iter().map(|group| group.outcome.clone()).collect()
    }

    /// Number of completions sampled.
    pub(super) fn n_completions(&self) -> usize {
        self.sampled.iter().map(|group| group.completions.len()).sum()
    }

    /// Ledger of the completions of this step.
    pub(super) fn ledger(&self, cost: &ForwardCost) -> Ledger {
        let mut ledger = Ledger::default();
        self.sampled.iter().for_each(|group| {
            ledger.add_rollout(cost, &group.prompt, group.n_prefills, &group.outcome.lengths, &group.n_read)
        });
        self.replayed.iter().for_each(|group| ledger.add_vision_forward(cost, &group.prompt));
        ledger
    }

    /// Reward and length metrics of the sampled groups.
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
            (
                "rollout/zero_variance".into(),
                mean(groups().map(|group| share(group.outcome.has_no_variance(Quantity::Reward)))),
            ),
            ("rollout/admitted".into(), mean(self.admitted.iter().map(|&admitted| share(admitted)))),
            ("rollout/replayed".into(), self.replayed.len() as f64),
        ]);
        for (part, _) in scores().next().map_or(&[][..], |score| &score.parts) {
            metrics
                .insert(format!("reward/{part}"), mean(scores().filter_map(|score| score.part(part)).map(f64::from)));
        }
        // Shares of the judged answers whose correctness could not be decided.
        let verdicts = || scores().filter_map(|score| score.verdict);
        if verdicts().next().is_some() {
            let share_of = |which: fn(&Verdict) -> bool| mean(verdicts().map(|verdict| share(which(&verdict))));
            metrics.insert("reward/unscorable".into(), share_of(|verdict| matches!(verdict, Verdict::Unscorable(_))));
            metrics.insert("reward/out_of_fuel".into(), share_of(|verdict| *verdict == Verdict::OutOfFuel));
        }
        metrics
    }
}

/// Sorts groups without advantages behind the others; returns the number of those that are kept.
///
/// One of them is kept if otherwise a part of the model would have no gradient, where it has one of
/// zero: the optimiser lets moments decay, and moves parameters, by a gradient of zero too.
fn move_to_the_end_what_moves_nothing(groups: &mut [GroupInput<'_>]) -> usize {
    let has_images = |group: &GroupInput<'_>| !group.prompt.image_tokens.is_empty();
    groups.sort_by_key(|group| (group.has_no_advantage(), !has_images(group), group.n_targets()));
    let n_moving = groups.iter().take_while(|group| !group.has_no_advantage()).count();
    let (moving, others) = groups.split_at(n_moving);
    // The first of the others is the shortest with images, if any has some.
    let is_needed = |first: &GroupInput<'_>| moving.is_empty() || has_images(first) && !moving.iter().any(has_images);
    n_moving + usize::from(others.first().is_some_and(is_needed))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    sum / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Vision;
    use burn::tensor::{Device, Tensor};
    use seethink_core::Capability;
    use seethink_models::Pixels;
    use seethink_reward::Unscorable;

    /// Test reward: a letter earns 1 for `a`, 0 for `b`; `c` cannot be judged and `d` is out of
    /// fuel.
    struct Letters;

    impl Reward for Letters {
        fn name(&self) -> &'static str {
            "letters"
        }

        fn score(&self, _: &Problem, response: Response<'_>) -> Score {
            let (value, verdict) = match response.text {
                "a" => (1.0, Some(Verdict::Right)),
                "c" => (0.0, Some(Verdict::Unscorable(Unscorable::NoAnswer))),
                "d" => (0.0, Some(Verdict::OutOfFuel)),
                _ => (0.0, None),
            };
            Score { value, parts: vec![("accuracy", value), ("format", 0.5)], verdict, ..Score::default() }
        }
    }

    fn problem(id: u64) -> Problem {
        Problem {
            id: ProblemId(id),
            capability: Capability::PERCEPTION,
            prompt: String::new(),
            images: Vec::new(),
            answer: String::new(),
            solution: None,
            pass_rate: None,
            source: String::new(),
            tags: Default::default(),
        }
    }

    /// Three tokens, the second of a picture of four patches.
    fn prompt() -> PromptInput {
        PromptInput {
            tokens: vec![0; 3],
            position_ids: vec![[0; 3]; 3],
            next_position: 3,
            image_tokens: vec![1],
            pixels: Pixels { values: vec![0.0; 4], grids: vec![[1, 2, 2]] },
        }
    }

    /// A group of these texts and lengths; a completion longer than three tokens was cut off.
    fn group(id: u64, texts: &[(&str, usize)]) -> Sampled {
        let completions = texts.iter().map(|&(text, length)| Completion {
            tokens: vec![7; length],
            log_probs: vec![-1.0; length],
            text: text.into(),
            finish: if length > 3 { FinishReason::Length } else { FinishReason::Stop },
        });
        let mut group = Sampled::new(ProblemId(id), 4, prompt());
        group.extend((completions.collect(), vec![5; texts.len()]), &Letters, &problem(id));
        group
    }

    fn features() -> VisualFeatures {
        VisualFeatures { embeds: Tensor::zeros([1, 2], &Device::default()), deepstack: Vec::new() }
    }

    #[test]
    fn a_group_grows_and_is_compared_anew() {
        let mut one = group(1, &[("a", 2)]);
        assert_eq!((&one.outcome.advantages[..], one.n_prefills), (&[0.0][..], 1));
        let more = group(1, &[("b", 4), ("b", 1)]);
        one.extend((more.completions, vec![8, 9]), &Letters, &problem(1));
        assert_eq!((one.n_prefills, one.completions.len(), &one.n_read[..]), (2, 3, &[5, 8, 9][..]));
        let GroupOutcome { key, rewards, accuracies, advantages, lengths, n_truncated } = &one.outcome;
        assert_eq!(*key, GroupKey { step: 4, problem: ProblemId(1) });
        assert_eq!((&rewards[..], &accuracies[..]), (&[1.0, 0.0, 0.0][..], &[1.0, 0.0, 0.0][..]));
        assert_eq!(*advantages, group_advantages(&[1.0, 0.0, 0.0]));
        assert_eq!((&lengths[..], *n_truncated), (&[2, 4, 1][..], 1));
        let banked = one.to_bank(3);
        assert_eq!((banked.stage, banked.group.problem, &banked.outcome), (3, ProblemId(1), &one.outcome));
        assert_eq!(banked.group.completions, one.completions);
    }

    /// Two groups sampled, of which the second is refused, and one of an earlier step.
    fn step() -> Step {
        let mut replayed = group(3, &[("b", 2), ("a", 2)]);
        replayed.features = Some(features());
        Step {
            sampled: vec![group(1, &[("a", 1), ("b", 5)]), group(2, &[("c", 3), ("d", 3)])],
            admitted: vec![true, false],
            replayed: vec![replayed],
        }
    }

    #[test]
    fn what_is_admitted_or_replayed_is_trained_on_with_its_weight() {
        let n_admitted = |admitted: [bool; 2]| Step { admitted: admitted.into(), ..step() }.n_admitted();
        assert_eq!([n_admitted([false, false]), n_admitted([true, true])], [0, 2]);
        let step = step();
        assert_eq!((step.n_admitted(), step.n_completions()), (1, 4));
        assert_eq!(step.outcomes().iter().map(|one| one.problem().0).collect::<Vec<_>>(), [1, 2]);
        let weight = |group: &GroupOutcome| group.problem().0 as f64;
        let advantage = group_advantages(&[1.0, 0.0])[0];
        let cut = Cut { mini_batch: 1, max_tokens: 100, keep_features: true, advantages_only: false };
        for (mini_batch, sizes) in [(1, vec![1, 1]), (2, vec![2]), (5, vec![2])] {
            let batches = step.mini_batches(Cut { mini_batch, ..cut }, weight);
            assert_eq!(batches.iter().map(n_rows).collect::<Vec<usize>>(), sizes);
        }
        let batches = step.mini_batches(cut, weight);
        let advantages = |batch: &MiniBatch| batch.micro_batches[0].targets.advantages.clone();
        let once = [advantage, -advantage, -advantage, -advantage, -advantage, -advantage];
        assert_eq!(advantages(&batches[0]), once);
        assert_eq!(advantages(&batches[1]), [-3.0 * advantage, -3.0 * advantage, 3.0 * advantage, 3.0 * advantage]);
        let sees = |keep_features| {
            step.mini_batches(Cut { keep_features, ..cut }, weight).remove(1).micro_batches.remove(0).vision
        };
        assert!(matches!(sees(true), Vision::Features(_)) && matches!(sees(false), Vision::Pixels(_)));
    }

    fn n_rows(batch: &MiniBatch) -> usize {
        batch.micro_batches.iter().map(|one| one.rows.len()).sum()
    }

    #[test]
    fn groups_without_advantage_are_left_out_but_counted() {
        let flat = |id, n| group(id, &[("a", n), ("a", n)]);
        let text_only = |mut group: Sampled| {
            (group.prompt.image_tokens, group.prompt.pixels) = Default::default();
            group
        };
        let varied = || group(9, &[("a", 1), ("b", 1)]);
        let cut = Cut { mini_batch: 9, max_tokens: 100, keep_features: false, advantages_only: true };
        let of = |groups: Vec<Sampled>| {
            let step = Step { admitted: vec![true; groups.len()], sampled: groups, ..Step::default() };
            let [one] = &step.mini_batches(cut, |_| 1.0)[..] else { panic!("one mini-batch") };
            let n_targets: usize = one.micro_batches.iter().map(MicroBatch::n_targets).sum();
            let all = &step.mini_batches(Cut { advantages_only: false, ..cut }, |_| 1.0)[0];
            let n_of_all: usize = all.micro_batches.iter().map(MicroBatch::n_targets).sum();
            assert_eq!((n_targets + one.n_left_out, all.n_left_out), (n_of_all, 0));
            (n_rows(one), one.n_left_out)
        };
        assert_eq!(of(vec![flat(1, 3), varied(), flat(2, 2), text_only(flat(3, 1))]), (1, 12));
        // The shortest with a picture stays where the vision side would have no gradient, and one
        // stays where nothing would.
        assert_eq!(of(vec![flat(1, 3), text_only(varied()), flat(2, 2), text_only(flat(3, 1))]), (2, 8));
        assert_eq!(of(vec![flat(1, 3), flat(2, 2)]), (1, 6));
        assert_eq!(of(vec![text_only(flat(1, 3))]), (1, 0));
    }

    #[test]
    fn a_step_pays_for_what_it_sampled_and_for_looking_again() {
        let cost = ForwardCost { patch: 1e6, image_token: 1e4, token: 100.0, distribution: 1.0, pair: 0.0 };
        let ledger = step().ledger(&cost);
        assert_eq!((ledger.completions, ledger.tokens_generated, ledger.tokens_prompt), (4, 12, 6));
        // Two prefills with their pictures and heads, four rows of five tokens each, and one more
        // picture.
        assert_eq!(ledger.forward_flops, 2.0 * (4e6 + 1e4 + 300.0 + 1.0) + 20.0 * 101.0 + 4e6 + 1e4);
    }

    #[test]
    fn metrics_are_means_over_what_was_sampled() {
        let metrics = step().metrics();
        let expected = [
            ("reward/accuracy", 0.25),
            ("reward/format", 0.5),
            ("reward/mean", 0.25),
            // Three answers were judged.
            ("reward/out_of_fuel", 1.0 / 3.0),
            ("reward/unscorable", 1.0 / 3.0),
            ("rollout/admitted", 0.5),
            ("rollout/length", 3.0),
            ("rollout/replayed", 1.0),
            ("rollout/truncated", 0.25),
            ("rollout/zero_variance", 0.5),
        ];
        assert_eq!(metrics.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>(), expected);
        let nothing = Step::default().metrics();
        assert!(
            nothing.values().all(|&value| value == 0.0) && !nothing.contains_key("reward/unscorable"),
            "{nothing:?}"
        );
    }
}
