//! Rotary position embedding over one or three position axes.

use crate::{FastPath, HeadShape, RmsNorm, fused};
use burn::tensor::{DType, Int, Tensor, TensorData};

/// Rotation frequencies, each of which reads one of the three position axes (time, height, width).
///
/// `angle_j = position[axis(j)] · θ^(−2j/d)` for channel pair `j < d/2`.
#[derive(Debug, Clone, PartialEq)]
pub struct RotaryFrequencies {
    theta: f64,
    /// The position axis that each channel pair reads.
    axes: Vec<usize>,
    scaling: Option<DynamicScaling>,
}

/// Rotary base that grows with contexts longer than the training length ("dynamic NTK").
///
/// `θ' = θ · (factor · L / max − (factor − 1))^(d / (d − 2))` for a context of `L > max` tokens.
///
/// # Source
/// transformers 4.57, `modeling_rope_utils.py`, rope type `dynamic`. There a base that has grown
/// stays until the context is short again; here it depends on the context alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynamicScaling {
    /// Factor by which contexts may be longer than `max_positions`.
    pub factor: f64,
    /// Longest context that needs no scaling, tokens.
    pub max_positions: usize,
}

impl RotaryFrequencies {
    /// Frequencies for heads of `head_dim` channels; pair `j` turns with position axis
    /// `axis_of(j)`.
    ///
    /// # Panics
    /// If an axis is not 0, 1 or 2.
    pub fn new(theta: f64, head_dim: usize, axis_of: impl Fn(usize) -> usize) -> Self {
        let axes: Vec<usize> = (0..head_dim / 2).map(axis_of).collect();
        assert!(axes.iter().all(|&axis| axis < 3), "there are three axes");
        Self { theta, axes, scaling: None }
    }

    /// Frequencies for one position axis: all pairs read the first axis.
    pub fn plain(theta: f64, head_dim: usize) -> Self {
        Self::new(theta, head_dim, |_| 0)
    }

    /// Frequencies in chunks (M-RoPE): the first `sections[0]` pairs read the time, the next
    /// `sections[1]` the height, the others the width.
    ///
    /// # Source
    /// Qwen2.5-VL's `apply_multimodal_rotary_pos_emb` in transformers 4.57.
    pub fn chunked(theta: f64, head_dim: usize, sections: [usize; 3]) -> Self {
        Self::new(theta, head_dim, |pair| match pair {
            pair if pair < sections[0] => 0,
            pair if pair < sections[0] + sections[1] => 1,
            _ => 2,
        })
    }

    /// Interleaved frequencies (M-RoPE): pairs 1, 4, 7, … read the height while there are
    /// `sections[1]` of them, pairs 2, 5, 8, … the width while there are `sections[2]`, all others
    /// the time.
    ///
    /// # Source
    /// Qwen3-VL's `apply_interleaved_mrope` in transformers 4.57.
    pub fn interleaved(theta: f64, head_dim: usize, sections: [usize; 3]) -> Self {
        Self::new(theta, head_dim, |pair| {
            let axis = pair % 3;
            if pair < 3 * sections[axis] { axis } else { 0 }
        })
    }

    /// Adds dynamic scaling: the base grows with the context.
    #[must_use]
    pub fn with_scaling(self, scaling: DynamicScaling) -> Self {
        Self { scaling: Some(scaling), ..self }
    }

    /// Rotations at the given positions, made once per forward pass and used by every layer.
    ///
    /// `n_read`: columns read so far, these included. Only where they exceed the limit of a
    /// [`DynamicScaling`] is the largest position looked up.
    ///
    /// # Shapes
    /// - position_ids: `[3, batch, seq]`
    pub fn at(&self, position_ids: Tensor<3, Int>, n_read: usize) -> Rotary {
        let device = position_ids.device();
        let theta = match self.scaling {
            Some(scaling) if n_read > scaling.max_positions => {
                let context = position_ids.clone().max().into_scalar::<i64>() as f64 + 1.0;
                self.scaled_theta(scaling, context)
            }
            _ => self.theta,
        };
        let table = TensorData::new(self.table(theta), [3, 1, 1, self.axes.len()]);
        let table = Tensor::<4>::from_data(table, (&device, DType::F32));
        let angles = position_ids.float().cast(DType::F32).unsqueeze_dim::<4>(3) * table;
        Rotary::new(angles.sum_dim(0).squeeze_dim(0))
    }

    fn scaled_theta(&self, DynamicScaling { factor, max_positions }: DynamicScaling, context: f64) -> f64 {
        let d = 2.0 * self.axes.len() as f64;
        let excess = (context / max_positions as f64).max(1.0);
        self.theta * (factor * excess - (factor - 1.0)).powf(d / (d - 2.0))
    }

