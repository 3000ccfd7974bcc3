//! Corpus: the metadata of problems that a policy may see, without their pixels.

use crate::CurriculumError;
use crate::fingerprint::Fingerprint;
use seethink_core::{Capability, PassRate, Problem, ProblemId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Metadata of the problems of a run, or of a part of them.
///
/// Problems are sorted by id, so that draws do not depend on the order in which files are read.
/// Clones and parts share the metadata.
#[derive(Clone)]
pub struct Corpus {
    entries: Arc<[CorpusEntry]>,
    /// Indices into `entries`, ascending.
    members: Arc<[u32]>,
}

/// Metadata of one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusEntry {
    /// Problem id.
    pub id: ProblemId,
    /// Capability that the problem exercises.
    pub capability: Capability,
    /// Prior pass rate, measured with some model, if known.
    pub pass_rate: Option<PassRate>,
    /// Dataset that the problem comes from.
    pub source: Arc<str>,
    /// Number of images.
    pub n_images: u32,
    /// Length of the known solution, if there is one, characters.
    pub solution_length: Option<u32>,
    /// Tags by name: further properties that a policy may sort by.
    pub tags: BTreeMap<String, String>,
}

impl Corpus {
    /// Builds a corpus from entries.
    ///
    /// # Errors
    /// If two entries have the same id, or there are more than `u32::MAX`.
    pub fn new(entries: impl IntoIterator<Item = CorpusEntry>) -> Result<Self, CurriculumError> {
        let mut numbered: Vec<(usize, CorpusEntry)> = entries.into_iter().enumerate().collect();
        let Ok(n) = u32::try_from(numbered.len()) else {
            return Err(CurriculumError::TooManyProblems { found: numbered.len() });
        };
        numbered.sort_by_key(|(_, entry)| entry.id);
        if let Some([(first, entry), (second, _)]) =
            numbered.array_windows().find(|[(_, one), (_, other)]| one.id == other.id)
        {
            return Err(CurriculumError::DuplicateProblem { id: entry.id, first: *first, second: *second });
        }
        Ok(Self { entries: numbered.into_iter().map(|(_, entry)| entry).collect(), members: (0..n).collect() })
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Entries, by ascending id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &CorpusEntry> + Clone {
        self.members.iter().map(|&index| &self.entries[index as usize])
    }

    /// Entry at a position in [`iter`](Self::iter).
    ///
    /// # Panics
    /// If the position is not below [`len`](Self::len).
    pub fn entry(&self, position: usize) -> &CorpusEntry {
        &self.entries[self.members[position] as usize]
    }

    /// Position of a problem in [`iter`](Self::iter); `None` if the corpus lacks it.
    pub fn position(&self, id: ProblemId) -> Option<usize> {
        self.members.binary_search_by_key(&id, |&index| self.entries[index as usize].id).ok()
    }

    /// Entry of a problem; `None` if the corpus lacks it.
    pub fn get(&self, id: ProblemId) -> Option<&CorpusEntry> {
        self.position(id).map(|position| self.entry(position))
    }

    /// Filters the corpus: keeps the entries for which `wanted` returns `true`.
    #[must_use]
    pub fn filter(&self, mut wanted: impl FnMut(&CorpusEntry) -> bool) -> Self {
        let members = self.members.iter().copied().filter(|&index| wanted(&self.entries[index as usize])).collect();
        Self { entries: self.entries.clone(), members }
    }

    /// Filters the corpus as [`filter`](Self::filter) does, or returns the first error of `wanted`.
    ///
    /// # Errors
    /// Errors of `wanted`.
    pub fn try_filter<E>(&self, mut wanted: impl FnMut(&CorpusEntry) -> Result<bool, E>) -> Result<Self, E> {
        let keep = |&index: &u32| wanted(&self.entries[index as usize]).map(|keep| keep.then_some(index)).transpose();
        let members = self.members.iter().filter_map(keep).collect::<Result<_, _>>()?;
        Ok(Self { entries: self.entries.clone(), members })
    }

    /// Corpus with one more tag on each problem for which `value` returns one: a custom axis.
    #[must_use]
    pub fn with_tag(&self, name: &str, mut value: impl FnMut(&CorpusEntry) -> Option<String>) -> Self {
        let mut entries: Vec<CorpusEntry> = self.iter().cloned().collect();
        for entry in &mut entries {
            if let Some(value) = value(entry) {
                entry.tags.insert(name.to_owned(), value);
            }
        }
        let members = (0..entries.len() as u32).collect();
        Self { entries: entries.into(), members }
    }

    /// Number of problems of each capability.
    pub fn capabilities(&self) -> BTreeMap<&Capability, usize> {
        let mut counts = BTreeMap::new();
        self.iter().for_each(|entry| *counts.entry(&entry.capability).or_default() += 1);
        counts
    }

    /// Fingerprint of the metadata: independent of the order of the entries, and different for
    /// different metadata, except by accident.
    pub fn fingerprint(&self) -> u64 {
        self.iter().fold(Fingerprint::new(), CorpusEntry::fingerprint).finish()
    }
}

impl fmt::Debug for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.capabilities();
        f.debug_map().entries(counts.iter().map(|(capability, n)| (capability.as_str(), n))).finish()
    }
}

