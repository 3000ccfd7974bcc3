//! The order of problems within a stage.

use crate::{Corpus, CurriculumError};
use seethink_core::Rng;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The order in which an epoch of a stage visits its problems.
///
/// # Source
/// VLM-CapCurriculum `data_pipeline/` at `ccde3ff` sorts by pass rate, highest first, and shuffles ties once; here ties
/// are shuffled anew in every epoch, and a missing pass rate is an error where theirs counts as 0, the hardest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// A fresh random order in every epoch.
    Shuffled,
    /// Pass rate descending; problems of equal pass rate in a fresh random order in every epoch.
    EasyToHard,
    /// Pass rate ascending; ties as above.
    HardToEasy,
}

impl Order {
    /// Sorts `problems` (indices into the corpus) into levels.
    ///
    /// # Errors
    /// If the order goes by pass rate and a problem has none.
    pub(crate) fn levels(
        self,
        corpus: &Corpus,
        mut problems: Vec<u32>,
        stage: &str,
    ) -> Result<Levels, CurriculumError> {
        let direction: fn(Ordering) -> Ordering = match self {
            Self::Shuffled => {
                let ends = vec![problems.len()];
                return Ok(Levels { problems, ends });
            }
            Self::EasyToHard => Ordering::reverse,
            Self::HardToEasy => |ordering| ordering,
        };
        // Adding zero turns −0 into 0, which would be a level of its own.
        let pass_rate = |index: u32| corpus.entries()[index as usize].pass_rate.map(|rate| rate.fraction() + 0.0);
        if let Some(&index) = problems.iter().find(|&&index| pass_rate(index).is_none()) {
            let problem = corpus.entries()[index as usize].id;
            return Err(CurriculumError::MissingPassRate { stage: stage.to_owned(), order: self, problem });
        }
        let compare =
            |a: u32, b: u32| direction(f32::total_cmp(&pass_rate(a).unwrap_or(0.0), &pass_rate(b).unwrap_or(0.0)));
        problems.sort_by(|&a, &b| compare(a, b));
        let mut end = 0;
        let ends = problems.chunk_by(|&a, &b| compare(a, b).is_eq()).map(|level| (end += level.len(), end).1).collect();
        Ok(Levels { problems, ends })
    }
}

/// Problems in levels: the order of levels is fixed, the order within one is drawn anew for every epoch.
pub(crate) struct Levels {
    problems: Vec<u32>,
    /// Where each level ends in `problems`.
    ends: Vec<usize>,
}

impl Levels {
    pub(crate) fn len(&self) -> usize {
        self.problems.len()
    }

    /// Writes an epoch's order into `order`, replacing what was there.
    pub(crate) fn draw(&self, mut rng: Rng, order: &mut Vec<u32>) {
        order.clone_from(&self.problems);
        let mut start = 0;
        for &end in &self.ends {
            rng.shuffle(&mut order[start..end]);
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CorpusEntry;
    use seethink_core::{Capability, PassRate, ProblemId, Purpose};

    fn corpus(pass_rates: &[Option<f32>]) -> Corpus {
        let entries = (0..).zip(pass_rates).map(|(id, rate)| CorpusEntry {
            id: ProblemId(id),
            capability: Capability::PERCEPTION,
            pass_rate: rate.map(|rate| PassRate::new(rate).unwrap()),
            tags: Default::default(),
        });
        Corpus::new(entries).unwrap()
    }

    fn draw(order: Order, corpus: &Corpus, epoch: u64) -> Vec<u32> {
        let problems = (0..corpus.entries().len() as u32).collect();
        let mut drawn = vec![99; 3];
        let levels = order.levels(corpus, problems, "stage").unwrap();
        levels.draw(Rng::new(1, Purpose::Curriculum, &[epoch]), &mut drawn);
        drawn
    }

    #[test]
    fn pass_rate_descends_from_easy_to_hard_and_ties_are_shuffled() {
        let rates: Vec<_> = (0..60).map(|i| Some([0.25, 1.0, -0.0, 0.5, 0.0][i % 5])).collect();
        let corpus = corpus(&rates);
        let rate = |index: &u32| rates[*index as usize].unwrap();
        let easy = draw(Order::EasyToHard, &corpus, 0);
        let hard = draw(Order::HardToEasy, &corpus, 0);
        assert!(easy.is_sorted_by(|a, b| rate(a) >= rate(b)), "{easy:?}");
        assert!(hard.is_sorted_by(|a, b| rate(a) <= rate(b)), "{hard:?}");
        let again = draw(Order::EasyToHard, &corpus, 1);
        assert_ne!(easy, again);
        assert!(again.is_sorted_by(|a, b| rate(a) >= rate(b)), "{again:?}");
        // −0 and 0 are one level of 24: were they two, all of one would come before all of the other.
        let negative: Vec<bool> = easy[36..].iter().map(|index| rate(index).is_sign_negative()).collect();
        assert!(!negative.is_sorted() && !negative.is_sorted_by(|a, b| a >= b), "{negative:?}");
    }

    #[test]
    fn every_order_is_a_permutation() {
        let corpus = corpus(&[Some(0.5), Some(0.1), Some(0.5), Some(0.9), Some(0.1)]);
        for order in [Order::Shuffled, Order::EasyToHard, Order::HardToEasy] {
            let mut drawn = draw(order, &corpus, 3);
            drawn.sort_unstable();
            assert_eq!(drawn, [0, 1, 2, 3, 4], "{order:?}");
        }
    }

    #[test]
    fn a_missing_pass_rate_matters_only_where_it_is_needed() {
        let corpus = corpus(&[Some(0.5), None, Some(0.1)]);
        assert!(Order::Shuffled.levels(&corpus, vec![0, 1, 2], "one").is_ok());
        assert!(Order::EasyToHard.levels(&corpus, vec![0, 2], "one").is_ok());
        let message = Order::HardToEasy.levels(&corpus, vec![0, 1, 2], "one").err().unwrap().to_string();
        assert!(message.contains("0000000000000001") && message.contains("`one`"), "{message}");
    }
}
