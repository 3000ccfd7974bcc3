//! Test of the calls that a step of the loop makes to its curriculum.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::ProblemId;
use seethink::curriculum::{Batch, Corpus, CorpusEntry, Course, Curriculum, GroupKey, GroupOutcome, Progress};
use seethink::train::{Grpo, GrpoConfig, Interrupter, MetricsFile, PolicyLoss};
use seethink_tests::tiny::{self, LetterReward};
use std::sync::{Arc, Mutex};

/// Curriculum that writes down its calls: it admits every third group, counted over the run, and
/// replays the second group that it has admitted.
#[derive(Debug, Default)]
struct Scripted {
    problems: Vec<ProblemId>,
    n_groups: usize,
    admitted: Vec<GroupKey>,
    calls: Arc<Mutex<Vec<String>>>,
    weighed: Arc<Mutex<Vec<GroupKey>>>,
}

impl Scripted {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl Curriculum for Scripted {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.note(format!("draw {want}"));
        let from = if progress.steps == 2 { self.problems.len() } else { progress.problems as usize };
        self.problems[from..].iter().copied().take(want).collect()
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        self.n_groups += 1;
        let admitted = self.n_groups.is_multiple_of(3);
        self.admitted.extend(admitted.then_some(group.key));
        admitted
    }

    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        self.note(format!("replay {places}"));
        self.admitted.get(1).copied().into_iter().take(places).collect()
    }

    fn weight(&self, group: &GroupOutcome) -> f64 {
        self.weighed.lock().unwrap().push(group.key);
        1.0
    }

    fn banked(&self) -> Vec<GroupKey> {
        self.admitted.clone()
    }
}

#[test]
fn a_step_draws_again_for_refused_groups_and_fills_up_with_the_groups_asked_for() {
    let problems = tiny::problems(10);
    let corpus = Corpus::new(problems.iter().map(CorpusEntry::from)).unwrap();
    let scripted = Scripted { problems: problems.iter().map(|problem| problem.id).collect(), ..Scripted::default() };
    let (calls, weighed) = (scripted.calls.clone(), scripted.weighed.clone());
    let folder = tempfile::tempdir().unwrap();
    let base = tiny::grpo_config();
    let grpo = Grpo {
        config: GrpoConfig { max_draws: 3, loss: PolicyLoss { kl_coef: 0.05, ..base.loss }, ..base },
        seed: 11,
        processor: Arc::new(tiny::processor()),
        reward: Arc::new(LetterReward),
        rewards: Default::default(),
        curriculum: Course::new(scripted, &corpus),
        problems: problems.clone().into_iter().collect(),
        validate: None,
        observer: Box::new(|_| {}),
        dashboard: false,
    };
    let trained = grpo.train(tiny::model(3), folder.path(), false, Interrupter::new()).unwrap();
    let (steps, records) = (trained.steps, MetricsFile::read(&folder.path().join("metrics.jsonl")).unwrap());
    // Of four groups one is admitted, of the next three one, of the next two one: a place is left.
    let of_a_step = ["draw 4", "draw 3", "draw 2", "replay 1"];
    let expected: Vec<&str> = of_a_step.into_iter().chain(of_a_step).chain(["draw 4"]).collect();
    assert_eq!((steps, &*calls.lock().unwrap()), (2, &expected.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    let of = |key: &str| [1, 2].map(|step| records[step].metrics[key]);
    // In the first step the group asked for is not of an earlier one.
    assert_eq!(of("rollout/replayed"), [0.0, 1.0]);
    assert_eq!(of("rollout/admitted"), [3.0 / 9.0; 2]);
    let key = |step, n: usize| GroupKey { step, problem: problems[n - 1].id };
    let expected = [key(0, 3), key(0, 6), key(0, 9), key(1, 12), key(1, 15), key(1, 18), key(0, 6)];
    // Weights are asked for twice, for the reference too.
    let weighed = weighed.lock().unwrap().clone();
    assert_eq!(weighed, [&expected[..3], &expected[..3], &expected[3..], &expected[3..]].concat());
}
