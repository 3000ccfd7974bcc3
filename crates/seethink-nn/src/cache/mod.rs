//! Key-value cache of a decoder.

mod device;
mod host;

use crate::attention::AttentionMask;
use crate::{FastPath, HeadShape, fused};
use burn::tensor::{DType, Device, Int, Tensor};
use device::DeviceCache;
use host::HostCache;

/// Sizes of a [`KvCache`].
#[derive(Debug, Clone, Copy)]
pub struct CacheShape {
    /// Number of decoder layers.
    pub n_layers: usize,
    /// Number of rows.
    pub batch: usize,
    /// Attention heads.
    pub heads: HeadShape,
    /// Capacity, columns.
    pub max_seq: usize,
}

/// Key-value cache: keys and values of every layer for the tokens read so far, with room for more.
///
/// A step is one [`extend`](Self::extend), which gives the mask, and then one
/// [`attend`](Self::attend) per layer.
///
/// A prompt is stored once for all rows that continue it. In the memory of the processor rows have
/// lengths of their own, and a row comes and goes without a copy of the others; elsewhere they are
/// padded to one length.
#[derive(Debug)]
pub struct KvCache {
    shape: CacheShape,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Device(Box<DeviceCache>),
    Host(HostCache),
}

/// Calls a method of the store, whichever it is.
macro_rules! each {
    ($store:expr, $cache:ident => $call:expr) => {
        match $store {
            Store::Device($cache) => $call,
            Store::Host($cache) => $call,
        }
    };
}

impl KvCache {
    /// Creates an empty cache.
    pub fn new(shape: CacheShape, dtype: DType, device: &Device) -> Self {
        let store = if fused::exists(FastPath::Cache, device, dtype) {
            Store::Host(HostCache::new(shape))
        } else {
            Store::Device(Box::new(DeviceCache::new(shape, dtype, device)))
        };
        Self { shape, store }
    }

    /// Number of columns read so far, padding included: the longest row.
    pub fn len(&self) -> usize {
        each!(&self.store, cache => cache.len())
    }

