//! Gated activation: `silu(gate) · up`.

use super::{for_rows, sigmoid, simd};

/// `y = silu(g) · u` of rows `[g, u]`, each half `width` long.
pub(crate) fn swiglu(gu: &[f32], width: usize, y: &mut [f32]) {
    for_rows(y, width, |first, y| {
        simd(
            #[inline(always)]
            || {
                let gu = &gu[2 * first * width..][..2 * y.len()];
                for (gu, y) in gu.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
                    let (g, u) = gu.split_at(width);
                    for (y, (&g, &u)) in y.iter_mut().zip(g.iter().zip(u)) {
                        *y = g * sigmoid(g) * u;
                    }
                }
            },
        );
    });
}

/// Gradient of [`swiglu`] with respect to `[g, u]`.
pub(crate) fn swiglu_backward(gu: &[f32], width: usize, dy: &[f32], d: &mut [f32]) {
    for_rows(d, 2 * width, |first, d| {
        simd(
            #[inline(always)]
            || {
                let (gu, dy) = (&gu[2 * first * width..][..d.len()], &dy[first * width..][..d.len() / 2]);
                let rows = gu.chunks_exact(2 * width).zip(dy.chunks_exact(width)).zip(d.chunks_exact_mut(2 * width));
                for ((gu, dy), d) in rows {
                    let ((g, u), (dg, du)) = (gu.split_at(width), d.split_at_mut(width));
                    for i in 0..width {
                        let s = sigmoid(g[i]);
                        let silu = g[i] * s;
                        du[i] = dy[i] * silu;
                        dg[i] = dy[i] * u[i] * (s + silu * (1.0 - s));
                    }
                }
            },
        );
    });
}