    /// Table of frequencies, `[3, d/2]`: that of each pair in the row of its axis, zero in the
    /// other rows.
    fn table(&self, theta: f64) -> Vec<f32> {
        let pairs = self.axes.len();
        let mut table = vec![0.0; 3 * pairs];
        for (pair, axis) in self.axes.iter().enumerate() {
            table[axis * pairs + pair] = theta.powf(-(pair as f64) / pairs as f64) as f32;
        }
        table
    }
}

/// Rotations of channel pairs `(i, i + d/2)` by given angles.
///
/// `y = x · cos + swap(x) · sin`, where `swap` exchanges the halves and the sign of its first half
/// is kept in `sin`. The tables are `f32`, and the rotation is done in `f32` whatever the dtype of
/// `x`.
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

    /// Rotates queries and keys, after the norms of queries and keys where they are given, and
    /// copies values.
    ///
    /// # Shapes
    /// - qkv, output: `[batch, seq, width]` of [`HeadShape`]
    pub fn apply(&self, qkv: Tensor<3>, shape: HeadShape, norms: Option<[&RmsNorm; 2]>) -> Tensor<3> {
        let [batch, seq, width] = qkv.dims();
        if fused::applies(FastPath::Rotary, &qkv) {
            let tables = [&self.cos, &self.sin].map(|table| fused::rows(table.clone()));
            let norms = norms.map(|norms| (norms.map(|norm| norm.weight.val()), norms[0].epsilon));
            return fused::turned(fused::rows(qkv), tables, norms, shape).reshape([batch, seq, width]);
        }
        let HeadShape { n_heads, n_kv_heads, d } = shape;
        let heads = qkv.reshape([batch, seq, n_heads + 2 * n_kv_heads, d]);
        let v = heads.clone().narrow(2, n_heads + n_kv_heads, n_kv_heads);
        let turning = match norms {
            None => heads.narrow(2, 0, n_heads + n_kv_heads),
            Some([q_norm, k_norm]) => {
                let q = q_norm.forward(heads.clone().narrow(2, 0, n_heads));
                Tensor::cat(vec![q, k_norm.forward(heads.narrow(2, n_heads, n_kv_heads))], 2)
            }
        };
        Tensor::cat(vec![self.rotate(turning), v], 2).reshape([batch, seq, width])
    }

    /// Rotates every head.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, heads, d]`
    fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
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
        assert_eq!(frequencies.axes, [0, 1, 2, 0, 1, 2, 0, 0]);
        assert_eq!(RotaryFrequencies::chunked(1e4, 16, [2, 3, 3]).axes, [0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn the_base_grows_beyond_the_limit_alone() {
        let device = Device::default();
        let scaling = DynamicScaling { factor: 2.0, max_positions: 4 };
        let [plain, scaled] =
            [None, Some(scaling)].map(|scaling| RotaryFrequencies { scaling, ..RotaryFrequencies::plain(1e4, 8) });
        let angle = |frequencies: &RotaryFrequencies, position: i64, n_read| {
            let ids = Tensor::<3, Int>::from_data(TensorData::new(vec![position; 3], [3, 1, 1]), &device);
            frequencies.at(ids, n_read).cos.try_into_vec_as::<f32>().expect("f32")
        };
        assert_eq!(angle(&scaled, 3, 4), angle(&plain, 3, 4));
        // Padding makes a batch longer than its positions say.
        assert_eq!(angle(&scaled, 3, 6), angle(&plain, 3, 6));
        let grown = RotaryFrequencies::plain(1e4 * 2f64.powf(8.0 / 6.0), 8);
        assert_eq!(angle(&scaled, 5, 6), angle(&grown, 5, 6));
    }

    #[test]
    fn pairs_turn_by_their_angle() {
        let device = Device::default();
        let rotary = Rotary::new(Tensor::from_floats([[[0.0, std::f32::consts::FRAC_PI_2]]], &device));
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &device);
        let y = rotary.rotate(x).try_into_vec_as::<f32>().expect("f32");
        for (found, expected) in y.iter().zip([1.0, -4.0, 3.0, 2.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn scores_depend_on_distance_alone() {
        let device = Device::default();
        let frequencies = RotaryFrequencies::plain(1e4, 8);
        let at = |position: i64| {
            let ids = Tensor::<3, Int>::from_data(TensorData::new(vec![position; 3], [3, 1, 1]), &device);
            let x = Tensor::<1>::from_floats([0.3, -1.0, 0.2, 0.7, 1.1, -0.4, 0.9, 0.5], &device);
            frequencies.at(ids, 1).rotate(x.reshape([1, 1, 1, 8]))
        };
        let score = |p, q| (at(p) * at(q)).sum().into_scalar::<f32>();
        assert!((score(3, 5) - score(40, 42)).abs() < 1e-4);
        assert!((score(3, 5) - score(3, 6)).abs() > 1e-2);
    }
}
