//! Softmax attention with grouped key-value heads, and its masks.

use crate::fused::{self, Sight};
use crate::{FastPath, HeadShape};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use std::sync::{Arc, OnceLock};

/// Bias added to the scores of keys that a query must not see.
///
/// Infinite, because `exp` of it is zero at once: C libraries take a slow path for finite numbers
/// below −104. No row of scores may then be hidden altogether, so every query sees itself.
const HIDDEN: f64 = f64::NEG_INFINITY;

/// Most scores that are computed at a time, elements: 256 MiB in `f32`.
const MOST_SCORES: usize = 1 << 26;

/// Attention mask: which keys each query sees. Made once per forward pass and used by every layer.
#[derive(Debug, Clone)]
pub struct AttentionMask(Arc<Mask>);

#[derive(Debug)]
struct Mask {
    /// Segments of the new tokens, `[batch, seq]`.
    segments: Tensor<2, Int>,
    /// Visibility bias of cached tokens, `[batch, n_cached]`.
    cached: Option<Tensor<2>>,
    /// Columns after the new tokens, which nobody sees.
    n_hidden: usize,
    /// Query heads per key-value head.
    groups: usize,
    /// See [`AttentionMask::bias`]; made when first needed.
    bias: OnceLock<Tensor<4>>,
    /// See [`AttentionMask::sight`]; made when first needed.
    sight: OnceLock<Sight>,
}

impl AttentionMask {
    /// Causal mask of a batch without cache: token `q` sees token `k` iff `k <= q` and `k` is of
    /// segment 0 or of the segment of `q`; padding (−1) is seen by itself alone, or by nobody.
    ///
    /// `groups`: query heads per key-value head.
    ///
    /// # Shapes
    /// - segments: `[batch, seq]`
    pub fn causal(segments: Tensor<2, Int>, groups: usize) -> Self {
        let (bias, sight) = Default::default();
        Self(Arc::new(Mask { segments, cached: None, n_hidden: 0, groups, bias, sight }))
    }

    /// Mask of new tokens after cached ones: causal among the new ones, and every cached token
    /// whose bias is zero is seen. `n_hidden` columns follow that were not written yet.
    ///
    /// # Shapes
    /// - cached: `[batch, n_cached]`, see [`visibility_bias`]
    /// - segments: `[batch, seq]`
    pub(crate) fn after_cache(
        cached: Option<Tensor<2>>,
        segments: Tensor<2, Int>,
        n_hidden: usize,
        groups: usize,
    ) -> Self {
        let (bias, sight) = Default::default();
        Self(Arc::new(Mask { segments, cached, n_hidden, groups, bias, sight }))
    }

    /// Bias added to the scores, in `f32`: `[batch, 1, groups · queries, keys]`, or
    /// `[batch, 1, 1, keys]` where all queries of a row see the same keys.
    pub(crate) fn bias(&self) -> Tensor<4> {
        self.0.bias.get_or_init(|| self.0.bias()).clone()
    }

    /// Visible tokens of each token, for the fused operators. Only without cache.
    fn sight(&self) -> Sight {
        let segments = &self.0.segments;
        let of_segments = || {
            let [_, seq] = segments.dims();
            Sight::of_segments(&segments.to_data().iter::<i64>().collect::<Vec<_>>(), seq)
        };
        self.0.sight.get_or_init(of_segments).clone()
    }
}

impl Mask {
    fn bias(&self) -> Tensor<4> {
        let segments = self.segments.clone();
        let (device, [batch, seq]) = (segments.device(), segments.dims());
        let of_all = |columns: Tensor<2>| {
            let n = columns.dims()[1];
            columns.reshape([batch, 1, 1, n]).expand([batch, 1, seq, n])
        };
        let new = match seq {
            // A token sees itself.
            1 => Tensor::zeros([batch, 1, 1, 1], (&device, DType::F32)),
            _ => causal_bias(segments),
        };
        let hidden = || Tensor::full([batch, 1, seq, self.n_hidden], HIDDEN, (&device, DType::F32));
        let parts = self.cached.clone().map(of_all).into_iter().chain([new]).chain((self.n_hidden > 0).then(hidden));
        let bias = Tensor::cat(parts.collect(), 3);
        if seq == 1 {
            return bias;
        }
        bias.repeat_dim(2, self.groups)
    }
}

