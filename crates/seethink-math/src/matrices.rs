//! Matrices, and sums and products of them.

use super::compare::{Comparison, Found, Reason, parts};
use super::expr::{Expr, Function};
use super::{Fuel, OutOfFuel};

/// Cells of a matrix, `[row][column]`.
type Cells = Vec<Vec<Expr>>;

/// Evaluates a matrix, or a sum or a product of matrices and numbers, to its cells.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn matrix(expr: &Expr, fuel: &mut Fuel) -> Result<Option<Cells>, OutOfFuel> {
    match expr {
        Expr::Matrix(rows) => Ok(Some(rows.clone())),
        Expr::Sum(items) => {
            let mut sum: Option<Cells> = None;
            for item in items {
                let Some(next) = matrix(item, fuel)? else { return Ok(None) };
                sum = Some(match sum {
                    None => next,
                    Some(sum) if (sum.len(), sum[0].len()) == (next.len(), next[0].len()) => added(sum, next),
                    Some(_) => return Ok(None),
                });
            }
            Ok(sum)
        }
        Expr::Product(items) => {
            let mut numbers = Vec::new();
            let mut product: Option<Cells> = None;
            for item in items {
                match (matrix(item, fuel)?, &product) {
                    (None, _) if item.is_scalar() => numbers.push(item.clone()),
                    (None, _) => return Ok(None),
                    (Some(next), None) => product = Some(next),
                    (Some(next), Some(left)) if left[0].len() == next.len() => {
                        product = Some(multiplied(left, &next, fuel)?);
                    }
                    (Some(_), Some(_)) => return Ok(None),
                }
            }
            let scaled = |cell: Expr| Expr::Product(numbers.iter().cloned().chain([cell]).collect());
            Ok(product.map(|rows| rows.into_iter().map(|row| row.into_iter().map(scaled).collect()).collect()))
        }
        Expr::Call(Function::Transpose, items) => {
            let Some(item) = items.first() else { return Ok(None) };
            let turned = |rows: Cells| {
                (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect()
            };
            Ok(matrix(item, fuel)?.map(turned))
        }
        _ => Ok(None),
    }
}

fn added(one: Cells, other: Cells) -> Cells {
    let add = |(one, other): (Vec<Expr>, Vec<Expr>)| {
        one.into_iter().zip(other).map(|(one, other)| Expr::Sum(vec![one, other])).collect()
    };
    one.into_iter().zip(other).map(add).collect()
}

/// Product of two matrices; each factor at least doubles the size of the cells.
fn multiplied(left: &Cells, right: &Cells, fuel: &mut Fuel) -> Result<Cells, OutOfFuel> {
    let mut product = Cells::new();
    for row in left {
        let mut cells = Vec::new();
        for column in 0..right[0].len() {
            let mut terms = Vec::new();
            for (one, below) in row.iter().zip(right) {
                fuel.burn(40 * (one.size() + below[column].size()))?;
                terms.push(Expr::Product(vec![one.clone(), below[column].clone()]));
            }
            cells.push(Expr::Sum(terms));
        }
        product.push(cells);
    }
    Ok(product)
}

/// Compares two matrices by shape and cells.
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
