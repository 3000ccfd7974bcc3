//! Key-value cache in tensors, for every back end.

use super::CacheShape;
use crate::HeadShape;
use crate::attention::{
    AttentionMask, PromptGrid, attention, attention_with_prompts, hidden, self_attention, visibility_bias,
};
use burn::tensor::{DType, Device, Int, Tensor};

/// Columns by which a store is read: a part of a tensor is read where it lies only if it ends at an
/// aligned address, and fewer shapes mean fewer kernels to tune.
const STEP: usize = 64;

/// Cache in tensors of one length for all rows: a shorter prompt is padded on the left, and the cache
/// remembers which columns are padding.
///
/// The tokens that were read first are a prompt, which is stored once for all rows that continue it.
#[derive(Debug)]
pub(super) struct DeviceCache {
    shape: CacheShape,
    dtype: DType,
    device: Device,
    len: usize,
    /// First tokens of each row; `None` before they are read, and where each row has its own with the
    /// others.
    prompts: Option<Prompts>,
    /// Tokens read after them.
    own: Option<Columns>,
}

#[derive(Debug)]
struct Prompts {
    columns: Columns,
    /// Prompt that each row continues.
    of_row: Vec<usize>,
    grid: PromptGrid,
}

impl DeviceCache {
    /// Creates an empty cache.
    pub(super) fn new(shape: CacheShape, dtype: DType, device: &Device) -> Self {
        Self { shape, dtype, device: device.clone(), len: 0, prompts: None, own: None }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn batch(&self) -> usize {
        self.shape.batch
    }

    fn columns(&self, capacity: usize) -> Columns {
        Columns::new(CacheShape { max_seq: capacity, ..self.shape }, self.dtype, &self.device)
    }

    pub(super) fn extend(&mut self, segments: Tensor<2, Int>) -> AttentionMask {
        let [batch, seq] = segments.dims();
        let HeadShape { n_heads, n_kv_heads, .. } = self.shape.heads;
        let (first, room) = (self.len == 0, self.shape.max_seq - self.len);
        self.len += seq;
        if first {
            let mut columns = self.columns(seq);
            columns.extend(segments.clone());
            let of_row: Vec<usize> = (0..batch).collect();
            let grid = PromptGrid::new(&of_row, &self.device);
            self.prompts = Some(Prompts { columns, of_row, grid });
            return AttentionMask::causal(segments, n_heads / n_kv_heads);
        }
        if self.own.is_none() {
            let mut own = self.columns(if self.continues_apart() { self.shape.max_seq } else { room });
            if self.continues_apart() {
                own.begin_with(self.prompts.take().expect("what was read first").columns);
            }
            self.own = Some(own);
        }
        let own = self.own.as_mut().expect("just made");
        let cached = own.visibility();
        own.extend(segments.clone());
        AttentionMask::after_cache(cached, segments, own.n_read() - own.len, n_heads / n_kv_heads)
    }

    /// Returns whether no prompt is shared, so that each row can have its own with the other columns.
    fn continues_apart(&self) -> bool {
        self.prompts.as_ref().is_some_and(|prompts| prompts.of_row.iter().copied().eq(0..prompts.columns.batch))
    }

    pub(super) fn attend(&mut self, layer: usize, qkv: Tensor<3>, mask: &AttentionMask) -> Tensor<3> {
        let shape = self.shape.heads;
        let [q, k, v] = shape.split(qkv.clone());
        match (&mut self.prompts, &mut self.own) {
            (Some(prompts), None) => {
                prompts.columns.write(layer, k, v);
                self_attention(qkv, shape, Some(mask))
            }
            (None, Some(own)) => {
                own.write(layer, k, v);
                let [k, v] = own.read(layer);
                attention(q, k, v, Some(mask))
            }
            (Some(prompts), Some(own)) => {
                own.write(layer, k, v);
                let columns = &prompts.columns;
                let prompts = (&prompts.grid, columns.read(layer), columns.bias());
                attention_with_prompts(q, prompts, (own.read(layer), mask))
            }
            (None, None) => panic!("a cache is extended before it is read"),
        }
    }

    pub(super) fn select(&mut self, rows: &[usize]) {
        self.shape.batch = rows.len();
        if let Some(prompts) = &mut self.prompts {
            prompts.select(rows, &self.device);
        }
        if let Some(own) = &mut self.own {
            own.select(rows);
        }
    }
}

impl Prompts {
    /// Keeps the prompts of the given rows.
    fn select(&mut self, rows: &[usize], device: &Device) {
        let of_row: Vec<usize> = rows.iter().map(|&row| self.of_row[row]).collect();
        let used: Vec<usize> = (0..self.columns.batch).filter(|prompt| of_row.contains(prompt)).collect();
        if used.len() < self.columns.batch {
            self.columns.select(&used);
        }
        let place = |prompt: &usize| used.binary_search(prompt).expect("used by a row");
        self.of_row = of_row.iter().map(place).collect();
        self.grid = PromptGrid::new(&self.of_row, device);
    }
}

/// Keys and values of all layers, with room for more.
#[derive(Debug)]
struct Columns {
    batch: usize,
    /// Number of columns written.
    len: usize,
    /// Keys and values per layer, `[batch, n_kv_heads, capacity, d]`. `None` only while being
    /// written: a tensor with a single owner is written in place.
    layers: Vec<Option<[Tensor<4>; 2]>>,
    /// Visibility bias, `[batch, capacity]`: zero where a column may be seen.
    visibility: Option<Tensor<2>>,
}

impl Columns {
    fn new(shape: CacheShape, dtype: DType, device: &Device) -> Self {
        let CacheShape { n_layers, batch, heads: HeadShape { n_kv_heads, d, .. }, max_seq } = shape;
        let capacity = max_seq.next_multiple_of(STEP);
        let zeros = || Tensor::zeros([batch, n_kv_heads, capacity, d], (device, dtype));
        let layers = (0..n_layers).map(|_| Some([zeros(), zeros()])).collect();
        Self { batch, len: 0, layers, visibility: Some(hidden([batch, capacity], device)) }
    }

