//! Index of a checked file: metadata of its rows.

use crate::row::Place;
use arrow_array::builder::{Float32Builder, ListBuilder, StringDictionaryBuilder, UInt32Builder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use arrow_array::{Array, DictionaryArray, Float32Array, ListArray, UInt32Array, UInt64Array};
use seethink_core::{PassRate, Problem, ProblemId};

/// Column of repeated texts.
pub(super) type Names = DictionaryArray<Int32Type>;

/// Index of a file: metadata of its rows, column by column.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) ids: UInt64Array,
    pub(super) lines: UInt64Array,
    pub(super) offsets: UInt64Array,
    pub(super) pass_rates: Float32Array,
    pub(super) solution_lengths: UInt32Array,
    pub(super) n_tokens: UInt32Array,
    /// Content key of each image of a row.
    pub(super) image_keys: ListArray,
    /// Image sizes of a row: width and height, width and height, …, pixels.
    pub(super) image_sizes: ListArray,
    pub(super) capabilities: Names,
    pub(super) sources: Names,
    pub(super) tags: Vec<(String, Names)>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn id(&self, row: usize) -> ProblemId {
        ProblemId(self.ids.value(row))
    }

    pub(super) fn place(&self, row: usize) -> Place {
        Place { line: self.lines.value(row), offset: self.offsets.value(row) }
    }

    pub(super) fn pass_rate(&self, row: usize) -> Option<PassRate> {
        self.pass_rates.is_valid(row).then(|| self.pass_rates.value(row)).and_then(|rate| PassRate::new(rate).ok())
    }

    pub(super) fn solution_length(&self, row: usize) -> Option<u32> {
        self.solution_lengths.is_valid(row).then(|| self.solution_lengths.value(row))
    }

    pub(super) fn n_tokens(&self, row: usize) -> Option<u32> {
        self.n_tokens.is_valid(row).then(|| self.n_tokens.value(row))
    }

    pub(super) fn image_keys(&self, row: usize) -> &[u64] {
        let (from, to) = bounds(&self.image_keys, row);
        &self.image_keys.values().as_primitive::<UInt64Type>().values()[from..to]
    }

    pub(super) fn image_sizes(&self, row: usize) -> &[u32] {
        let (from, to) = bounds(&self.image_sizes, row);
        &self.image_sizes.values().as_primitive::<UInt32Type>().values()[from..to]
    }

    pub(super) fn capability(&self, row: usize) -> &str {
        name(&self.capabilities, row).unwrap_or_default()
    }

    pub(super) fn source(&self, row: usize) -> &str {
        name(&self.sources, row).unwrap_or_default()
    }

    pub(super) fn tags(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        self.tags.iter().filter_map(move |(key, values)| Some((key.as_str(), name(values, row)?)))
    }
}

/// Start and end of a row's items in a list column.
fn bounds(list: &ListArray, row: usize) -> (usize, usize) {
    (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize)
}

fn name(names: &Names, row: usize) -> Option<&str> {
    let key = names.key(row)?;
    names.values().as_string_opt::<i32>().map(|values| values.value(key))
}

/// Builder of an index, row by row.
#[derive(Default)]
pub(super) struct IndexBuilder {
    ids: UInt64Builder,
    lines: UInt64Builder,
    offsets: UInt64Builder,
    pass_rates: Float32Builder,
    solution_lengths: UInt32Builder,
    n_tokens: UInt32Builder,
    image_keys: ListBuilder<UInt64Builder>,
    image_sizes: ListBuilder<UInt32Builder>,
    capabilities: StringDictionaryBuilder<Int32Type>,
    sources: StringDictionaryBuilder<Int32Type>,
    tags: Vec<(String, StringDictionaryBuilder<Int32Type>)>,
}

/// Checked row: problem, image keys and sizes, and number of tokens.
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) problem: Problem,
    pub(super) image_keys: Vec<u64>,
    pub(super) image_sizes: Vec<(u32, u32)>,
    pub(super) n_tokens: Option<usize>,
}

impl IndexBuilder {
    pub(super) fn new(tags: &[String]) -> Self {
        Self { tags: tags.iter().map(|tag| (tag.clone(), StringDictionaryBuilder::new())).collect(), ..Self::default() }
    }

    pub(super) fn push(&mut self, row: &Checked) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let problem = &row.problem;
        self.ids.append_value(problem.id.0);
        self.lines.append_value(row.place.line);
        self.offsets.append_value(row.place.offset);
        self.pass_rates.append_option(problem.pass_rate.map(PassRate::fraction));
        let solution = problem.solution.as_ref();
        self.solution_lengths.append_option(solution.map(|solution| count(solution.chars().count())));
        self.n_tokens.append_option(row.n_tokens.map(count));
        self.image_keys.values().append_slice(&row.image_keys);
        self.image_keys.append(true);
        row.image_sizes.iter().for_each(|&(width, height)| self.image_sizes.values().append_slice(&[width, height]));
        self.image_sizes.append(true);
        self.capabilities.append_value(problem.capability.as_str());
        self.sources.append_value(&problem.source);
        for (tag, values) in &mut self.tags {
            values.append_option(problem.tags.get(tag));
        }
    }

    pub(super) fn finish(mut self) -> Index {
        Index {
            ids: self.ids.finish(),
            lines: self.lines.finish(),
            offsets: self.offsets.finish(),
            pass_rates: self.pass_rates.finish(),
            solution_lengths: self.solution_lengths.finish(),
            n_tokens: self.n_tokens.finish(),
            image_keys: self.image_keys.finish(),
            image_sizes: self.image_sizes.finish(),
            capabilities: self.capabilities.finish(),
            sources: self.sources.finish(),
            tags: self.tags.into_iter().map(|(tag, mut values)| (tag, values.finish())).collect(),
        }
    }
}