/// Attention among the tokens of each row. Without a mask every token sees every other.
///
/// # Shapes
/// - qkv: `[batch, seq, width]` of [`HeadShape`]
/// - output: `[batch, seq, n_heads · d]`
pub fn self_attention(qkv: Tensor<3>, shape: HeadShape, mask: Option<&AttentionMask>) -> Tensor<3> {
    let [batch, seq, _] = qkv.dims();
    if fused::applies(FastPath::Attention, &qkv) {
        let sight = mask.map_or_else(|| Sight::whole(seq), AttentionMask::sight);
        return fused::attended(fused::rows(qkv), shape, sight).reshape([batch, seq, shape.n_heads * shape.d]);
    }
    let [q, k, v] = shape.split(qkv);
    attention(q, k, v, mask)
}

/// Visibility bias: zero for tokens that later ones may see, [`HIDDEN`] for padding.
///
/// # Shapes
/// - segments, output: `[batch, seq]`
pub(crate) fn visibility_bias(segments: Tensor<2, Int>) -> Tensor<2> {
    let zeros = Tensor::zeros(segments.dims(), (&segments.device(), DType::F32));
    zeros.mask_fill(segments.lower_scalar(0), HIDDEN)
}

/// Visibility bias of columns that nobody sees.
pub(crate) fn hidden(shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::full(shape, HIDDEN, (device, DType::F32))
}

/// Causal mask with segments, as a bias.
///
/// # Shapes
/// - output: `[batch, 1, seq, seq]`
fn causal_bias(segments: Tensor<2, Int>) -> Tensor<4> {
    let [batch, seq] = segments.dims();
    let device = segments.device();
    let square = [batch, seq, seq];
    let keys = segments.clone().reshape([batch, 1, seq]);
    let queries = segments.reshape([batch, seq, 1]).expand(square);
    let shared = keys.clone().equal_scalar(0).expand(square);
    let same = keys.clone().greater_scalar(0).expand(square).bool_and(queries.equal(keys.expand(square)));
    // burn's masks of a triangle or the diagonal are true outside of it.
    let later = Tensor::<2, Bool>::tril_mask([seq, seq], 0, &device).unsqueeze::<3>().expand(square);
    let others = Tensor::<2, Bool>::diag_mask([seq, seq], 0, &device).unsqueeze::<3>().expand(square);
    let hidden = shared.bool_or(same).bool_not().bool_and(others).bool_or(later);
    Tensor::zeros(square, (&device, DType::F32)).mask_fill(hidden, HIDDEN).unsqueeze_dim(1)
}

/// Grouped-query attention: `softmax(q·kᵀ/√d + bias)·v`, each key-value head serving
/// `n_heads / n_kv_heads` query heads.
///
/// The query heads of a key-value head are laid out as more query rows, so keys and values are
/// never repeated. Without a mask every query sees every key. The softmax is taken in `f32`
/// whatever the dtype, over [`MOST_SCORES`] at a time.
///
/// # Shapes
/// - q: `[batch, queries, n_heads, d]`
/// - k, v: `[batch, n_kv_heads, keys, d]`
/// - output: `[batch, queries, n_heads · d]`
pub(crate) fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<&AttentionMask>) -> Tensor<3> {
    let [batch, n_kv_heads, keys, _] = k.dims();
    let (dims, q, dtype) = (q.dims(), scaled_rows(q, n_kv_heads), k.dtype());
    let (bias, n_rows) = (mask.map(AttentionMask::bias), q.dims()[2]);
    let block = (MOST_SCORES / (batch * n_kv_heads * keys).max(1)).max(1);
    let k = k.swap_dims(2, 3);
    let outputs = (0..n_rows).step_by(block).map(|start| {
        let n = block.min(n_rows - start);
        let scores = q.clone().narrow(2, start, n).matmul(k.clone()).cast(DType::F32);
        let scores = match &bias {
            Some(bias) if bias.dims()[2] == 1 => scores + bias.clone(),
            Some(bias) => scores + bias.clone().narrow(2, start, n),
            None => scores,
        };
        softmax(scores, 3).cast(dtype).matmul(v.clone())
    });
    heads_side_by_side(Tensor::cat(outputs.collect(), 2), dims)
}

