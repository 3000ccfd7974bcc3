//! Mix: several policies at once, each with its share of the problems.
//!
//! State: problems owed to and drawn by each policy, and the states of the policies. Metrics:
//! `share/0`, `share/1`, … of all problems so far, and those of the policies, prefixed with `0/`,
//! `1/`, ….

use crate::policy_config::PolicyConfig;
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, GroupKey, GroupOutcome,
    Metric, Progress, State,
};
use seethink_core::{ProblemId, SettingError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Policies side by side. Every batch is divided by the shares, so exactly that after every draw no
/// policy is more than a problem off; problems that one cannot supply are drawn from the others. A
/// policy with a share of 0 never draws, and the mix ends when all others have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Shares and policies; the shares are divided by their sum.
    pub parts: Vec<(f64, CurriculumConfig)>,
}

impl PolicyConfig for Mix {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let total: f64 = self.parts.iter().map(|(share, _)| share).sum();
        if !(total.is_finite() && total > 0.0) || self.parts.iter().any(|(share, _)| *share < 0.0) {
            let found = format!("{:?}", self.parts.iter().map(|(share, _)| share).collect::<Vec<_>>());
            let expected = "shares that are at least 0 and not all 0";
            return Err(SettingError::new("Mix.parts", found, expected).into());
        }
        let course = |(index, (_, config)): (usize, &(f64, CurriculumConfig))| {
            Ok(Course::part(config.single("Mix", corpus, seed, index)?))
        };
        let courses = self.parts.iter().enumerate().map(course).collect::<Result<Vec<_>, CurriculumError>>()?;
        let shares = self.parts.iter().map(|(share, _)| share / total).collect();
        let account = Account { owed: vec![0.0; courses.len()], drawn: vec![0; courses.len()] };
        Ok(Box::new(Mixed { courses, shares, account, of: BTreeMap::new(), replayed: BTreeMap::new() }))
    }

    fn is_endless(&self) -> bool {
        self.parts.iter().any(|(share, policy)| *share > 0.0 && policy.is_endless())
    }
}

/// Running mix.
#[derive(Debug)]
struct Mixed {
    courses: Vec<Course>,
    /// Shares of the policies, with sum 1.
    shares: Vec<f64>,
    account: Account,
    /// Index of the policy that drew each problem of the current step.
    of: BTreeMap<ProblemId, usize>,
    /// Index of the policy that asked for each group replayed in the current step.
    replayed: BTreeMap<GroupKey, usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    /// Problems owed to each policy, below one up to rounding; negative if it has drawn ahead.
    owed: Vec<f64>,
    /// Problems drawn by each policy.
    drawn: Vec<u64>,
}

impl Mixed {
    /// Divides `want` problems among the policies, problem by problem, each to the policy that must
    /// have the next one soonest, so that no policy is ever a whole problem off its share.
    ///
    /// # Source
    /// Tijdeman, *The chairman assignment problem*, Discrete Mathematics 32 (1980): of those of the
    /// n policies that are owed at least `1 / (2n − 2)`, the one that would first be owed more than
    /// `1 − 1 / (2n − 2)`.
    fn allot(&mut self, want: usize) -> Vec<usize> {
        let owed = &mut self.account.owed;
        let least = 1.0 / (2 * owed.len()).saturating_sub(2).max(2) as f64;
        let mut allotted = vec![0; owed.len()];
        for _ in 0..want {
            owed.iter_mut().zip(&self.shares).for_each(|(owed, share)| *owed += share);
            let deadline = |index: usize| (1.0 - least - owed[index]) / self.shares[index];
            // Up to rounding there is always a policy that is owed enough; one with a share of 0
            // never is.
            let claims = |index: &usize| owed[*index] >= least - 1e-9;
            let next = (0..owed.len()).filter(claims).min_by(|&a, &b| deadline(a).total_cmp(&deadline(b)));
            let Some(next) = next else { break };
            owed[next] -= 1.0;
            allotted[next] += 1;
        }
        allotted
    }

    /// Draws up to `want` problems of one policy, without those that are in this step already.
    fn draw_from(&mut self, index: usize, want: usize, problems: &mut Vec<ProblemId>) {
        let before = problems.len();
        // Problems that another policy has drawn are skipped and replaced by further draws, at most
        // until the policy has drawn all of its problems in this step.
        while problems.len() - before < want {
            let batch = self.courses[index].draw(want - (problems.len() - before));
            if batch.is_empty() {
                break;
            }
            for problem in batch.problems {
                if let Entry::Vacant(vacant) = self.of.entry(problem) {
                    vacant.insert(index);
                    problems.push(problem);
                }
            }
        }
        self.account.drawn[index] += (problems.len() - before) as u64;
    }

    fn part_of(&self, group: &GroupOutcome) -> usize {
        self.replayed.get(&group.key).or_else(|| self.of.get(&group.problem())).copied().unwrap_or(0)
    }
}

