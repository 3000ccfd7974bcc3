//! Attention of new tokens to the tokens that their rows have read.

use super::heads::HeadShape;
use super::matmul::{Matrix, MatrixMut, Onto, Threads, matmul};
use super::{exp, largest, simd, total};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Tokens of a page.
const TOKENS: usize = 32;
/// Most rows of a task: those that continue one prompt read it together.
const ROWS: usize = 16;

/// Keys and values of [`TOKENS`] tokens in all layers: of each layer and key-value head the keys,
/// `[d, TOKENS]`, then the values, `[TOKENS, d]`.
#[derive(Debug, Clone)]
struct Page(Vec<f32>);

/// Sequence of a cache.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What other rows have read too.
    shared: Vec<Arc<Section>>,
    /// What this row alone has read.
    own: Section,
}

/// Tokens that were read one after the other.
#[derive(Debug, Clone, Default)]
struct Section {
    pages: Vec<Page>,
    len: usize,
    /// Tokens of each layer whose keys and values are stored.
    stored: Vec<usize>,
}

impl Section {
    fn new(n_layers: usize) -> Self {
        Self { pages: Vec::new(), len: 0, stored: vec![0; n_layers] }
    }

    /// Makes room for `n` more tokens.
    fn extend(&mut self, n: usize, heads: HeadShape) {
        self.len += n;
        let size = 2 * self.stored.len() * heads.n_kv_heads * heads.d * TOKENS;
        self.pages.resize_with(self.len.div_ceil(TOKENS), || Page(vec![0.0; size]));
    }

    /// Stores the keys and values of a token: the next of the layer.
    fn write(&mut self, layer: usize, heads: HeadShape, qkv: &[f32]) {
        let HeadShape { n_heads, n_kv_heads, d } = heads;
        let token = self.stored[layer];
        self.stored[layer] += 1;
        let (page, slot) = (&mut self.pages[token / TOKENS], token % TOKENS);
        for kv_head in 0..n_kv_heads {
            let (keys, values) = page.of_mut(layer, kv_head, heads).split_at_mut(d * TOKENS);
            let (k, v) = ((n_heads + kv_head) * d, (n_heads + n_kv_heads + kv_head) * d);
            qkv[k..k + d].iter().enumerate().for_each(|(channel, &k)| keys[channel * TOKENS + slot] = k);
            values[slot * d..][..d].copy_from_slice(&qkv[v..v + d]);
        }
    }
}

impl Page {
    fn start(layer: usize, kv_head: usize, heads: HeadShape) -> usize {
        2 * (layer * heads.n_kv_heads + kv_head) * heads.d * TOKENS
    }

    /// Keys and values of a layer and head.
    fn of(&self, layer: usize, kv_head: usize, heads: HeadShape) -> (&[f32], &[f32]) {
        let n = heads.d * TOKENS;
        self.0[Self::start(layer, kv_head, heads)..][..2 * n].split_at(n)
    }

    fn of_mut(&mut self, layer: usize, kv_head: usize, heads: HeadShape) -> &mut [f32] {
        &mut self.0[Self::start(layer, kv_head, heads)..][..2 * heads.d * TOKENS]
    }
}

impl Row {
    pub(crate) fn new(n_layers: usize) -> Self {
        Self { shared: Vec::new(), own: Section::new(n_layers) }
    }

    /// Number of tokens read.
    pub(crate) fn len(&self) -> usize {
        self.shared.iter().map(|section| section.len).sum::<usize>() + self.own.len
    }

    /// Makes room for `n` more tokens.
    pub(crate) fn extend(&mut self, n: usize, heads: HeadShape) {
        self.own.extend(n, heads);
    }

