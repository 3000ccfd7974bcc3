//! Key-value cache in the memory of the processor.
//!
//! Rows that continue one prompt share what was read of it, and each has what it read alone.

use super::CacheShape;
use crate::HeadShape;
use crate::attention::{AttentionMask, self_attention};
use crate::kernels::decode::{Row, attend_rows};
use burn::tensor::{Int, Tensor, TensorData};

/// Cache whose rows have lengths of their own.
#[derive(Debug)]
pub(super) struct HostCache {
    heads: HeadShape,
    n_layers: usize,
    rows: Vec<Row>,
    /// Tokens that are being read: true for a token, false for padding, `[batch, seq]`.
    new: Vec<bool>,
}

impl HostCache {
    pub(super) fn new(CacheShape { n_layers, batch, heads, .. }: CacheShape) -> Self {
        Self { heads, n_layers, rows: (0..batch).map(|_| Row::new(n_layers)).collect(), new: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.iter().map(Row::len).max().unwrap_or(0)
    }

    pub(super) fn batch(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn extend(&mut self, segments: Tensor<2, Int>) -> AttentionMask {
        self.new = segments.to_data().iter::<i64>().map(|segment| segment >= 0).collect();
        let seq = self.new.len() / self.rows.len();
        for (row, new) in self.rows.iter_mut().zip(self.new.chunks(seq.max(1))) {
            row.extend(new.iter().filter(|&&new| new).count());
        }
        AttentionMask::causal(segments, self.heads.n_heads / self.heads.n_kv_heads)
    }

    pub(super) fn attend(&mut self, layer: usize, qkv: Tensor<3>, mask: &AttentionMask) -> Tensor<3> {
        let [batch, seq, width] = qkv.dims();
        let device = qkv.device();
        let first = self
            .rows
            .iter()
            .zip(self.new.chunks(seq))
            .all(|(row, new)| row.len() == new.iter().filter(|&&new| new).count());
        let attended = (first && seq > 1).then(|| self_attention(qkv.clone(), self.heads, Some(mask)));
        let data = qkv.into_data();
        let values = data.as_slice::<f32>().expect("the cache of the processor is of f32");
        let heads = self.heads;
        match attended {
            Some(attended) => {
                for ((row, new), qkv) in self.rows.iter_mut().zip(self.new.chunks(seq)).zip(values.chunks(seq * width))
                {
                    let tokens = qkv.chunks(width).zip(new).filter(|(_, new)| **new).map(|(token, _)| token);
                    tokens.for_each(|token| row.write(layer, heads, token));
                }
                attended
            }
            None => {
                let out = attend_rows(&mut self.rows, layer, heads, values, &self.new);
                let shape = [batch, seq, heads.n_heads * heads.d];
                Tensor::from_data(TensorData::new(out, shape), &device)
            }
        }
    }

    pub(super) fn select(&mut self, rows: &[usize]) {
        let mut left = vec![0usize; self.rows.len()];
        rows.iter().for_each(|&row| left[row] += 1);
        let mut before: Vec<Option<Row>> = std::mem::take(&mut self.rows).into_iter().map(Some).collect();
        let mut take = |&row: &usize| {
            left[row] -= 1;
            let source = &mut before[row];
            // Those that continue the same row share what was read.
            match left[row] {
                0 => source.take(),
                _ => source.as_mut().map(Row::branch),
            }
        };
        self.rows = rows.iter().map(|row| take(row).expect("taken as often as counted")).collect();
    }

    pub(super) fn join(&mut self, other: Self) {
        assert_eq!((self.heads, self.n_layers), (other.heads, other.n_layers), "caches of one model");
        self.rows.extend(other.rows);
    }
}
