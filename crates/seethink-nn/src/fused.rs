//! Fused operators: those that the composed ones of burn are slow at on the processor, as an
//! extension of [`Flex`] with backward passes of their own.
//!
//! [`exists`] says where there are any. Everywhere else the layers of this crate are composed of
//! burn's operators, and compute the same.

use crate::FastPath;
use crate::kernels::attention::{Attended, Run, attention, attention_backward, runs, whole};
use crate::kernels::heads::{HeadNorms, HeadShape, Turns, turn, turn_backward};
use crate::kernels::log_prob::{log_probs, log_probs_backward};
use crate::kernels::matmul::{Matrix, MatrixMut, Onto, Threads, matmul, unwritten};
use crate::kernels::norm::{rms_norm, rms_norm_backward};
use crate::kernels::swiglu::{swiglu, swiglu_backward};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Device, Int, Shape, Tensor};
use std::sync::Arc;

/// Returns whether a fast path may be taken: it is on, and exists, for `f32` on the processor.
pub(crate) fn exists(path: FastPath, device: &Device, dtype: DType) -> bool {
    dtype == DType::F32 && device.clone().inner() == Device::flex() && path.is_on()
}

/// Returns whether a fast path [`exists`] for a tensor.
pub(crate) fn applies<const D: usize>(path: FastPath, x: &Tensor<D>) -> bool {
    exists(path, &x.device(), x.dtype())
}

/// Visible tokens of each token in the rows of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    runs: Arc<Vec<Vec<Run>>>,
    seq: usize,
}

impl Sight {
    /// Every token of a row sees every other.
    pub(crate) fn whole(seq: usize) -> Self {
        Self { runs: Arc::new(vec![whole(seq)]), seq }
    }

    /// Causal, by the segments of each row; see [`AttentionMask::causal`](crate::AttentionMask).
    pub(crate) fn of_segments(segments: &[i64], seq: usize) -> Self {
        Self { runs: Arc::new(segments.chunks(seq.max(1)).map(runs).collect()), seq }
    }
}

/// Rows of a tensor: all of its dimensions but the last as one.
pub(crate) fn rows<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let dims = x.dims();
    x.reshape([dims[..D - 1].iter().product(), dims[D - 1]])
}

/// See [`FusedOps::fused_linear`].
pub(crate) fn linear(
    x: Tensor<2>,
    weights: impl Iterator<Item = Tensor<2>>,
    biases: impl Iterator<Item = Tensor<1>>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    let weights = UpToThree::of(weights.map(Tensor::into_dispatch));
    let biases = UpToThree::of(biases.map(Tensor::into_dispatch));
    let residual = UpToThree::of(residual.map(Tensor::into_dispatch));
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_linear(x.into_dispatch(), weights, biases, residual))
}

/// See [`FusedOps::fused_rms_norm`].
pub(crate) fn normalised(x: Tensor<2>, weight: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let y = <Dispatch as FusedOps>::fused_rms_norm(x.into_dispatch(), weight.into_dispatch(), epsilon);
    Tensor::from_dispatch(y)
}

/// See [`FusedOps::fused_turn`].
pub(crate) fn turned(
    x: Tensor<2>,
    [cos, sin]: [Tensor<2>; 2],
    norms: Option<([Tensor<1>; 2], f64)>,
    shape: HeadShape,
) -> Tensor<2> {
    let (norms, epsilon) = norms.map_or((None, 0.0), |(norms, epsilon)| (Some(norms), epsilon));
    let norms = UpToThree::of(norms.into_iter().flatten().map(Tensor::into_dispatch));
    let [cos, sin] = [cos, sin].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_turn(x.into_dispatch(), cos, sin, norms, epsilon, shape))
}

/// See [`FusedOps::fused_attention`].
pub(crate) fn attended(qkv: Tensor<2>, shape: HeadShape, sight: Sight) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_attention(qkv.into_dispatch(), shape, sight).0)
}

/// See [`FusedOps::fused_swiglu`].
pub(crate) fn gated(gate_up: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_swiglu(gate_up.into_dispatch()))
}

