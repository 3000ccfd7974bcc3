//! Key-value cache in tensors, for every back end.

use super::CacheShape;
use crate::HeadShape;
use crate::attention::{AttentionMask, attention, self_attention, visibility_bias};
use burn::tensor::{DType, Device, Int, Tensor};

/// Cache in tensors of one length for all rows: a shorter prompt is padded on the left, and the cache
/// remembers which columns are padding.
#[derive(Debug)]
pub(super) struct DeviceCache {
    shape: CacheShape,
    len: usize,
    /// Keys and values per layer, `[batch, n_kv_heads, max_seq, head_dim]`. `None` only while being
    /// written: a tensor with a single owner is written in place.
    layers: Vec<Option<[Tensor<4>; 2]>>,
    /// Visibility bias, `[batch, max_seq]`: zero where a column may be seen.
    visibility: Option<Tensor<2>>,
}

impl DeviceCache {
    /// Creates an empty cache.
    pub(super) fn new(shape: CacheShape, dtype: DType, device: &Device) -> Self {
        let CacheShape { n_layers, batch, heads: HeadShape { n_kv_heads, d: head_dim, .. }, max_seq } = shape;
        let zeros = || Tensor::zeros([batch, n_kv_heads, max_seq, head_dim], (device, dtype));
        Self {
            shape,
            len: 0,
            layers: (0..n_layers).map(|_| Some([zeros(), zeros()])).collect(),
            visibility: Some(Tensor::zeros([batch, max_seq], (device, DType::F32))),
        }
    }

    /// Number of columns read so far, padding included.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of rows.
    pub(super) fn batch(&self) -> usize {
        self.shape.batch
    }

    /// Makes room for new tokens and returns their attention mask: causal among themselves, and all
    /// columns read before but padding.
    ///
    /// # Shapes
    /// - segments: `[batch, seq]`, 0 for a token and −1 for padding
    ///
    /// # Panics
    /// If the batch differs or `seq` columns do not fit.
    pub(super) fn extend(&mut self, segments: Tensor<2, Int>) -> AttentionMask {
        let [batch, seq] = segments.dims();
        let CacheShape { max_seq, heads: HeadShape { n_heads, n_kv_heads, .. }, .. } = self.shape;
        assert_eq!(batch, self.batch(), "the cache holds {} rows, but {batch} were given", self.batch());
        assert!(self.len + seq <= max_seq, "{} + {seq} columns do not fit a cache of {max_seq}", self.len);
        let visibility = self.visibility.take().expect("set outside of this function");
        let groups = n_heads / n_kv_heads;
        let mask = if self.len == 0 {
            AttentionMask::causal(segments.clone(), groups)
        } else {
            AttentionMask::after_cache(visibility.clone().narrow(1, 0, self.len), segments.clone(), groups)
        };
        let new = visibility_bias(segments);
        self.visibility = Some(visibility.slice_assign([0..batch, self.len..self.len + seq], new));
        self.len += seq;
        mask
    }

    /// Attention of a layer's newest tokens to one another and to those before, all of which it
    /// stores.
    ///
    /// `mask`: what [`extend`](Self::extend) returned for these tokens.
    ///
    /// # Shapes
    /// - qkv: `[batch, seq, width]` of [`HeadShape`]
    /// - output: `[batch, seq, n_heads · d]`
    pub(super) fn attend(&mut self, layer: usize, qkv: Tensor<3>, mask: &AttentionMask) -> Tensor<3> {
        let shape = self.shape.heads;
        let [q, k, v] = shape.split(qkv.clone());
        let first = self.len == qkv.dims()[1];
        let [k, v] = self.append(layer, k, v);
        if first { self_attention(qkv, shape, Some(mask)) } else { attention(q, k, v, Some(mask)) }
    }

    /// Stores the keys and values of a layer's newest tokens; returns those of all its tokens.
    ///
    /// # Shapes
    /// - k, v: `[batch, n_kv_heads, seq, head_dim]`, `seq` as in the [`extend`](Self::extend)
    ///   before
    /// - output: `[batch, n_kv_heads, len, head_dim]`
    ///
    /// # Panics
    /// If `k` holds more tokens than the cache has been extended by.
    fn append(&mut self, layer: usize, k: Tensor<4>, v: Tensor<4>) -> [Tensor<4>; 2] {
        let [batch, heads, seq, d] = k.dims();
        let columns = self.len - seq..self.len;
        let stored = self.layers[layer].take().expect("set outside of this function");
        let [keys, values] = stored;
        let place = [0..batch, 0..heads, columns.clone(), 0..d];
        let keys = keys.slice_assign(place.clone(), k.clone());
        let values = values.slice_assign(place, v.clone());
        // A first chunk is the whole content: no need to read it back from the strided store.
        let all = if columns.start == 0 {
            [k, v]
        } else {
            [keys.clone().narrow(2, 0, self.len), values.clone().narrow(2, 0, self.len)]
        };
        self.layers[layer] = Some([keys, values]);
        all
    }

    /// Keeps the given rows, in the order given; a row may be taken more than once.
    ///
    /// # Panics
    /// If a row does not exist or none is given.
    pub(super) fn select(&mut self, rows: &[usize]) {
        assert!(!rows.is_empty(), "a cache has at least one row");
        assert!(rows.iter().all(|&row| row < self.batch()), "rows {rows:?} of a cache with {} rows", self.batch());
        if rows.iter().copied().eq(0..self.batch()) {
            return;
        }
        let visibility = self.visibility.take().expect("set by every function");
        let indices = rows.iter().map(|&row| row as i64).collect::<Vec<_>>();
        let indices = Tensor::<1, Int>::from_ints(indices.as_slice(), &visibility.device());
        let CacheShape { heads: HeadShape { n_kv_heads, d: head_dim, .. }, max_seq, .. } = self.shape;
        let (n, len) = (rows.len(), self.len);
        // Columns that were not read yet are not copied.
        let pick = |stored: Tensor<4>| {
            let empty = Tensor::zeros([n, n_kv_heads, max_seq, head_dim], (&stored.device(), stored.dtype()));
            if len == 0 {
                return empty;
            }
            let read = stored.narrow(2, 0, len).select(0, indices.clone());
            empty.slice_assign([0..n, 0..n_kv_heads, 0..len, 0..head_dim], read)
        };
        for layer in &mut self.layers {
            *layer = layer.take().map(|stored| stored.map(pick));
        }
        self.visibility = Some(visibility.select(0, indices.clone()));
        self.shape.batch = n;
    }
}
