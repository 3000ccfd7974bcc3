//! The fused operators where there is little, nothing or nothing finite to compute.

use super::cases::{OVER_SEGMENTS, Sizes, cases};
use super::{arguments, batch_of_segments, close, compare_at, heads, mask, random, run, values};
use crate::{AttentionMask, HeadShape, self_attention};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[test]
fn one_token() {
    for batch in [1, 2] {
        for case in cases(Sizes { batch, seq: 1, d: 4 }) {
            compare_at(case.name, |x, _| case.run(&x), &arguments(&case.shapes, 3), 3);
        }
    }
}

/// By themselves: some of burn's operators refuse shapes without elements.
#[test]
fn no_rows() {
    for case in cases(Sizes { batch: 0, seq: 3, d: 4 }) {
        let (y, gradients) = run(&|x: Vec<Tensor<2>>, _| case.run(&x), &arguments(&case.shapes, 3), 3, DType::F32);
        assert!(y.is_empty(), "{}: {y:?}", case.name);
        for (gradient, [rows, columns]) in gradients.iter().zip(&case.shapes) {
            assert_eq!(*gradient, vec![0.0; rows * columns], "{}", case.name);
        }
    }
}

#[test]
fn rows_of_padding_get_zeros() {
    let shape = HeadShape { n_heads: 2, n_kv_heads: 1, d: 4 };
    let segments = Tensor::<2, Int>::from_ints([[-1, -1, -1], [-1, 0, 0]], &Device::default());
    let mask = AttentionMask::causal(segments, 2);
    let attend = |x: Vec<Tensor<3>>, _| self_attention(x[0].clone(), shape, Some(&mask));
    let (y, gradients) = run(&attend, &[random([2, 3, shape.width()], 5)], 5, DType::F32);
    assert!(y[..4 * 8].iter().all(|&y| y == 0.0) && y[4 * 8..].iter().all(|&y| y != 0.0), "{y:?}");
    let (padding, tokens) = gradients[0].split_at(4 * shape.width());
    assert!(padding.iter().all(|&d| d == 0.0) && tokens.iter().any(|&d| d != 0.0), "{gradients:?}");
}

/// Writes into one element.
fn spoil(data: &mut TensorData, at: Index, value: f64) -> usize {
    let data = data.as_mut_slice::<f64>().expect("of f64");
    let at = at.index(data.len());
    data[at] = value;
    at
}

fn not_finite() -> impl Strategy<Value = f64> {
    select([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].as_slice())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Everything is NaN, which infinity, or which number, where it is in the composed operator.
    #[test]
    fn what_is_not_finite_goes_where_it_should(
        (batch, seq, d) in (1usize..3, 1usize..4, select([2usize, 4, 18, 32].as_slice())),
        (at, value) in (any::<Index>(), not_finite()),
        seed in 0u64..1000,
    ) {
        // Composed attention adds a bias to hidden scores and multiplies hidden values by zero, by which what is
        // not finite reaches every query of its row of the batch.
        for case in cases(Sizes { batch, seq, d }).iter().filter(|case| case.name != OVER_SEGMENTS) {
            for input in 0..case.shapes.len() {
                let mut arguments = arguments(&case.shapes, seed);
                spoil(&mut arguments[input], at, value);
                compare_at(&format!("{} of input {input}", case.name), |x, _| case.run(&x), &arguments, seed);
            }
        }
    }

    /// A query gets what the composed operator says from the tokens that it sees, and nothing from other rows, from
    /// padding and from segments that it does not see. What queries before a token in its segment get is undefined.
    #[test]
    fn what_is_not_finite_is_not_seen_by_others(
        (seq, segments) in batch_of_segments(),
        shape in heads(),
        (at, value) in (any::<Index>(), not_finite()),
        seed in 0u64..1000,
    ) {
        let mask = mask(&segments, seq, shape.n_heads / shape.n_kv_heads);
        let dims = [segments.len(), seq, shape.width()];
        let attend = |data: &TensorData, dtype| {
            let x = Tensor::<3>::from_data(data.clone(), (&Device::default().autodiff(), dtype));
            values(self_attention(x, shape, Some(&mask)))
        };
        let mut data = random(dims, seed);
        let clean = attend(&data, DType::F32);
        let spoilt = spoil(&mut data, at, value) / shape.width();
        let (found, expected) = (attend(&data, DType::F32), attend(&data, DType::F64));
        let of = |all: &[f64], token: usize| all[token * shape.n_heads * shape.d..][..shape.n_heads * shape.d].to_vec();
        for (token, &segment) in segments.concat().iter().enumerate().filter(|(_, segment)| **segment >= 0) {
            let own = segments[spoilt / seq][spoilt % seq];
            let (here, later) = (token / seq == spoilt / seq, token >= spoilt);
            if here && later && (own == 0 || own == segment) {
                close("what sees it", &of(&found, token), &of(&expected, token));
            } else if !here || own != segment {
                prop_assert_eq!(of(&found, token), of(&clean, token));
            }
        }
    }
}
