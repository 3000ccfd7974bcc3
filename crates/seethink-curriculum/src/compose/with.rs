//! With: a policy under rules about its groups, and with an optional end.
//!
//! State: those of the policy and of the rules. Metrics: those of both, a rule's under its own
//! names.

use crate::policy_config::{PolicyConfig, keep_stages_of};
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, GroupKey, GroupOutcome,
    Metric, Progress, RuleConfig, Stage, State,
};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};

/// Policy under rules that decide which groups are trained on, how large they are, what they weigh
/// and which are replayed.
///
/// A group is trained on if the policy and every rule admit it. Its size is set by the first rule
/// that sets one, else by the policy. Its weight is the product of all weights. The policy replays
/// first, then the rules in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// Policy that draws the problems.
    pub policy: Box<CurriculumConfig>,
    /// Rules, in order.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,
    /// Steps after which the curriculum ends, at least 1; `None` leaves the end to the policy.
    #[serde(default)]
    pub steps: Option<u32>,
}

impl PolicyConfig for With {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if self.steps == Some(0) {
            return Err(SettingError::new("With.steps", 0, "at least 1").into());
        }
        let rules = self.rules.iter().map(|rule| rule.build()).collect::<Result<_, _>>()?;
        let policy = Course::part(self.policy.build_policy(corpus, seed)?);
        Ok(Box::new(Ruled { policy, rules, steps: self.steps }))
    }

    fn is_endless(&self) -> bool {
        self.steps.is_none() && self.policy.is_endless()
    }

    keep_stages_of!(policy);
}

/// Running policy with its rules. A rule is a curriculum that draws nothing.
#[derive(Debug)]
pub struct Ruled {
    policy: Course,
    rules: Vec<Box<dyn Curriculum>>,
    steps: Option<u32>,
}

impl Ruled {
    /// Puts a custom policy under rules, custom ones or [built-in](RuleConfig::build) ones; it ends
    /// after `steps` steps, if given.
    pub fn new(policy: impl Curriculum + 'static, rules: Vec<Box<dyn Curriculum>>, steps: Option<u32>) -> Self {
        Self { policy: Course::part(Box::new(policy)), rules, steps }
    }

    fn parts(&self) -> impl Iterator<Item = &dyn Curriculum> {
        std::iter::once(self.policy.curriculum()).chain(self.rules.iter().map(|rule| &**rule))
    }
}

