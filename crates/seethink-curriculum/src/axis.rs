//! Axes: properties by which problems are told apart.

use crate::{Corpus, CorpusEntry, CurriculumError};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// Axis: a property of problems, which maps each problem to a [`Key`].
///
/// A custom axis is a tag, computed with [`Corpus::with_tag`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Axis {
    /// Capability that the problem exercises.
    Capability,
    /// Prior pass rate: share of right completions, measured beforehand; 1 is the easiest.
    PassRate,
    /// Tag that holds a number.
    Score(String),
    /// Length of the known solution, characters.
    SolutionLength,
    /// Number of images.
    Images,
    /// Dataset that the problem comes from.
    Source,
    /// Tag, as a name.
    Tag(String),
}

/// Value of a problem on an axis. Numbers sort before names.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// Number; not NaN.
    Number(f64),
    /// Name.
    Name(String),
}

impl Axis {
    /// Key of a problem.
    ///
    /// # Errors
    /// If the problem lacks the property of the axis, or a score is not a number.
    pub fn key(&self, entry: &CorpusEntry) -> Result<Key, CurriculumError> {
        let tags = || entry.tags.keys().cloned().collect::<Vec<_>>().join(", ");
        let missing = || CurriculumError::MissingKey { axis: self.clone(), problem: entry.id, tags: tags() };
        let tag = |name: &String| entry.tags.get(name).ok_or_else(missing);
        Ok(match self {
            Self::Capability => Key::Name(entry.capability.to_string()),
            // Adding zero turns −0 into 0, which would otherwise be two keys.
            Self::PassRate => Key::Number(f64::from(entry.pass_rate.ok_or_else(missing)?.fraction()) + 0.0),
            Self::Score(name) => {
                let text = tag(name)?;
                let number = text.trim().parse::<f64>().ok().filter(|number| !number.is_nan());
                Key::Number(number.map(|number| number + 0.0).ok_or_else(|| CurriculumError::NotANumber {
                    axis: self.clone(),
                    problem: entry.id,
                    found: text.clone(),
                })?)
            }
            Self::SolutionLength => Key::Number(f64::from(entry.solution_length.ok_or_else(missing)?)),
            Self::Images => Key::Number(f64::from(entry.n_images)),
            Self::Source => Key::Name(entry.source.to_string()),
            Self::Tag(name) => Key::Name(tag(name)?.clone()),
        })
    }