/// See [`FusedOps::fused_log_probs`].
pub(crate) fn chosen_log_probs(logits: Tensor<2>, bias: Tensor<1>, ids: Tensor<1, Int>, scale: f64) -> Tensor<1> {
    let (logits, bias, ids) = (logits.into_dispatch(), bias.into_dispatch(), ids.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_log_probs(logits, bias, ids, scale).0)
}

/// Up to three tensors, as an argument of an operator.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum UpToThree<B: Backend> {
    /// None.
    Zero,
    /// One.
    One(FloatTensor<B>),
    /// Two.
    Two(FloatTensor<B>, FloatTensor<B>),
    /// Three.
    Three(FloatTensor<B>, FloatTensor<B>, FloatTensor<B>),
}

impl<B: Backend> UpToThree<B> {
    /// # Panics
    /// If there are more than three.
    fn of(all: impl IntoIterator<Item = FloatTensor<B>>) -> Self {
        let mut all = all.into_iter();
        match [all.next(), all.next(), all.next(), all.next()] {
            [None, ..] => Self::Zero,
            [Some(a), None, ..] => Self::One(a),
            [Some(a), Some(b), None, _] => Self::Two(a, b),
            [Some(a), Some(b), Some(c), None] => Self::Three(a, b, c),
            _ => panic!("more than three tensors"),
        }
    }

    fn into_vec(self) -> Vec<FloatTensor<B>> {
        match self {
            Self::Zero => Vec::new(),
            Self::One(a) => vec![a],
            Self::Two(a, b) => vec![a, b],
            Self::Three(a, b, c) => vec![a, b, c],
        }
    }
}

