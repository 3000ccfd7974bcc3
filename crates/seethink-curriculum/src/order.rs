//! Orders of problems within a stage, composed from axes.

use crate::axis::ranks;
use crate::{Axis, Corpus, CurriculumError, Key};
use seethink_core::Rng;
use serde::{Deserialize, Serialize};

/// Order in which an epoch of a stage visits its problems.
///
/// An order sorts problems into levels. Levels follow one another; the problems of a level come in
/// a new random order in every epoch.
///
/// # Source
/// VLM-CapCurriculum `data_pipeline/` at `ccde3ff` sorts by pass rate, highest first, and shuffles
/// ties once; here ties are shuffled anew in every epoch, and a missing pass rate is an error where
/// theirs counts as 0, the hardest.
///
/// # Examples
/// Capability × difficulty without stages: perception first, and within each capability the easy
/// problems first.
/// ```
/// use seethink_curriculum::{Axis, Order};
///
/// let order: Order = ron::from_str(
///     r#"Then([
///         Listed(axis: Capability, keys: ["perception", "textual_reasoning", "visual_reasoning"]),
///         EasyToHard,
///     ])"#,
/// )?;
/// let Order::Then(parts) = order else { panic!() };
/// assert_eq!(parts[1], Order::EasyToHard);
/// # Ok::<(), ron::error::SpannedError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Order {
    /// Random order, new in every epoch: one level.
    Shuffled,
    /// Descending pass rate.
    EasyToHard,
    /// Ascending pass rate.
    HardToEasy,
    /// Ascending keys of an axis.
    Ascending(Axis),
    /// Descending keys of an axis.
    Descending(Axis),
    /// Keys of an axis in the order listed; every key that occurs must be listed.
    Listed {
        /// Axis of the keys.
        axis: Axis,
        /// Keys, first to last.
        keys: Vec<String>,
    },
    /// Lexicographic order: the first order, the second within each of its levels, and so on.
    Then(Vec<Order>),
    /// Sum of levels: problems are sorted by the sum of their levels in each order, so that no
    /// order takes precedence.
    Product(Vec<Order>),
    /// Reverse order, from the last level to the first.
    Reversed(Box<Order>),
}

impl Order {
    /// Sorts a corpus into levels.
    ///
    /// # Errors
    /// If a problem lacks the key of an axis, or has one that is not listed.
    pub(crate) fn levels(&self, corpus: &Corpus) -> Result<Levels, CurriculumError> {
        let ranks = self.ranks(corpus)?;
        let mut problems: Vec<u32> = (0..corpus.len() as u32).collect();
        // The sort is stable, so problems of a level stay sorted by id.
        problems.sort_by_key(|&position| ranks[position as usize]);
        let mut end = 0;
        let level = |&a: &u32, &b: &u32| ranks[a as usize] == ranks[b as usize];
        let ends = problems.chunk_by(level).map(|level| (end += level.len(), end).1).collect();
        Ok(Levels { problems, ends })
    }

    /// Level of each problem of a corpus, counted from 0; [`Listed`](Self::Listed) and
    /// [`Product`](Self::Product) may leave gaps.
    fn ranks(&self, corpus: &Corpus) -> Result<Vec<u32>, CurriculumError> {
        let reversed = |mut ranks: Vec<u32>| {
            let last = ranks.iter().copied().max().unwrap_or(0);
            ranks.iter_mut().for_each(|rank| *rank = last - *rank);
            ranks
        };
        match self {
            Self::Shuffled => Ok(vec![0; corpus.len()]),
            Self::EasyToHard => Self::Descending(Axis::PassRate).ranks(corpus),
            Self::HardToEasy => Self::Ascending(Axis::PassRate).ranks(corpus),
            Self::Ascending(axis) => Ok(ranks(axis, corpus)?.0),
            Self::Descending(axis) => Ok(reversed(ranks(axis, corpus)?.0)),
            Self::Listed { axis, keys } => {
                let (mut ranks, found) = ranks(axis, corpus)?;
                let place = |key: &Key| {
                    let name = key.to_string();
                    let place = keys.iter().position(|listed| *listed == name);
                    place.map(|place| place as u32).ok_or_else(|| CurriculumError::UnlistedKey {
                        axis: axis.clone(),
                        key: name,
                        listed: keys.join(", "),
                    })
                };
                let places = found.iter().map(place).collect::<Result<Vec<_>, _>>()?;
                ranks.iter_mut().for_each(|rank| *rank = places[*rank as usize]);
                Ok(ranks)
            }
            Self::Then(orders) => {
                let columns = orders.iter().map(|order| order.ranks(corpus)).collect::<Result<Vec<_>, _>>()?;
                let key = |position: u32| columns.iter().map(move |column| column[position as usize]);
                let mut positions: Vec<u32> = (0..corpus.len() as u32).collect();
                positions.sort_by(|&a, &b| key(a).cmp(key(b)));
                let mut ranks = vec![0; positions.len()];
                let levels = positions.chunk_by(|&a, &b| key(a).eq(key(b)));
                for (rank, level) in (0..).zip(levels) {
                    level.iter().for_each(|&position| ranks[position as usize] = rank);
                }
                Ok(ranks)
            }
            Self::Product(orders) => {
                let mut sums = vec![0; corpus.len()];
                for order in orders {
                    sums.iter_mut().zip(order.ranks(corpus)?).for_each(|(sum, rank)| *sum += rank);
                }
                Ok(sums)
            }
            Self::Reversed(order) => Ok(reversed(order.ranks(corpus)?)),
        }
    }
}

/// Problems by level: the order of the levels is fixed, the order within a level is drawn anew for
/// every epoch.
#[derive(Debug)]
pub(crate) struct Levels {
    /// Positions in the corpus.
    problems: Vec<u32>,
    /// End of each level in `problems`.
    ends: Vec<usize>,
}