    /// Key of a problem, as a number.
    ///
    /// # Errors
    /// As [`key`](Self::key), and if the keys of the axis are names.
    pub fn number(&self, entry: &CorpusEntry) -> Result<f64, CurriculumError> {
        match self.key(entry)? {
            Key::Number(number) => Ok(number),
            Key::Name(found) => Err(CurriculumError::NotANumber { axis: self.clone(), problem: entry.id, found }),
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability => f.write_str("capability"),
            Self::PassRate => f.write_str("pass rate"),
            Self::SolutionLength => f.write_str("solution length"),
            Self::Images => f.write_str("number of images"),
            Self::Source => f.write_str("source"),
            Self::Score(name) | Self::Tag(name) => write!(f, "tag `{name}`"),
        }
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Name(a), Self::Name(b)) => a.cmp(b),
            (Self::Number(_), Self::Name(_)) => Ordering::Less,
            (Self::Name(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Partition of a corpus into categories, by one axis or by several at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Axes; each combination of their keys that occurs is a category.
    pub axes: Vec<Axis>,
    /// Number of categories of about equal size that each axis of numbers is cut into, with equal
    /// numbers together; `None` makes every number a category of its own.
    #[serde(default)]
    pub bins: Option<u32>,
}

/// Categories of a corpus.
#[derive(Debug, Clone)]
pub struct Categories {
    names: Vec<String>,
    /// Positions in the corpus, ascending, `[category]`.
    members: Vec<Vec<u32>>,
    /// Category of each position in the corpus.
    of: Vec<u32>,
}

impl Partition {
    /// Partition by one axis, with a category for every key.
    pub fn by(axis: Axis) -> Self {
        Self { axes: vec![axis], bins: None }
    }

    /// Cuts a corpus into categories, ordered by their keys.
    ///
    /// # Errors
    /// If a problem lacks a key, or there are no axes or no bins.
    pub fn of(&self, corpus: &Corpus) -> Result<Categories, CurriculumError> {
        if self.axes.is_empty() || self.bins == Some(0) {
            return Err(CurriculumError::NoCategories);
        }
        let columns = self.axes.iter().map(|axis| self.column(axis, corpus)).collect::<Result<Vec<_>, _>>()?;
        let mut members: BTreeMap<Vec<(u32, &str)>, Vec<u32>> = BTreeMap::new();
        for position in 0..corpus.len() {
            let key = columns.iter().map(|column| column.at(position)).collect();
            members.entry(key).or_default().push(position as u32);
        }
        let name = |key: &Vec<(u32, &str)>| key.iter().map(|(_, name)| *name).collect::<Vec<_>>().join("/");
        let names = members.keys().map(name).collect();
        let members: Vec<Vec<u32>> = members.into_values().collect();
        let mut of = vec![0; corpus.len()];
        for (category, members) in (0..).zip(&members) {
            members.iter().for_each(|&position| of[position as usize] = category);
        }
        Ok(Categories { names, members, of })
    }

    fn column(&self, axis: &Axis, corpus: &Corpus) -> Result<Column, CurriculumError> {
        let (mut ranks, keys) = ranks(axis, corpus)?;
        let bins = self.bins.filter(|_| keys.iter().all(|key| matches!(key, Key::Number(_)))).map(|bins| bins as usize);
        let Some(bins) = bins.filter(|&bins| bins < keys.len()) else {
            return Ok(Column { ranks, names: keys.iter().map(Key::to_string).collect() });
        };
        // A key goes into the bin that holds the middle of its problems.
        let mut counts = vec![0usize; keys.len()];
        ranks.iter().for_each(|&rank| counts[rank as usize] += 1);
        let (mut bin_of, mut names, mut before) = (Vec::new(), Vec::<(usize, usize, usize)>::new(), 0);
        for (rank, &count) in counts.iter().enumerate() {
            let bin = (before + count / 2) * bins / corpus.len().max(1);
            match names.last_mut() {
                Some((last, _, end)) if *last == bin => *end = rank,
                _ => names.push((bin, rank, rank)),
            }
            bin_of.push(names.len() as u32 - 1);
            before += count;
        }
        ranks.iter_mut().for_each(|rank| *rank = bin_of[*rank as usize]);
        let name = |&(_, first, last): &(usize, usize, usize)| {
            if first == last { keys[first].to_string() } else { format!("{}..={}", keys[first], keys[last]) }
        };
        Ok(Column { ranks, names: names.iter().map(name).collect() })
    }
}

/// Column of a partition: one of its axes.
struct Column {
    /// Index into `names` for each position in the corpus.
    ranks: Vec<u32>,
    names: Vec<String>,
}

impl Column {
    fn at(&self, position: usize) -> (u32, &str) {
        let rank = self.ranks[position];
        (rank, &self.names[rank as usize])
    }
}

impl Categories {
    /// Number of categories.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether there are no categories.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names of the categories, such as `perception` or `perception/0..=0.25`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Positions in the corpus of the problems of a category, ascending; never empty.
    pub fn members(&self, category: usize) -> &[u32] {
        &self.members[category]
    }

    /// Category of a position in the corpus.
    pub fn of(&self, position: usize) -> usize {
        self.of[position] as usize
    }
}

/// Rank of every problem's key among the keys of an axis that occur, and those keys, ascending.
pub(crate) fn ranks(axis: &Axis, corpus: &Corpus) -> Result<(Vec<u32>, Vec<Key>), CurriculumError> {
    let mut keyed = corpus
        .iter()
        .zip(0u32..)
        .map(|(entry, at)| Ok((axis.key(entry)?, at)))
        .collect::<Result<Vec<_>, CurriculumError>>()?;
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut ranks = vec![0; keyed.len()];
    let mut keys: Vec<Key> = Vec::new();
    for (key, position) in keyed {
        if keys.last() != Some(&key) {
            keys.push(key);
        }
        ranks[position as usize] = keys.len() as u32 - 1;
    }
    Ok((ranks, keys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::three;
    use seethink_core::{Capability, PassRate, ProblemId};

    fn entry() -> CorpusEntry {
        let tags = [("level", " 2.5"), ("zero", "-0"), ("format", "judge"), ("bad", "NaN")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        CorpusEntry {
            pass_rate: PassRate::new(-0.0).ok(),
            n_images: 2,
            source: "docci".into(),
            tags: tags.into(),
            ..CorpusEntry::new(ProblemId(1), Capability::PERCEPTION)
        }
    }

    #[test]
    fn every_axis_reads_its_column() {
        let name = |name: &str| Key::Name(name.to_owned());
        let cases = [
            (Axis::Capability, name("perception")),
            (Axis::PassRate, Key::Number(0.0)),
            (Axis::Score("level".into()), Key::Number(2.5)),
            (Axis::Score("zero".into()), Key::Number(0.0)),
            (Axis::Images, Key::Number(2.0)),
            (Axis::Source, name("docci")),
            (Axis::Tag("format".into()), name("judge")),
        ];
        for (axis, key) in cases {
            let found = axis.key(&entry()).unwrap();
            assert_eq!((found.to_string(), found), (key.to_string(), key), "{axis}");
        }
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let bad = [
            (Axis::SolutionLength, "no solution length"),
            (
                Axis::Tag("elsewhere".into()),
                "no tag `elsewhere`, which the curriculum goes by; its tags are [bad, format, level, zero] (",
            ),
            (Axis::Score("format".into()), "`judge`"),
            (Axis::Score("bad".into()), "`NaN`"),
        ];
        for (axis, expected) in bad {
            let message = axis.key(&entry()).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("0000000000000001"), "{message}");
        }
        assert!(Axis::Capability.number(&entry()).is_err());
    }

    #[test]
    fn numbers_come_before_names_and_each_in_their_order() {
        let numbers = [-1.0, 0.0, 2.5, 10.0].map(Key::Number);
        let keys: Vec<Key> = numbers.into_iter().chain(["10", "9", "a"].map(|name| Key::Name(name.into()))).collect();
        assert!(keys.is_sorted_by(|a, b| a < b && b.cmp(a) == Ordering::Greater), "{keys:?}");
    }

    #[test]
    fn partitions_cut_along_one_axis_or_two() {
        let corpus = three(40, 30, 20);
        let capability = Partition::by(Axis::Capability).of(&corpus).unwrap();
        assert_eq!(capability.names(), ["perception", "textual_reasoning", "visual_reasoning"]);
        assert_eq!((0..3).map(|c| capability.members(c).len()).collect::<Vec<_>>(), [40, 30, 20]);
        assert!(!capability.is_empty() && Partition::by(Axis::Capability).of(&three(0, 0, 0)).unwrap().is_empty());

        let both = Partition { axes: vec![Axis::Capability, Axis::PassRate], bins: Some(2) }.of(&corpus).unwrap();
        assert_eq!(both.len(), 6, "{:?}", both.names());
        let sizes: Vec<usize> = (0..6).map(|c| both.members(c).len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 90);
        for category in 0..both.len() {
            assert!(both.members(category).iter().all(|&position| both.of(position as usize) == category));
        }

        let bins = Partition { axes: vec![Axis::PassRate], bins: Some(3) }.of(&corpus).unwrap();
        let sizes: Vec<usize> = (0..bins.len()).map(|c| bins.members(c).len()).collect();
        assert!(sizes.len() == 3 && sizes.iter().all(|&n| n.abs_diff(30) < 8), "{sizes:?}");

        // With no more numbers than bins, each number is a category, however few problems it has.
        let images = Corpus::new((0..10).map(|id| CorpusEntry {
            n_images: (id as u32).min(2),
            ..CorpusEntry::new(ProblemId(id), Capability::PERCEPTION)
        }));
        let images = images.unwrap();
        let cut = |bins: u32| Partition { axes: vec![Axis::Images], bins: Some(bins) }.of(&images).unwrap();
        assert_eq!([2, 3, 4].map(|bins| cut(bins).names().join(", ")), ["0..=1, 2", "0, 1, 2", "0, 1, 2"]);
        assert_eq!((0..3).map(|c| cut(3).members(c).len()).collect::<Vec<_>>(), [1, 1, 8]);
        let none = Partition { axes: vec![], bins: None }.of(&corpus).unwrap_err();
        assert!(matches!(none, CurriculumError::NoCategories));
    }
}
