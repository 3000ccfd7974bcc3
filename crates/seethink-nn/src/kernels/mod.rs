//! Kernels of the processor: plain functions over slices of `f32`, which the fused operators of
//! [`Flex`](burn::backend::Flex) are made of.
//!
//! Rows are split among the threads of rayon's pool. Results do not depend on the number of
//! threads: sums over rows are taken in blocks of [`ROWS_OF_A_SUM`] rows, which are added in order.
//!
//! Vector instructions come from the compiler: loops run inside [`simd`], where it may use what the
//! processor has. Loops that are closures are not always compiled there, and then cost a
//! function call per multiplication: write them out.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod decode;
pub(crate) mod heads;
pub(crate) mod log_prob;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod softmax;
pub(crate) mod swiglu;

use rayon::prelude::*;

/// Rows whose sum is taken by one thread, before the sums are added in order.
const ROWS_OF_A_SUM: usize = 128;
/// Least number of elements that are worth another thread.
const ELEMENTS_OF_A_TASK: usize = 4096;
/// Lanes of a sum: independent partial sums, so that the compiler may use vectors.
const LANES: usize = 16;

/// Runs `f` compiled for the vector instructions of this processor.
#[inline(always)]
pub(crate) fn simd<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Number of rows of `width` elements for a task, such that every thread has one.
fn rows_of_a_task(rows: usize, width: usize) -> usize {
    let least = ELEMENTS_OF_A_TASK.div_ceil(width.max(1));
    rows.div_ceil(rayon::current_num_threads()).max(least).max(1)
}

/// Calls `f` with the rows of `out`, a range of rows at a time, on all threads. `f` receives the
/// index of the first row.
fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = out.len() / width.max(1);
    let step = rows_of_a_task(rows, width);
    if step >= rows {
        f(0, out);
    } else {
        out.par_chunks_mut(step * width).enumerate().for_each(|(task, out)| f(task * step, out));
    }
}

/// Calls `f` with blocks of [`ROWS_OF_A_SUM`] rows of `out`, and adds up the sums of `n` numbers
/// that it leaves in its last argument, in the order of the blocks.
fn for_rows_with_sums(
    out: &mut [f32],
    width: usize,
    n: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let blocks = (out.len() / width.max(1)).div_ceil(ROWS_OF_A_SUM).max(1);
    // A block has room for its sums even if there are none, so that none is left out.
    let room = n.max(1);
    let mut sums = vec![0.0; blocks * room];
    let block = ROWS_OF_A_SUM * width;
    out.par_chunks_mut(block.max(1))
        .zip(sums.par_chunks_mut(room))
        .enumerate()
        .for_each(|(block, (out, sums))| f(block * ROWS_OF_A_SUM, out, &mut sums[..n]));
    let (total, others) = sums.split_at_mut(room);
    for sums in others.chunks_exact(room) {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    sums.truncate(n);
    sums
}

/// Sum of the lanes, by halves.
#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum.
#[inline(always)]
fn total(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] += x[lane];
        }
    }
    sum_lanes(lanes) + rest.iter().sum::<f32>()
}

/// Dot product.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] = a[lane].mul_add(b[lane], lanes[lane]);
        }
    }
    let mut sum = sum_lanes(lanes);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum = a.mul_add(*b, sum);
    }
    sum
}

/// Largest element; NaN if there is one, minus infinity if there is none at all.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], x[lane]);
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = larger(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    let mut max = lanes[0];
    for x in rest {
        max = larger(max, *x);
    }
    max
}

/// The larger of two numbers; NaN if one of them is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a >= b || a.is_nan() { a } else { b }
}

/// Exponential function, by a polynomial after Cephes that the compiler turns into vector
/// instructions. Within 2 units in the last place; zero below −86.6, at 2e-38.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to the nearest integer, which its lowest bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.clamp(-86.6, 88.7).mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x.clamp(-86.6, 88.7)));
    let mut p = 1.987_569_1e-4f32;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, c);
    }
    let p = p.mul_add(r * r, r) + 1.0;
    // Twice half the power of two, which alone would overflow at 88.7.
    let half = f32::from_bits((shifted.to_bits().wrapping_add(126)) << 23);
    let y = p * half * 2.0;
    if x < -86.6 {
        0.0
    } else if x > 88.7 {
        f32::INFINITY
    } else {
        y
    }
}

/// Logistic function.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_within_two_units_of_the_last_place() {
        let mut worst = 0.0f64;
        for i in 0..400_000 {
            let x = -86.6 + 175.2 * i as f32 / 400_000.0;
            let exact = f64::from(x).exp();
            let unit = exact * f64::from(f32::EPSILON);
            worst = worst.max((f64::from(exp(x)) - exact).abs() / unit);
        }
        assert!(worst < 2.0, "{worst}");
        assert_eq!([f32::NEG_INFINITY, -1e30, -88.0].map(exp), [0.0; 3]);
        assert_eq!([f32::INFINITY, 1e30, 89.0].map(exp), [f32::INFINITY; 3]);
        assert_eq!([0.0, -0.0].map(exp), [1.0; 2]);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_largest_element_is_nan_if_one_is() {
        let mut x: Vec<f32> = (0..40).map(|i| (i * 7 % 40) as f32).collect();
        assert_eq!(largest(&x), 39.0);
        for at in [0, 20, 39] {
            let before = std::mem::replace(&mut x[at], f32::NAN);
            assert!(largest(&x).is_nan());
            x[at] = before;
        }
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