impl CorpusEntry {
    /// Entry with an id and a capability, and nothing else known.
    pub fn new(id: ProblemId, capability: Capability) -> Self {
        let source = Arc::from("");
        Self { id, capability, pass_rate: None, source, n_images: 0, solution_length: None, tags: BTreeMap::new() }
    }

    fn fingerprint(hash: Fingerprint, entry: &Self) -> Fingerprint {
        let pass_rate = entry.pass_rate.map_or(u64::MAX, |rate| u64::from(rate.fraction().to_bits()));
        let length = entry.solution_length.map_or(u64::MAX, u64::from);
        let hash = hash.number(entry.id.0).field(entry.capability.as_str().as_bytes()).number(pass_rate);
        let hash = hash.field(entry.source.as_bytes()).number(u64::from(entry.n_images)).number(length);
        let tags = hash.number(entry.tags.len() as u64);
        entry.tags.iter().fold(tags, |hash, (key, value)| hash.field(key.as_bytes()).field(value.as_bytes()))
    }
}

impl From<&Problem> for CorpusEntry {
    fn from(problem: &Problem) -> Self {
        let characters = |text: &String| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Self {
            id: problem.id,
            capability: problem.capability.clone(),
            pass_rate: problem.pass_rate,
            source: problem.source.as_str().into(),
            n_images: u32::try_from(problem.images.len()).unwrap_or(u32::MAX),
            solution_length: problem.solution.as_ref().map(characters),
            tags: problem.tags.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::corpus;

    #[test]
    fn lookups_find_what_was_put_in() {
        let corpus = corpus(&[(Capability::PERCEPTION, 3), (Capability::VISUAL_REASONING, 2)]);
        assert_eq!(corpus.len(), 5);
        assert!(corpus.iter().is_sorted_by_key(|entry| entry.id));
        let visual = corpus.filter(|entry| entry.capability == Capability::VISUAL_REASONING);
        assert_eq!((visual.len(), visual.filter(|_| false).is_empty()), (2, true));
        for (position, entry) in visual.iter().enumerate() {
            assert_eq!((visual.position(entry.id), visual.get(entry.id)), (Some(position), Some(entry)));
            assert_eq!(corpus.get(entry.id), Some(entry));
        }
        let other = corpus.iter().find(|entry| entry.capability == Capability::PERCEPTION).unwrap();
        assert_eq!((visual.get(other.id), corpus.get(ProblemId(u64::MAX))), (None, None));
        assert_eq!(format!("{corpus:?}"), r#"{"perception": 3, "visual_reasoning": 2}"#);
    }

    #[test]
    fn duplicates_are_refused_with_their_places() {
        let mut entries: Vec<_> = corpus(&[(Capability::PERCEPTION, 4)]).iter().cloned().collect();
        let again = entries[1].clone();
        entries.push(again.clone());
        match Corpus::new(entries).unwrap_err() {
            CurriculumError::DuplicateProblem { id, first: 1, second: 4 } => assert_eq!(id, again.id),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_metadata_and_not_of_its_order() {
        let original = corpus(&[(Capability::PERCEPTION, 5)]);
        let fingerprint = |entries: &[CorpusEntry]| Corpus::new(entries.to_vec()).unwrap().fingerprint();
        let mut entries: Vec<_> = original.iter().cloned().collect();
        entries.reverse();
        assert_eq!(fingerprint(&entries), original.fingerprint());
        let changes: [fn(&mut CorpusEntry); 5] = [
            |entry| entry.pass_rate = None,
            |entry| entry.n_images = 7,
            |entry| entry.source = "elsewhere".into(),
            |entry| entry.solution_length = Some(7),
            |entry| drop(entry.tags.insert("level".into(), "3".into())),
        ];
        for change in changes {
            let mut entries = entries.clone();
            change(&mut entries[0]);
            assert_ne!(fingerprint(&entries), original.fingerprint());
        }
    }

    #[test]
    fn a_tag_of_ones_own_is_one_more_column() {
        let corpus = corpus(&[(Capability::PERCEPTION, 4)]);
        let tagged = corpus.with_tag("parity", |entry| (entry.id.0 % 2 == 0).then(|| "even".to_owned()));
        assert_eq!(tagged.len(), 4);
        assert!(tagged.iter().all(|entry| entry.tags.contains_key("parity") == (entry.id.0 % 2 == 0)));
    }
}
