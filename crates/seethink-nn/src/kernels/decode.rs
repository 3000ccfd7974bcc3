//! Attention of new tokens to the tokens that their rows have read.

use super::heads::HeadShape;
use super::matmul::{Matrix, MatrixMut, Onto, Threads, matmul};
use super::{dot, exp, largest, simd, total};
use rayon::prelude::*;
use std::sync::Arc;

/// Most rows of a task: those that continue one prompt read it together.
const ROWS: usize = 16;

/// Sequence of a cache.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Tokens that other rows have read too.
    shared: Vec<Arc<Section>>,
    /// Tokens that this row alone has read.
    own: Section,
    /// Number of tokens read.
    len: usize,
}

/// Tokens that were read one after the other: of each layer the keys and values,
/// `[len, 2 · n_kv_heads · d]`.
#[derive(Debug, Clone)]
struct Section(Vec<Vec<f32>>);

impl Section {
    fn new(n_layers: usize) -> Self {
        Self(vec![Vec::new(); n_layers])
    }

    /// Keys and values of a head of a layer.
    fn of(&self, layer: usize, kv_head: usize, HeadShape { n_kv_heads, d, .. }: HeadShape) -> [Matrix<'_>; 2] {
        let (data, width) = (&self.0[layer], 2 * n_kv_heads * d);
        [kv_head, n_kv_heads + kv_head].map(|head| {
            let start = (head * d).min(data.len());
            Matrix::strided(&data[start..], [data.len() / width, d], [width, 1])
        })
    }
}

impl Row {
    pub(crate) fn new(n_layers: usize) -> Self {
        Self { shared: Vec::new(), own: Section::new(n_layers), len: 0 }
    }

    /// Number of tokens read.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Counts new tokens, which [`write`](Self::write) stores.
    pub(crate) fn extend(&mut self, n: usize) {
        self.len += n;
    }

    /// Stores the keys and values of a new token.
    pub(crate) fn write(&mut self, layer: usize, HeadShape { n_heads, d, .. }: HeadShape, qkv: &[f32]) {
        self.own.0[layer].extend_from_slice(&qkv[n_heads * d..]);
    }

    /// A row that has read the same; both continue on their own.
    pub(crate) fn branch(&mut self) -> Self {
        if self.own.0.iter().any(|layer| !layer.is_empty()) {
            let fresh = Section::new(self.own.0.len());
            self.shared.push(Arc::new(std::mem::replace(&mut self.own, fresh)));
        }
        self.clone()
    }

    /// Returns whether both rows continue the same prompt.
    fn continues_with(&self, other: &Self) -> bool {
        match (self.shared.last(), other.shared.last()) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) && self.shared.len() == other.shared.len(),
            _ => false,
        }
    }
}

/// Stores the keys and values of new tokens and returns what they see, `[batch, seq, n_heads · d]`;
/// zeros for padding.
///
/// `qkv`: `[batch, seq, width]`; `new`: true for a token, false for padding, `[batch, seq]`.
pub(crate) fn attend_rows(rows: &mut [Row], layer: usize, heads: HeadShape, qkv: &[f32], new: &[bool]) -> Vec<f32> {
    let (width, out_width) = (heads.width(), heads.n_heads * heads.d);
    let seq = new.len() / rows.len();
    let mut out = vec![0.0; new.len() * out_width];
    let mut tasks = Vec::new();
    let (mut rest, mut rest_out, mut start) = (rows, out.as_mut_slice(), 0);
    while !rest.is_empty() {
        let n = rest.iter().take(ROWS).take_while(|row| rest[0].continues_with(row)).count().max(1);
        let (task, others) = rest.split_at_mut(n);
        let (task_out, others_out) = rest_out.split_at_mut(n * seq * out_width);
        let tokens = start * seq..(start + n) * seq;
        let qkv = &qkv[tokens.start * width..tokens.end * width];
        tasks.push((task, Step { layer, heads, seq, qkv, new: &new[tokens] }, task_out));
        (rest, rest_out, start) = (others, others_out, start + n);
    }
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (rows, step, out)| {
        // Tokens of a row one after the other: each sees those before it.
        for token in 0..seq {
            for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| step.new[index * seq + token]) {
                row.write(layer, heads, step.qkv(index, token));
            }
            attend(rows, token, step, out, scratch);
        }
    });
    out
}

/// New tokens of the rows of a task.
#[derive(Clone, Copy)]
struct Step<'a> {
    layer: usize,
    heads: HeadShape,
    seq: usize,
    qkv: &'a [f32],
    new: &'a [bool],
}

