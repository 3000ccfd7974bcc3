//! Queries and keys of attention heads: normalised, where a model does, and turned to their
//! positions.

use super::norm::{inverse_rms, pull_row};
use super::{for_rows, for_rows_with_sums, simd};
use burn::tensor::Tensor;

/// Attention heads of a layer. A token's queries, keys and values are one row of
/// `n_heads + 2 · n_kv_heads` heads, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShape {
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key-value heads.
    pub n_kv_heads: usize,
    /// Channels of a head.
    pub d: usize,
}

impl HeadShape {
    /// Channels of a row of queries, keys and values.
    pub fn width(self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.d
    }

    /// Queries, keys and values of rows.
    ///
    /// # Shapes
    /// - qkv: `[batch, seq, width]`
    /// - q: `[batch, seq, n_heads, d]`; k, v: `[batch, n_kv_heads, seq, d]`
    pub(crate) fn split(self, qkv: Tensor<3>) -> [Tensor<4>; 3] {
        let [batch, seq, _] = qkv.dims();
        let Self { n_heads, n_kv_heads, d } = self;
        let heads = qkv.reshape([batch, seq, n_heads + 2 * n_kv_heads, d]);
        let part = |start, n| heads.clone().narrow(2, start, n);
        let [k, v] = [n_heads, n_heads + n_kv_heads].map(|start| part(start, n_kv_heads).swap_dims(1, 2));
        [part(0, n_heads), k, v]
    }

    /// Number of heads that turn: queries and keys.
    fn n_turning(self) -> usize {
        self.n_heads + self.n_kv_heads
    }
}

/// Scales of the norms of queries and keys, and their ε.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadNorms<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) epsilon: f32,
}

/// Rotations of each row, `[rows, d]`; the first half of a row of `sin` is negated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns<'a> {
    pub(crate) cos: &'a [f32],
    pub(crate) sin: &'a [f32],
}

/// Normalises and turns queries and keys; copies values.
pub(crate) fn turn(x: &[f32], shape: HeadShape, norms: Option<HeadNorms<'_>>, turns: Turns<'_>, y: &mut [f32]) {
    let (width, d) = (shape.width(), shape.d);
    for_rows(y, width, |first, y| {
        simd(
            #[inline(always)]
            || {
                let x = &x[first * width..][..y.len()];
                for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
                    let (cos, sin) = turns.at(first + row, d);
                    for (head, (x, y)) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).enumerate() {
                        if head >= shape.n_turning() {
                            y.copy_from_slice(x);
                            continue;
                        }
                        if let Some(norms) = norms {
                            let scale = inverse_rms(x, norms.epsilon);
                            turn_head(x, Some((norms.of(head, shape), scale)), cos, sin, y);
                        } else {
                            turn_head(x, None, cos, sin, y);
                        }
                    }
                }
            },
        );
    });
}

#[inline(always)]
fn turn_head(x: &[f32], norm: Option<(&[f32], f32)>, cos: &[f32], sin: &[f32], y: &mut [f32]) {
    let half = x.len() / 2;
    let ((x0, x1), (y0, y1)) = (x.split_at(half), y.split_at_mut(half));
    let ((cos0, cos1), (sin0, sin1)) = (cos.split_at(half), sin.split_at(half));
    match norm {
        None => {
            for i in 0..half {
                y0[i] = x0[i] * cos0[i] + x1[i] * sin0[i];
                y1[i] = x1[i] * cos1[i] + x0[i] * sin1[i];
            }
        }
        Some((w, scale)) => {
            let (w0, w1) = w.split_at(half);
            for i in 0..half {
                let (a, b) = (x0[i] * scale * w0[i], x1[i] * scale * w1[i]);
                y0[i] = a * cos0[i] + b * sin0[i];
                y1[i] = b * cos1[i] + a * sin1[i];
            }
        }
    }
}

/// Gradient of [`turn`] with respect to its rows; returns those of the scales of the queries' and
/// the keys' norm, one after the other (none without norms).
pub(crate) fn turn_backward(
    x: &[f32],
    shape: HeadShape,
    norms: Option<HeadNorms<'_>>,
    turns: Turns<'_>,
    dy: &[f32],
    dx: &mut [f32],
) -> Vec<f32> {
    let (width, d) = (shape.width(), shape.d);
    let n_sums = if norms.is_some() { 2 * d } else { 0 };
    for_rows_with_sums(dx, width, n_sums, |first, dx, sums| {
        simd(
            #[inline(always)]
            || {
                let (dq, dk) = sums.split_at_mut(n_sums / 2);
                let mut turned = vec![0.0; d];
                let (x, dy) = (&x[first * width..][..dx.len()], &dy[first * width..][..dx.len()]);
                let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
                for (row, ((x, dy), dx)) in rows.enumerate() {
                    let (cos, sin) = turns.at(first + row, d);
                    let heads = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d));
                    for (head, ((x, dy), dx)) in heads.enumerate() {
                        if head >= shape.n_turning() {
                            dx.copy_from_slice(dy);
                        } else if let Some(norms) = norms {
                            turn_back(dy, cos, sin, &mut turned);
                            let dw = if head < shape.n_heads { &mut *dq } else { &mut *dk };
                            pull_row(x, norms.of(head, shape), norms.epsilon, &turned, dx, dw);
                        } else {
                            turn_back(dy, cos, sin, dx);
                        }
                    }
                }
            },
        );
    })
}

#[inline(always)]
fn turn_back(dy: &[f32], cos: &[f32], sin: &[f32], dx: &mut [f32]) {
    let half = dy.len() / 2;
    let ((dy0, dy1), (dx0, dx1)) = (dy.split_at(half), dx.split_at_mut(half));
    let ((cos0, cos1), (sin0, sin1)) = (cos.split_at(half), sin.split_at(half));
    for i in 0..half {
        dx0[i] = dy0[i] * cos0[i] + dy1[i] * sin1[i];
        dx1[i] = dy1[i] * cos1[i] + dy0[i] * sin0[i];
    }
}

impl<'a> HeadNorms<'a> {
    #[inline(always)]
    fn of(self, head: usize, shape: HeadShape) -> &'a [f32] {
        if head < shape.n_heads { self.q } else { self.k }
    }
}

impl<'a> Turns<'a> {
    #[inline(always)]
    fn at(self, row: usize, d: usize) -> (&'a [f32], &'a [f32]) {
        (&self.cos[row * d..][..d], &self.sin[row * d..][..d])
    }
}