impl Curriculum for Mixed {
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        let mut problems = Vec::with_capacity(want);
        for (index, n) in self.allot(want).into_iter().enumerate() {
            self.draw_from(index, n, &mut problems);
        }
        for index in 0..self.courses.len() {
            if self.shares[index] > 0.0 {
                self.draw_from(index, want.saturating_sub(problems.len()), &mut problems);
            }
        }
        Batch { stage: 0, problems }
    }

    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        let part = self.part_of(partial);
        self.courses[part].extend(partial)
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        let part = self.part_of(group);
        self.courses[part].admit(group)
    }

    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        let mut groups: Vec<GroupKey> = Vec::new();
        for (index, course) in self.courses.iter_mut().enumerate() {
            let left = places.saturating_sub(groups.len());
            let asked = if left > 0 { course.replay(left) } else { Vec::new() };
            self.replayed.extend(asked.iter().map(|key| (*key, index)));
            groups.extend(asked);
        }
        groups
    }

    fn weight(&self, group: &GroupOutcome) -> f64 {
        self.courses[self.part_of(group)].curriculum().weight(group)
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        let mut own = vec![Vec::new(); self.courses.len()];
        groups.iter().for_each(|group| own[self.part_of(group)].push(group.clone()));
        self.courses.iter_mut().zip(own).for_each(|(course, groups)| course.observe(&groups));
        self.of.clear();
        self.replayed.clear();
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.courses.iter_mut().for_each(|course| course.watch(groups));
    }

    fn banked(&self) -> Vec<GroupKey> {
        self.courses.iter().flat_map(|course| course.curriculum().banked()).collect()
    }

    fn state(&self) -> State {
        State::new(&(&self.account, self.courses.iter().map(Course::to_record).collect::<Vec<_>>()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (account, records): (Account, Vec<CurriculumRecord>) = state.read()?;
        let n = self.courses.len();
        if [account.owed.len(), account.drawn.len(), records.len()] != [n; 3] {
            return Err(CurriculumError::StateOutOfRange { what: format!("{} parts, expected {n}", records.len()) });
        }
        load_all(&mut self.courses, &records)?;
        self.account = account;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let total = self.account.drawn.iter().sum::<u64>().max(1) as f64;
        let shares = self.account.drawn.iter().enumerate();
        let mut metrics: Vec<Metric> =
            shares.map(|(index, &n)| (format!("share/{index}").into(), n as f64 / total)).collect();
        for (index, course) in self.courses.iter().enumerate() {
            let own = course.curriculum().metrics().into_iter();
            metrics.extend(own.map(|(key, value)| (format!("{index}/{key}").into(), value)));
        }
        metrics
    }
}

/// Loads the record of every course, or of none if one fails.
pub(crate) fn load_all(courses: &mut [Course], records: &[CurriculumRecord]) -> Result<(), CurriculumError> {
    let before: Vec<CurriculumRecord> = courses.iter().map(Course::to_record).collect();
    let loaded = courses.iter_mut().zip(records).try_for_each(|(course, record)| course.load_record(record));
    if loaded.is_err() {
        courses.iter_mut().zip(&before).try_for_each(|(course, record)| course.load_record(record))?;
    }
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{Eager, check_resume, drain, outcome, step, three};
    use proptest::prelude::*;
    use seethink_core::Capability;

    fn read(parts: &str) -> CurriculumConfig {
        ron::from_str(&format!("#![enable(unwrap_variant_newtypes)] Mix(parts: [{parts}])")).unwrap()
    }

    fn of(capability: &str) -> String {
        let stage = format!("(name: \"a\", capabilities: [\"{capability}\"])");
        format!("Merged(stage: {stage}, order: Shuffled, epochs: PerStage(1), last_batch: Keep)")
    }

    #[test]
    fn shares_are_kept_to_a_problem() {
        let corpus = three(500, 500, 500);
        let config = read(&format!("(3.0, {}), (1.0, {})", of("perception"), of("visual_reasoning")));
        let mut course = config.build(&corpus, 1).unwrap();
        let mut n_perception = 0;
        for n in 1..=60 {
            let batch = step(&mut course, 7).unwrap();
            assert_eq!(batch.problems.len(), 7);
            let perceives = |id: &&_| corpus.get(**id).unwrap().capability == Capability::PERCEPTION;
            n_perception += batch.problems.iter().filter(perceives).count();
            assert!((n_perception as f64 - 0.75 * 7.0 * f64::from(n)).abs() <= 1.0, "{n_perception} of {}", 7 * n);
        }
        check_resume(&config, &corpus);
    }

    proptest! {
        #[test]
        fn no_part_is_a_problem_off_whatever_the_shares(
            shares in prop::collection::vec(0u32..40, 1..7), wants in prop::collection::vec(1usize..9, 1..60),
        ) {
            prop_assume!(shares.iter().any(|&share| share > 0));
            let merged = "Merged(order: Shuffled, epochs: PerStage(9), last_batch: Keep)";
            let parts: Vec<String> = shares.iter().map(|share| format!("({share}.0, {merged})")).collect();
            let mut course = read(&parts.join(", ")).build(&three(200, 200, 200), 1).unwrap();
            let (mut n, total) = (0, f64::from(shares.iter().sum::<u32>()));
            for want in wants {
                prop_assert_eq!(step(&mut course, want).unwrap().problems.len(), want);
                n += want;
                for ((_, found), share) in course.curriculum().metrics().iter().zip(&shares) {
                    let off = (found - f64::from(*share) / total) * n as f64;
                    prop_assert!(off.abs() < 1.0, "{} off after {}", off, n);
                }
            }
        }
    }

    fn mixed(courses: Vec<Course>, shares: &[u32]) -> Mixed {
        let (n, total) = (shares.len(), f64::from(shares.iter().sum::<u32>()));
        let shares = shares.iter().map(|&share| f64::from(share) / total).collect();
        let account = Account { owed: vec![0.0; n], drawn: vec![0; n] };
        Mixed { courses, shares, account, of: BTreeMap::new(), replayed: BTreeMap::new() }
    }

    #[test]
    fn parts_fill_the_places_that_are_left_in_their_order() {
        let courses = || (0..4).map(|_| Course::part(Box::new(Eager))).collect();
        assert_eq!([1, 2, 9].map(|places| mixed(courses(), &[1; 4]).replay(places).len()), [1, 2, 4]);
    }

    /// Checks the bound of the source: with n parts, what a part is owed stays within ±(1 − 1 / (2n
    /// − 2)).
    #[test]
    fn claims_stay_within_the_bound_of_the_source() {
        // All combinations of the shares 1 to 9 for two parts, 1 to 6 for three, 1 to 4 for four.
        let combinations = |n: u32, most: u32| {
            (0..most.pow(n)).map(move |i| (0..n).map(|place| 1 + i / most.pow(place) % most).collect::<Vec<_>>())
        };
        for shares in combinations(2, 9).chain(combinations(3, 6)).chain(combinations(4, 4)) {
            let mut mixed = mixed(Vec::new(), &shares);
            let bound = 1.0 - 1.0 / (2 * shares.len() - 2) as f64;
            for problem in 0..2 * shares.iter().sum::<u32>() {
                assert_eq!(mixed.allot(1).iter().sum::<usize>(), 1, "{shares:?} after {problem}");
                let owed = &mixed.account.owed;
                assert!(owed.iter().all(|owed| owed.abs() < bound + 1e-9), "{shares:?} after {problem}: {owed:?}");
            }
        }
    }

    #[test]
    fn what_one_part_cannot_fill_goes_to_the_others_and_nothing_comes_twice_in_a_step() {
        let corpus = three(10, 0, 50);
        let config = read(&format!("(1.0, {}), (1.0, {})", of("perception"), of("visual_reasoning")));
        let sizes: Vec<usize> =
            drain(&mut config.build(&corpus, 1).unwrap(), 20).iter().map(|batch| batch.problems.len()).collect();
        assert_eq!(sizes, [20, 20, 20]);
        // A part with a share of 0 draws nothing.
        let alone = read(&format!("(1.0, {}), (0.0, {})", of("perception"), of("visual_reasoning")));
        assert_eq!(drain(&mut alone.build(&corpus, 1).unwrap(), 20).len(), 1);
        // Two parts over the same problems.
        let merged = "Merged(order: Shuffled, epochs: PerStage(3), last_batch: Keep)";
        let twice = read(&format!("(1.0, {merged}), (1.0, {merged})"));
        for batch in drain(&mut twice.build(&corpus, 1).unwrap(), 40) {
            let mut ids = batch.problems.clone();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), batch.problems.len());
        }
    }

    #[test]
    fn a_part_hears_of_its_own_problems_alone() {
        let corpus = three(40, 0, 40);
        let ladder = "Ladder(by: (axes: [PassRate], bins: Some(2)), up: 0.9, down: 0.0, window: 4)";
        let perception = format!("With(policy: Band(axis: PassRate, at_most: Some(2.0), policy: {ladder}))");
        let config = read(&format!("(1.0, {perception}), (1.0, {})", of("visual_reasoning")));
        let mut course = config.build(&corpus, 1).unwrap();
        let batch = course.draw(8);
        // Only the second half of the batch is solved, which the other part drew.
        let groups: Vec<_> = (0..8).map(|i| outcome(batch.problems[i].0, &[f32::from(u8::from(i >= 4)); 4])).collect();
        course.observe(&groups);
        let metrics = course.curriculum().metrics();
        let level = metrics.iter().find(|(key, _)| key == "0/level").unwrap().1;
        assert_eq!(level, 0.0, "{metrics:?}");
    }

    #[test]
    fn stages_and_empty_shares_are_refused() {
        let staged = "Staged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let error = read(&format!("(1.0, {staged})")).build(&three(1, 1, 1), 1).unwrap_err();
        assert!(error.to_string().contains("perception, textual_reasoning, visual_reasoning"), "{error}");
        for parts in ["", "(0.0, Vas())", "(-1.0, Vas())"] {
            let error = read(parts).build(&three(1, 1, 1), 1).unwrap_err();
            assert!(matches!(&error, CurriculumError::Setting(error) if *error.key == *"Mix.parts"), "{error}");
        }
    }
}