/// Queries times `1/√d`, those of the heads that share a key-value head as rows of one matrix.
///
/// # Shapes
/// - q: `[batch, queries, n_heads, d]`
/// - output: `[batch, n_kv_heads, n_heads / n_kv_heads · queries, d]`
fn scaled_rows(q: Tensor<4>, n_kv_heads: usize) -> Tensor<4> {
    let [batch, queries, n_heads, d] = q.dims();
    let rows = q.swap_dims(1, 2).reshape([batch, n_kv_heads, n_heads / n_kv_heads * queries, d]);
    rows.mul_scalar((d as f64).powf(-0.5))
}

/// Inverse of the layout of [`scaled_rows`], `dims` being those of its input; heads side by side.
fn heads_side_by_side(out: Tensor<4>, [batch, queries, n_heads, d]: [usize; 4]) -> Tensor<3> {
    out.reshape([batch, n_heads, queries, d]).swap_dims(1, 2).reshape([batch, queries, n_heads * d])
}

/// Attention to a part of the keys, in `f32` and not normalised, so that parts can be
/// [merged](Self::merge).
#[derive(Debug, Clone)]
pub(crate) struct PartialAttention {
    /// Values times `exp(score − max)`, `[batch, n_kv_heads, rows, d]`.
    out: Tensor<4>,
    /// Largest score of each row, `[batch, n_kv_heads, rows, 1]`.
    max: Tensor<4>,
    /// Sums of `exp(score − max)`, of the same shape.
    total: Tensor<4>,
}

impl PartialAttention {
    /// Attention of scaled queries to some keys.
    ///
    /// # Shapes
    /// - q: `[batch, n_kv_heads, rows, d]`
    /// - k, v: `[batch, n_kv_heads, keys, d]`
    /// - bias: `[batch, 1, rows, keys]`, or with dimensions of one
    fn of(q: Tensor<4>, [k, v]: [Tensor<4>; 2], bias: Tensor<4>) -> Self {
        let dtype = q.dtype();
        let scores = q.matmul(k.swap_dims(2, 3)).cast(DType::F32) + bias;
        // Finite where a row sees none of these keys: their weights are then zero, not NaN.
        let max = scores.clone().max_dim(3).clamp_min(f64::from(f32::MIN));
        let weights = (scores - max.clone()).exp();
        let total = weights.clone().sum_dim(3);
        Self { out: weights.cast(dtype).matmul(v).cast(DType::F32), max, total }
    }

    /// Attention to the keys of both.
    fn merge(self, other: Self) -> Self {
        let max = self.max.clone().max_pair(other.max.clone());
        let (a, b) = ((self.max - max.clone()).exp(), (other.max - max.clone()).exp());
        Self { out: self.out * a.clone() + other.out * b.clone(), max, total: self.total * a + other.total * b }
    }

    fn map(self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self { out: f(self.out), max: f(self.max), total: f(self.total) }
    }
}

/// Rows of a batch that continue the same prompts: row `r` of prompt `p` stands at `p · n + i`, `i`
/// below `n`, in a grid that has room for the most rows that any prompt has.
#[derive(Debug, Clone)]
pub(crate) struct PromptGrid {
    n_prompts: usize,
    n: usize,
    /// The row at each place of the grid, and the place of each row; `None` where they are the same.
    reordered: Option<[Tensor<1, Int>; 2]>,
}

