//! Attention over segments: only what a query sees is computed.
//!
//! A row of a batch is cut into runs of tokens of one segment. A run sees earlier runs whole (those
//! of segment 0 and of its own) and itself up to the token. Queries go in blocks, whose scores are
//! one small matrix per block and head; the square of a whole row never exists.

use super::heads::HeadShape;
use super::matmul::{Matrix, MatrixMut, Onto, Threads, matmul};
use super::{exp, largest, simd, total};
use rayon::prelude::*;
use std::ops::Range;

/// Most queries of a block.
const QUERIES: usize = 64;
/// Elements of a block of scores, such that it stays in a core's cache.
const SCORES: usize = 1 << 16;

/// Tokens of a row that see the same tokens before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Tokens of the run.
    tokens: Range<usize>,
    /// Earlier tokens that all of them see.
    seen: Vec<Range<usize>>,
    /// True if a token of the run sees no later one.
    causal: bool,
}

/// Runs of a row of segments: 0 is seen by all later tokens, others by their own segment; padding
/// (−1) is in no run.
pub(crate) fn runs(segments: &[i64]) -> Vec<Run> {
    let mut runs: Vec<(i64, Run)> = Vec::new();
    let mut start = 0;
    for same in segments.chunk_by(|a, b| a == b) {
        let (segment, tokens) = (same[0], start..start + same.len());
        start = tokens.end;
        if segment < 0 {
            continue;
        }
        let mut seen: Vec<Range<usize>> = Vec::new();
        for (_, run) in runs.iter().filter(|(other, _)| *other == 0 || *other == segment) {
            match seen.last_mut() {
                Some(last) if last.end == run.tokens.start => last.end = run.tokens.end,
                _ => seen.push(run.tokens.clone()),
            }
        }
        runs.push((segment, Run { tokens, seen, causal: true }));
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

/// The run of a row in which every token sees every other.
pub(crate) fn whole(seq: usize) -> Vec<Run> {
    vec![Run { tokens: 0..seq, seen: Vec::new(), causal: false }]
}

/// Queries of a block, and the tokens that they see.
struct Block<'a> {
    queries: Range<usize>,
    run: &'a Run,
    /// The last of the tokens seen, those of the run itself.
    own: Range<usize>,
}

impl Run {
    /// Blocks of the queries of this run.
    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let n_seen = self.seen.iter().map(Range::len).sum::<usize>();
        let step = (SCORES / (n_seen + self.tokens.len())).clamp(8, QUERIES);
        self.tokens.clone().step_by(step).map(move |start| {
            let queries = start..(start + step).min(self.tokens.end);
            let end = if self.causal { queries.end } else { self.tokens.end };
            Block { own: self.tokens.start..end, run: self, queries }
        })
    }
}

impl Block<'_> {
    /// Ranges of tokens seen.
    fn keys(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.run.seen.iter().chain(std::iter::once(&self.own)).cloned()
    }

    fn widths(&self) -> Vec<usize> {
        self.keys().map(|keys| keys.len()).collect()
    }

    fn n_keys(&self) -> usize {
        self.keys().map(|keys| keys.len()).sum()
    }

    /// Number of keys that a query sees, the first ones.
    fn n_visible(&self, query: usize) -> usize {
        if self.run.causal { self.n_keys() - (self.queries.end - 1 - query) } else { self.n_keys() }
    }
}

/// Queries, keys and values of one row of a batch.
#[derive(Clone, Copy)]
struct Packed<'a> {
    data: &'a [f32],
    shape: HeadShape,
}

impl<'a> Packed<'a> {
    fn head(self, head: usize) -> Matrix<'a> {
        let HeadShape { d, .. } = self.shape;
        let width = self.shape.width();
        Matrix::strided(&self.data[head * d..], [self.data.len() / width, d], [width, 1])
    }

    fn q(self, head: usize) -> Matrix<'a> {
        self.head(head)
    }

    fn k(self, kv_head: usize) -> Matrix<'a> {
        self.head(self.shape.n_heads + kv_head)
    }

    fn v(self, kv_head: usize) -> Matrix<'a> {
        self.head(self.shape.n_heads + self.shape.n_kv_heads + kv_head)
    }

    fn scale(self) -> f32 {
        (self.shape.d as f32).sqrt().recip()
    }
}

