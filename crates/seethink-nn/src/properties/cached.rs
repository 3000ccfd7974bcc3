//! Attention to a key-value cache in the memory of the processor, in `f32`, against the one in
//! tensors, in `f64`.

use super::{close, heads, random, values};
use crate::{CacheShape, KvCache};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use proptest::prelude::*;

/// A step of rows that read, and then go, stay or branch.
#[derive(Debug, Clone)]
struct Step {
    seq: usize,
    /// One bit a token: 1 for padding.
    padding: u64,
    /// Rows that stay, modulo their number.
    rows: Vec<usize>,
    /// True if the last token of the first row is NaN.
    spoilt: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec(0usize..6, 1..6);
    // Every third step is nothing but padding.
    let padding = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)];
    let step = (1usize..5, padding, rows, prop::bool::weighted(0.1)).prop_map(|(seq, padding, rows, spoilt)| Step {
        seq,
        padding,
        rows,
        spoilt,
    });
    prop::collection::vec(step, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Also where padding is NaN, which the cache of the processor never reads.
    #[test]
    fn both_caches_see_the_same(steps in steps(), batch in 1usize..4, heads in heads(), seed in 0u64..1000) {
        let device = Device::default();
        let shape = CacheShape { n_layers: 1, batch, heads, max_seq: 64 };
        let [mut on_host, mut in_tensors] = [DType::F32, DType::F64].map(|dtype| KvCache::new(shape, dtype, &device));
        prop_assert!(on_host.has_rows_of_their_own() && !in_tensors.has_rows_of_their_own());
        for (number, Step { seq, padding, rows, spoilt }) in (1000 + seed..).zip(steps) {
            let batch = on_host.batch();
            let segments: Vec<i64> = (0..batch * seq).map(|token| -((padding >> (token % 64) & 1) as i64)).collect();
            let attend = |cache: &mut KvCache, dtype, of_padding: Option<f64>| {
                let mut qkv = random([batch, seq, heads.width()], number);
                let tokens = qkv.as_mut_slice::<f64>().expect("of f64").chunks_mut(heads.width());
                for (token, (qkv, segment)) in tokens.zip(&segments).enumerate() {
                    match of_padding {
                        Some(value) if *segment < 0 => qkv.fill(value),
                        _ if spoilt && *segment == 0 && token + 1 == seq => qkv.fill(f64::NAN),
                        _ => (),
                    }
                }
                let segments = Tensor::<2, Int>::from_data(TensorData::new(segments.clone(), [batch, seq]), &device);
                let mask = cache.extend(segments);
                values(cache.attend(0, Tensor::from_data(qkv, (&device, dtype)), &mask))
            };
            let found = attend(&mut on_host, DType::F32, Some(f64::NAN));
            let expected = attend(&mut in_tensors, DType::F64, None);
            let width = heads.n_heads * heads.d;
            for (token, _) in segments.iter().enumerate().filter(|(_, segment)| **segment == 0) {
                // What tokens before one that is NaN get is undefined.
                if !spoilt || token + 1 >= seq {
                    let of = |all: &[f64]| all[token * width..][..width].to_vec();
                    close(&format!("token {token} of {seq}"), &of(&found), &of(&expected));
                }
            }
            let rows: Vec<usize> = rows.iter().map(|row| row % batch).collect();
            on_host.select(&rows);
            in_tensors.select(&rows);
        }
    }
}
