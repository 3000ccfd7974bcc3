//! Spaced review: mastered problems come back at growing intervals.
//!
//! State: the step, interval and due step of each mastered problem, and the place of the walk over
//! the others. Metrics: `due` and `mastered`, numbers of problems.

use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Progress, State};
use seethink_core::{ProblemId, Purpose, Rng, SettingError};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Spaced repetition: at most `share` of a batch are problems that are due, the longest due first;
/// the rest comes from a walk over the problems that are not mastered, in another random order in
/// every round, and, when none is left, from the mastered problems due soonest. A group with a pass
/// rate of at least `mastered` doubles the problem's interval, from `first` steps; any other
/// returns it to the walk. Never ends.
///
/// A step costs O(batch · log problems), however many are mastered: the problems of the walk are
/// kept sorted by their place in it.
///
/// # Source
/// None: no published rule for RL prompts has growing intervals. The nearest are ReMind
/// (2606.03087), which reviews solved prompts at a fixed cadence, and the spacing of flash cards
/// after Leitner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Pass rate from which a problem counts as mastered, in `(0, 1]`.
    pub mastered: f64,
    /// Steps until the first review, at least 1.
    pub first: u32,
    /// Largest share of reviews in a batch while unmastered problems are left, in `[0, 1]`.
    pub share: f64,
}

impl PolicyConfig for Review {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let fits = self.mastered > 0.0 && self.mastered <= 1.0 && self.first > 0 && (0.0..=1.0).contains(&self.share);
        if !fits {
            let expected = "mastered in (0, 1], first at least 1, share in [0, 1]";
            return Err(SettingError::new("Review.mastered", format!("{self:?}"), expected).into());
        }
        if corpus.is_empty() {
            return Err(CurriculumError::NoProblems { policy: "Review" });
        }
        let mut reviewing = Reviewing {
            config: self.clone(),
            corpus: corpus.clone(),
            seed,
            passed: Place { round: 0, key: 0, problem: ProblemId(0) },
            open: BTreeSet::new(),
            cards: BTreeMap::new(),
            by_due: BTreeSet::new(),
            n_by_due: BTreeMap::new(),
            taken: BTreeSet::new(),
            step: 0,
        };
        reviewing.sort();
        Ok(Box::new(reviewing))
    }
}

/// Place of a problem in the walk: its round, and its random place in the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    round: u64,
    key: u64,
    problem: ProblemId,
}

/// Schedule of a mastered problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    /// Interval between reviews, steps.
    interval: u64,
    /// Step from which the problem is due.
    due: u64,
}

#[derive(Debug)]
struct Reviewing {
    config: Review,
    corpus: Corpus,
    seed: u64,
    /// Last place that the walk has drawn.
    passed: Place,
    /// Next places of the problems that are neither mastered nor drawn in the current step.
    open: BTreeSet<Place>,
    /// Cards, by problem.
    cards: BTreeMap<ProblemId, Card>,
    /// Problems with cards, by due step.
    by_due: BTreeSet<(u64, ProblemId)>,
    /// Number of cards with each due step.
    n_by_due: BTreeMap<u64, usize>,
    /// Problems drawn in the current step.
    taken: BTreeSet<ProblemId>,
    step: u64,
}

impl Reviewing {
    /// Next place of a problem in the walk: in this round if its place there is still to come,
    /// otherwise in the next.
    fn place(&self, problem: ProblemId) -> Place {
        let at = |round| {
            let key = Rng::new(self.seed, Purpose::Curriculum, &[u64::MAX, round, problem.0]).next_u64();
            Place { round, key, problem }
        };
        let now = at(self.passed.round);
        if now > self.passed { now } else { at(self.passed.round + 1) }
    }

    /// Sorts all problems into open and mastered ones.
    fn sort(&mut self) {
        let is_new = |problem: &ProblemId| !self.cards.contains_key(problem);
        self.open =
            self.corpus.iter().map(|entry| entry.id).filter(is_new).map(|problem| self.place(problem)).collect();
        self.by_due = self.cards.iter().map(|(problem, card)| (card.due, *problem)).collect();
        self.n_by_due.clear();
        self.cards.values().for_each(|card| *self.n_by_due.entry(card.due).or_default() += 1);
    }

    /// Gives a problem a card, so that it waits until its due step.
    fn put_off(&mut self, problem: ProblemId, card: Card) {
        self.cards.insert(problem, card);
        self.by_due.insert((card.due, problem));
        *self.n_by_due.entry(card.due).or_default() += 1;
    }

    /// Removes a problem's card, if it has one.
    fn take_up(&mut self, problem: ProblemId) -> Option<Card> {
        let card = self.cards.remove(&problem)?;
        self.by_due.remove(&(card.due, problem));
        if let Entry::Occupied(mut n) = self.n_by_due.entry(card.due) {
            *n.get_mut() -= 1;
            if *n.get() == 0 {
                n.remove();
            }
        }
        Some(card)
    }

    /// Problems of the first `want` cards, without those drawn in this step.
    fn take<'a>(&self, cards: impl Iterator<Item = &'a (u64, ProblemId)>, want: usize) -> Vec<ProblemId> {
        cards.map(|&(_, problem)| problem).filter(|problem| !self.taken.contains(problem)).take(want).collect()
    }
}