/// `softmax(q · kᵀ / √d) · v` of each row of a batch; tokens in no run get zeros.
///
/// `qkv`: `[batch, seq, width]`; `out`: zeros, `[batch, seq, n_heads · d]`; `normalisers`: logarithm
/// of each query's normaliser, `[batch, n_heads, seq]`; `runs`: of each row of the batch, or of all
/// if there is one.
pub(crate) fn attention(
    qkv: &[f32],
    shape: HeadShape,
    runs: &[Vec<Run>],
    seq: usize,
    out: &mut [f32],
    normalisers: &mut [f32],
) {
    let HeadShape { n_heads, d, .. } = shape;
    if out.is_empty() {
        return;
    }
    let tasks: Vec<(usize, usize, MatrixMut<'_>)> = out
        .chunks_exact_mut(seq * n_heads * d)
        .enumerate()
        .flat_map(|(row, out)| {
            let heads = MatrixMut::new(out, seq, n_heads * d).column_blocks(d);
            heads.into_iter().enumerate().map(move |(head, out)| (row, head, out))
        })
        .collect();
    tasks.into_par_iter().zip(normalisers.par_chunks_exact_mut(seq)).for_each_init(
        Vec::new,
        |scores, ((row, head, mut out), normalisers)| {
            let packed = Packed { data: &qkv[row * seq * shape.width()..][..seq * shape.width()], shape };
            for block in runs[row % runs.len()].iter().flat_map(Run::blocks) {
                attend(packed, head, &block, scores, &mut out, normalisers);
            }
        },
    );
}

/// Attention of one block of queries of one head.
fn attend(
    packed: Packed<'_>,
    head: usize,
    block: &Block<'_>,
    scores: &mut Vec<f32>,
    out: &mut MatrixMut<'_>,
    normalisers: &mut [f32],
) {
    let (n_keys, n_queries) = (block.n_keys(), block.queries.len());
    let kv_head = head / (packed.shape.n_heads / packed.shape.n_kv_heads);
    score(packed, head, kv_head, block, scores);
    let mut sums = [0.0; QUERIES];
    simd(
        #[inline(always)]
        || {
            for ((query, scores), sum) in block.queries.clone().zip(scores.chunks_exact_mut(n_keys)).zip(&mut sums) {
                let (visible, hidden) = scores.split_at_mut(block.n_visible(query));
                let max = largest(visible);
                for score in visible.iter_mut() {
                    *score = exp(*score - max);
                }
                hidden.fill(0.0);
                *sum = total(visible);
                normalisers[query] = max + sum.ln();
            }
        },
    );
    let weights = Matrix::new(scores, n_queries, n_keys);
    let mut start = 0;
    for keys in block.keys() {
        let columns = start..start + keys.len();
        let onto = if start == 0 { Onto::Nothing } else { Onto::Before };
        start = columns.end;
        let out = out.rows_mut(block.queries.clone());
        matmul(out, weights.columns(columns), packed.v(kv_head).rows(keys), 1.0, onto, Threads::One);
    }
    for (query, sum) in block.queries.clone().zip(sums) {
        let scale = sum.recip();
        out.row_mut(query).iter_mut().for_each(|out| *out *= scale);
    }
}

/// Scores of a block, `[queries, keys]`.
fn score(packed: Packed<'_>, head: usize, kv_head: usize, block: &Block<'_>, scores: &mut Vec<f32>) {
    let q = packed.q(head).rows(block.queries.clone());
    products(q, packed.k(kv_head), packed.scale(), block, scores);
}

/// Products of the rows of `a` with the rows of `b` that a block sees, `[queries, keys]`.
fn products(a: Matrix<'_>, b: Matrix<'_>, scale: f32, block: &Block<'_>, out: &mut Vec<f32>) {
    let (n_queries, n_keys) = (block.queries.len(), block.n_keys());
    out.resize(n_queries * n_keys, 0.0);
    let parts = MatrixMut::new(out, n_queries, n_keys).split_columns(&block.widths());
    for (keys, part) in block.keys().zip(parts) {
        matmul(part, a, b.rows(keys).t(), scale, Onto::Nothing, Threads::One);
    }
}

/// Results of [`attention`], and the gradient of its output.
#[derive(Clone, Copy)]
pub(crate) struct Attended<'a> {
    /// `[batch, seq, n_heads · d]`
    pub(crate) out: &'a [f32],
    /// `[batch, n_heads, seq]`
    pub(crate) normalisers: &'a [f32],
    /// `[batch, seq, n_heads · d]`
    pub(crate) d_out: &'a [f32],
}

