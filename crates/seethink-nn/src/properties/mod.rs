//! The fused operators of the processor against the composed ones, which compute in `f64` here:
//! values and gradients, over random shapes, strides and segments; what is empty, padding or not
//! finite; gradients against finite differences; one thread against several.

mod cached;
mod cases;
mod differences;
mod edges;
mod threads;

use crate as layers;
use crate::{AttentionMask, HeadShape, RmsNorm, Rotary, SwiGlu, linear, matmul, self_attention, token_log_probs};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use proptest::prelude::*;

/// Numbers of a normal distribution, a function of the seed.
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..n).map(|_| (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()).collect()
}

/// Random numbers in a shape.
fn random<const D: usize>(shape: [usize; D], seed: u64) -> TensorData {
    TensorData::new(numbers(shape.iter().product(), seed), shape)
}

/// A random tensor that tracks its gradient; the same numbers in both formats.
fn tensor<const D: usize>(shape: [usize; D], seed: u64, dtype: DType) -> Tensor<D> {
    tracked(&random(shape, seed), dtype)
}

/// A tensor that tracks its gradient.
fn tracked<const D: usize>(data: &TensorData, dtype: DType) -> Tensor<D> {
    Tensor::from_data(data.clone(), (&Device::default().autodiff(), dtype)).require_grad()
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Casts the parameters of a module.
struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.inner().cast(self.0).autodiff().require_grad())
    }
}

/// Random arguments of the given shapes.
fn arguments<const D: usize>(shapes: &[[usize; D]], seed: u64) -> Vec<TensorData> {
    (seed..).zip(shapes).map(|(seed, &shape)| random(shape, seed)).collect()
}

/// Output and gradients of a function of tensors, for a random gradient of the output.
fn run<const D: usize, const O: usize>(
    f: &impl Fn(Vec<Tensor<D>>, DType) -> Tensor<O>,
    arguments: &[TensorData],
    seed: u64,
    dtype: DType,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let inputs: Vec<Tensor<D>> = arguments.iter().map(|data| tracked(data, dtype)).collect();
    let y = f(inputs.clone(), dtype);
    let dy = tensor(y.dims(), seed + 100, dtype).detach();
    let gradients = (y.clone() * dy).sum().backward();
    let of_input = |x: &Tensor<D>| x.grad(&gradients).map_or_else(Vec::new, values);
    (values(y), inputs.iter().map(of_input).collect())
}

/// Compares output and gradients of a function in `f32`, fused, with those in `f64`, composed.
fn compare<const D: usize, const O: usize>(
    f: impl Fn(Vec<Tensor<D>>, DType) -> Tensor<O>,
    shapes: &[[usize; D]],
    seed: u64,
) {
    compare_at("", f, &arguments(shapes, seed), seed);
}

/// See [`compare`]; `name`: that of the function.
fn compare_at<const D: usize, const O: usize>(
    name: &str,
    f: impl Fn(Vec<Tensor<D>>, DType) -> Tensor<O>,
    arguments: &[TensorData],
    seed: u64,
) {
    let (y, gradients) = run(&f, arguments, seed, DType::F32);
    let (expected_y, expected) = run(&f, arguments, seed, DType::F64);
    close(&format!("output of {name}"), &y, &expected_y);
    // In which order gradients are added up decides whether they are infinite or not a number.
    let or_nan = |all: &[f64]| all.iter().map(|&x| if x.is_finite() { x } else { f64::NAN }).collect::<Vec<_>>();
    for (index, (found, expected)) in gradients.iter().zip(&expected).enumerate() {
        close(&format!("gradient of input {index} of {name}"), &or_nan(found), &or_nan(expected));
    }
}

/// See [`close_within`]; the tolerance of an operator in `f32`.
fn close(what: &str, found: &[f64], expected: &[f64]) {
    close_within(3e-5, what, found, expected);
}