impl PromptGrid {
    /// Grid of rows by the prompt of each.
    pub(crate) fn new(prompt_of_row: &[usize], device: &Device) -> Self {
        let n_prompts = prompt_of_row.iter().max().map_or(0, |last| last + 1);
        let mut rows_of_prompt = vec![Vec::new(); n_prompts];
        for (row, &prompt) in prompt_of_row.iter().enumerate() {
            rows_of_prompt[prompt].push(row);
        }
        let n = rows_of_prompt.iter().map(Vec::len).max().unwrap_or(0);
        let mut place_of_row = vec![0i64; prompt_of_row.len()];
        // The first row stands in for those that are missing.
        let mut row_of_place = vec![0i64; n_prompts * n];
        for (prompt, rows) in rows_of_prompt.iter().enumerate() {
            for (i, &row) in rows.iter().enumerate() {
                place_of_row[row] = (prompt * n + i) as i64;
                row_of_place[prompt * n + i] = row as i64;
            }
        }
        let same = row_of_place.iter().copied().eq(0..prompt_of_row.len() as i64);
        let tensor = |indices: Vec<i64>| Tensor::from_ints(indices.as_slice(), device);
        let reordered = (!same).then(|| [row_of_place, place_of_row].map(tensor));
        Self { n_prompts, n, reordered }
    }

    /// Attention to the prompts, each read once for all rows that continue it.
    ///
    /// # Shapes
    /// - q: `[batch, n_kv_heads, rows, d]`
    /// - keys and values: `[n_prompts, n_kv_heads, keys, d]`
    /// - bias: `[n_prompts, 1, 1, keys]`
    fn attend(&self, q: Tensor<4>, prompts: [Tensor<4>; 2], bias: Tensor<4>) -> PartialAttention {
        let (p, n, [_, heads, rows, d]) = (self.n_prompts, self.n, q.dims());
        let q = match &self.reordered {
            Some([row_of_place, _]) => q.select(0, row_of_place.clone()),
            None => q,
        };
        let q = q.reshape([p, n, heads, rows, d]).swap_dims(1, 2).reshape([p, heads, n * rows, d]);
        PartialAttention::of(q, prompts, bias).map(|x| {
            let last = x.dims()[3];
            let x = x.reshape([p, heads, n, rows, last]).swap_dims(1, 2).reshape([p * n, heads, rows, last]);
            match &self.reordered {
                Some([_, place_of_row]) => x.select(0, place_of_row.clone()),
                None => x,
            }
        })
    }
}

