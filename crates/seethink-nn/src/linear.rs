//! Linear layers side by side.

use crate::{FastPath, fused};
use burn::nn::Linear;
use burn::tensor::Tensor;

/// Outputs of linear layers that read the same input, side by side, plus a residual.
///
/// # Shapes
/// - x: `[…, in]`
/// - residual, output: `[…, out + …]`
///
/// # Panics
/// If some layers have a bias and others have none.
pub fn linear<const D: usize>(x: Tensor<D>, layers: &[&Linear], residual: Option<Tensor<D>>) -> Tensor<D> {
    let n_biases = layers.iter().filter(|layer| layer.bias.is_some()).count();
    assert!(n_biases == 0 || n_biases == layers.len(), "{n_biases} of {} layers have a bias", layers.len());
    if fused::applies(FastPath::Linear, &x) && layers.len() <= fused::MOST_WEIGHTS {
        let mut dims = x.dims();
        let weights = layers.iter().map(|layer| layer.weight.val());
        let biases = layers.iter().filter_map(|layer| Some(layer.bias.as_ref()?.val()));
        let y = fused::linear(fused::rows(x), weights, biases, residual.map(fused::rows));
        dims[D - 1] = y.dims()[1];
        return y.reshape(dims);
    }
    let mut outputs: Vec<Tensor<D>> = layers.iter().map(|layer| layer.forward(x.clone())).collect();
    let y = if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(outputs, D - 1) };
    match residual {
        Some(residual) => residual + y,
        None => y,
    }
}

/// Product of rows with a matrix.
///
/// # Shapes
/// - x: `[n, in]`
/// - weight: `[in, out]`, of any strides
/// - output: `[n, out]`
pub fn matmul(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    if fused::applies(FastPath::Linear, &x) {
        return fused::linear(x, std::iter::once(weight), std::iter::empty(), None);
    }
    x.matmul(weight)
}
