//! Rotary position embedding over one or three position axes.

use burn::tensor::{DType, Int, Tensor, TensorData};

/// Rotation frequencies, each of which reads one of the three position axes (time, height, width).
///
/// `angle_j = position[axis(j)] · θ^(−2j/d)` for channel pair `j < d/2`.
#[derive(Debug, Clone)]
pub struct RotaryFrequencies {
    /// `[3, d/2]`: the frequency of each pair in the row of its axis, zero in the other rows.
    table: Vec<f32>,
}

impl RotaryFrequencies {
    /// Frequencies for heads of `head_dim` channels; pair `j` turns with position axis `axis_of(j)`.
    ///
    /// # Panics
    /// If an axis is not 0, 1 or 2.
    pub fn new(theta: f64, head_dim: usize, axis_of: impl Fn(usize) -> usize) -> Self {
        let pairs = head_dim / 2;
        let mut table = vec![0.0; 3 * pairs];
        for pair in 0..pairs {
            table[axis_of(pair) * pairs + pair] = theta.powf(-2.0 * pair as f64 / head_dim as f64) as f32;
        }
        Self { table }
    }

    /// The axes take turns: pairs 1, 4, 7, … read the height while there are `sections[1]` of them, pairs 2, 5, 8, … the
    /// width while there are `sections[2]`, all others the time.
    ///
    /// # Source
    /// Qwen3-VL's `apply_interleaved_mrope` in transformers 4.57.
    pub fn interleaved(theta: f64, head_dim: usize, sections: [usize; 3]) -> Self {
        Self::new(theta, head_dim, |pair| {
            let axis = pair % 3;
            if pair < 3 * sections[axis] { axis } else { 0 }
        })
    }

    /// The rotations at some positions. Made once per forward pass and used by every layer.
    ///
    /// # Shapes
    /// - position_ids: `[3, batch, seq]`
    pub fn at(&self, position_ids: Tensor<3, Int>) -> Rotary {
        let device = position_ids.device();
        let table = TensorData::new(self.table.clone(), [3, 1, 1, self.table.len() / 3]);
        let table = Tensor::<4>::from_data(table, (&device, DType::F32));
        let angles = position_ids.float().cast(DType::F32).unsqueeze_dim::<4>(3) * table;
        Rotary::new(angles.sum_dim(0).squeeze_dim(0))
    }
}

/// Rotations of channel pairs `(i, i + d/2)` by given angles.
///
/// `y = x · cos + swap(x) · sin`, where `swap` exchanges the halves and the sign of its first half is kept in `sin`.
/// The tables are `f32`, and the rotation is done in `f32` whatever the dtype of `x`.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// `[batch, seq, 1, d]`
    cos: Tensor<4>,
    /// `[batch, seq, 1, d]`, first half negated
    sin: Tensor<4>,
}

impl Rotary {
    /// Rotations by `angles`, radians.
    ///
    /// # Shapes
    /// - angles: `[batch, seq, d/2]`
    pub fn new(angles: Tensor<3>) -> Self {
        let angles = angles.unsqueeze_dim::<4>(2);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        Self { cos: Tensor::cat(vec![cos.clone(), cos], 3), sin: Tensor::cat(vec![sin.clone().neg(), sin], 3) }
    }

    /// Rotates every head.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, heads, d]`
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let half = x.dims()[3] / 2;
        let x = x.cast(DType::F32);
        let swapped = Tensor::cat(vec![x.clone().narrow(3, half, half), x.clone().narrow(3, 0, half)], 3);
        (x * self.cos.clone() + swapped * self.sin.clone()).cast(dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn interleaved_axes_end_in_time() {
        let frequencies = RotaryFrequencies::interleaved(1e4, 16, [4, 2, 2]);
        let axis = |pair: usize| (0..3).find(|axis| frequencies.table[axis * 8 + pair] != 0.0);
        assert_eq!((0..8).map(axis).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0, 0].map(Some));
    }

    #[test]
    fn pairs_turn_by_their_angle() {
        let device = Device::default();
        let rotary = Rotary::new(Tensor::from_floats([[[0.0, std::f32::consts::FRAC_PI_2]]], &device));
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &device);
        let y = rotary.apply(x).try_into_vec_as::<f32>().expect("f32");
        for (found, expected) in y.iter().zip([1.0, -4.0, 3.0, 2.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn scores_depend_on_distance_alone() {
        let device = Device::default();
        let frequencies = RotaryFrequencies::new(1e4, 8, |_| 0);
        let at = |position: i64| {
            let ids = Tensor::<3, Int>::from_data(TensorData::new(vec![position; 3], [3, 1, 1]), &device);
            let x = Tensor::<1>::from_floats([0.3, -1.0, 0.2, 0.7, 1.1, -0.4, 0.9, 0.5], &device);
            frequencies.at(ids).apply(x.reshape([1, 1, 1, 8]))
        };
        let score = |p, q| (at(p) * at(q)).sum().into_scalar::<f32>();
        assert!((score(3, 5) - score(40, 42)).abs() < 1e-4);
        assert!((score(3, 5) - score(3, 6)).abs() > 1e-2);
    }
}
