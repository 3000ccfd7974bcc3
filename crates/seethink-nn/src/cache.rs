//! Key-value cache of a decoder.

use crate::attention::{AttentionMask, attention, self_attention, visibility_bias};
use crate::HeadShape;
use burn::tensor::{DType, Device, Int, Tensor};

/// Sizes of a [`KvCache`].
#[derive(Debug, Clone, Copy)]
pub struct CacheShape {
    /// Number of decoder layers.
    pub n_layers: usize,
    /// Number of rows.
    pub batch: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key-value heads.
    pub n_kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Capacity, columns.
    pub max_seq: usize,
}

/// Key-value cache: keys and values of every layer for the tokens read so far, with room for more.
///
/// Rows end together: a shorter prompt is padded on the left, and the cache remembers which columns
/// are padding. A step is one [`extend`](Self::extend), which gives the mask, and then one
/// [`attend`](Self::attend) per layer.
#[derive(Debug)]
pub struct KvCache {
    shape: CacheShape,
    len: usize,
    /// Keys and values per layer, `[batch, n_kv_heads, max_seq, head_dim]`. `None` only while being
    /// written: a tensor with a single owner is written in place.
    layers: Vec<Option<[Tensor<4>; 2]>>,
    /// Visibility bias, `[batch, max_seq]`: zero where a column may be seen.
    visibility: Option<Tensor<2>>,
}

impl KvCache {
    /// Creates an empty cache.
    pub fn new(shape: CacheShape, dtype: DType, device: &Device) -> Self {
        let CacheShape { n_layers, batch, n_kv_heads, head_dim, max_seq, .. } = shape;
        let zeros = || Tensor::zeros([batch, n_kv_heads, max_seq, head_dim], (device, dtype));
        Self {
            shape,
            len: 0,
            layers: (0..n_layers).map(|_| Some([zeros(), zeros()])).collect(),
            visibility: Some(Tensor::zeros([batch, max_seq], (device, DType::F32))),
        }
    }

    /// Number of columns read so far, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no column has been read yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.shape.batch
    }

    /// Capacity in columns, those already read included.
    pub fn max_seq(&self) -> usize {
        self.shape.max_seq
    }

    /// Makes room for new tokens and returns their attention mask: causal among themselves, and all
    /// columns read before but padding.
    ///
    /// # Shapes
    /// - segments: `[batch, seq]`, 0 for a token and −1 for padding
    ///
    /// # Panics
    /// If the batch differs or `seq` columns do not fit.
    pub fn extend(&mut self, segments: Tensor<2, Int>) -> AttentionMask {
        let [batch, seq] = segments.dims();
        let CacheShape { max_seq, n_heads, n_kv_heads, .. } = self.shape;
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
    pub fn attend(&mut self, layer: usize, qkv: Tensor<3>, mask: &AttentionMask) -> Tensor<3> {
        let CacheShape { n_heads, n_kv_heads, head_dim: d, .. } = self.shape;
        let shape = HeadShape { n_heads, n_kv_heads, d };
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
    pub fn select(&mut self, rows: &[usize]) {
        assert!(!rows.is_empty(), "a cache has at least one row");
        assert!(rows.iter().all(|&row| row < self.batch()), "rows {rows:?} of a cache with {} rows", self.batch());
        if rows.iter().copied().eq(0..self.batch()) {
            return;
        }
        let visibility = self.visibility.take().expect("set by every function");
        let indices = rows.iter().map(|&row| row as i64).collect::<Vec<_>>();
        let indices = Tensor::<1, Int>::from_ints(indices.as_slice(), &visibility.device());
        let CacheShape { n_kv_heads, head_dim, max_seq, .. } = self.shape;
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

    /// Repeats each row `n` times, copies side by side: a prompt is read once, then has one row per
    /// completion.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn repeat(&mut self, n: usize) {
        let rows: Vec<usize> = (0..self.batch()).flat_map(|row| std::iter::repeat_n(row, n)).collect();
        self.select(&rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    const SHAPE: CacheShape = CacheShape { n_layers: 1, batch: 2, n_heads: 4, n_kv_heads: 2, head_dim: 4, max_seq: 8 };

    fn random(shape: [usize; 4]) -> Tensor<4> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::default())
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.try_into_vec_as().expect("f32")
    }

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    }

    #[test]
    fn steps_equal_one_pass() {
        let device = Device::default();
        let segments = Tensor::<2, Int>::from_ints([[-1, -1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], &device);
        let (q, k, v) = (random([2, 6, 4, 4]), random([2, 2, 6, 4]), random([2, 2, 6, 4]));
        let mask = AttentionMask::causal(segments.clone(), 2);
        let whole = attention(q.clone(), k.clone(), v.clone(), Some(&mask));
        let mut cache = KvCache::new(SHAPE, DType::F32, &device);
        for chunk in [0..3usize, 3..5, 5..6] {
            let (start, n) = (chunk.start, chunk.len());
            let mask = cache.extend(segments.clone().narrow(1, start, n));
            let [keys, vals] = cache.append(0, k.clone().narrow(2, start, n), v.clone().narrow(2, start, n));
            let out = attention(q.clone().narrow(1, start, n), keys, vals, Some(&mask));
            // The first two columns of the first row are padding, whose output means nothing.
            let from = if start == 0 { 2 } else { 0 };
            close(&values(out.narrow(1, from, n - from)), &values(whole.clone().narrow(1, start + from, n - from)));
        }
        assert_eq!(cache.len(), 6);
    }

    #[test]
    fn rows_can_be_repeated_and_dropped() {
        let device = Device::default();
        let mut cache = KvCache::new(SHAPE, DType::F32, &device);
        let k = random([2, 2, 3, 4]);
        let segments = Tensor::<2, Int>::from_ints([[-1, 0, 0], [0, 0, 0]], &device);
        cache.extend(segments);
        cache.append(0, k.clone(), k.clone());
        cache.repeat(2);
        cache.select(&[3, 0]);
        assert_eq!((cache.batch(), cache.len()), (2, 3));
        let mask = cache.extend(Tensor::zeros([2, 1], &device));
        let new = random([2, 2, 1, 4]);
        let [keys, _] = cache.append(0, new.clone(), new.clone());
        let expected = Tensor::cat(vec![k.clone().narrow(0, 1, 1), k.narrow(0, 0, 1)], 0);
        let expected = Tensor::cat(vec![expected, new], 2);
        close(&values(keys.clone().reshape([2, 2, 16])), &values(expected.reshape([2, 2, 16])));
        // The padding moved with its row: what stands in that column makes no difference.
        let q = random([2, 1, 4, 4]);
        let other = keys.clone().slice_assign([1..2, 0..2, 0..1, 0..4], random([1, 2, 1, 4]));
        close(
            &values(attention(q.clone(), keys.clone(), keys.clone(), Some(&mask))),
            &values(attention(q, other.clone(), other, Some(&mask))),
        );
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn room_is_checked() {
        KvCache::new(SHAPE, DType::F32, &Device::default()).extend(Tensor::zeros([2, 9], &Device::default()));
    }
}