    /// Returns whether no column has been read yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        each!(&self.store, cache => cache.batch())
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
        let ([batch, seq], max_seq) = (segments.dims(), self.max_seq());
        assert_eq!(batch, self.batch(), "the cache holds {} rows, but {batch} were given", self.batch());
        assert!(self.len() + seq <= max_seq, "{} + {seq} columns do not fit a cache of {max_seq}", self.len());
        each!(&mut self.store, cache => cache.extend(segments))
    }

    /// Attention of a layer's newest tokens to one another and to those before; stores their keys
    /// and values.
    ///
    /// `mask`: what [`extend`](Self::extend) returned for these tokens.
    ///
    /// # Shapes
    /// - qkv: `[batch, seq, width]` of [`HeadShape`]
    /// - output: `[batch, seq, n_heads · d]`; that of padding is undefined
    pub fn attend(&mut self, layer: usize, qkv: Tensor<3>, mask: &AttentionMask) -> Tensor<3> {
        each!(&mut self.store, cache => cache.attend(layer, qkv, mask))
    }

    /// Keeps the given rows, in the order given; a row may be taken more than once.
    ///
    /// # Panics
    /// If a row does not exist or none is given.
    pub fn select(&mut self, rows: &[usize]) {
        assert!(!rows.is_empty(), "a cache has at least one row");
        assert!(rows.iter().all(|&row| row < self.batch()), "rows {rows:?} of a cache with {} rows", self.batch());
        if !rows.iter().copied().eq(0..self.batch()) {
            each!(&mut self.store, cache => cache.select(rows));
        }
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

    /// Returns whether rows leave without a copy of those that stay, and others may
    /// [`join`](Self::join) them.
    pub fn has_rows_of_their_own(&self) -> bool {
        matches!(self.store, Store::Host(_))
    }

    /// Appends the rows of another cache of the same model.
    ///
    /// # Panics
    /// If the rows have no lengths of their own.
    pub fn join(&mut self, other: Self) {
        match (&mut self.store, other.store) {
            (Store::Host(rows), Store::Host(others)) => rows.join(others),
            _ => panic!("rows of a cache in tensors have one length"),
        }
        self.shape.max_seq = self.shape.max_seq.max(other.shape.max_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_attention;
    use burn::tensor::Distribution;

    const HEADS: HeadShape = HeadShape { n_heads: 4, n_kv_heads: 2, d: 4 };
    const SHAPE: CacheShape = CacheShape { n_layers: 1, batch: 2, heads: HEADS, max_seq: 8 };

    /// The cache of the processor and the one of every back end.
    fn caches() -> [KvCache; 2] {
        let device = Device::default();
        let in_tensors = Store::Device(Box::new(DeviceCache::new(SHAPE, DType::F32, &device)));
        [KvCache::new(SHAPE, DType::F32, &device), KvCache { shape: SHAPE, store: in_tensors }]
    }

    fn random(batch: usize, seq: usize) -> Tensor<3> {
        Tensor::random([batch, seq, HEADS.width()], Distribution::Normal(0.0, 1.0), &Device::default())
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

    /// Attention of a row by itself, without cache.
    fn whole(qkv: Tensor<3>) -> Tensor<3> {
        let [batch, seq, _] = qkv.dims();
        let segments = Tensor::zeros([batch, seq], &qkv.device());
        self_attention(qkv, HEADS, Some(&AttentionMask::causal(segments, 2)))
    }

    #[test]
    fn steps_equal_one_pass() {
        let device = Device::default();
        let segments = Tensor::<2, Int>::from_ints([[-1, -1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], &device);
        let qkv = random(2, 6);
        for (mut cache, chunks) in caches().into_iter().zip([[0..3usize, 3..5, 5..6], [0..3, 3..5, 5..6]]) {
            for chunk in chunks {
                let (start, n) = (chunk.start, chunk.len());
                let mask = cache.extend(segments.clone().narrow(1, start, n));
                let out = cache.attend(0, qkv.clone().narrow(1, start, n), &mask);
                // The first two columns of the first row are padding, whose output means nothing.
                for (row, padding) in [(0, 2), (1, 0)] {
                    let from = start.max(padding);
                    let expected = whole(qkv.clone().narrow(0, row, 1).narrow(1, padding, 6 - padding));
                    let n = chunk.end - from;
                    let found = out.clone().narrow(0, row, 1).narrow(1, from - start, n);
                    close(&values(found), &values(expected.narrow(1, from - padding, n)));
                }
            }
            assert_eq!(cache.len(), 6);
        }
    }

    #[test]
    fn rows_can_be_repeated_and_dropped() {
        let device = Device::default();
        let (prompts, first, second, third) = (random(2, 3), random(4, 1), random(3, 1), random(2, 1));
        for mut cache in caches() {
            let mask = cache.extend(Tensor::from_ints([[-1, 0, 0], [0, 0, 0]], &device));
            cache.attend(0, prompts.clone(), &mask);
            cache.repeat(2);
            let mask = cache.extend(Tensor::zeros([4, 1], &device));
            cache.attend(0, first.clone(), &mask);
            cache.select(&[3, 0, 3]);
            assert_eq!((cache.batch(), cache.len()), (3, 4));
            let mask = cache.extend(Tensor::zeros([3, 1], &device));
            let out = cache.attend(0, second.clone(), &mask);
            let part = |x: &Tensor<3>, row| x.clone().narrow(0, row, 1);
            for (row, (prompt, padding, branch)) in [(1, 0, 3), (0, 1, 0), (1, 0, 3)].into_iter().enumerate() {
                let prompt = part(&prompts, prompt).narrow(1, padding, 3 - padding);
                let all = Tensor::cat(vec![prompt, part(&first, branch), part(&second, row)], 1);
                let expected = whole(all).narrow(1, 4 - padding, 1);
                close(&values(part(&out, row)), &values(expected));
            }
            // The rows of the first prompt have gone.
            cache.select(&[2, 0]);
            let mask = cache.extend(Tensor::zeros([2, 1], &device));
            let out = cache.attend(0, third.clone(), &mask);
            for (row, before) in [2, 0].into_iter().enumerate() {
                let read = vec![part(&prompts, 1), part(&first, 3), part(&second, before), part(&third, row)];
                close(&values(part(&out, row)), &values(whole(Tensor::cat(read, 1)).narrow(1, 5, 1)));
            }
        }
    }

    #[test]
    fn rows_of_other_lengths_join() {
        let device = Device::default();
        let (long, short, new) = (random(1, 40), random(1, 2), random(2, 1));
        let read = |qkv: &Tensor<3>| {
            let seq = qkv.dims()[1];
            let shape = CacheShape { batch: 1, max_seq: 50, ..SHAPE };
            let mut cache = KvCache::new(shape, DType::F32, &device);
            let mask = cache.extend(Tensor::zeros([1, seq], &device));
            cache.attend(0, qkv.clone(), &mask);
            cache
        };
        let mut cache = read(&long);
        assert!(cache.has_rows_of_their_own());
        cache.join(read(&short));
        assert_eq!((cache.batch(), cache.len()), (2, 40));
        let mask = cache.extend(Tensor::zeros([2, 1], &device));
        let out = cache.attend(0, new.clone(), &mask);
        for (row, before) in [(0, long), (1, short)] {
            let n = before.dims()[1];
            let expected = whole(Tensor::cat(vec![before, new.clone().narrow(0, row, 1)], 1)).narrow(1, n, 1);
            close(&values(out.clone().narrow(0, row, 1)), &values(expected));
        }
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn room_is_checked() {
        KvCache::new(SHAPE, DType::F32, &Device::default()).extend(Tensor::zeros([2, 9], &Device::default()));
    }
}
