//! Matrices, and what sums and products of them come to.

use super::Fuel;
use super::compare::{Comparison, Found, Reason, parts};
use super::expr::{Expr, Function};

/// The cells of a matrix, or of a sum or a product of matrices and numbers.
pub(super) fn matrix(expr: &Expr) -> Option<Vec<Vec<Expr>>> {
    match expr {
        Expr::Matrix(rows) => Some(rows.clone()),
        Expr::Sum(items) => {
            let matrices: Vec<_> = items.iter().map(matrix).collect::<Option<_>>()?;
            let (first, rest) = matrices.split_first()?;
            rest.iter().try_fold(first.clone(), |sum, other| {
                let same_shape = sum.len() == other.len() && sum[0].len() == other[0].len();
                let add = |(one, other): (&Vec<Expr>, &Vec<Expr>)| {
                    one.iter().zip(other).map(|(one, other)| Expr::Sum(vec![one.clone(), other.clone()])).collect()
                };
                same_shape.then(|| sum.iter().zip(other).map(add).collect())
            })
        }
        Expr::Product(items) => {
            let mut numbers = Vec::new();
            let mut product: Option<Vec<Vec<Expr>>> = None;
            for item in items {
                match (matrix(item), &product) {
                    (None, _) if item.is_scalar() => numbers.push(item.clone()),
                    (None, _) => return None,
                    (Some(next), None) => product = Some(next),
                    (Some(next), Some(left)) => {
                        if left[0].len() != next.len() {
                            return None;
                        }
                        let cell = |row: &Vec<Expr>, column: usize| {
                            Expr::Sum(
                                row.iter()
                                    .zip(&next)
                                    .map(|(one, below)| Expr::Product(vec![one.clone(), below[column].clone()]))
                                    .collect(),
                            )
                        };
                        product = Some(
                            left.iter()
                                .map(|row| (0..next[0].len()).map(|column| cell(row, column)).collect())
                                .collect(),
                        );
                    }
                }
            }
            let scaled = |cell: Expr| Expr::Product(numbers.iter().cloned().chain([cell]).collect());
            Some(product?.into_iter().map(|row| row.into_iter().map(scaled).collect()).collect())
        }
        Expr::Call(Function::Transpose, items) => {
            let rows = matrix(items.first()?)?;
            Some((0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect())
        }
        _ => None,
    }
}

pub(super) fn same_matrices(truth: &[Vec<Expr>], answer: &[Vec<Expr>], how: &Comparison, fuel: &mut Fuel) -> Found {
    if truth.len() != answer.len() || truth[0].len() != answer[0].len() {
        return Ok(None);
    }
    for (truth, answer) in truth.iter().flatten().zip(answer.iter().flatten()) {
        if parts(truth, answer, how, fuel)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(Reason::Parts))
}