/// Compares numbers: NaN with NaN, infinities with the same, and all others within a tolerance of
/// the largest.
fn close_within(tolerance: f64, what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().filter(|x| x.is_finite()).fold(1.0f64, |max, x| max.max(x.abs()));
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let same = found == expected || found.is_nan() && expected.is_nan();
        assert!(same || (found - expected).abs() < tolerance * scale, "{what} at {at}: {found} instead of {expected}");
    }
}

/// Heads of random number and size.
fn heads() -> impl Strategy<Value = HeadShape> {
    (1usize..4, 1usize..4, prop::sample::select(vec![2usize, 4, 10, 16, 32, 40]))
        .prop_map(|(n_kv_heads, groups, d)| HeadShape { n_heads: n_kv_heads * groups, n_kv_heads, d })
}

/// Segments of a row: runs of padding, prompt and branches in any order.
fn segments(seq: usize) -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec((-1i64..4, 1usize..seq.div_ceil(3).max(2)), 1..12).prop_map(move |runs| {
        let all = runs.into_iter().flat_map(|(segment, n)| std::iter::repeat_n(segment, n));
        all.chain(std::iter::repeat(0)).take(seq).collect()
    })
}

fn batch_of_segments() -> impl Strategy<Value = (usize, Vec<Vec<i64>>)> {
    (1usize..4, prop::sample::select(vec![1usize, 2, 5, 17, 40, 150]))
        .prop_flat_map(|(batch, seq)| (Just(seq), prop::collection::vec(segments(seq), batch)))
}

fn mask(segments: &[Vec<i64>], seq: usize, groups: usize) -> AttentionMask {
    let flat: Vec<i64> = segments.concat();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(flat, [segments.len(), seq]), &Device::default());
    AttentionMask::causal(ids, groups)
}

