//! Products of matrices of any strides, with the `gemm` crate.
//!
//! The only unsafe code of the kernels: memory that is not written twice, views whose elements are
//! checked to lie in their slice when they are made, and disjoint parts of one matrix for several
//! threads. `cargo xtask validate --only sanitizer` runs the tests of this crate with every access
//! watched.

use super::{dot, simd};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Products of fewer multiplications are left to one thread.
const LEAST_FOR_THREADS: usize = 1 << 18;
/// Products of a single row with fewer multiplications are left to one thread.
const LEAST_FOR_THREADS_OF_A_ROW: usize = 1 << 16;

/// Elements to be overwritten, whatever they are; NaN in tests, which so see one that
/// was not.
///
/// Writing zeros first would take a twentieth of a training step, on one thread.
pub(crate) fn unwritten(n: usize) -> Vec<f32> {
    if cfg!(any(test, debug_assertions)) {
        return vec![f32::NAN; n];
    }
    let mut values: Vec<f32> = Vec::with_capacity(n);
    // SAFETY: every bit pattern is a number; the callers write each element before any is read.
    #[allow(clippy::uninit_vec)]
    unsafe {
        values.set_len(n);
    }
    values
}

/// A matrix in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Matrix of contiguous rows.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, [rows, columns], [columns, 1])
    }

    /// Matrix with its strides.
    ///
    /// # Panics
    /// If an element lies outside of the slice.
    pub(crate) fn strided(data: &'a [f32], [rows, columns]: [usize; 2], strides: [usize; 2]) -> Self {
        let [row_stride, column_stride] = strides;
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * row_stride + (columns - 1) * column_stride;
            assert!(
                last < data.len(),
                "a matrix of {rows}x{columns} elements reaches {last} in {} elements",
                data.len()
            );
        }
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.rows
    }

    /// Transpose.
    pub(crate) fn t(self) -> Self {
        let Self { data, rows, columns, row_stride, column_stride } = self;
        Self { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }

    /// A range of the rows.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        let data = &self.data[(range.start * self.row_stride).min(self.data.len())..];
        Self::strided(data, [range.len(), self.columns], [self.row_stride, self.column_stride])
    }

    /// A range of the columns.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        self.t().rows(range).t()
    }

    /// A row of adjacent elements.
    ///
    /// # Panics
    /// If the elements of a row are not adjacent.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        assert_eq!(self.column_stride, 1, "elements of a row are adjacent");
        &self.data[row * self.row_stride..][..self.columns]
    }
}

/// A matrix to be written; elements of a row are adjacent.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a unique borrow of its elements, which are `Send`.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// Matrix of contiguous rows.
    ///
    /// # Panics
    /// If the slice has another length.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "elements of a matrix of {rows}x{columns}");
        Self { data: data.as_mut_ptr(), rows, columns, row_stride: columns, owner: PhantomData }
    }

    /// Blocks of `width` columns.
    ///
    /// # Panics
    /// If the number of columns is no multiple of `width`.
    pub(crate) fn column_blocks(self, width: usize) -> Vec<MatrixMut<'a>> {
        let n_blocks = self.columns / width.max(1);
        self.split_columns(&vec![width; n_blocks])
    }

    /// Blocks of columns of the given widths.
    ///
    /// # Panics
    /// If the widths do not add up to the number of columns.
    pub(crate) fn split_columns(self, widths: &[usize]) -> Vec<MatrixMut<'a>> {
        assert_eq!(widths.iter().sum::<usize>(), self.columns, "columns in blocks of {widths:?}");
        let mut start = 0;
        let block = |&columns: &usize| {
            // SAFETY: blocks are disjoint and lie inside of the matrix, whose borrow ends here.
            let data = unsafe { self.data.add(start) };
            start += columns;
            MatrixMut { data, columns, ..self }
        };
        widths.iter().map(block).collect()
    }

    /// A range of the rows.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub(crate) fn rows_mut(&mut self, range: Range<usize>) -> MatrixMut<'_> {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        // SAFETY: the rows lie inside of the matrix, which is borrowed meanwhile.
        let data = unsafe { self.data.add(range.start * self.row_stride) };
        MatrixMut { data, rows: range.len(), owner: PhantomData, ..*self }
    }

    /// A row.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row lies inside of the matrix, which is borrowed meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride), self.columns) }
    }
}

/// Treatment of the matrix that a product is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    /// Overwrites it.
    Nothing,
    /// Adds to it.
    Before,
}

/// Threads that compute a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The thread that asks for it.
    One,
    /// All of rayon's pool, if the product is large enough.
    All,
}