impl<'a> Step<'a> {
    fn qkv(self, row: usize, token: usize) -> &'a [f32] {
        let width = self.heads.width();
        &self.qkv[(row * self.seq + token) * width..][..width]
    }
}

/// Buffers of a thread.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    seen: Vec<f32>,
}

/// Attention of one token of each row of a task, which continue one prompt.
fn attend(
    rows: &[Row],
    token: usize,
    step: Step<'_>,
    out: &mut [f32],
    Scratch { queries, scores, seen }: &mut Scratch,
) {
    let Step { layer, heads, seq, new, .. } = step;
    let HeadShape { n_heads, n_kv_heads, d } = heads;
    let groups = n_heads / n_kv_heads;
    let scale = (d as f32).sqrt().recip();
    let of_heads = |kv_head: usize| {
        let shared: Vec<[Matrix<'_>; 2]> =
            rows[0].shared.iter().map(|section| section.of(layer, kv_head, heads)).collect();
        let own: Vec<[Matrix<'_>; 2]> = rows.iter().map(|row| row.own.of(layer, kv_head, heads)).collect();
        (shared, own)
    };
    for kv_head in 0..n_kv_heads {
        let (shared, own) = of_heads(kv_head);
        let widths: Vec<usize> = shared.iter().map(|[keys, _]| keys.n_rows()).collect();
        let n_shared = widths.iter().sum::<usize>();
        let n_keys = n_shared + own.iter().map(|[keys, _]| keys.n_rows()).max().unwrap_or(0);
        let n_queries = rows.len() * groups;
        scores.resize(n_queries * n_keys, 0.0);
        queries.resize(n_queries * d, 0.0);
        seen.resize(n_queries * d, 0.0);
        for (row, queries) in queries.chunks_exact_mut(groups * d).enumerate() {
            let q = &step.qkv(row, token)[kv_head * groups * d..][..groups * d];
            queries.iter_mut().zip(q).for_each(|(query, q)| *query = q * scale);
        }
        // The prompt, for all rows at once.
        let all = Matrix::new(queries, n_queries, d);
        let parts =
            MatrixMut::new(scores, n_queries, n_keys).split_columns(&[&widths[..], &[n_keys - n_shared]].concat());
        for ([keys, _], part) in shared.iter().zip(parts) {
            matmul(part, all, keys.t(), 1.0, Onto::Nothing, Threads::One);
        }
        simd(
            #[inline(always)]
            || {
                for (index, [keys, _]) in own.iter().enumerate() {
                    for query in index * groups..(index + 1) * groups {
                        let scores = &mut scores[query * n_keys..][..n_shared + keys.n_rows()];
                        score_own(&queries[query * d..][..d], *keys, &mut scores[n_shared..]);
                        weigh(scores);
                    }
                }
            },
        );
        let (weights, mut start) = (Matrix::new(scores, n_queries, n_keys), 0);
        seen.fill(0.0);
        for [_, values] in &shared {
            let columns = start..start + values.n_rows();
            start = columns.end;
            let seen = MatrixMut::new(seen, n_queries, d);
            matmul(seen, weights.columns(columns), *values, 1.0, Onto::Before, Threads::One);
        }
        simd(
            #[inline(always)]
            || {
                for (index, [_, values]) in own.iter().enumerate() {
                    for query in index * groups..(index + 1) * groups {
                        let weights = &scores[query * n_keys + n_shared..][..values.n_rows()];
                        add_own(weights, *values, &mut seen[query * d..][..d]);
                    }
                }
            },
        );
        for (index, seen) in seen.chunks_exact(groups * d).enumerate().filter(|(index, _)| new[index * seq + token]) {
            let place = (index * seq + token) * n_heads * d + kv_head * groups * d;
            out[place..place + groups * d].copy_from_slice(seen);
        }
    }
}

/// Scores of a query and each of the keys.
#[inline(always)]
fn score_own(query: &[f32], keys: Matrix<'_>, scores: &mut [f32]) {
    for (token, score) in scores.iter_mut().enumerate() {
        *score = dot(query, keys.row(token));
    }
}

/// Turns scores into weights that add up to one.
#[inline(always)]
fn weigh(scores: &mut [f32]) {
    let max = largest(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    let scale = total(scores).recip();
    for weight in scores.iter_mut() {
        *weight *= scale;
    }
}

/// Adds values, each times its weight.
#[inline(always)]
fn add_own(weights: &[f32], values: Matrix<'_>, seen: &mut [f32]) {
    for (token, weight) in weights.iter().enumerate() {
        for (seen, value) in seen.iter_mut().zip(values.row(token)) {
            *seen = value.mul_add(*weight, *seen);
        }
    }
}
