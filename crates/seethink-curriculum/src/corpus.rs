//! What a policy may know about the problems: metadata, never pixels.

use crate::CurriculumError;
use crate::fingerprint::Fingerprint;
use seethink_core::{Capability, PassRate, Problem, ProblemId};
use std::collections::BTreeMap;
use std::fmt;

/// The metadata of every problem of a run.
///
/// Entries stand in the order of their ids, whatever order they came in: draws do not depend on how files were read.
#[derive(Clone)]
pub struct Corpus {
    entries: Vec<CorpusEntry>,
    by_capability: BTreeMap<Capability, Vec<u32>>,
    fingerprint: u64,
}

/// What a curriculum knows about one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusEntry {
    /// The problem.
    pub id: ProblemId,
    /// What it exercises.
    pub capability: Capability,
    /// How often some model solved it, where known.
    pub pass_rate: Option<PassRate>,
    /// Anything else that a policy may sort by.
    pub tags: BTreeMap<String, String>,
}

impl Corpus {
    /// The corpus of these entries.
    ///
    /// # Errors
    /// If two entries have the same id, or there are more than `u32::MAX`.
    pub fn new(entries: impl IntoIterator<Item = CorpusEntry>) -> Result<Self, CurriculumError> {
        let mut numbered: Vec<(usize, CorpusEntry)> = entries.into_iter().enumerate().collect();
        if u32::try_from(numbered.len()).is_err() {
            return Err(CurriculumError::TooManyProblems { found: numbered.len() });
        }
        numbered.sort_by_key(|(_, entry)| entry.id);
        if let Some([(first, entry), (second, _)]) =
            numbered.array_windows().find(|[(_, one), (_, other)]| one.id == other.id)
        {
            return Err(CurriculumError::DuplicateProblem { id: entry.id, first: *first, second: *second });
        }
        let entries: Vec<CorpusEntry> = numbered.into_iter().map(|(_, entry)| entry).collect();
        let mut by_capability: BTreeMap<Capability, Vec<u32>> = BTreeMap::new();
        for (index, entry) in (0u32..).zip(&entries) {
            match by_capability.get_mut(&entry.capability) {
                Some(indices) => indices.push(index),
                None => drop(by_capability.insert(entry.capability.clone(), vec![index])),
            }
        }
        let fingerprint = entries.iter().fold(Fingerprint::new(), CorpusEntry::fingerprint).finish();
        Ok(Self { entries, by_capability, fingerprint })
    }

    /// All entries, by ascending id.
    pub fn entries(&self) -> &[CorpusEntry] {
        &self.entries
    }

    /// The entry of a problem.
    pub fn get(&self, id: ProblemId) -> Option<&CorpusEntry> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok().map(|index| &self.entries[index])
    }

    /// Each capability with the indices of its problems in [`entries`](Self::entries), ascending.
    pub fn capabilities(&self) -> impl Iterator<Item = (&Capability, &[u32])> {
        self.by_capability.iter().map(|(capability, indices)| (capability, indices.as_slice()))
    }

    /// Indices into [`entries`](Self::entries) of the problems of one capability, ascending; empty if there are none.
    pub fn of_capability(&self, capability: &Capability) -> &[u32] {
        self.by_capability.get(capability).map_or(&[], Vec::as_slice)
    }

    /// Equal for equal metadata, whatever the order it came in; differs (but for accidents) otherwise.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl fmt::Debug for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.by_capability.iter().map(|(capability, indices)| (capability.as_str(), indices.len()));
        f.debug_map().entries(counts).finish()
    }
}

impl CorpusEntry {
    fn fingerprint(hash: Fingerprint, entry: &Self) -> Fingerprint {
        let pass_rate = entry.pass_rate.map_or(u64::MAX, |rate| u64::from(rate.fraction().to_bits()));
        let hash = hash.number(entry.id.0).field(entry.capability.as_str().as_bytes()).number(pass_rate);
        let tags = hash.number(entry.tags.len() as u64);
        entry.tags.iter().fold(tags, |hash, (key, value)| hash.field(key.as_bytes()).field(value.as_bytes()))
    }
}

impl From<&Problem> for CorpusEntry {
    fn from(problem: &Problem) -> Self {
        Self {
            id: problem.id,
            capability: problem.capability.clone(),
            pass_rate: problem.pass_rate,
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
        assert_eq!(corpus.entries().len(), 5);
        assert_eq!(corpus.of_capability(&Capability::PERCEPTION).len(), 3);
        assert_eq!(corpus.of_capability(&Capability::TEXTUAL_REASONING), &[] as &[u32]);
        for &index in corpus.of_capability(&Capability::VISUAL_REASONING) {
            let entry = &corpus.entries()[index as usize];
            assert_eq!(entry.capability, Capability::VISUAL_REASONING);
            assert_eq!(corpus.get(entry.id), Some(entry));
        }
        assert_eq!(corpus.get(ProblemId(u64::MAX)), None);
        assert_eq!(format!("{corpus:?}"), r#"{"perception": 3, "visual_reasoning": 2}"#);
    }

    #[test]
    fn duplicates_are_refused_with_their_places() {
        let mut entries = corpus(&[(Capability::PERCEPTION, 4)]).entries;
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
        let mut entries = original.entries.clone();
        entries.reverse();
        assert_eq!(Corpus::new(entries.clone()).unwrap().fingerprint(), original.fingerprint());
        entries[0].tags.insert("source".into(), "elsewhere".into());
        assert_ne!(Corpus::new(entries.clone()).unwrap().fingerprint(), original.fingerprint());
        entries[0].tags.clear();
        entries[0].pass_rate = None;
        assert_ne!(Corpus::new(entries).unwrap().fingerprint(), original.fingerprint());
    }
}