impl Levels {
    pub(crate) fn len(&self) -> usize {
        self.problems.len()
    }

    /// Draws the order of an epoch into `order`, replacing its contents.
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
    use crate::checks::three;
    use seethink_core::{Capability, PassRate, ProblemId, Purpose};

    fn corpus(pass_rates: &[Option<f32>]) -> Corpus {
        let entries = (0..).zip(pass_rates).map(|(id, rate)| CorpusEntry {
            pass_rate: rate.map(|rate| PassRate::new(rate).unwrap()),
            ..CorpusEntry::new(ProblemId(id), Capability::PERCEPTION)
        });
        Corpus::new(entries).unwrap()
    }

    fn draw(order: &Order, corpus: &Corpus, epoch: u64) -> Vec<u32> {
        let mut drawn = vec![99; 3];
        order.levels(corpus).unwrap().draw(Rng::new(1, Purpose::Curriculum, &[epoch]), &mut drawn);
        drawn
    }

    #[test]
    fn pass_rate_descends_from_easy_to_hard_and_ties_are_shuffled() {
        let rates: Vec<_> = (0..60).map(|i| Some([0.25, 1.0, -0.0, 0.5, 0.0][i % 5])).collect();
        let corpus = corpus(&rates);
        let rate = |index: &u32| rates[*index as usize].unwrap();
        let easy = draw(&Order::EasyToHard, &corpus, 0);
        let hard = draw(&Order::HardToEasy, &corpus, 0);
        assert!(easy.is_sorted_by(|a, b| rate(a) >= rate(b)), "{easy:?}");
        assert!(hard.is_sorted_by(|a, b| rate(a) <= rate(b)), "{hard:?}");
        let again = draw(&Order::EasyToHard, &corpus, 1);
        assert_ne!(easy, again);
        assert!(again.is_sorted_by(|a, b| rate(a) >= rate(b)), "{again:?}");
        // −0 and 0 are one level of 24 problems; as two levels, all of one would come before all of
        // the other.
        let negative: Vec<bool> = easy[36..].iter().map(|index| rate(index).is_sign_negative()).collect();
        assert!(!negative.is_sorted() && !negative.is_sorted_by(|a, b| a >= b), "{negative:?}");
    }

    /// Capability (index in the paper's order) and pass rate of the problems drawn.
    fn keys(order: &Order, corpus: &Corpus) -> Vec<(usize, f32)> {
        let key = |&position: &u32| {
            let entry = corpus.entry(position as usize);
            let capability = Capability::ALL.iter().position(|one| *one == entry.capability).unwrap();
            (capability, entry.pass_rate.unwrap().fraction())
        };
        draw(order, corpus, 0).iter().map(key).collect()
    }

    #[test]
    fn orders_compose() {
        let corpus = three(30, 30, 30);
        let listed = Order::Listed { axis: Axis::Capability, keys: Capability::ALL.map(|c| c.to_string()).into() };

        let then = keys(&Order::Then(vec![listed.clone(), Order::EasyToHard]), &corpus);
        assert!(then.is_sorted_by(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 >= b.1)), "{then:?}");
        let within = keys(&Order::Then(vec![Order::EasyToHard, listed.clone()]), &corpus);
        assert!(within.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 <= b.0)), "{within:?}");

        // Level of the capability plus level of the pass rate (sixteenths, the easiest 0) never
        // falls.
        let product = keys(&Order::Product(vec![listed.clone(), Order::EasyToHard]), &corpus);
        let mut rates: Vec<u32> = product.iter().map(|(_, rate)| (rate * 16.0) as u32).collect();
        rates.sort_unstable();
        rates.dedup();
        let level = |rate: f32| rates.len() - 1 - rates.binary_search(&((rate * 16.0) as u32)).unwrap();
        assert!(product.is_sorted_by_key(|&(capability, rate)| capability + level(rate)), "{product:?}");

        let backwards = keys(&Order::Reversed(Box::new(listed.clone())), &corpus);
        assert!(backwards.is_sorted_by(|a, b| a.0 >= b.0), "{backwards:?}");
        assert_eq!(
            keys(&Order::Reversed(Box::new(Order::EasyToHard)), &corpus),
            keys(&Order::HardToEasy, &corpus),
            "reversed easy to hard is hard to easy"
        );
    }

    #[test]
    fn a_key_that_is_not_listed_is_refused() {
        let order = Order::Listed { axis: Axis::Capability, keys: vec!["perception".into()] };
        let message = order.levels(&three(1, 1, 1)).unwrap_err().to_string();
        assert!(message.contains("`textual_reasoning`") && message.contains("perception"), "{message}");
    }

    #[test]
    fn every_order_is_a_permutation() {
        let corpus = corpus(&[Some(0.5), Some(0.1), Some(0.5), Some(0.9), Some(0.1)]);
        for order in [Order::Shuffled, Order::EasyToHard, Order::HardToEasy, Order::Descending(Axis::Images)] {
            let mut drawn = draw(&order, &corpus, 3);
            drawn.sort_unstable();
            assert_eq!(drawn, [0, 1, 2, 3, 4], "{order:?}");
        }
    }

    #[test]
    fn a_missing_pass_rate_matters_only_where_it_is_needed() {
        let corpus = corpus(&[Some(0.5), None, Some(0.1)]);
        assert!(Order::Shuffled.levels(&corpus).is_ok());
        assert!(Order::EasyToHard.levels(&corpus.filter(|entry| entry.id != ProblemId(1))).is_ok());
        let message = Order::HardToEasy.levels(&corpus).err().unwrap().to_string();
        assert!(message.contains("0000000000000001") && message.contains("pass rate"), "{message}");
    }
}
