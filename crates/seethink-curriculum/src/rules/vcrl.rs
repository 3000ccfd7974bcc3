//! VCRL: replaces groups of small variance by earlier ones of large variance.
//!
//! State: the number of steps, and the bank's keys, priorities and uses. Metrics: `vcrl/bank`, the
//! number of groups in the bank.

use crate::{Batch, Curriculum, CurriculumError, GroupKey, GroupOutcome, Metric, Progress, State};
use seethink_core::{SettingError, is_right};
use serde::{Deserialize, Serialize};

/// Variance-based curriculum: admits groups whose normalised variance `p = σ² / σ²_max` is above 0
/// and at least κ, where `σ² = k (G − k) / (G (G − 1))` with k of G completions right (accuracy of
/// at least 0.5), and `σ²_max` is that of the most even k. Admitted groups enter a bank; where
/// groups are refused, those of highest priority in the bank take their places.
///
/// κ is `early` for the first `early_steps` steps and `late` after them. A priority is p at first
/// and is multiplied by `memory` after every step.
///
/// # Source
/// arXiv 2509.19803, of which neither full text nor code could be read: the variance is its
/// formula; κ of 0.3 for 20 steps and then 0.8, a memory of 0.9 and two uses are as its reviews
/// report them. The capacity, the choice of the groups that leave, and replaying the sampled
/// completions (whose log-probabilities are those of their own step) are choices made here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vcrl {
    /// Threshold κ at first, in `[0, 1]`.
    #[serde(default = "early")]
    pub early: f64,
    /// Number of steps with the first threshold.
    #[serde(default = "early_steps")]
    pub early_steps: u64,
    /// Threshold κ afterwards, in `[0, 1]`.
    #[serde(default = "late")]
    pub late: f64,
    /// Factor of a priority per step, in `[0, 1]`.
    #[serde(default = "memory")]
    pub memory: f64,
    /// Maximum number of times that a group is trained on again.
    #[serde(default = "uses")]
    pub uses: u32,
    /// Maximum number of groups in the bank; those of lowest priority leave.
    pub capacity: usize,
}

fn early() -> f64 {
    0.3
}

fn early_steps() -> u64 {
    20
}

fn late() -> f64 {
    0.8
}

fn memory() -> f64 {
    0.9
}

fn uses() -> u32 {
    2
}

/// Variance of `right` completions among `size`, relative to the largest possible; 0 for fewer than
/// two completions.
fn normalised_variance(right: usize, size: usize) -> f64 {
    if size < 2 {
        return 0.0;
    }
    let spread = |k: usize| (k * (size - k)) as f64;
    spread(right) / spread(size / 2)
}

impl Vcrl {
    pub(crate) fn build(&self) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let unit = |number: f64| (0.0..=1.0).contains(&number);
        if !(unit(self.early) && unit(self.late) && unit(self.memory)) {
            let expected = "thresholds and memory in [0, 1]";
            return Err(SettingError::new("Vcrl.early", format!("{self:?}"), expected).into());
        }
        Ok(Box::new(Banking { config: self.clone(), at: At::default() }))
    }
}

#[derive(Debug)]
struct Banking {
    config: Vcrl,
    at: At,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    steps: u64,
    /// Groups by descending priority, of equal ones the newer first.
    bank: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: GroupKey,
    priority: f64,
    uses: u32,
}

impl Banking {
    /// Normalised variance of a group if it is admitted, else `None`.
    fn admitted(&self, group: &GroupOutcome) -> Option<f64> {
        let right = group.accuracies.iter().filter(|&&accuracy| is_right(accuracy)).count();
        let p = normalised_variance(right, group.size());
        let kappa = if self.at.steps < self.config.early_steps { self.config.early } else { self.config.late };
        (p >= kappa && p > 0.0).then_some(p)
    }
}

