//! A curriculum under way.

use crate::fingerprint::Fingerprint;
use crate::{Batch, Corpus, Curriculum, CurriculumError, CurriculumRecord, GroupKey, GroupOutcome, Progress};
use seethink_core::ProblemId;
use std::collections::BTreeSet;

/// A curriculum, and how far it has come: what the trainer holds, and what policies made of
/// policies hold.
///
/// # Examples
/// A policy of one method: the problems with the longest known solutions first, once.
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
/// let entry = |id| CorpusEntry { solution_length: Some(id as u32 % 5), ..CorpusEntry::new(ProblemId(id), Capability::PERCEPTION) };
/// let corpus = Corpus::new((0..5).map(entry))?;
/// let mut problems: Vec<_> = corpus.iter().collect();
/// problems.sort_by_key(|entry| std::cmp::Reverse(entry.solution_length));
/// let mut course = Course::new(LongestFirst(problems.iter().map(|entry| entry.id).collect()), &corpus);
/// assert_eq!(course.draw(3).problems, [4, 3, 2].map(ProblemId));
/// course.observe(&[]);
/// assert_eq!(course.draw(3).problems, [1, 0].map(ProblemId));
/// # Ok::<(), seethink_curriculum::CurriculumError>(())
/// ```
#[derive(Debug)]
pub struct Course {
    curriculum: Box<dyn Curriculum>,
    progress: Progress,
    /// Problems drawn in the step under way.
    drawn: BTreeSet<ProblemId>,
    corpus: u64,
    settings: u64,
}

impl Course {
    /// The beginning of a curriculum over `corpus`.
    pub fn new(curriculum: impl Curriculum + 'static, corpus: &Corpus) -> Self {
        Self::with_settings(Box::new(curriculum), corpus, "")
    }

    /// The beginning of a curriculum whose records belong to these settings alone (any text that
    /// tells them from others).
    pub fn with_settings(curriculum: Box<dyn Curriculum>, corpus: &Corpus, settings: &str) -> Self {
        let settings = Fingerprint::new().field(settings.as_bytes()).finish();
        Self { corpus: corpus.fingerprint(), settings, ..Self::part(curriculum) }
    }

    /// A part of another curriculum, which knows its corpus and its settings.
    pub(crate) fn part(curriculum: Box<dyn Curriculum>) -> Self {
        Self { curriculum, progress: Progress::default(), drawn: BTreeSet::new(), corpus: 0, settings: 0 }
    }

    /// See [`Curriculum::draw`]. A problem that the step has drawn already is left out, so that no
    /// group is sampled twice.
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

    /// See [`Curriculum::extend`].
    pub fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        self.curriculum.extend(partial)
    }

    /// See [`Curriculum::admit`].
    pub fn admit(&mut self, group: &GroupOutcome) -> bool {
        self.curriculum.admit(group)
    }

    /// See [`Curriculum::replay`].
    pub fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        self.curriculum.replay(places)
    }

    /// See [`Curriculum::observe`].
    pub fn observe(&mut self, groups: &[GroupOutcome]) {
        self.curriculum.observe(groups);
        self.progress.steps += 1;
        self.drawn.clear();
    }

    /// See [`Curriculum::watch`]. No step is over by it.
    pub fn watch(&mut self, groups: &[GroupOutcome]) {
        self.curriculum.watch(groups);
    }

    /// The curriculum, for everything that changes nothing.
    pub fn curriculum(&self) -> &dyn Curriculum {
        &*self.curriculum
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Everything needed to continue; taken between steps.
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
    /// If it is of another version, corpus or configuration, or unreadable; nothing is changed
    /// then.
    pub fn load_record(&mut self, record: &CurriculumRecord) -> Result<(), CurriculumError> {
        record.check(self.corpus, self.settings)?;
        self.curriculum.load_state(&record.state)?;
        self.progress = record.progress;
        self.drawn.clear();
        Ok(())
    }
}

/// Hands everything that concerns a step under way to the part that is at work, given by `active`
/// and `active_mut`.
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

    /// Draws the same problems whenever it is asked.
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
