//! Levels of a model in the digits world: how well it reads, reckons, and does both.

use super::PROMPT;
use anyhow::Result;
use seethink::core::{Capability, Problem, Purpose, is_right};
use seethink::data::digits::{DigitsWorld, GlyphSet, Sight};
use seethink::eval::{Answer, Benchmark, Evaluator};
use seethink::models::{AnyBackbone, Processor, VlmProcessor};
use seethink::prelude::*;
use seethink::rollout::{DrawKey, Prompt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Longest completion, tokens.
pub(super) const MAX_TOKENS: usize = 48;
/// Completions of a problem in the groups that variance is measured on.
const GROUP: usize = 8;
/// Sequences that decode together.
const DECODE_BATCH: usize = 512;

/// Levels of a model; fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Accuracy of the most likely answer by capability, `[perception, textual, visual]`.
    pub accuracy: [f64; 3],
    /// Accuracy of the most likely answer by kind of perception question.
    pub perception: BTreeMap<String, f64>,
    /// Accuracy in visual reasoning where the question states the digits.
    pub read_out: f64,
    /// Share of visual problems with a misread digit.
    pub misread: f64,
    /// Share of the digits of visual problems that are misread: all of an answer that does not read as
    /// many as were asked for.
    pub digits_misread: f64,
    /// Share of visual problems whose answer states no reading.
    pub unread: f64,
    /// Share of groups of eight sampled answers that are all right or all wrong, by capability.
    pub no_variance: [f64; 3],
    /// Share of visual problems whose eight sampled answers read the picture in more than one way.
    pub reading_varies: f64,
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |x: f64| format!("{:.1}", 100.0 * x);
        let [p, t, v] = self.accuracy.map(percent);
        let [of_p, of_t, of_v] = self.no_variance.map(percent);
        let kinds: Vec<String> = self.perception.iter().map(|(kind, of)| format!("{kind} {}", percent(*of))).collect();
        write!(
            f,
            "perception {p} ({}), textual {t}, visual {v} %, visual read out {}; misread {} of the problems, {} of the \
             digits, {} state none; groups without variance {of_p}, {of_t}, {of_v} %, readings vary in {}",
            kinds.join(", "),
            percent(self.read_out),
            percent(self.misread),
            percent(self.digits_misread),
            percent(self.unread),
            percent(self.reading_varies),
        )
    }
}

/// Problems on which levels are measured.
pub struct Tests {
    problems: Vec<Problem>,
    benchmark: Benchmark,
    read_out: Benchmark,
}

impl Tests {
    /// Draws `n` problems of each capability, and the visual ones read out.
    ///
    /// # Errors
    /// If a problem cannot be encoded.
    pub fn new(world: &DigitsWorld, set: impl Into<GlyphSet>, n: usize, processor: &dyn Processor) -> Result<Self> {
        let set = set.into();
        // Seeds of problems begin at one: these are of none of the runs.
        const SEED: u64 = 0;
        let problems: Vec<Problem> =
            Capability::ALL.iter().flat_map(|capability| world.problems(set, capability, SEED).take(n)).collect();
        let read_out = (0..n as u64).map(|index| world.read_out(set, index, SEED)).collect();
        let benchmark = |problems| Benchmark::new("gates", problems, &PROMPT, processor);
        Ok(Self { benchmark: benchmark(problems.clone())?, read_out: benchmark(read_out)?, problems })
    }

    fn evaluator(processor: Arc<VlmProcessor>) -> Evaluator {
        Evaluator {
            processor,
            reward: Arc::new(AnswerReward::default()),
            sampling: Sampling::greedy(MAX_TOKENS),
            seed: 0,
            decode_batch: DECODE_BATCH,
        }
    }

    /// Measures the accuracy of the most likely answer alone: `[perception, textual, visual]`.
    ///
    /// # Errors
    /// If generation fails.
    pub fn accuracy(&self, model: &AnyBackbone, processor: Arc<VlmProcessor>) -> Result<[f64; 3]> {
        let answers = Self::evaluator(processor).answer(model, &self.benchmark, &mut |_, _| true)?;
        Ok(Capability::ALL.each_ref().map(|capability| accuracy(&of(&answers, capability))))
    }

    /// Measures perception by the most likely answers: the share of the questions answered rightly, and
    /// the share of the digits asked for that are misread.
    ///
    /// # Errors
    /// If generation fails.
    pub fn perception(&self, model: &AnyBackbone, processor: Arc<VlmProcessor>) -> Result<[f64; 2]> {
        let answers = Self::evaluator(processor).answer(model, &self.benchmark, &mut |_, _| true)?;
        let perception = of(&answers, &Capability::PERCEPTION);
        Ok([accuracy(&perception), digits_misread(&perception)])
    }

    /// Measures the accuracy in visual reasoning where the question states the digits.
    ///
    /// # Errors
    /// If generation fails.
    pub fn read_out(&self, model: &AnyBackbone, processor: Arc<VlmProcessor>) -> Result<f64> {
        let answers = Self::evaluator(processor).answer(model, &self.read_out, &mut |_, _| true)?;
        Ok(accuracy(&answers.iter().collect::<Vec<_>>()))
    }