/// One where a token is not padding, `[batch, seq, 1]`.
fn not_padding(segments: &[Vec<i64>], seq: usize, dtype: DType) -> Tensor<3> {
    let ones: Vec<f64> = segments.concat().iter().map(|&segment| f64::from(u8::from(segment >= 0))).collect();
    let data = TensorData::new(ones, [segments.len(), seq, 1]);
    Tensor::from_data(data, (&Device::default().autodiff(), dtype))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_over_segments((seq, segments) in batch_of_segments(), shape in heads(), seed in 0u64..1000) {
        let mask = mask(&segments, seq, shape.n_heads / shape.n_kv_heads);
        // What padding sees is undefined, and nobody asks.
        let attend = |x: Vec<Tensor<3>>, dtype| {
            self_attention(x[0].clone(), shape, Some(&mask)) * not_padding(&segments, seq, dtype)
        };
        compare(attend, &[[segments.len(), seq, shape.width()]], seed);
    }

    #[test]
    fn attention_of_all_to_all(batch in 1usize..4, seq in 1usize..140, shape in heads(), seed in 0u64..1000) {
        let attend = |x: Vec<Tensor<3>>, _| self_attention(x[0].clone(), shape, None);
        compare(attend, &[[batch, seq, shape.width()]], seed);
    }

    #[test]
    fn products_side_by_side(
        (n, n_in, n_out) in (0usize..300, 1usize..70, 1usize..90),
        n_weights in 1usize..4,
        biased: bool,
        with_residual: bool,
        seed in 0u64..1000,
    ) {
        use burn::nn::LinearConfig;
        let device = Device::default().autodiff();
        let weights: Vec<[usize; 2]> = (0..n_weights).map(|i| [n_in, n_out + i]).collect();
        let widths = weights.iter().map(|shape| shape[1]).sum::<usize>();
        let shapes = [&[[n, n_in], [n, widths]], &weights[..]].concat();
        let product = |x: Vec<Tensor<2>>, dtype| {
            let layers: Vec<_> = x[2..]
                .iter()
                .map(|weight| {
                    let layer = LinearConfig::new(n_in, weight.dims()[1]).with_bias(biased).init(&device);
                    let mut layer = layer.map(&mut Cast(dtype));
                    layer.weight = Param::from_tensor(weight.clone());
                    layer.bias = layer.bias.map(|_| Param::from_tensor(tensor([weight.dims()[1]], seed + 50, dtype)));
                    layer
                })
                .collect();
            let residual = with_residual.then(|| x[1].clone());
            linear(x[0].clone(), &layers.iter().collect::<Vec<_>>(), residual)
        };
        compare(product, &shapes, seed);
    }

    #[test]
    fn a_table_read_by_its_columns((n, n_in, vocab) in (1usize..80, 1usize..40, 1usize..300), seed in 0u64..1000) {
        let head = |x: Vec<Tensor<2>>, _| matmul(x[0].clone(), x[1].clone().transpose());
        compare(head, &[[n, n_in], [vocab, n_in]], seed);
    }

    #[test]
    fn norms(batch in 1usize..3, seq in 1usize..300, channels in 1usize..70, seed in 0u64..1000) {
        let norm = RmsNorm::new(channels, 1e-5, &Device::default().autodiff());
        let forward = |x: Vec<Tensor<3>>, dtype| norm.clone().map(&mut Cast(dtype)).forward(x[0].clone());
        compare(forward, &[[batch, seq, channels]], seed);
    }

    #[test]
    fn gates(n in 1usize..200, hidden in 1usize..30, inner in 1usize..50, biased: bool, seed in 0u64..1000) {
        let mlp = SwiGlu::new(hidden, inner, biased, &Device::default().autodiff());
        let forward = |x: Vec<Tensor<2>>, dtype| mlp.clone().map(&mut Cast(dtype)).forward(x[0].clone(), Some(x[1].clone()));
        compare(forward, &[[n, hidden], [n, hidden]], seed);
    }

    #[test]
    fn turned_heads(batch in 1usize..3, seq in 1usize..150, shape in heads(), normed: bool, seed in 0u64..1000) {
        let device = Device::default();
        let angles = TensorData::new(numbers(batch * seq * shape.d / 2, seed + 7), [batch, seq, shape.d / 2]);
        let rotary = Rotary::new(Tensor::from_data(angles, (&device, DType::F32)));
        let norms = [0, 1].map(|_| RmsNorm::new(shape.d, 1e-5, &device.clone().autodiff()));
        let turn = |x: Vec<Tensor<3>>, dtype| {
            let norms = norms.clone().map(|norm| norm.map(&mut Cast(dtype)));
            rotary.apply(x[0].clone(), shape, normed.then_some([&norms[0], &norms[1]]))
        };
        compare(turn, &[[batch, seq, shape.width()]], seed);
    }

    #[test]
    fn log_probabilities(n in 1usize..60, vocab in 1usize..700, temperature in 0.3f32..2.0, seed in 0u64..1000) {
        let device = Device::default();
        let ids: Vec<i64> = (0..n).map(|i| ((i * 31 + seed as usize) % vocab) as i64).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n]), &device);
        // Every seventh token is forbidden, unless it is all there is.
        let bias: Vec<f32> = (0..vocab).map(|id| if id % 7 == 6 { -1e9 } else { 0.0 }).collect();
        let bias = Tensor::<1>::from_data(TensorData::new(bias, [vocab]), (&device, DType::F32));
        let allowed = |dtype| {
            let allowed: Vec<f64> = (0..n).map(|i| f64::from(u8::from((i * 31 + seed as usize) % vocab % 7 != 6))).collect();
            Tensor::<1>::from_data(TensorData::new(allowed, [n]), (&device.clone().autodiff(), dtype))
        };
        let log_probs = |x: Vec<Tensor<2>>, dtype| {
            let found = token_log_probs(x[0].clone() * 3.0, bias.clone(), ids.clone(), temperature);
            found.cast(dtype) * allowed(dtype)
        };
        compare(log_probs, &[[n, vocab]], seed);
    }
}