/// Attention to the tokens of a prompt that several rows continue, and to those that each row has
/// read since; computes what [`attention`] does of both together.
///
/// # Shapes
/// - q: `[batch, queries, n_heads, d]`
/// - prompts: keys and values, `[n_prompts, n_kv_heads, keys, d]`, and bias, `[n_prompts, 1, 1, keys]`
/// - own: keys and values, `[batch, n_kv_heads, keys, d]`
/// - output: `[batch, queries, n_heads · d]`
pub(crate) fn attention_with_prompts(
    q: Tensor<4>,
    (grid, prompts, prompt_bias): (&PromptGrid, [Tensor<4>; 2], Tensor<4>),
    (own, mask): ([Tensor<4>; 2], &AttentionMask),
) -> Tensor<3> {
    let (dims, dtype) = (q.dims(), q.dtype());
    let q = scaled_rows(q, own[0].dims()[1]);
    let to_prompts = grid.attend(q.clone(), prompts, prompt_bias);
    let merged = to_prompts.merge(PartialAttention::of(q, own, mask.bias()));
    heads_side_by_side((merged.out / merged.total).cast(dtype), dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    fn visible(segments: &[i64]) -> Vec<Vec<bool>> {
        let n = segments.len();
        let ids = Tensor::<1, Int>::from_ints(segments, &Device::default()).reshape([1, n]);
        let bias = AttentionMask::causal(ids, 1).bias().try_into_vec_as::<f32>().expect("f32");
        bias.chunks(n).map(|row| row.iter().map(|&b| b == 0.0).collect()).collect()
    }

    #[test]
    fn segments_decide_who_sees_whom() {
        let rows = visible(&[-1, -1, 0, 0, 1, 1, 2]);
        let expected = [
            [1, 0, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0, 0],
            [0, 0, 1, 1, 0, 0, 0],
            [0, 0, 1, 1, 1, 0, 0],
            [0, 0, 1, 1, 1, 1, 0],
            [0, 0, 1, 1, 0, 0, 1],
        ];
        for (row, expected) in rows.iter().zip(expected) {
            assert_eq!(row, &expected.map(|v| v == 1));
        }
    }

    /// Attention one query at a time, as the formula has it.
    fn reference(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, segments: &[i64]) -> Vec<f32> {
        let [_, queries, n_heads, d] = q.dims();
        let [_, n_kv_heads, keys, _] = k.dims();
        let data = |t: &Tensor<4>| t.try_to_vec_as::<f32>().expect("f32");
        let (q, k, v) = (data(q), data(k), data(v));
        let mut out = vec![0.0; queries * n_heads * d];
        for i in 0..queries {
            for h in 0..n_heads {
                let kv = h / (n_heads / n_kv_heads);
                let query = &q[(i * n_heads + h) * d..][..d];
                let seen: Vec<usize> = (0..=i).filter(|&j| segments[j] == 0 || segments[j] == segments[i]).collect();
                let score = |j: usize| {
                    let key = &k[(kv * keys + j) * d..][..d];
                    (query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>() / (d as f32).sqrt()).exp()
                };
                let total: f32 = seen.iter().map(|&j| score(j)).sum();
                for &j in &seen {
                    for c in 0..d {
                        out[(i * n_heads + h) * d + c] += score(j) / total * v[(kv * keys + j) * d + c];
                    }
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_formula_with_and_without_autodiff() {
        let plain = Device::default();
        plain.seed(1);
        let normal = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &plain);
        let segments = [0i64, 0, 1, 1, 2];
        let (q, k, v) = (normal([1, 5, 4, 8]), normal([1, 2, 5, 8]), normal([1, 2, 5, 8]));
        let ids = Tensor::<1, Int>::from_ints(segments, &plain).reshape([1, 5]);
        let mask = AttentionMask::causal(ids, 2);
        let expected = reference(&q, &k, &v, &segments);
        for q in [q.clone(), q.autodiff()] {
            let found = attention(q, k.clone(), v.clone(), Some(&mask)).try_into_vec_as::<f32>().expect("f32");
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn padding_is_finite_and_unseen() {
        let device = Device::default();
        let ids = Tensor::<2, Int>::from_ints([[-1, 0]], &device);
        let mask = AttentionMask::causal(ids, 1);
        for q in [Tensor::<4>::ones([1, 2, 1, 2], &device), Tensor::ones([1, 2, 1, 2], &device.clone().autodiff())] {
            let kv = Tensor::<4>::from_floats([[[[1e3, -1e3], [5.0, 7.0]]]], &device);
            let out = attention(q, kv.clone(), kv, Some(&mask)).try_into_vec_as::<f32>().expect("f32");
            assert!(out.iter().all(|x| x.is_finite()), "{out:?}");
            assert_eq!(out[2..], [5.0, 7.0]);
        }
        // A single new token of padding after nothing but padding.
        let ids = Tensor::<2, Int>::from_ints([[-1]], &device);
        let mask = AttentionMask::after_cache(Some(visibility_bias(ids.clone())), ids, 0, 1);
        let kv = Tensor::<4>::from_floats([[[[3.0, 3.0], [5.0, 7.0]]]], &device);
        let out = attention(Tensor::ones([1, 1, 1, 2], &device), kv.clone(), kv, Some(&mask));
        assert_eq!(out.try_into_vec_as::<f32>().expect("f32"), [5.0, 7.0]);
    }
}
