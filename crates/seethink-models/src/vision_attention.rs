//! Attention of the Qwen vision encoders: within runs of patches, with 2-D rotary positions.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use seethink_nn::{HeadShape, Rotary, linear, self_attention};

/// Base of the rotary frequencies; no configuration has it.
const ROPE_THETA: f64 = 10_000.0;

/// Vision attention among the patches of an image or a window; nothing is masked.
#[derive(Module, Debug)]
pub struct VisionAttention {
    /// Joint projection of queries, keys and values, in this order.
    pub qkv: Linear,
    /// Output projection.
    pub proj: Linear,
    #[module(skip)]
    n_heads: usize,
}

/// Runs of rows that attend to one another and to no others, in order; neighbours of one size are
/// joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageRuns(Vec<Run>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: usize,
    n: usize,
    size: usize,
}

impl ImageRuns {
    /// Appends `n` runs of `size` rows each.
    pub(crate) fn push(&mut self, n: usize, size: usize) {
        let start = self.0.last().map_or(0, |run| run.start + run.n * run.size);
        match self.0.last_mut() {
            Some(run) if run.size == size => run.n += n,
            _ => self.0.push(Run { start, n, size }),
        }
    }
}

impl VisionAttention {
    pub(crate) fn new(width: usize, n_heads: usize, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self { qkv: linear(width, 3 * width), proj: linear(width, width), n_heads }
    }

    /// # Shapes
    /// - x, output: `[n_patches, width]`
    pub(crate) fn forward(&self, x: Tensor<2>, rotary: &Rotary, runs: &ImageRuns) -> Tensor<2> {
        let [n_patches, width] = x.dims();
        let shape = HeadShape { n_heads: self.n_heads, n_kv_heads: self.n_heads, d: width / self.n_heads };
        let qkv = linear(x, &[&self.qkv], None).reshape([1, n_patches, 3 * width]);
        let qkv = rotary.apply(qkv, shape, None);
        let attend = |&Run { start, n, size }: &Run| {
            let run = qkv.clone().narrow(1, start, n * size).reshape([n, size, 3 * width]);
            self_attention(run, shape, None).reshape([n * size, width])
        };
        let mut outs: Vec<Tensor<2>> = runs.0.iter().map(attend).collect();
        let out = if outs.len() == 1 { outs.remove(0) } else { Tensor::cat(outs, 0) };
        linear(out, &[&self.proj], None)
    }
}

/// Row and column of each patch in the order of the rows of `pixel_values`: merged cells row by
/// row, and the patches of a cell row by row.
///
/// # Panics
/// If a side is no multiple of `merge`.
pub(crate) fn merge_order(rows: usize, columns: usize, merge: usize) -> impl Iterator<Item = (usize, usize)> {
    let whole = rows.is_multiple_of(merge) && columns.is_multiple_of(merge);
    assert!(whole, "a grid of {rows}x{columns} patches does not merge by {merge}");
    (0..rows / merge).flat_map(move |cell_row| {
        (0..columns / merge).flat_map(move |cell_column| {
            (0..merge * merge).map(move |i| (cell_row * merge + i / merge, cell_column * merge + i % merge))
        })
    })
}

/// Rotations of patches by their row and column: the first half of the channel pairs turns with the
/// row, the other with the column.
pub(crate) fn grid_angles(places: &[(usize, usize)], head_dim: usize, device: &Device) -> Rotary {
    let frequencies: Vec<f32> =
        (0..head_dim / 4).map(|k| ROPE_THETA.powf(-4.0 * k as f64 / head_dim as f64) as f32).collect();
    let turns = |position: usize| frequencies.iter().map(move |frequency| position as f32 * frequency);
    let angles: Vec<f32> = places.iter().flat_map(|&(row, column)| turns(row).chain(turns(column))).collect();
    let angles = TensorData::new(angles, [1, places.len(), head_dim / 2]);
    Rotary::new(Tensor::from_data(angles, (device, DType::F32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_cell_by_cell() {
        let order: Vec<_> = merge_order(2, 4, 2).collect();
        assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
    }

    #[test]
    fn neighbours_of_one_size_are_one_run() {
        let mut runs = ImageRuns::default();
        [(1, 4), (2, 4), (1, 6), (1, 4)].into_iter().for_each(|(n, size)| runs.push(n, size));
        let found: Vec<_> = runs.0.iter().map(|run| (run.start, run.n, run.size)).collect();
        assert_eq!(found, [(0, 3, 4), (12, 1, 6), (18, 1, 4)]);
    }
}