/// Gradient of [`attention`] with respect to queries, keys and values, which are zeros before.
pub(crate) fn attention_backward(
    qkv: &[f32],
    shape: HeadShape,
    runs: &[Vec<Run>],
    seq: usize,
    attended: Attended<'_>,
    d_qkv: &mut [f32],
) {
    let (width, d) = (shape.width(), shape.d);
    let HeadShape { n_heads, n_kv_heads, .. } = shape;
    if d_qkv.is_empty() {
        return;
    }
    let groups = n_heads / n_kv_heads;
    // A task is a key-value head, with its queries.
    let tasks: Vec<(usize, usize, Gradient<'_>)> = d_qkv
        .chunks_exact_mut(seq * width)
        .enumerate()
        .flat_map(|(row, d_qkv)| {
            let mut q = MatrixMut::new(d_qkv, seq, width).column_blocks(d);
            let v = q.split_off(n_heads + n_kv_heads);
            let k = q.split_off(n_heads);
            let mut q = q.into_iter();
            let heads = k.into_iter().zip(v).enumerate();
            let tasks =
                heads.map(|(kv_head, (k, v))| (row, kv_head, Gradient { q: q.by_ref().take(groups).collect(), k, v }));
            tasks.collect::<Vec<_>>()
        })
        .collect();
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (row, kv_head, mut gradient)| {
        let of_row = |x: &'_ [f32], width: usize| row * seq * width..(row * seq * width + seq * width).min(x.len());
        let packed = Packed { data: &qkv[of_row(qkv, width)], shape };
        let attended = Attended {
            out: &attended.out[of_row(attended.out, n_heads * d)],
            normalisers: &attended.normalisers[of_row(attended.normalisers, n_heads)],
            d_out: &attended.d_out[of_row(attended.d_out, n_heads * d)],
        };
        for block in runs[row % runs.len()].iter().flat_map(Run::blocks) {
            for group in 0..groups {
                let head = [kv_head * groups + group, kv_head, group];
                attend_back(packed, head, &block, attended, seq, scratch, &mut gradient);
            }
        }
    });
}

/// Gradients of the heads of a task.
struct Gradient<'a> {
    q: Vec<MatrixMut<'a>>,
    k: MatrixMut<'a>,
    v: MatrixMut<'a>,
}

/// Buffers of a thread.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    d_scores: Vec<f32>,
}

/// Gradient of one block of queries of one head; `head`: its index, that of its key-value head, and
/// that among the heads of the latter.
fn attend_back(
    packed: Packed<'_>,
    [head, kv_head, group]: [usize; 3],
    block: &Block<'_>,
    attended: Attended<'_>,
    seq: usize,
    Scratch { weights, d_scores }: &mut Scratch,
    gradient: &mut Gradient<'_>,
) {
    let HeadShape { n_heads, d, .. } = packed.shape;
    let (n_keys, n_queries) = (block.n_keys(), block.queries.len());
    let [out, d_out] = [attended.out, attended.d_out]
        .map(|x| Matrix::strided(&x[head * d..], [seq, d], [n_heads * d, 1]).rows(block.queries.clone()));
    score(packed, head, kv_head, block, weights);
    products(d_out, packed.v(kv_head), 1.0, block, d_scores);
    simd(
        #[inline(always)]
        || {
            let rows = weights.chunks_exact_mut(n_keys).zip(d_scores.chunks_exact_mut(n_keys));
            for (row, (weights, d_scores)) in rows.enumerate() {
                let query = block.queries.start + row;
                let n_visible = block.n_visible(query);
                weights[n_visible..].fill(0.0);
                d_scores[n_visible..].fill(0.0);
                let normaliser = attended.normalisers[head * seq + query];
                let mean = super::dot(out.row(row), d_out.row(row));
                for (weight, d_score) in weights[..n_visible].iter_mut().zip(&mut d_scores[..n_visible]) {
                    *weight = exp(*weight - normaliser);
                    *d_score = *weight * (*d_score - mean);
                }
            }
        },
    );
    let (weights, d_scores) = (Matrix::new(weights, n_queries, n_keys), Matrix::new(d_scores, n_queries, n_keys));
    let q = packed.q(head).rows(block.queries.clone());
    let scale = packed.scale();
    let mut start = 0;
    for keys in block.keys() {
        let columns = start..start + keys.len();
        start = columns.end;
        let (weights, d_scores) = (weights.columns(columns.clone()), d_scores.columns(columns));
        let d_q = gradient.q[group].rows_mut(block.queries.clone());
        matmul(d_q, d_scores, packed.k(kv_head).rows(keys.clone()), scale, Onto::Before, Threads::One);
        matmul(gradient.k.rows_mut(keys.clone()), d_scores.t(), q, scale, Onto::Before, Threads::One);
        matmul(gradient.v.rows_mut(keys), weights.t(), d_out, 1.0, Onto::Before, Threads::One);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_see_the_first_segment_and_their_own() {
        let found = runs(&[-1, 0, 0, 1, 1, 2, 0, 1, -1]);
        let found: Vec<_> = found.into_iter().map(|run| (run.tokens, run.seen, run.causal)).collect();
        let prompt = vec![Range { start: 1, end: 3 }];
        let expected = [
            (1..3, vec![], true),
            (3..5, prompt.clone(), true),
            (5..6, prompt.clone(), true),
            (6..7, prompt, true),
            (7..8, vec![1..5, 6..7], true),
        ];
        assert_eq!(found, expected);
        assert!(runs(&[-1, -1]).is_empty() && runs(&[]).is_empty());
    }
}