impl Curriculum for Ruled {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        if self.steps.is_some_and(|steps| progress.steps >= u64::from(steps)) {
            return Batch::OVER;
        }
        self.policy.draw(want)
    }

    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        let of_policy = self.policy.extend(partial);
        self.rules.iter_mut().find_map(|rule| rule.extend(partial)).or(of_policy)
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        // Every rule is asked even after a refusal, because it may keep counts.
        let of_policy = self.policy.admit(group);
        self.rules.iter_mut().fold(of_policy, |admitted, rule| rule.admit(group) && admitted)
    }

    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        let mut groups = self.policy.replay(places);
        for rule in &mut self.rules {
            let left = places.saturating_sub(groups.len());
            if left > 0 {
                groups.extend(rule.replay(left));
            }
        }
        groups
    }

    fn weight(&self, group: &GroupOutcome) -> f64 {
        self.parts().map(|part| part.weight(group)).product()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.policy.observe(groups);
        self.rules.iter_mut().for_each(|rule| rule.observe(groups));
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.policy.watch(groups);
        self.rules.iter_mut().for_each(|rule| rule.watch(groups));
    }

    fn banked(&self) -> Vec<GroupKey> {
        self.parts().flat_map(|part| part.banked()).collect()
    }

    fn stages(&self) -> &[Stage] {
        self.policy.curriculum().stages()
    }

    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let of_policy = self.policy.curriculum();
        // Refused groups are replaced by further draws, so the number of problems in a step is
        // unknown.
        let planned = of_policy.planned_steps(want.filter(|_| self.rules.is_empty()));
        match (self.steps, planned) {
            (Some(steps), None) if of_policy.stages().len() == 1 => Some(vec![steps as usize]),
            (Some(steps), Some(planned)) => {
                let mut left = steps as usize;
                let cut = |planned: usize| {
                    let steps = planned.min(left);
                    left -= steps;
                    steps
                };
                Some(planned.into_iter().map(cut).collect())
            }
            (_, planned) => planned,
        }
    }

    fn state(&self) -> State {
        State::new(&(self.policy.to_record(), self.rules.iter().map(|rule| rule.state()).collect::<Vec<_>>()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (policy, rules): (CurriculumRecord, Vec<State>) = state.read()?;
        if rules.len() != self.rules.len() {
            let what = format!("{} rules, expected {}", rules.len(), self.rules.len());
            return Err(CurriculumError::StateOutOfRange { what });
        }
        let before: Vec<State> = self.rules.iter().map(|rule| rule.state()).collect();
        let mut loaded = self.rules.iter_mut().zip(&rules).try_for_each(|(rule, state)| rule.load_state(state));
        if loaded.is_ok() {
            loaded = self.policy.load_record(&policy);
        }
        if loaded.is_err() {
            self.rules.iter_mut().zip(&before).try_for_each(|(rule, state)| rule.load_state(state))?;
        }
        loaded
    }

    fn metrics(&self) -> Vec<Metric> {
        self.parts().flat_map(|part| part.metrics()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{Eager, check_resume, drain, outcome, three};
    use crate::{Filter, Quantity, Simulation, Speed, Weight, ZeroVariance};

    fn with(rules: Vec<RuleConfig>, steps: Option<u32>) -> CurriculumConfig {
        let policy = "Staged(order: Shuffled, epochs: AsNeeded(steps: 5), last_batch: Keep)";
        let policy = ron::from_str(&format!("#![enable(unwrap_variant_newtypes)] {policy}")).unwrap();
        CurriculumConfig::With(With { policy: Box::new(policy), rules, steps })
    }

    #[test]
    fn steps_cut_a_plan_short() {
        let corpus = three(90, 90, 90);
        let mut course = with(vec![], Some(7)).build(&corpus, 1).unwrap();
        assert_eq!(course.curriculum().planned_steps(Some(8)), Some(vec![5, 2, 0]));
        assert_eq!(drain(&mut course, 8).len(), 7);
        assert!(with(vec![], Some(0)).build(&corpus, 1).is_err());
    }

    #[test]
    fn all_rules_are_asked_and_weights_multiply() {
        let corpus = three(90, 90, 90);
        let filter =
            |low, high| RuleConfig::Filter(Filter { quantity: Quantity::Accuracy, low, high, inclusive: true });
        let focal = |gamma| RuleConfig::Weight(Weight::Focal { gamma });
        let speed = RuleConfig::Speed(Speed { screen: 2, more: 2, quantity: Quantity::Accuracy });
        let rules = vec![filter(0.25, 1.0), filter(0.0, 0.75), focal(1.0), focal(2.0), speed];
        let config = with(rules, None);
        let mut course = config.build(&corpus, 1).unwrap();
        course.draw(1);
        let group = |right: usize| outcome(1, &(0..4).map(|i| f32::from(u8::from(i < right))).collect::<Vec<_>>());
        assert_eq!([0, 1, 3, 4].map(|right| course.admit(&group(right))), [false, true, true, false]);
        assert_eq!(course.curriculum().weight(&group(2)), 0.125);
        assert_eq!(course.extend(&outcome(1, &[])), Some(2));
        check_resume(&config, &corpus);
    }

    #[test]
    fn refused_groups_are_drawn_for_again() {
        let corpus = three(400, 400, 400);
        let config = with(vec![RuleConfig::ZeroVariance(ZeroVariance::default())], None);
        let simulation = Simulation { batch: 16, max_draws: 9, ..Simulation::default() };
        let steps = simulation.run(&mut config.build(&corpus, 1).unwrap(), &corpus, &mut |_: &_| 0.9);
        assert_eq!(steps.len(), 15);
        for step in steps {
            assert_eq!(step.sampled.iter().filter(|(_, admitted)| *admitted).count(), 16);
            assert!(step.sampled.len() > 16);
        }
    }

    #[test]
    fn rules_fill_the_places_that_are_left_in_their_order() {
        let rules = || (0..3).map(|_| Box::new(Eager) as Box<dyn Curriculum>).collect();
        assert_eq!([1, 2, 9].map(|places| Ruled::new(Eager, rules(), None).replay(places).len()), [1, 2, 4]);
    }
}