/// Fused operators.
///
/// `n` rows: tokens, those of all sequences one after the other.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedOps: Backend {
    /// Products of `x` with several matrices side by side, `x · [w, …] + [b, …] + residual`.
    ///
    /// # Shapes
    /// - x: `[n, in]`
    /// - weights: one to three of `[in, out]`; biases: as many of `[out]`, or none
    /// - residual: one or none; as the output, `[n, out + …]`
    fn fused_linear(
        x: FloatTensor<Self>,
        #[extension_type] weights: UpToThree<Self>,
        #[extension_type] biases: UpToThree<Self>,
        #[extension_type] residual: UpToThree<Self>,
    ) -> FloatTensor<Self>;

    /// Root-mean-square norm of rows.
    ///
    /// # Shapes
    /// - x, output: `[n, channels]`
    /// - weight: `[channels]`
    fn fused_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    /// Normalises queries and keys, where `norms` are given, and turns them; copies values.
    ///
    /// # Shapes
    /// - x, output: `[n, (n_heads + 2 · n_kv_heads) · d]`
    /// - cos, sin: `[n, d]`
    /// - norms: none, or two of `[d]`, of queries and keys
    fn fused_turn(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        #[extension_type] norms: UpToThree<Self>,
        epsilon: f64,
        shape: HeadShape,
    ) -> FloatTensor<Self>;

    /// Attention; also returns the logarithm of each query's normaliser, which has no gradient.
    ///
    /// # Shapes
    /// - qkv: `[n, (n_heads + 2 · n_kv_heads) · d]`
    /// - output: `[n, n_heads · d]` and `[batch, n_heads, seq]`
    fn fused_attention(
        qkv: FloatTensor<Self>,
        shape: HeadShape,
        sight: Sight,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gated activation `silu(gate) · up`.
    ///
    /// # Shapes
    /// - gate_up: `[n, 2 · inner]`
    /// - output: `[n, inner]`
    fn fused_swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Log-probabilities of `ids` from `logits · scale + bias`; also returns the logarithm of each
    /// row's normaliser, which has no gradient.
    ///
    /// # Shapes
    /// - logits: `[n, vocab]`; bias: `[vocab]`; ids: `[n]`
    /// - outputs: `[n]`
    fn fused_log_probs(
        logits: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        ids: IntTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Backward passes of the [`FusedOps`], on a back end without gradient tracking.
pub(crate) trait FusedGradients: FusedOps {
    /// Gradients of `x`, of each weight and of each bias; `None` where not `wanted`.
    fn linear_gradients(
        x: FloatTensor<Self>,
        weights: Vec<FloatTensor<Self>>,
        dy: FloatTensor<Self>,
        wanted: WantedLinear,
    ) -> LinearGradients<Self>;
    /// Gradients of `x` and of the weight.
    fn rms_norm_gradients(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dy: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
    /// Gradients of `x` and of the norms.
    fn turn_gradients(state: TurnState<Self>, dy: FloatTensor<Self>) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>);
    /// Gradient of queries, keys and values.
    fn attention_gradient(state: AttentionState<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of gate and up.
    fn swiglu_gradient(gate_up: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the logits.
    fn log_probs_gradient(state: LogProbState<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Gradients of a linear operator that are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedLinear {
    x: bool,
    weights: [bool; MOST_WEIGHTS],
    biases: [bool; MOST_WEIGHTS],
}

/// Gradients of a linear operator.
#[derive(Debug)]
pub(crate) struct LinearGradients<B: Backend> {
    x: Option<FloatTensor<B>>,
    weights: Vec<Option<FloatTensor<B>>>,
    biases: Vec<Option<FloatTensor<B>>>,
}

/// Inputs of [`FusedOps::fused_turn`].
#[derive(Debug, Clone)]
pub(crate) struct TurnState<B: Backend> {
    x: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
    norms: Vec<FloatTensor<B>>,
    epsilon: f64,
    shape: HeadShape,
}

/// Inputs and outputs of [`FusedOps::fused_attention`].
#[derive(Debug, Clone)]
pub(crate) struct AttentionState<B: Backend> {
    qkv: FloatTensor<B>,
    out: FloatTensor<B>,
    normalisers: FloatTensor<B>,
    shape: HeadShape,
    sight: Sight,
}

/// Inputs of [`FusedOps::fused_log_probs`] and the normalisers.
#[derive(Debug, Clone)]
pub(crate) struct LogProbState<B: Backend> {
    logits: FloatTensor<B>,
    bias: FloatTensor<B>,
    ids: IntTensor<B>,
    normalisers: FloatTensor<B>,
    scale: f64,
}

/// Most matrices side by side: queries, keys and values.
pub(crate) const MOST_WEIGHTS: usize = 3;

/// A tensor of the given elements.
fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(burn::tensor::TensorData::new(values, shape.into()))
}

/// A tensor of zeros that `add` adds to.
///
/// Not [`FlexTensor::zeros`], which writes them twice: into bytes, and into aligned bytes.
fn added(shape: impl Into<Shape>, add: impl FnOnce(&mut [f32])) -> FlexTensor {
    let shape = shape.into();
    let mut values = vec![0.0; shape.num_elements()];
    add(&mut values);
    tensor(values, shape)
}

/// A tensor whose elements `fill` all writes; see [`unwritten`].
fn filled(shape: impl Into<Shape>, fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let shape = shape.into();
    let mut values = unwritten(shape.num_elements());
    fill(&mut values);
    tensor(values, shape)
}

/// Matrix of a tensor, where it lies if its strides are positive.
fn matrix(x: &FlexTensor) -> Matrix<'_> {
    let shape = x.layout().shape();
    let (rows, columns) = (shape[0], shape[1]);
    let layout = x.layout();
    let strides = [layout.strides()[0] as usize, layout.strides()[1] as usize];
    Matrix::strided(&x.storage::<f32>()[layout.start_offset()..], [rows, columns], strides)
}

fn dims<const D: usize>(x: &FlexTensor) -> [usize; D] {
    let shape = x.layout().shape();
    std::array::from_fn(|dim| shape[dim])
}

impl FusedOps for Flex {
    fn fused_linear(
        x: FlexTensor,
        weights: UpToThree<Self>,
        biases: UpToThree<Self>,
        residual: UpToThree<Self>,
    ) -> FlexTensor {
        let x = x.to_contiguous();
        let (weights, biases) = (weights.into_vec(), biases.into_vec());
        let residual = residual.into_vec().pop();
        let [n, _] = dims(&x);
        let widths: Vec<usize> = weights.iter().map(|weight| dims::<2>(weight)[1]).collect();
        let width = widths.iter().sum::<usize>();
        let has_residual = residual.is_some();
        let onto = if has_residual || !biases.is_empty() { Onto::Before } else { Onto::Nothing };
        let mut out = match residual {
            // Written in place where nobody else has it.
            Some(residual) => residual.to_contiguous(),
            None => filled([n, width], |_| ()),
        };
        if !biases.is_empty() {
            let bias: Vec<f32> =
                biases.iter().flat_map(|bias| bias.to_contiguous().storage::<f32>().to_vec()).collect();
            let rows = out.storage_mut::<f32>().chunks_exact_mut(width.max(1));
            if has_residual {
                rows.for_each(|row| row.iter_mut().zip(&bias).for_each(|(out, bias)| *out += bias));
            } else {
                rows.for_each(|row| row.copy_from_slice(&bias));
            }
        }
        let parts = MatrixMut::new(out.storage_mut(), n, width).split_columns(&widths);
        for (part, weight) in parts.into_iter().zip(&weights) {
            matmul(part, matrix(&x), matrix(weight), 1.0, onto, Threads::All);
        }
        out
    }

    fn fused_rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f64) -> FlexTensor {
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        filled(dims::<2>(&x), |out| rms_norm(x.storage(), weight.storage(), epsilon as f32, out))
    }

    fn fused_turn(
        x: FlexTensor,
        cos: FlexTensor,
        sin: FlexTensor,
        norms: UpToThree<Self>,
        epsilon: f64,
        shape: HeadShape,
    ) -> FlexTensor {
        let norms = norms.into_vec();
        let state = TurnState::<Self> { x, cos, sin, norms, epsilon, shape }.contiguous();
        filled(dims::<2>(&state.x), |out| turn(state.x.storage(), shape, state.head_norms(), state.turns(), out))
    }

    fn fused_attention(qkv: FlexTensor, shape: HeadShape, sight: Sight) -> (FlexTensor, FlexTensor) {
        let qkv = qkv.to_contiguous();
        let [n, _] = dims(&qkv);
        let (seq, batch) = (sight.seq, n / sight.seq.max(1));
        let mut normalisers = added([batch, shape.n_heads, seq], |_| ());
        let out = added([n, shape.n_heads * shape.d], |out| {
            attention(qkv.storage(), shape, &sight.runs, seq, out, normalisers.storage_mut());
        });
        (out, normalisers)
    }

    fn fused_swiglu(gate_up: FlexTensor) -> FlexTensor {
        let gate_up = gate_up.to_contiguous();
        let [n, width] = dims(&gate_up);
        filled([n, width / 2], |out| swiglu(gate_up.storage(), width / 2, out))
    }

    fn fused_log_probs(logits: FlexTensor, bias: FlexTensor, ids: FlexTensor, scale: f64) -> (FlexTensor, FlexTensor) {
        let (logits, bias) = (logits.to_contiguous(), bias.to_contiguous());
        let (log_probs, normalisers) = log_probs(logits.storage(), bias.storage(), scale as f32, &integers(&ids));
        let n = log_probs.len();
        (tensor(log_probs, [n]), tensor(normalisers, [n]))
    }
}

/// Integers of a tensor of any width.
fn integers(ids: &FlexTensor) -> Vec<i64> {
    ids.clone().into_data().iter::<i64>().collect()
}

impl TurnState<Flex> {
    fn contiguous(self) -> Self {
        let [x, cos, sin] = [&self.x, &self.cos, &self.sin].map(FlexTensor::to_contiguous);
        Self { x, cos, sin, norms: self.norms.iter().map(FlexTensor::to_contiguous).collect(), ..self }
    }

    fn head_norms(&self) -> Option<HeadNorms<'_>> {
        let [q, k] = self.norms.as_slice() else { return None };
        Some(HeadNorms { q: q.storage(), k: k.storage(), epsilon: self.epsilon as f32 })
    }

    fn turns(&self) -> Turns<'_> {
        Turns { cos: self.cos.storage(), sin: self.sin.storage() }
    }
}

impl FusedGradients for Flex {
    fn linear_gradients(
        x: FlexTensor,
        weights: Vec<FlexTensor>,
        dy: FlexTensor,
        wanted: WantedLinear,
    ) -> LinearGradients<Self> {
        let (x, dy) = (x.to_contiguous(), dy.to_contiguous());
        let ([n, n_in], [_, width]) = (dims(&x), dims(&dy));
        let mut start = 0;
        let parts: Vec<_> = weights
            .iter()
            .map(|weight| {
                let columns = start..start + dims::<2>(weight)[1];
                start = columns.end;
                columns
            })
            .collect();
        let part = |columns: &std::ops::Range<usize>| matrix(&dy).columns(columns.clone());
        let d_x = wanted.x.then(|| {
            filled([n, n_in], |d_x| {
                for (index, (columns, weight)) in parts.iter().zip(&weights).enumerate() {
                    let onto = if index == 0 { Onto::Nothing } else { Onto::Before };
                    matmul(MatrixMut::new(d_x, n, n_in), part(columns), matrix(weight).t(), 1.0, onto, Threads::All);
                }
            })
        });
        let d_weight = |(columns, weight): (&std::ops::Range<usize>, &FlexTensor)| {
            let n_out = columns.len();
            // In the layout of the weight itself, which for a tied head is that of the transpose.
            if weight.layout().strides()[1] == 1 {
                filled([n_in, n_out], |d| {
                    matmul(
                        MatrixMut::new(d, n_in, n_out),
                        matrix(&x).t(),
                        part(columns),
                        1.0,
                        Onto::Nothing,
                        Threads::All,
                    )
                })
            } else {
                let transposed = filled([n_out, n_in], |d| {
                    matmul(
                        MatrixMut::new(d, n_out, n_in),
                        part(columns).t(),
                        matrix(&x),
                        1.0,
                        Onto::Nothing,
                        Threads::All,
                    )
                });
                let layout = transposed.layout().transpose(0, 1);
                transposed.with_layout(layout)
            }
        };
        let d_bias = |columns: &std::ops::Range<usize>| {
            let mut sums = vec![0.0; columns.len()];
            let dy = dy.storage::<f32>();
            for row in dy.chunks_exact(width.max(1)) {
                sums.iter_mut().zip(&row[columns.clone()]).for_each(|(sum, dy)| *sum += dy);
            }
            let n_out = sums.len();
            tensor(sums, [n_out])
        };
        LinearGradients {
            x: d_x,
            weights: parts
                .iter()
                .zip(&weights)
                .zip(wanted.weights)
                .map(|(part, wanted)| wanted.then(|| d_weight(part)))
                .collect(),
            biases: parts.iter().zip(wanted.biases).map(|(columns, wanted)| wanted.then(|| d_bias(columns))).collect(),
        }
    }

    fn rms_norm_gradients(x: FlexTensor, weight: FlexTensor, epsilon: f64, dy: FlexTensor) -> [FlexTensor; 2] {
        let (x, weight, dy) = (x.to_contiguous(), weight.to_contiguous(), dy.to_contiguous());
        let mut d_weight = Vec::new();
        let d_x = filled(dims::<2>(&x), |d_x| {
            d_weight = rms_norm_backward(x.storage(), weight.storage(), epsilon as f32, dy.storage(), d_x);
        });
        let channels = d_weight.len();
        [d_x, tensor(d_weight, [channels])]
    }

    fn turn_gradients(state: TurnState<Self>, dy: FlexTensor) -> (FlexTensor, Vec<FlexTensor>) {
        let (state, dy) = (state.contiguous(), dy.to_contiguous());
        let mut sums = Vec::new();
        let d_x = filled(dims::<2>(&state.x), |d_x| {
            sums = turn_backward(state.x.storage(), state.shape, state.head_norms(), state.turns(), dy.storage(), d_x);
        });
        let d = state.shape.d;
        (d_x, sums.chunks_exact(d).map(|d_norm| tensor(d_norm.to_vec(), [d])).collect())
    }

    fn attention_gradient(state: AttentionState<Self>, dy: FlexTensor) -> FlexTensor {
        let (qkv, out, dy) = (state.qkv.to_contiguous(), state.out.to_contiguous(), dy.to_contiguous());
        let normalisers = state.normalisers.to_contiguous();
        let attended = Attended { out: out.storage(), normalisers: normalisers.storage(), d_out: dy.storage() };
        added(dims::<2>(&qkv), |d_qkv| {
            attention_backward(qkv.storage(), state.shape, &state.sight.runs, state.sight.seq, attended, d_qkv);
        })
    }

    fn swiglu_gradient(gate_up: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (gate_up, dy) = (gate_up.to_contiguous(), dy.to_contiguous());
        let [n, width] = dims(&gate_up);
        filled([n, width], |d| swiglu_backward(gate_up.storage(), width / 2, dy.storage(), d))
    }

    fn log_probs_gradient(state: LogProbState<Self>, dy: FlexTensor) -> FlexTensor {
        let LogProbState { logits, bias, ids, normalisers, scale } = state;
        let (logits, bias, dy) = (logits.to_contiguous(), bias.to_contiguous(), dy.to_contiguous());
        let ids = integers(&ids);
        filled(dims::<2>(&logits), |d| {
            let scale = scale as f32;
            log_probs_backward(logits.storage(), bias.storage(), scale, &ids, normalisers.storage(), dy.storage(), d);
        })
    }
}

impl<B: FusedGradients, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weights: UpToThree<Self>,
        biases: UpToThree<Self>,
        residual: UpToThree<Self>,
    ) -> FloatTensor<Self> {
        let [weights, biases, residual] = [weights, biases, residual].map(UpToThree::into_vec);
        const N: usize = 2 + 2 * MOST_WEIGHTS;
        #[derive(Debug)]
        struct Linear;
        impl<B: FusedGradients> Backward<B, N> for Linear {
            type State = (FloatTensor<B>, Vec<FloatTensor<B>>);
            fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
                let dy = grads.consume::<B>(&ops.node);
                let (x, weights) = ops.state;
                let [of_x, of_residual, others @ ..] = ops.parents;
                let (of_weights, of_biases) = others.split_at(MOST_WEIGHTS);
                let wanted = WantedLinear {
                    x: of_x.is_some(),
                    weights: std::array::from_fn(|i| of_weights[i].is_some()),
                    biases: std::array::from_fn(|i| of_biases[i].is_some()),
                };
                let d = B::linear_gradients(x, weights, dy.clone(), wanted);
                let of_others = of_weights.iter().zip(d.weights).chain(of_biases.iter().zip(d.biases));
                for (node, d) in [(&of_x, d.x), (&of_residual, Some(dy))].into_iter().chain(of_others) {
                    if let (Some(node), Some(d)) = (node, d) {
                        grads.register::<B>(node.id, d);
                    }
                }
            }
        }
        let nothing = FloatTensor::<Self>::new(x.primitive().clone());
        let node = |x: Option<&FloatTensor<Self>>| x.unwrap_or(&nothing).node();
        let nodes = std::array::from_fn(|i| match i {
            0 => x.node(),
            1 => node(residual.first()),
            i if i < 2 + MOST_WEIGHTS => node(weights.get(i - 2)),
            i => node(biases.get(i - 2 - MOST_WEIGHTS)),
        });
        let inner = |all: Vec<FloatTensor<Self>>| -> Vec<FloatTensor<B>> {
            all.iter().map(|x| x.primitive().clone()).collect()
        };
        let (weights, biases) = (inner(weights), inner(biases));
        let x = x.primitive().clone();
        let [of_weights, biases, residual] = [weights.clone(), biases, inner(residual)].map(UpToThree::of);
        let y = B::fused_linear(x.clone(), of_weights, biases, residual);
        match Linear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, weights), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn fused_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct RmsNorm;
        impl<B: FusedGradients> Backward<B, 2> for RmsNorm {
            type State = (FloatTensor<B>, FloatTensor<B>, f64);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let dy = grads.consume::<B>(&ops.node);
                let (x, weight, epsilon) = ops.state;
                let d = B::rms_norm_gradients(x, weight, epsilon, dy);
                for (node, d) in ops.parents.into_iter().zip(d) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, d);
                    }
                }
            }
        }
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.primitive().clone(), weight.primitive().clone());
        let y = B::fused_rms_norm(x.clone(), weight.clone(), epsilon);
        match RmsNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight, epsilon), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn fused_turn(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        norms: UpToThree<Self>,
        epsilon: f64,
        shape: HeadShape,
    ) -> FloatTensor<Self> {
        let norms = norms.into_vec();
        #[derive(Debug)]
        struct Turn;
        impl<B: FusedGradients> Backward<B, 3> for Turn {
            type State = TurnState<B>;
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let dy = grads.consume::<B>(&ops.node);
                let [of_x, of_q, of_k] = ops.parents;
                let (d_x, d_norms) = B::turn_gradients(ops.state, dy);
                if let Some(node) = of_x {
                    grads.register::<B>(node.id, d_x);
                }
                for (node, d) in [of_q, of_k].into_iter().zip(d_norms) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, d);
                    }
                }
            }
        }
        let nothing = FloatTensor::<Self>::new(x.primitive().clone());
        let node = |index: usize| norms.get(index).unwrap_or(&nothing).node();
        let nodes = [x.node(), node(0), node(1)];
        let inner = |x: &FloatTensor<Self>| x.primitive().clone();
        let state = TurnState::<B> {
            x: inner(&x),
            cos: inner(&cos),
            sin: inner(&sin),
            norms: norms.iter().map(inner).collect(),
            epsilon,
            shape,
        };
        let TurnState { x, cos, sin, norms, .. } = state.clone();
        let y = B::fused_turn(x, cos, sin, UpToThree::of(norms), epsilon, shape);
        match Turn.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn fused_attention(
        qkv: FloatTensor<Self>,
        shape: HeadShape,
        sight: Sight,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        #[derive(Debug)]
        struct Attention;
        impl<B: FusedGradients> Backward<B, 1> for Attention {
            type State = AttentionState<B>;
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let dy = grads.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    grads.register::<B>(node.id, B::attention_gradient(ops.state, dy));
                }
            }
        }
        let node = qkv.node();
        let qkv = qkv.primitive().clone();
        let (out, normalisers) = B::fused_attention(qkv.clone(), shape, sight.clone());
        let constant = FloatTensor::<Self>::new(normalisers.clone());
        let out = match Attention.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = AttentionState { qkv, out: out.clone(), normalisers, shape, sight };
                prepared.finish(state, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        };
        (out, constant)
    }

    fn fused_swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct SwiGlu;
        impl<B: FusedGradients> Backward<B, 1> for SwiGlu {
            type State = FloatTensor<B>;
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let dy = grads.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    grads.register::<B>(node.id, B::swiglu_gradient(ops.state, dy));
                }
            }
        }
        let node = gate_up.node();
        let gate_up = gate_up.primitive().clone();
        let y = B::fused_swiglu(gate_up.clone());
        match SwiGlu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(gate_up, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn fused_log_probs(
        logits: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        ids: IntTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        #[derive(Debug)]
        struct LogProbs;
        impl<B: FusedGradients> Backward<B, 1> for LogProbs {
            type State = LogProbState<B>;
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let dy = grads.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    grads.register::<B>(node.id, B::log_probs_gradient(ops.state, dy));
                }
            }
        }
        let node = logits.node();
        let (logits, bias) = (logits.primitive().clone(), bias.primitive().clone());
        let (y, normalisers) = B::fused_log_probs(logits.clone(), bias.clone(), ids.clone(), scale);
        let constant = FloatTensor::<Self>::new(normalisers.clone());
        let y = match LogProbs.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(LogProbState { logits, bias, ids, normalisers, scale }, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        };
        (y, constant)
    }
}