impl Curriculum for Banking {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        Batch::OVER
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        self.admitted(group).is_some()
    }

    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        let most = self.config.uses;
        let again = self.at.bank.iter_mut().filter(|entry| entry.uses < most).take(places);
        again.map(|entry| (entry.uses += 1, entry.key).1).collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        let fresh = groups.iter().filter_map(|group| Some((group.key, self.admitted(group)?)));
        let fresh: Vec<Entry> = fresh.map(|(key, priority)| Entry { key, priority, uses: 0 }).collect();
        let At { steps, bank } = &mut self.at;
        *steps += 1;
        bank.retain(|entry| entry.uses < self.config.uses);
        bank.iter_mut().for_each(|entry| entry.priority *= self.config.memory);
        bank.extend(fresh);
        bank.sort_by(|a, b| b.priority.total_cmp(&a.priority).then(b.key.cmp(&a.key)));
        bank.truncate(self.config.capacity);
    }

    fn banked(&self) -> Vec<GroupKey> {
        self.at.bank.iter().map(|entry| entry.key).collect()
    }

    fn state(&self) -> State {
        State::new(&self.at)
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        self.at = state.read()?;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![("vcrl/bank".into(), self.at.bank.len() as f64)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, check_resume, float_list, outcome, three};
    use crate::{CurriculumConfig, Simulation};

    fn vcrl(settings: &str) -> Box<dyn Curriculum> {
        ron::from_str::<Vcrl>(&format!("({settings})")).unwrap().build().unwrap()
    }

    /// Group of four completions, `right` of them right, for the problem whose id is `step`.
    fn group(step: u64, right: usize) -> GroupOutcome {
        let rewards: Vec<f32> = (0..4).map(|i| f32::from(u8::from(i < right))).collect();
        let group = outcome(step, &rewards);
        GroupOutcome { key: GroupKey { step, ..group.key }, ..group }
    }

    #[test]
    fn the_variance_conforms_to_the_formula() {
        for case in cases("curriculum.vcrl") {
            let size = case["params"]["group_size"].as_u64().unwrap() as usize;
            for (right, expected) in float_list(&case["expected"]["p"]).into_iter().enumerate() {
                assert!((normalised_variance(right, size) - expected).abs() < 1e-12);
            }
        }
        // In groups of odd size, the variance is largest at (G ± 1) / 2.
        assert_eq!((normalised_variance(2, 5), normalised_variance(3, 5)), (1.0, 1.0));
    }

    #[test]
    fn refused_groups_are_replaced_from_the_bank() {
        let corpus = three(200, 200, 200);
        let policy = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let text = format!("#![enable(unwrap_variant_newtypes)] With(policy: {policy}, rules: [Vcrl(capacity: 64)])");
        let config: CurriculumConfig = ron::from_str(&text).unwrap();
        let mut course = config.build(&corpus, 1).unwrap();
        let steps = Simulation { batch: 20, ..Simulation::default() }.run(&mut course, &corpus, &mut |_: &_| 0.4);
        assert_eq!(steps.len(), 30);
        let mut uses = std::collections::BTreeMap::new();
        for (now, step) in steps.iter().enumerate() {
            let n_admitted = step.sampled.iter().filter(|(_, admitted)| *admitted).count();
            assert!(n_admitted + step.replayed.len() <= 20);
            for key in &step.replayed {
                assert!(key.step < now as u64);
                *uses.entry(*key).or_insert(0) += 1;
            }
        }
        assert!(uses.len() > 20 && uses.values().all(|&n| n <= 2), "{uses:?}");
        check_resume(&config, &corpus);
    }

    #[test]
    fn the_threshold_is_early_for_its_steps_and_late_from_then_on() {
        let mut rule = vcrl("early: 0.0, early_steps: 2, late: 0.8, capacity: 9");
        let mut admitted = Vec::new();
        for step in 0..4 {
            // One right completion of four has p = 3/4. A group without variance is refused even if
            // κ is 0.
            admitted.push([0, 1, 2].map(|right| rule.admit(&group(step, right))));
            rule.observe(&[]);
        }
        let (early, late) = ([false, true, true], [false, false, true]);
        assert_eq!(admitted, [early, early, late, late]);
    }

    #[test]
    fn what_comes_first_has_the_highest_priority_and_of_equals_is_the_newer() {
        let mut rule = vcrl("early: 0.0, memory: 0.75, capacity: 3");
        // Priorities are 1 and 3/4; a step later they are 3/4 and 9/16, and two more of 3/4 and 1
        // have joined.
        rule.observe(&[group(0, 2), group(1, 1)]);
        assert_eq!(rule.banked(), [group(0, 2).key, group(1, 1).key]);
        rule.observe(&[group(2, 1), group(3, 2)]);
        assert_eq!(rule.banked(), [3, 2, 0].map(|step| group(step, 1).key), "the lowest has given way");
        assert_eq!(rule.replay(2), [3, 2].map(|step| group(step, 1).key));
    }

    #[test]
    fn a_group_is_trained_on_again_so_many_times_and_then_leaves_the_bank() {
        for uses in 0..3 {
            let mut rule = vcrl(&format!("early: 0.0, uses: {uses}, capacity: 3"));
            rule.observe(&[group(0, 2)]);
            let mut n_replayed = 0;
            for _ in 0..4 {
                n_replayed += rule.replay(2).len();
                rule.observe(&[]);
            }
            assert_eq!((n_replayed, rule.banked().len()), (uses, 0));
        }
    }
}