    /// Number of columns that are read: those written, and hidden ones up to a multiple of [`STEP`].
    fn n_read(&self) -> usize {
        self.len.next_multiple_of(STEP)
    }

    /// Visibility bias of the columns written, `[batch, len]`; `None` if there are none.
    fn visibility(&self) -> Option<Tensor<2>> {
        (self.len > 0).then(|| self.visibility.clone().expect("set by every function").narrow(1, 0, self.len))
    }

    /// Visibility bias of the columns that are read, `[batch, 1, 1, n_read]`.
    fn bias(&self) -> Tensor<4> {
        let visibility = self.visibility.clone().expect("set by every function").narrow(1, 0, self.n_read());
        visibility.reshape([self.batch, 1, 1, self.n_read()])
    }

    /// Counts new columns, which [`write`](Self::write) stores.
    fn extend(&mut self, segments: Tensor<2, Int>) {
        let [batch, seq] = segments.dims();
        let visibility = self.visibility.take().expect("set by every function");
        let new = visibility_bias(segments);
        self.visibility = Some(visibility.slice_assign([0..batch, self.len..self.len + seq], new));
        self.len += seq;
    }

    /// Stores the keys and values of a layer's newest columns, `[batch, n_kv_heads, seq, d]`.
    fn write(&mut self, layer: usize, k: Tensor<4>, v: Tensor<4>) {
        let [batch, heads, seq, d] = k.dims();
        let place = [0..batch, 0..heads, self.len - seq..self.len, 0..d];
        let [keys, values] = self.layers[layer].take().expect("set by every function");
        self.layers[layer] = Some([keys.slice_assign(place.clone(), k), values.slice_assign(place, v)]);
    }

    /// Keys and values of a layer, `[batch, n_kv_heads, n_read, d]`.
    fn read(&self, layer: usize) -> [Tensor<4>; 2] {
        let all = self.layers[layer].clone().expect("set by every function");
        all.map(|stored| stored.narrow(2, 0, self.n_read()))
    }

    /// Takes the columns of another store as the first of this empty one.
    fn begin_with(&mut self, other: Self) {
        self.len = other.len;
        let visibility = self.visibility.take().expect("set by every function");
        let range = [0..self.batch, 0..self.len];
        self.visibility = Some(visibility.slice_assign(range, other.visibility().expect("at least one column")));
        for (layer, stored) in other.layers.into_iter().enumerate() {
            let [k, v] = stored.expect("set by every function").map(|stored| stored.narrow(2, 0, other.len));
            self.write(layer, k, v);
        }
    }

    /// Keeps the given rows, in the order given; a row may be taken more than once.
    fn select(&mut self, rows: &[usize]) {
        let visibility = self.visibility.take().expect("set by every function");
        let indices = rows.iter().map(|&row| row as i64).collect::<Vec<_>>();
        let indices = Tensor::<1, Int>::from_ints(indices.as_slice(), &visibility.device());
        let (n, n_read) = (rows.len(), self.n_read());
        // Columns that were not written yet are not copied.
        let pick = |stored: Tensor<4>| {
            let [_, heads, capacity, d] = stored.dims();
            let empty = Tensor::zeros([n, heads, capacity, d], (&stored.device(), stored.dtype()));
            let read = stored.narrow(2, 0, n_read).select(0, indices.clone());
            empty.slice_assign([0..n, 0..heads, 0..n_read, 0..d], read)
        };
        for layer in &mut self.layers {
            *layer = layer.take().map(|stored| stored.map(pick));
        }
        self.visibility = Some(visibility.select(0, indices.clone()));
        self.batch = n;
    }
}
