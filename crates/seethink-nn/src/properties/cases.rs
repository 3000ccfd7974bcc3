//! Fused operators at small sizes, as functions of all tensors that they have gradients of.
//!
//! Also compiled into the tests of other backends, which know the layers under the same name.

use super::layers::{AttentionMask, HeadShape, RmsNorm, Rotary, SwiGlu};
use super::layers::{linear, matmul, self_attention, token_log_probs};
use burn::module::{Param, ParamId};
use burn::nn::Linear;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Name of the operator whose queries do not see every key.
pub(super) const OVER_SEGMENTS: &str = "self_attention over segments";

/// A fused operator.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Shapes of its arguments.
    pub(super) shapes: Vec<[usize; 2]>,
    pub(super) f: fn(Sizes, &[Tensor<2>]) -> Tensor<2>,
    pub(super) sizes: Sizes,
}

/// Sizes of the tensors of a [`Case`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) seq: usize,
    /// Channels of a head, even.
    pub(super) d: usize,
}

impl Case {
    /// Output of the operator, on the device and in the number format of its arguments.
    pub(super) fn run(&self, x: &[Tensor<2>]) -> Tensor<2> {
        (self.f)(self.sizes, x)
    }
}

impl Sizes {
    fn heads(self) -> HeadShape {
        HeadShape { n_heads: 4, n_kv_heads: 2, d: self.d }
    }

    /// Segments of the tokens: a row that begins with a prompt, a row of padding, and so on.
    pub(super) fn segments(self) -> Vec<i64> {
        let of_row = |row: usize| (0..self.seq).map(move |at| [[0, 0, 1, -1, 2, 2, 1], [-1; 7]][row % 2][at % 7]);
        (0..self.batch).flat_map(of_row).collect()
    }

    /// Rows of queries, keys and values.
    fn qkv(self, x: &Tensor<2>) -> Tensor<3> {
        x.clone().reshape([self.batch, self.seq, self.heads().width()])
    }

    fn rotary(self, device: &Device) -> Rotary {
        let Self { batch, seq, d } = self;
        let angles: Vec<f64> = (0..batch * seq * d / 2).map(|i| (i % 17) as f64 * 0.4).collect();
        Rotary::new(Tensor::from_data(TensorData::new(angles, [batch, seq, d / 2]), (device, DType::F32)))
    }
}

/// All fused operators that have gradients.
pub(super) fn cases(sizes: Sizes) -> Vec<Case> {
    let Sizes { batch, seq, d } = sizes;
    let (n, width) = (batch * seq, sizes.heads().width());
    let case = |name, shapes: &[[usize; 2]], f| Case { name, shapes: shapes.to_vec(), f, sizes };
    vec![
        case("linear", &[[n, d + 1], [n, d + 5], [d + 1, 5], [d + 1, d], [1, 5], [1, d]], |_, x| {
            let layers = [layer(&x[2], Some(&x[4])), layer(&x[3], Some(&x[5]))];
            linear(x[0].clone(), &layers.each_ref(), Some(x[1].clone()))
        }),
        case("matmul with a transpose", &[[n, d + 1], [d + 3, d + 1]], |_, x| {
            matmul(x[0].clone(), x[1].clone().transpose())
        }),
        case("RmsNorm", &[[n, d + 3], [1, d + 3]], |_, x| norm(&x[1]).forward(x[0].clone())),
        case("Rotary", &[[n, width]], |sizes, x| {
            sizes.rotary(&x[0].device()).apply(sizes.qkv(&x[0]), sizes.heads(), None).reshape(x[0].dims())
        }),
        case("Rotary after norms", &[[n, width], [1, d], [1, d]], |sizes, x| {
            let (rotary, norms) = (sizes.rotary(&x[0].device()), [norm(&x[1]), norm(&x[2])]);
            rotary.apply(sizes.qkv(&x[0]), sizes.heads(), Some(norms.each_ref())).reshape(x[0].dims())
        }),
        case("self_attention", &[[n, width]], |sizes, x| {
            self_attention(sizes.qkv(&x[0]), sizes.heads(), None).reshape([x[0].dims()[0], 4 * sizes.d])
        }),
        case(OVER_SEGMENTS, &[[n, width]], |sizes, x| {
            let Sizes { batch, seq, d } = sizes;
            let (segments, device) = (sizes.segments(), x[0].device().inner());
            // What padding sees is undefined, and nobody asks.
            let asked: Vec<f64> = segments.iter().map(|&segment| f64::from(u8::from(segment >= 0))).collect();
            let asked = Tensor::from_data(TensorData::new(asked, [batch * seq, 1]), (&device, x[0].dtype()));
            let segments = Tensor::<2, Int>::from_data(TensorData::new(segments, [batch, seq]), &device);
            let y = self_attention(sizes.qkv(&x[0]), sizes.heads(), Some(&AttentionMask::causal(segments, 2)));
            y.reshape([batch * seq, 4 * d]) * asked
        }),
        case("SwiGlu", &[[n, d + 1], [n, d + 1], [d + 1, d], [d + 1, d], [d, d + 1]], |_, x| {
            let [gate, up, down] = [2, 3, 4].map(|weight| layer(&x[weight], None));
            SwiGlu { gate, up, down }.forward(x[0].clone(), Some(x[1].clone()))
        }),
        case("token_log_probs", &[[n, d + 3]], |_, x| {
            let ([n, vocab], device) = (x[0].dims(), x[0].device().inner());
            // The second token is forbidden, and not asked for.
            let bias: Vec<f32> = (0..vocab).map(|id| if id == 1 { -1e9 } else { 0.0 }).collect();
            let bias = Tensor::from_data(TensorData::new(bias, [vocab]), (&device, DType::F32));
            let ids: Vec<i64> = (0..n).map(|i| (2 + i * 5 % (vocab - 2)) as i64).collect();
            let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n]), &device);
            token_log_probs(x[0].clone(), bias, ids, 0.7).cast(x[0].dtype()).reshape([n, 1])
        }),
    ]
}

/// A layer with parameters that are someone else's.
fn layer(weight: &Tensor<2>, bias: Option<&Tensor<2>>) -> Linear {
    let bias = bias.map(|bias| Param::initialized(ParamId::new(), bias.clone().reshape([weight.dims()[1]])));
    Linear { weight: Param::initialized(ParamId::new(), weight.clone()), bias }
}

/// A norm with a parameter that is someone else's.
fn norm(weight: &Tensor<2>) -> RmsNorm {
    let channels = weight.dims()[1];
    let mut norm = RmsNorm::new(channels, 1e-5, &weight.device());
    norm.weight = Param::initialized(ParamId::new(), weight.clone().reshape([channels]));
    norm
}