/// `out = scale · a · b`, or added to `out`.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn matmul(mut out: MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>, scale: f32, onto: Onto, threads: Threads) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!([out.rows, b.rows, out.columns], [m, k, n], "shapes of a product");
    if m == 0 || n == 0 {
        return;
    }
    if m == 1 && a.column_stride == 1 && (b.column_stride == 1 || b.row_stride == 1) {
        return row_times_matrix(out.row_mut(0), a.row(0), b, scale, onto, threads);
    }
    let parallelism = match threads {
        Threads::All if m * n * k >= LEAST_FOR_THREADS => gemm::Parallelism::Rayon(0),
        _ => gemm::Parallelism::None,
    };
    // SAFETY: the elements of `a` and `b` were checked to lie in their slices; those of `out` are
    // borrowed uniquely, rows `row_stride` apart.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data,
            1,
            out.row_stride as isize,
            onto == Onto::Before,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Product of one row with a matrix: what limits it is reading the matrix.
fn row_times_matrix(out: &mut [f32], a: &[f32], b: Matrix<'_>, scale: f32, onto: Onto, threads: Threads) {
    let tasks = match threads {
        Threads::All if b.rows * b.columns >= LEAST_FOR_THREADS_OF_A_ROW => rayon::current_num_threads(),
        _ => 1,
    };
    let step = out.len().div_ceil(tasks);
    let task = |(task, out): (usize, &mut [f32])| {
        let b = b.columns(task * step..task * step + out.len());
        if onto == Onto::Nothing {
            out.fill(0.0);
        }
        simd(
            #[inline(always)]
            || {
                if b.column_stride == 1 {
                    add_rows(out, a, b, scale);
                } else {
                    let b = b.t();
                    for (j, out) in out.iter_mut().enumerate() {
                        *out += scale * dot(a, b.row(j));
                    }
                }
            },
        );
    };
    if tasks == 1 {
        task((0, out));
    } else {
        out.par_chunks_mut(step).enumerate().for_each(task);
    }
}

/// Adds the rows of `b`, each times an element of `a`, four at a time.
#[inline(always)]
fn add_rows(out: &mut [f32], a: &[f32], b: Matrix<'_>, scale: f32) {
    let n = out.len();
    let mut k = 0;
    while k + 4 <= a.len() {
        let [a0, a1, a2, a3] = [scale * a[k], scale * a[k + 1], scale * a[k + 2], scale * a[k + 3]];
        let (b0, b1, b2, b3) = (&b.row(k)[..n], &b.row(k + 1)[..n], &b.row(k + 2)[..n], &b.row(k + 3)[..n]);
        for j in 0..n {
            out[j] = b3[j].mul_add(a3, b2[j].mul_add(a2, b1[j].mul_add(a1, b0[j].mul_add(a0, out[j]))));
        }
        k += 4;
    }
    while k < a.len() {
        let (weight, b) = (scale * a[k], &b.row(k)[..n]);
        for j in 0..n {
            out[j] = b[j].mul_add(weight, out[j]);
        }
        k += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0).collect()
    }

    #[test]
    fn products_of_all_strides_are_sums_of_products() {
        for [m, k, n] in
            [[1, 7, 5], [1, 64, 40], [1, 300, 500], [3, 4, 2], [17, 33, 20], [90, 60, 70], [4, 1, 4], [2, 0, 3]]
        {
            let (a, b, before) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
            let (at, bt) = (numbers(m * k, 1), numbers(k * n, 2));
            for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
                let a = if left { Matrix::new(&at, k, m).t() } else { Matrix::new(&a, m, k) };
                let b = if right { Matrix::new(&bt, n, k).t() } else { Matrix::new(&b, k, n) };
                for (onto, threads) in [(Onto::Nothing, Threads::One), (Onto::Before, Threads::All)] {
                    let mut out = before.clone();
                    matmul(MatrixMut::new(&mut out, m, n), a, b, 0.5, onto, threads);
                    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                        let at = |x: Matrix<'_>, i: usize, j: usize| {
                            f64::from(x.data[i * x.row_stride + j * x.column_stride])
                        };
                        let sum: f64 = (0..k).map(|l| at(a, i, l) * at(b, l, j)).sum();
                        let old = if onto == Onto::Before { f64::from(before[i * n + j]) } else { 0.0 };
                        let found = f64::from(out[i * n + j]);
                        assert!((found - old - 0.5 * sum).abs() < 1e-4, "{found} in {m}x{k}x{n} at {i}, {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_of_columns_are_disjoint_parts() {
        let mut data = vec![0.0; 6];
        let mut blocks = MatrixMut::new(&mut data, 2, 3).split_columns(&[1, 2]);
        blocks[0].row_mut(1).fill(1.0);
        blocks[1].rows_mut(0..1).row_mut(0).fill(2.0);
        assert_eq!(data, [0.0, 2.0, 2.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "reaches 6 in 6 elements")]
    fn a_matrix_lies_in_its_slice() {
        Matrix::strided(&[0.0; 6], [2, 3], [4, 1]);
    }

    #[test]
    #[should_panic(expected = "shapes of a product")]
    fn shapes_must_fit() {
        let (a, b) = (vec![0.0; 6], vec![0.0; 6]);
        matmul(
            MatrixMut::new(&mut [0.0; 4], 2, 2),
            Matrix::new(&a, 2, 3),
            Matrix::new(&b, 2, 3),
            1.0,
            Onto::Nothing,
            Threads::One,
        );
    }
}
