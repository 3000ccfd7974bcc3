//! Correction of p-values for multiple comparisons.

/// Corrects p-values for multiple comparisons by Holm's step-down procedure, which controls the
/// family-wise error rate.
///
/// `q(1) ≤ q(2) ≤ …` are the largest so far of `p(i) · (n − i + 1)`, at most 1, in ascending order
/// of `p`.
///
/// # Source
/// S. Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of
/// Statistics 6 (1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p[i] * (p.len() - rank) as f64).min(1.0));
        corrected[i] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_corrects_in_steps() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.5]);
        assert!(corrected.iter().zip([0.04, 0.09, 0.09, 0.5]).all(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert_eq!(holm(&[0.02]), [0.02]);
        assert!(holm(&[]).is_empty());
    }
}
