//! Counter-based random numbers: a draw is a pure function of its key.
//!
//! A stream is keyed by a run seed, a [`Purpose`] and any further numbers (step, problem,
//! completion index, position). No state is stored between draws, so a resumed run, another batch
//! split or another number of devices sees the same draws.

/// Purpose of a random stream; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Building a problem of a synthetic world.
    World = 1,
    /// Ordering problems in a curriculum.
    Curriculum = 2,
    /// Sampling tokens in training rollouts.
    Rollout = 3,
    /// Sampling tokens in evaluation.
    Evaluation = 4,
    /// Initial weights.
    Weights = 5,
    /// Ordering examples in supervised fine-tuning.
    FineTuning = 6,
    /// Assigning problems to the splits of a dataset.
    Split = 7,
    /// Shuffling the options of questions that a model wrote.
    Options = 8,
}

/// Counter-based random number generator: a keyed stream (SplitMix64 from a hashed key).
///
/// # Source
/// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
///
/// # Examples
/// ```
/// use seethink_core::{Purpose, Rng};
/// let draw = |step| Rng::new(7, Purpose::Rollout, &[step, 3]).uniform();
/// assert_eq!(draw(1), draw(1));
/// assert_ne!(draw(1), draw(2));
/// ```
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Creates the stream of this seed, purpose and key.
    pub fn new(seed: u64, purpose: Purpose, key: &[u64]) -> Self {
        let start = mix(seed ^ mix(purpose as u64));
        Self(key.iter().fold(start, |state, &part| mix(state.wrapping_add(GOLDEN) ^ mix(part))))
    }

    /// Draws the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Draws uniformly from `[0, 1)` with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws uniformly from `0..n`.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Draws from the standard normal distribution (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Chooses one of `items` uniformly.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Puts `items` into a uniformly random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser: a bijection whose output bits all depend on all input bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_positional() {
        let first = |key: &[u64]| Rng::new(1, Purpose::World, key).next_u64();
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[0]), first(&[0, 0]));
        assert_ne!(Rng::new(1, Purpose::World, &[]).next_u64(), Rng::new(1, Purpose::Rollout, &[]).next_u64());
    }

    #[test]
    fn uniform_has_the_right_moments() {
        let n = 20_000;
        let draws: Vec<f64> = (0..n).map(|i| Rng::new(0, Purpose::Rollout, &[i]).uniform()).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let variance = draws.iter().map(|u| (u - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((variance - 1.0 / 12.0).abs() < 0.003, "{variance}");
    }

    #[test]
    fn shuffle_is_a_seeded_permutation() {
        let order = |seed| {
            let mut items: Vec<usize> = (0..50).collect();
            Rng::new(seed, Purpose::Curriculum, &[]).shuffle(&mut items);
            items
        };
        assert_eq!(order(3), order(3));
        assert_ne!(order(3), order(4));
        let mut sorted = order(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
