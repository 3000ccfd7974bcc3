//! Softmax attention with grouped key-value heads, and its masks.

use crate::HeadShape;
use crate::fused::{self, Sight};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, DType, Int, Tensor};
use std::sync::{Arc, OnceLock};

/// Bias added to the scores of keys that a query must not see.
///
/// Infinite, because `exp` of it is zero at once: C libraries take a slow path for finite numbers
/// below −104. No row of scores may then be hidden altogether, so every query sees itself.
const HIDDEN: f64 = f64::NEG_INFINITY;

/// Attention mask: which keys each query sees. Made once per forward pass and used by every layer.
#[derive(Debug, Clone)]
pub struct AttentionMask(Arc<Mask>);

#[derive(Debug)]
struct Mask {
    /// Segments of the new tokens, `[batch, seq]`.
    segments: Tensor<2, Int>,
    /// Visibility bias of cached tokens, `[batch, n_cached]`.
    cached: Option<Tensor<2>>,
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
        Self(Arc::new(Mask { segments, cached: None, groups, bias, sight }))
    }

    /// Mask of new tokens after cached ones: causal among the new ones, and every cached token
    /// whose bias is zero is seen.
    ///
    /// # Shapes
    /// - cached: `[batch, n_cached]`, see [`visibility_bias`]
    /// - segments: `[batch, seq]`
    pub(crate) fn after_cache(cached: Tensor<2>, segments: Tensor<2, Int>, groups: usize) -> Self {
        let (bias, sight) = Default::default();
        Self(Arc::new(Mask { segments, cached: Some(cached), groups, bias, sight }))
    }

    /// Bias added to the scores, in `f32`: `[batch, 1, groups · queries, keys]`, or
    /// `[batch, 1, 1, keys]` where all queries of a row see the same keys.
    fn bias(&self) -> Tensor<4> {
        self.0.bias.get_or_init(|| self.0.bias()).clone()
    }

    /// Who sees whom, for the fused operators. Only without cache.
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
        let [batch, seq] = segments.dims();
        let bias = match &self.cached {
            None => causal_bias(segments),
            Some(cached) if seq == 1 => {
                let new = Tensor::zeros([batch, 1], (&segments.device(), DType::F32));
                let n_keys = cached.dims()[1] + 1;
                return Tensor::cat(vec![cached.clone(), new], 1).reshape([batch, 1, 1, n_keys]);
            }
            Some(cached) => {
                let n_cached = cached.dims()[1];
                let cached = cached.clone().reshape([batch, 1, 1, n_cached]).expand([batch, 1, seq, n_cached]);
                Tensor::cat(vec![cached, causal_bias(segments)], 3)
            }
        };
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
    if fused::applies(&qkv) {
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
/// whatever the dtype.
///
/// # Shapes
/// - q: `[batch, queries, n_heads, d]`
/// - k, v: `[batch, n_kv_heads, keys, d]`
/// - output: `[batch, queries, n_heads · d]`
pub(crate) fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<&AttentionMask>) -> Tensor<3> {
    let [batch, queries, n_heads, d] = q.dims();
    let n_kv_heads = k.dims()[1];
    let rows = n_heads / n_kv_heads * queries;
    let q = q.swap_dims(1, 2).reshape([batch, n_kv_heads, rows, d]);
    let bias = mask.map(AttentionMask::bias);
    let dtype = q.dtype();
    // The fused operator has no backward pass and copies strided keys and values, which costs more
    // than it saves on the one row of a decode step.
    let out = if q.is_autodiff() || queries == 1 {
        let scores = q.mul_scalar((d as f64).powf(-0.5)).matmul(k.swap_dims(2, 3)).cast(DType::F32);
        let scores = match bias {
            Some(bias) => scores + bias,
            None => scores,
        };
        softmax(scores, 3).cast(dtype).matmul(v)
    } else {
        let bias = bias.map(|bias| bias.cast(dtype));
        burn::tensor::module::attention(q, k, v, None, bias, Default::default())
    };
    out.reshape([batch, n_heads, queries, d]).swap_dims(1, 2).reshape([batch, queries, n_heads * d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

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
        let mask = AttentionMask::after_cache(visibility_bias(ids.clone()), ids, 1);
        let kv = Tensor::<4>::from_floats([[[[3.0, 3.0], [5.0, 7.0]]]], &device);
        let out = attention(Tensor::ones([1, 1, 1, 2], &device), kv.clone(), kv, Some(&mask));
        assert_eq!(out.try_into_vec_as::<f32>().expect("f32"), [5.0, 7.0]);
    }
}
