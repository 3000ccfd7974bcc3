//! Spaced review: what was mastered comes back at growing intervals.
//!
//! State: interval and due step of each problem seen, and the walk over the others. Metrics: `due`, `mastered`: numbers of problems.

use crate::order::Order;
use crate::policies::walk::Walk;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, LastBatch, Metric, Progress, State};
use seethink_core::ProblemId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// At most `share` of a batch are problems that are due, the longest due first; the rest comes from a walk over all problems that leaves
/// out what waits to be due. A group with a pass rate of at least `mastered` doubles the problem's interval, from `first` steps; any other makes it
/// wait for the walk again. Never over.
///
/// # Source
/// None: no published rule for RL prompts has growing intervals. Nearest are ReMind (2606.03087), which reviews solved prompts at a fixed
/// cadence, and the spacing of flash cards after Leitner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Pass rate, in `(0, 1]`.
    pub mastered: f64,
    /// Steps until the first review, at least 1.
    pub first: u32,
    /// Greatest share of reviews in a batch, in `[0, 1]`.
    pub share: f64,
}

impl Review {
    pub(crate) fn part(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let fits = self.mastered > 0.0 && self.mastered <= 1.0 && self.first > 0 && (0.0..=1.0).contains(&self.share);
        if !fits {
            let expected = "mastered in (0, 1], first at least 1, share in [0, 1]";
            return Err(CurriculumError::Setting {
                policy: "Review",
                key: "mastered",
                found: format!("{self:?}"),
                expected,
            });
        }
        if corpus.is_empty() {
            return Err(CurriculumError::NoProblems { policy: "Review" });
        }
        let levels = Arc::new(Order::Shuffled.levels(corpus)?);
        let walk = Walk::new(corpus.clone(), levels, LastBatch::Keep, None, seed, [0, u64::MAX]);
        Ok(Box::new(Reviewing {
            config: self.clone(),
            corpus: corpus.clone(),
            walk,
            cards: BTreeMap::new(),
            due: BTreeSet::new(),
            taken: BTreeSet::new(),
            step: 0,
        }))
    }
}

/// A mastered problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    /// Steps.
    interval: u64,
    /// Step from which it is due.
    due: u64,
}

#[derive(Debug)]
struct Reviewing {
    config: Review,
    corpus: Corpus,
    walk: Walk,
    /// By problem.
    cards: BTreeMap<ProblemId, Card>,
    /// Cards by their due step.
    due: BTreeSet<(u64, ProblemId)>,
    /// What was drawn in the step under way.
    taken: BTreeSet<ProblemId>,
    step: u64,
}

impl Curriculum for Reviewing {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.step = progress.steps;
        let most = (self.config.share * want as f64).round() as usize;
        let ripe = self.due.range(..(self.step + 1, ProblemId(0))).map(|&(_, problem)| problem);
        let mut problems: Vec<ProblemId> = ripe.filter(|problem| !self.taken.contains(problem)).take(most).collect();
        self.taken.extend(&problems);
        // Once around at most: everything may be waiting.
        for _ in 0..self.corpus.len() {
            if problems.len() == want {
                break;
            }
            let problem = self.walk.draw(progress, 1).problems[0];
            if !self.cards.contains_key(&problem) && self.taken.insert(problem) {
                problems.push(problem);
            }
        }
        // When there is nothing new, what is due soonest.
        if problems.len() < want {
            let rest = self.due.iter().map(|&(_, problem)| problem).filter(|problem| !self.taken.contains(problem));
            let rest: Vec<ProblemId> = rest.take(want - problems.len()).collect();
            self.taken.extend(&rest);
            problems.extend(rest);
        }
        problems.into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.taken.clear();
        for group in groups {
            let (problem, Some(rate)) = (group.problem(), group.pass_rate()) else { continue };
            if self.corpus.position(problem).is_none() {
                continue;
            }
            let before = self.cards.remove(&problem);
            if let Some(card) = before {
                self.due.remove(&(card.due, problem));
            }
            if rate >= self.config.mastered {
                let interval = before.map_or(u64::from(self.config.first), |card| card.interval.saturating_mul(2));
                let due = (self.step + 1).saturating_add(interval);
                self.cards.insert(problem, Card { interval, due });
                self.due.insert((due, problem));
            }
        }
        self.step += 1;
    }

    fn state(&self) -> State {
        State::new(&(self.step, self.cards.iter().collect::<Vec<_>>(), self.walk.state()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (step, cards, walk): (u64, Vec<(ProblemId, Card)>, State) = state.read()?;
        if let Some((problem, _)) = cards.iter().find(|(problem, _)| self.corpus.position(*problem).is_none()) {
            return Err(CurriculumError::StateOutOfRange { what: format!("problem {problem} is not in the corpus") });
        }
        self.walk.load_state(&walk)?;
        self.due = cards.iter().map(|(problem, card)| (card.due, *problem)).collect();
        self.cards = cards.into_iter().collect();
        self.taken.clear();
        self.step = step;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let due = self.due.range(..(self.step + 1, ProblemId(0))).count();
        vec![("due".into(), due as f64), ("mastered".into(), self.cards.len() as f64)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_resume, three};
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
        // Intervals of 2, 4, 8 and 16 steps in between; where too many are due, it waits longer.
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
    fn when_everything_is_mastered_reviews_go_on() {
        let corpus = three(5, 5, 5);
        let mut course = review().build(&corpus, 1).unwrap();
        let simulation = Simulation { max_steps: 40, batch: 8, ..Simulation::default() };
        let steps = simulation.run(&mut course, &corpus, &mut |_: &_| 1.0);
        assert!(steps.len() == 40 && steps.iter().all(|step| step.drawn().count() == 8));
    }
}
