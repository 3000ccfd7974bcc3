//! Mean and standard deviation of a quantity over seeds.

use serde::{Deserialize, Serialize};

/// Spread of a quantity over seeds: mean and standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the seeds.
    pub mean: f64,
    /// Sample standard deviation (divisor `n − 1`), `None` for a single seed.
    pub sd: Option<f64>,
    /// Values by ascending seed.
    pub values: Vec<f64>,
}

impl Spread {
    /// Computes the spread of values; `None` without values.
    pub fn over(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0.0).then(|| Self { mean, sd: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()), values })
    }

    /// Formats mean ± standard deviation, with `format` for either.
    pub fn show(&self, format: impl Fn(f64) -> String) -> String {
        match self.sd {
            Some(sd) => format!("{} ± {}", format(self.mean), format(sd)),
            None => format(self.mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let spread = Spread::over([0.0, 3.0, -6.0]).unwrap();
        assert_eq!((spread.mean, spread.sd), (-1.0, Some(21f64.sqrt())));
        assert_eq!(spread.show(|value| format!("{value:.1}")), "-1.0 ± 4.6");
        assert_eq!(Spread::over([2.0]).unwrap().show(|value| value.to_string()), "2");
        assert_eq!(Spread::over([]), None);
    }
}
