//! Course: a running curriculum.

use crate::fingerprint::Fingerprint;
use crate::{Batch, Corpus, Curriculum, CurriculumError, CurriculumRecord, GroupKey, GroupOutcome, Progress};
use seethink_core::ProblemId;
use std::collections::BTreeSet;

/// Running curriculum: a curriculum and its progress. The trainer holds one, and so do policies
/// built from other policies.
///
/// # Examples
/// A policy with one method, which draws every problem once, the longest known solutions first.
/// ```
/// use seethink_core::{Capability, ProblemId};
/// use seethink_curriculum::{Batch, Corpus, CorpusEntry, Course, Curriculum, Progress};
///
/// #[derive(Debug)]
/// struct LongestFirst(Vec<ProblemId>);
///
/// impl Curriculum for LongestFirst {
///     fn draw(&mut self, progress: Progress, want: usize) -> Batch {
///         self.0.iter().copied().skip(progress.problems as usize).take(want).collect()
///     }
/// }
///
/// let entry = |id| CorpusEntry {
///     solution_length: Some(id as u32 % 5),
///     ..CorpusEntry::new(ProblemId(id), Capability::PERCEPTION)
/// };
/// let corpus = Corpus::new((0..5).map(entry))?;
/// let mut problems: Vec<_> = corpus.iter().collect();
/// problems.sort_by_key(|entry| std::cmp::Reverse(entry.solution_length));
/// let mut course =
///     Course::new(LongestFirst(problems.iter().map(|entry| entry.id).collect()), &corpus);
/// assert_eq!(course.draw(3).problems, [4, 3, 2].map(ProblemId));
/// course.observe(&[]);
/// assert_eq!(course.draw(3).problems, [1, 0].map(ProblemId));
/// # Ok::<(), seethink_curriculum::CurriculumError>(())
/// ```
#[derive(Debug)]
pub struct Course {
    curriculum: Box<dyn Curriculum>,
    progress: Progress,
    /// Problems drawn in the current step.
    drawn: BTreeSet<ProblemId>,
    corpus: u64,
    settings: u64,
}

impl Course {
    /// Starts a curriculum over `corpus`.
    pub fn new(curriculum: impl Curriculum + 'static, corpus: &Corpus) -> Self {
        Self::with_settings(Box::new(curriculum), corpus, "")
    }

    /// Starts a curriculum whose records belong to `settings` alone, any text that tells them from
    /// others.
    pub fn with_settings(curriculum: Box<dyn Curriculum>, corpus: &Corpus, settings: &str) -> Self {
        let settings = Fingerprint::new().field(settings.as_bytes()).finish();
        Self { corpus: corpus.fingerprint(), settings, ..Self::part(curriculum) }
    }

    /// Starts a part of another curriculum; the record of the whole identifies the corpus and the
    /// settings.
    pub(crate) fn part(curriculum: Box<dyn Curriculum>) -> Self {
        Self { curriculum, progress: Progress::default(), drawn: BTreeSet::new(), corpus: 0, settings: 0 }
    }

    /// Draws the next batch ([`Curriculum::draw`]), without problems that the step has drawn
    /// already, so that no group is sampled twice.
    ///
    /// # Panics
    /// If `want` is zero.
    pub fn draw(&mut self, want: usize) -> Batch {
        assert!(want > 0, "a batch has at least one problem");
        let mut batch = self.curriculum.draw(self.progress, want);
        self.progress.draws += 1;
        self.progress.problems += batch.problems.len() as u64;
        batch.problems.retain(|problem| self.drawn.insert(*problem));
        batch
    }

    /// Number of further completions to sample ([`Curriculum::extend`]).
    pub fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        self.curriculum.extend(partial)
    }

    /// Returns whether a group is trained on ([`Curriculum::admit`]).
    pub fn admit(&mut self, group: &GroupOutcome) -> bool {
        self.curriculum.admit(group)
    }

    /// Groups of earlier steps to train on again ([`Curriculum::replay`]).
    pub fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        self.curriculum.replay(places)
    }

    /// Ends a step ([`Curriculum::observe`]).
    pub fn observe(&mut self, groups: &[GroupOutcome]) {
        self.curriculum.observe(groups);
        self.progress.steps += 1;
        self.drawn.clear();
    }

    /// Learns from a step that another curriculum drew ([`Curriculum::watch`]), without ending a
    /// step of its own.
    pub fn watch(&mut self, groups: &[GroupOutcome]) {
        self.curriculum.watch(groups);
    }

    /// Curriculum, for calls that change nothing.
    pub fn curriculum(&self) -> &dyn Curriculum {
        &*self.curriculum
    }

    /// Progress so far.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Record of everything needed to continue; taken between steps.
    pub fn to_record(&self) -> CurriculumRecord {
        let Self { progress, corpus, settings, .. } = *self;
        CurriculumRecord {
            version: CurriculumRecord::VERSION,
            corpus,
            settings,
            progress,
            state: self.curriculum.state(),
        }
    }

    /// Continues from a record.
    ///
    /// # Errors
    /// If the record is of another version, corpus or configuration, or unreadable; the course is
    /// then unchanged.
    pub fn load_record(&mut self, record: &CurriculumRecord) -> Result<(), CurriculumError> {
        record.check(self.corpus, self.settings)?;
        self.curriculum.load_state(&record.state)?;
        self.progress = record.progress;
        self.drawn.clear();
        Ok(())
    }
}

/// Passes every call about the current step on to the part that is active, given by `active` and
/// `active_mut`.
macro_rules! ask_the_active_part {
    () => {
        fn extend(&mut self, partial: &crate::GroupOutcome) -> Option<usize> {
            self.active_mut().extend(partial)
        }

        fn admit(&mut self, group: &crate::GroupOutcome) -> bool {
            self.active_mut().admit(group)
        }

        fn replay(&mut self, places: usize) -> Vec<crate::GroupKey> {
            self.active_mut().replay(places)
        }

        fn weight(&self, group: &crate::GroupOutcome) -> f64 {
            self.active().curriculum().weight(group)
        }

        fn banked(&self) -> Vec<crate::GroupKey> {
            self.active().curriculum().banked()
        }
    };
}
pub(crate) use ask_the_active_part;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::three;

    /// Draws the same problems every time.
    #[derive(Debug)]
    struct Forgetful(Vec<ProblemId>);

    impl Curriculum for Forgetful {
        fn draw(&mut self, _: Progress, want: usize) -> Batch {
            self.0.iter().copied().take(want).collect()
        }
    }

    #[test]
    fn a_policy_without_memory_of_the_step_draws_no_problem_twice() {
        let corpus = three(5, 0, 0);
        let ids: Vec<ProblemId> = corpus.iter().map(|entry| entry.id).collect();
        let mut course = Course::new(Forgetful(ids.clone()), &corpus);
        assert_eq!(course.draw(3).problems, ids[..3]);
        assert_eq!(course.draw(4).problems, ids[3..4]);
        assert!(course.draw(2).is_empty());
        assert_eq!(course.progress(), Progress { steps: 0, draws: 3, problems: 9 });
        course.observe(&[]);
        assert_eq!(course.progress(), Progress { steps: 1, draws: 3, problems: 9 });
        assert_eq!(course.draw(2).problems, ids[..2], "another step");
        let record = course.to_record();
        course.load_record(&record).unwrap();
        assert_eq!(course.draw(2).problems, ids[..2], "a step taken up again");
    }
}