    /// Stores the keys and values of new tokens.
    pub(crate) fn write<'a>(&mut self, layer: usize, heads: HeadShape, tokens: impl Iterator<Item = &'a [f32]>) {
        tokens.for_each(|token| self.own.write(layer, heads, token));
    }

    /// A row that has read the same; both continue on their own.
    pub(crate) fn branch(&mut self) -> Self {
        if self.own.len > 0 {
            let fresh = Section::new(self.own.stored.len());
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
        tasks.push((task, &qkv[tokens.start * width..tokens.end * width], &new[tokens], task_out));
        (rest, rest_out, start) = (others, others_out, start + n);
    }
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (rows, qkv, new, out)| {
        // Tokens of a row one after the other: each sees those before it.
        for token in 0..seq {
            for (row, qkv) in rows.iter_mut().zip(qkv.chunks_exact(seq * width)).zip(new.chunks_exact(seq)).filter_map(|((row, qkv), new)| new[token].then_some((row, qkv))) {
                row.own.write(layer, heads, &qkv[token * width..][..width]);
            }
            attend(rows, token, Step { layer, heads, seq, qkv, new }, out, scratch);
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

/// Buffers of a thread.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    seen: Vec<f32>,
}

/// Attention of one token of each row of a task.
fn attend(rows: &[Row], token: usize, step: Step<'_>, out: &mut [f32], Scratch { queries, scores, seen }: &mut Scratch) {
    let Step { layer, heads, seq, qkv, new } = step;
    let HeadShape { n_heads, n_kv_heads, d } = heads;
    let groups = n_heads / n_kv_heads;
    let scale = (d as f32).sqrt().recip();
    let pages = |section: &'_ Section| section.stored[layer].div_ceil(TOKENS);
    let n_shared: usize = rows[0].shared.iter().map(|section| pages(section) * TOKENS).sum();
    let n_own = rows.iter().map(|row| pages(&row.own) * TOKENS).max().unwrap_or(0);
    let n_keys = n_shared + n_own;
    let n_queries = rows.len() * groups;
    if n_keys == 0 {
        return;
    }
    // Scores of keys that a page has room for and does not hold stay zero weights.
    scores.resize(n_queries * n_keys, 0.0);
    queries.resize(n_queries * d, 0.0);
    seen.resize(n_queries * d, 0.0);
    for kv_head in 0..n_kv_heads {
        for (row, queries) in queries.chunks_exact_mut(groups * d).enumerate() {
            let q = &qkv[(row * seq + token) * heads.width() + kv_head * groups * d..][..groups * d];
            queries.iter_mut().zip(q).for_each(|(query, q)| *query = q * scale);
        }
        let all = Matrix::new(queries, n_queries, d);
        // Keys of the prompt, for all rows at once.
        let shared = || rows[0].shared.iter().flat_map(|section| section.pages[..pages(section)].iter());
        let blocks = |scores| MatrixMut::new(scores, n_queries, n_keys).column_blocks(TOKENS);
        for (page, scores) in shared().zip(blocks(scores.as_mut_slice())) {
            let keys = Matrix::new(page.of(layer, kv_head, heads).0, d, TOKENS);
            matmul(scores, all, keys, 1.0, Onto::Nothing, Threads::One);
        }
        for (index, row) in rows.iter().enumerate() {
            let places = row.places(layer, n_shared);
            for group in index * groups..(index + 1) * groups {
                let query = &queries[group * d..][..d];
                let scores = &mut scores[group * n_keys..][..n_keys];
                let own = scores[n_shared..].chunks_exact_mut(TOKENS);
                for (page, scores) in row.own.pages[..pages(&row.own)].iter().zip(own) {
                    simd(#[inline(always)] || score_page(query, page.of(layer, kv_head, heads).0, scores));
                }
                simd(#[inline(always)] || weigh(&places, scores));
            }
        }
        let weights = Matrix::new(scores, n_queries, n_keys);
        for (index, page) in shared().enumerate() {
            let onto = if index == 0 { Onto::Nothing } else { Onto::Before };
            let values = Matrix::new(page.of(layer, kv_head, heads).1, TOKENS, d);
            let seen = MatrixMut::new(seen, n_queries, d);
            matmul(seen, weights.columns(index * TOKENS..(index + 1) * TOKENS), values, 1.0, onto, Threads::One);
        }
        if n_shared == 0 {
            seen.fill(0.0);
        }
        for (index, row) in rows.iter().enumerate().filter(|(index, _)| new[index * seq + token]) {
            for group in 0..groups {
                let at = index * groups + group;
                let seen = &mut seen[at * d..][..d];
                let weights = scores[at * n_keys + n_shared..][..n_own].chunks_exact(TOKENS);
                for (page, weights) in row.own.pages[..pages(&row.own)].iter().zip(weights) {
                    simd(#[inline(always)] || add_values(weights, page.of(layer, kv_head, heads).1, seen));
                }
                let place = (index * seq + token) * n_heads * d + (kv_head * groups + group) * d;
                out[place..place + d].copy_from_slice(seen);
            }
        }
    }
}

/// Scores of the keys of a page.
#[inline(always)]
fn score_page(query: &[f32], keys: &[f32], scores: &mut [f32]) {
    let mut sums = [0.0; TOKENS];
    for (q, keys) in query.iter().zip(keys.chunks_exact(TOKENS)) {
        for token in 0..TOKENS {
            sums[token] = keys[token].mul_add(*q, sums[token]);
        }
    }
    scores.copy_from_slice(&sums);
}

impl Row {
    /// Places of the keys that the row has read, where each section begins with a page.
    fn places(&self, layer: usize, n_shared: usize) -> Vec<Range<usize>> {
        let mut start = 0;
        let place = |section: &Arc<Section>| {
            let held = start..start + section.stored[layer];
            start += section.stored[layer].div_ceil(TOKENS) * TOKENS;
            held
        };
        let mut places: Vec<Range<usize>> = self.shared.iter().map(place).collect();
        places.push(n_shared..n_shared + self.own.stored[layer]);
        places
    }
}

/// Turns the scores at the given places into weights that add up to one; others become zero.
#[inline(always)]
fn weigh(places: &[Range<usize>], scores: &mut [f32]) {
    let mut max = f32::NEG_INFINITY;
    for place in places {
        let of_place = largest(&scores[place.clone()]);
        max = if max >= of_place || max.is_nan() { max } else { of_place };
    }
    let mut sum = 0.0;
    for place in places {
        let held = &mut scores[place.clone()];
        for score in held.iter_mut() {
            *score = exp(*score - max);
        }
        sum += total(held);
    }
    let scale = sum.recip();
    let mut end = 0;
    for place in places {
        scores[end..place.start].fill(0.0);
        for weight in &mut scores[place.clone()] {
            *weight *= scale;
        }
        end = place.end;
    }
    scores[end..].fill(0.0);
}

/// Adds the values of a page, each times its weight.
#[inline(always)]
fn add_values(weights: &[f32], values: &[f32], seen: &mut [f32]) {
    for (weight, values) in weights.iter().zip(values.chunks_exact(seen.len())) {
        seen.iter_mut().zip(values).for_each(|(seen, value)| *seen = value.mul_add(*weight, *seen));
    }
}