    /// Measures the share of the digits of visual problems that are misread.
    ///
    /// # Errors
    /// If generation fails.
    pub fn digits_misread(&self, model: &AnyBackbone, processor: Arc<VlmProcessor>) -> Result<f64> {
        let answers = Self::evaluator(processor).answer(model, &self.benchmark, &mut |_, _| true)?;
        Ok(digits_misread(&of(&answers, &Capability::VISUAL_REASONING)))
    }

    /// Measures the levels of a model.
    ///
    /// # Errors
    /// If generation fails.
    pub fn levels(&self, model: &AnyBackbone, processor: Arc<VlmProcessor>) -> Result<Levels> {
        let evaluator = Self::evaluator(processor.clone());
        let go_on = &mut |_, _| true;
        let answers = evaluator.answer(model, &self.benchmark, go_on)?;
        let visual: Vec<&Answer<'_>> = of(&answers, &Capability::VISUAL_REASONING);
        let misread: Vec<Option<usize>> =
            visual.iter().filter_map(|answer| Sight::n_misread(answer.problem, &answer.completion)).collect();

        let generator =
            Generator { model, processor: &*processor, sampling: Sampling::plain(MAX_TOKENS), max_batch: DECODE_BATCH };
        let inputs = PROMPT.encode_all(&*processor, &self.problems.iter().collect::<Vec<_>>())?;
        let prompts: Vec<Prompt<'_>> =
            self.problems.iter().zip(&inputs).map(|(problem, input)| Prompt::new(problem.id, input)).collect();
        let key = DrawKey { seed: 0, purpose: Purpose::Evaluation, step: 1 };
        let groups = generator.generate(&prompts, GROUP, key, go_on)?.groups;
        let (mut flat, mut varied) = ([const { Vec::new() }; 3], Vec::new());
        for (problem, group) in self.problems.iter().zip(&groups) {
            let reward = |completion: &Completion| evaluator.reward.score(problem, completion.into()).value;
            let rewards: Vec<f32> = group.completions.iter().map(reward).collect();
            let capability = Capability::ALL.iter().position(|one| *one == problem.capability).unwrap_or_default();
            flat[capability].push(rewards.iter().all(|reward| *reward == rewards[0]));
            if problem.capability == Capability::VISUAL_REASONING {
                let reading =
                    |completion: &Completion| completion.text.split('.').next().unwrap_or_default().to_owned();
                let first = reading(&group.completions[0]);
                varied.push(group.completions.iter().any(|completion| reading(completion) != first));
            }
        }
        Ok(Levels {
            accuracy: Capability::ALL.each_ref().map(|capability| accuracy(&of(&answers, capability))),
            perception: by_kind(&of(&answers, &Capability::PERCEPTION)),
            read_out: self.read_out(model, processor.clone())?,
            misread: share(misread.iter().map(|misread| misread.is_some_and(|n| n > 0))),
            digits_misread: digits_misread(&visual),
            unread: share(misread.iter().map(Option::is_none)),
            no_variance: flat.map(|flat| share(flat.into_iter())),
            reading_varies: share(varied.into_iter()),
        })
    }
}

fn of<'a, 'p>(answers: &'a [Answer<'p>], capability: &Capability) -> Vec<&'a Answer<'p>> {
    answers.iter().filter(|answer| answer.problem.capability == *capability).collect()
}

/// Accuracy by kind of perception question, fractions.
fn by_kind(answers: &[&Answer<'_>]) -> BTreeMap<String, f64> {
    let mut kinds = BTreeMap::<String, Vec<&Answer<'_>>>::new();
    for answer in answers {
        kinds.entry(answer.problem.tags["family"].clone()).or_default().push(answer);
    }
    kinds.into_iter().map(|(kind, answers)| (kind, accuracy(&answers))).collect()
}

/// Share of the digits asked for that are misread: all of an answer that does not read as many as were
/// asked for.
fn digits_misread(answers: &[&Answer<'_>]) -> f64 {
    let (mut misread, mut asked) = (0, 0);
    for answer in answers {
        let n = n_asked(answer.problem);
        asked += n;
        misread += Sight::n_misread(answer.problem, &answer.completion).flatten().unwrap_or(n);
    }
    misread as f64 / asked.max(1) as f64
}

/// Number of digits that a problem asks for.
fn n_asked(problem: &Problem) -> usize {
    problem.tags.get("reads").map_or(0, |reads| reads.split(' ').count())
}

fn accuracy(answers: &[&Answer<'_>]) -> f64 {
    share(answers.iter().map(|answer| is_right(answer.accuracy)))
}

fn share(flags: impl ExactSizeIterator<Item = bool>) -> f64 {
    let n = flags.len();
    flags.filter(|&flag| flag).count() as f64 / n.max(1) as f64
}
