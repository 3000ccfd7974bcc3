//! Root-mean-square normalisation.

use super::{dot, for_rows, for_rows_with_sums, simd};

/// `y = x / rms(x) · w` of rows as long as `w`.
pub(crate) fn rms_norm(x: &[f32], w: &[f32], epsilon: f32, y: &mut [f32]) {
    let width = w.len();
    for_rows(y, width, |first, y| {
        simd(
            #[inline(always)]
            || {
                let x = &x[first * width..][..y.len()];
                for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                    let scale = inverse_rms(x, epsilon);
                    for (y, (x, w)) in y.iter_mut().zip(x.iter().zip(w)) {
                        *y = x * scale * w;
                    }
                }
            },
        );
    });
}

/// Gradients of [`rms_norm`]: writes that of `x` and returns that of `w`.
pub(crate) fn rms_norm_backward(x: &[f32], w: &[f32], epsilon: f32, dy: &[f32], dx: &mut [f32]) -> Vec<f32> {
    let width = w.len();
    for_rows_with_sums(dx, width, width, |first, dx, dw| {
        simd(
            #[inline(always)]
            || {
                let (x, dy) = (&x[first * width..][..dx.len()], &dy[first * width..][..dx.len()]);
                let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
                for ((x, dy), dx) in rows {
                    pull_row(x, w, epsilon, dy, dx, dw);
                }
            },
        );
    })
}

/// `1 / rms(x)`.
#[inline(always)]
pub(super) fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    let squares = dot(x, x);
    (squares / x.len() as f32 + epsilon).sqrt().recip()
}

/// Gradients of one row: writes that of `x` and adds that of `w`.
#[inline(always)]
pub(super) fn pull_row(x: &[f32], w: &[f32], epsilon: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
    let scale = inverse_rms(x, epsilon);
    for (dx, (dy, w)) in dx.iter_mut().zip(dy.iter().zip(w)) {
        *dx = dy * w;
    }
    let product = dot(dx, x);
    let back = product * scale * scale / x.len() as f32;
    for ((dx, dw), (x, dy)) in dx.iter_mut().zip(dw).zip(x.iter().zip(dy)) {
        *dw += dy * x * scale;
        *dx = scale * (*dx - x * back);
    }
}
