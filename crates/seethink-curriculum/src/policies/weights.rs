//! Weighted draws: from a short list, or from a tree of millions.

use seethink_core::Rng;

/// Softmax: `exp(x / temperature)`, normalised.
pub(crate) fn softmax(values: &[f64], temperature: f64) -> Vec<f64> {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = values.iter().map(|value| ((value - most) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Draws an index of `weights` with probability proportional to its weight; `None` if all weights
/// are 0.
pub(crate) fn choose(weights: &[f64], rng: &mut Rng) -> Option<usize> {
    let total: f64 = weights.iter().sum();
    let mut left = rng.uniform() * total;
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        if left < weight {
            return Some(index);
        }
        left -= weight;
        last = Some(index);
    }
    // Rounding may leave `left` at the last weight or above.
    last
}

/// Tree of weights, with draws and changes in logarithmic time.
///
/// Each node is the sum of its two children, so it depends only on the weights and not on the order
/// of changes.
#[derive(Debug, Clone)]
pub(crate) struct WeightTree {
    /// Sums of inner nodes from index 1; weights from index `n_leaves`.
    nodes: Vec<f64>,
    n_leaves: usize,
}

impl WeightTree {
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = f64>) -> Self {
        let n_leaves = weights.len().next_power_of_two();
        let mut nodes = vec![0.0; 2 * n_leaves];
        nodes[n_leaves..].iter_mut().zip(weights).for_each(|(node, weight)| *node = weight);
        for index in (1..n_leaves).rev() {
            nodes[index] = nodes[2 * index] + nodes[2 * index + 1];
        }
        Self { nodes, n_leaves }
    }

    pub(crate) fn get(&self, index: usize) -> f64 {
        self.nodes[self.n_leaves + index]
    }

    pub(crate) fn set(&mut self, index: usize, weight: f64) {
        let mut node = self.n_leaves + index;
        self.nodes[node] = weight;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// Draws an index with probability proportional to its weight; `None` if all weights are 0.
    pub(crate) fn choose(&self, rng: &mut Rng) -> Option<usize> {
        if self.nodes[1] <= 0.0 {
            return None;
        }
        let mut left = rng.uniform() * self.nodes[1];
        let mut node = 1;
        while node < self.n_leaves {
            node *= 2;
            // Rounding must not lead into a subtree of weight 0.
            if left >= self.nodes[node] && self.nodes[node + 1] > 0.0 {
                left -= self.nodes[node];
                node += 1;
            }
        }
        Some(node - self.n_leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::{WeightTree, choose, softmax};
    use proptest::prelude::{prop, prop_assert_eq, proptest};
    use seethink_core::{Purpose, Rng};

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Curriculum, &[])
    }

    #[test]
    fn softmax_is_stable_and_sums_to_one() {
        let probabilities = softmax(&[1000.0, 1000.0, -1000.0], 0.1);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn draws_follow_the_weights() {
        let weights = [0.0, 1.0, 0.0, 3.0, 4.0, 0.0];
        let tree = WeightTree::new(weights.into_iter());
        let mut counts = [[0usize; 6]; 2];
        let mut rng = rng(1);
        for _ in 0..8000 {
            counts[0][choose(&weights, &mut rng).unwrap()] += 1;
            counts[1][tree.choose(&mut rng).unwrap()] += 1;
        }
        for counts in counts {
            for (count, weight) in counts.iter().zip(weights) {
                assert!((*count as f64 - 1000.0 * weight).abs() < 150.0 * weight.min(1.0) + 0.5, "{counts:?}");
            }
        }
        assert_eq!(choose(&[0.0; 3], &mut rng), None);
        assert_eq!(WeightTree::new([0.0; 3].into_iter()).choose(&mut rng), None);
    }

    proptest! {
        #[test]
        fn a_changed_tree_is_the_tree_of_the_changed_weights(
            mut weights in prop::collection::vec(0.0..1.0f64, 1..40), changes in prop::collection::vec((0usize..40, 0.0..1.0f64), 0..60)
        ) {
            let mut tree = WeightTree::new(weights.iter().copied());
            for (index, weight) in changes {
                let index = index % weights.len();
                weights[index] = weight;
                tree.set(index, weight);
            }
            prop_assert_eq!(tree.nodes, WeightTree::new(weights.iter().copied()).nodes);
        }
    }
}