impl Curriculum for Reviewing {
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        let due = self.by_due.range(..(self.step + 1, ProblemId(0)));
        let mut problems = self.take(due, (self.config.share * want as f64).round() as usize);
        while problems.len() < want {
            let Some(place) = self.open.pop_first() else { break };
            self.passed = place;
            problems.push(place.problem);
        }
        self.taken.extend(&problems);
        // When no unmastered problem is left, the cards due soonest fill the batch.
        let rest = self.take(self.by_due.iter(), want - problems.len());
        self.taken.extend(&rest);
        problems.into_iter().chain(rest).collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.watch(groups);
        // Problems that were drawn but not sampled go back to the walk.
        for problem in std::mem::take(&mut self.taken) {
            if !self.cards.contains_key(&problem) {
                self.open.insert(self.place(problem));
            }
        }
        self.step += 1;
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        for group in groups {
            let (problem, Some(rate)) = (group.problem(), group.pass_rate()) else { continue };
            if self.corpus.position(problem).is_none() {
                continue;
            }
            let before = self.take_up(problem);
            self.open.remove(&self.place(problem));
            if rate >= self.config.mastered {
                let interval = before.map_or(u64::from(self.config.first), |card| card.interval.saturating_mul(2));
                let due = (self.step + 1).saturating_add(interval);
                self.put_off(problem, Card { interval, due });
            } else {
                self.open.insert(self.place(problem));
            }
        }
    }

    fn state(&self) -> State {
        State::new(&(self.step, self.cards.iter().collect::<Vec<_>>(), self.passed))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (step, cards, passed): (u64, Vec<(ProblemId, Card)>, Place) = state.read()?;
        if let Some((problem, _)) = cards.iter().find(|(problem, _)| self.corpus.position(*problem).is_none()) {
            return Err(CurriculumError::StateOutOfRange { what: format!("problem {problem} is not in the corpus") });
        }
        (self.step, self.passed, self.cards) = (step, passed, cards.into_iter().collect());
        self.taken.clear();
        self.sort();
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let due: usize = self.n_by_due.range(..=self.step).map(|(_, n)| n).sum();
        vec![("due".into(), due as f64), ("mastered".into(), self.cards.len() as f64)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_resume, outcome, three};
    use crate::{CurriculumConfig, SimulatedStep, Simulation};

    fn review() -> CurriculumConfig {
        CurriculumConfig::Review(Review { mastered: 1.0, first: 2, share: 0.75 })
    }

    #[test]
    fn intervals_grow() {
        let corpus = three(3000, 0, 0);
        let mut course = review().build(&corpus, 1).unwrap();
        let simulation = Simulation { max_steps: 60, batch: 4, ..Simulation::default() };
        let steps = simulation.run(&mut course, &corpus, &mut |_: &_| 1.0);
        let first = steps[0].drawn().next().unwrap();
        let visits: Vec<usize> = (0..60).filter(|&step| steps[step].drawn().any(|id| id == first)).collect();
        let gaps: Vec<usize> = visits.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Intervals of 2, 4, 8 and 16 steps lie in between, or more where too many problems are
        // due.
        assert!(gaps.len() >= 3 && gaps.iter().zip([3, 5, 9, 17]).all(|(gap, least)| *gap >= least), "{gaps:?}");
        assert!(steps[10..].iter().all(|step| step.drawn().count() == 4));
    }

    #[test]
    fn what_is_not_mastered_waits_for_the_walk() {
        let corpus = three(30, 30, 30);
        let mut course = review().build(&corpus, 1).unwrap();
        let simulation = Simulation { max_steps: 9, batch: 10, ..Simulation::default() };
        let steps = simulation.run(&mut course, &corpus, &mut |_: &_| 0.0);
        let mut drawn: Vec<ProblemId> = steps.iter().flat_map(SimulatedStep::drawn).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 90);
        check_resume(&review(), &corpus);
    }

    #[test]
    fn metrics_count_what_is_mastered_and_what_is_due() {
        let corpus = three(6, 0, 0);
        let mut course = review().build(&corpus, 1).unwrap();
        let ids: Vec<u64> = corpus.iter().map(|entry| entry.id.0).collect();
        let mut counts = Vec::new();
        // Two problems are mastered, wait for two steps and are due; then one of them fails.
        for rewards in [[1.0, 1.0, 0.0], [0.0; 3], [0.0; 3], [0.0; 3]] {
            let groups = [0, 1, 2].map(|i| outcome(ids[i], &[rewards[i]]));
            course.observe(if counts.is_empty() { &groups } else { &groups[2..] });
            counts.push(course.curriculum().metrics().into_iter().map(|(_, value)| value as usize).collect::<Vec<_>>());
        }
        assert_eq!(counts, [[0, 2], [0, 2], [2, 2], [2, 2]]);
        course.observe(&[outcome(ids[0], &[0.0])]);
        assert_eq!(course.curriculum().metrics().into_iter().map(|(_, value)| value).collect::<Vec<_>>(), [1.0, 1.0]);
    }

    #[test]
    fn when_everything_is_mastered_reviews_go_on() {
        let corpus = three(5, 5, 5);
        let mut course = review().build(&corpus, 1).unwrap();
        let simulation = Simulation { max_steps: 40, batch: 8, ..Simulation::default() };
        let steps = simulation.run(&mut course, &corpus, &mut |_: &_| 1.0);
        assert!(steps.len() == 40 && steps.iter().all(|step| step.drawn().count() == 8));
    }

    #[test]
    fn reviews_come_when_they_are_due() {
        let corpus = three(200, 0, 0);
        let known = review().build(&corpus, 1).unwrap().draw(1).problems[0];
        let simulation = Simulation { max_steps: 20, batch: 4, ..Simulation::default() };
        let mut knows = |entry: &crate::CorpusEntry| f64::from(u8::from(entry.id == known));
        let steps = simulation.run(&mut review().build(&corpus, 1).unwrap(), &corpus, &mut knows);
        let visits: Vec<usize> = (0..20).filter(|&step| steps[step].drawn().any(|id| id == known)).collect();
        // Two, four and eight steps lie between.
        assert_eq!(visits, [0, 3, 8, 17]);
    }
}
