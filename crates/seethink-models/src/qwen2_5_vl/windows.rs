//! Attention windows of an image.

/// Merged cells of an image, window by window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Windows {
    /// Indices of the cells, row-major in the image, in the order of the windows.
    pub(super) cells: Vec<usize>,
    /// Numbers of windows of one size, and of cells in each.
    pub(super) sizes: Vec<(usize, usize)>,
}

/// Divides a grid of merged cells into windows: squares of `side`, smaller at the right and lower
/// edge.
///
/// Windows of one shape follow one another: inner ones, then those of the right edge, the lower
/// edge and the corner, each from the top left. The reference goes row by row; nothing depends on
/// the order but the number of attention calls.
pub(super) fn windows(rows: usize, columns: usize, side: usize) -> Windows {
    let parts = |n: usize| {
        let whole = n / side;
        [(0..whole, side), (whole..whole + usize::from(!n.is_multiple_of(side)), n % side)]
    };
    let mut windows = Windows { cells: Vec::with_capacity(rows * columns), sizes: Vec::new() };
    for (window_rows, height) in parts(rows) {
        for (window_columns, width) in parts(columns) {
            let n = window_rows.len() * window_columns.len();
            if n > 0 {
                windows.sizes.push((n, height * width));
            }
            for window_row in window_rows.clone() {
                for window_column in window_columns.clone() {
                    let cell = |i| (window_row * side + i / width) * columns + window_column * side + i % width;
                    windows.cells.extend((0..height * width).map(cell));
                }
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_smaller() {
        let found = windows(3, 5, 2);
        assert_eq!(found.sizes, [(2, 4), (1, 2), (2, 2), (1, 1)]);
        assert_eq!(found.cells, [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]);
        assert_eq!(windows(2, 4, 2).sizes, [(2, 4)]);
        assert_eq!(windows(1, 1, 4), Windows { cells: vec![0], sizes: vec![(1, 1)] });
    }

    #[test]
    fn every_cell_is_in_one_window() {
        for (rows, columns, side) in [(1, 9, 4), (8, 8, 4), (7, 3, 2), (5, 5, 1), (2, 3, 9)] {
            let found = windows(rows, columns, side);
            let mut cells = found.cells.clone();
            cells.sort_unstable();
            assert_eq!(cells, (0..rows * columns).collect::<Vec<_>>());
            assert_eq!(found.sizes.iter().map(|(n, size)| n * size).sum::<usize>(), rows * columns);
        }
    }
}
