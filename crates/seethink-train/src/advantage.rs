//! Group-relative advantages.

/// Group-relative advantages: each reward minus its group's mean, over its group's deviation.
///
/// `A[g] = (r[g] − mean r) / (std r + 1e-6)`, sample deviation (divisor `group − 1`).
/// A group whose rewards are all equal gets zeros.
///
/// # Shapes
/// - rewards: `[group]`, reward units
/// - output: `[group]`, dimensionless
///
/// # Panics
/// If there are fewer than two rewards.
///
/// # Source
/// EasyR1 `verl/trainer/core_algos.py` at `b44b311`.
///
/// # Examples
/// ```
/// let advantages = seethink_train::group_advantages(&[1.0, 0.0]);
/// assert!((advantages[0] - 0.7071).abs() < 1e-4);
/// ```
pub fn group_advantages(rewards: &[f32]) -> Vec<f32> {
    assert!(rewards.len() > 1, "a group needs at least two completions to compare");
    let n = rewards.len() as f64;
    let mean = rewards.iter().map(|&r| f64::from(r)).sum::<f64>() / n;
    let variance = rewards.iter().map(|&r| (f64::from(r) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    rewards.iter().map(|&r| ((f64::from(r) - mean) / (variance.sqrt() + 1e-6)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rewards_have_no_advantage() {
        assert_eq!(group_advantages(&[0.5; 4]), vec![0.0; 4]);
    }

    #[test]
    fn advantages_are_centred_and_scaled_by_the_sample_deviation() {
        let advantages = group_advantages(&[1.0, 0.0, 0.0, 1.0]);
        assert!(advantages.iter().sum::<f32>().abs() < 1e-6);
        assert!((advantages[0] - 0.5 / (1.0f32 / 3.0).sqrt()).abs() < 1e-4);
    }

    #[test]
    fn differences_far_below_the_epsilon_are_damped() {
        // Deviation √2 · 1e-7: the epsilon of 1e-6 outweighs it.
        let advantages = group_advantages(&[0.0, 2e-7]);
        assert!((advantages[1] - 1e-7 / (2f32.sqrt() * 1e-7 + 1e-6)).abs() < 1e-5, "{advantages:?}");
    }
}
