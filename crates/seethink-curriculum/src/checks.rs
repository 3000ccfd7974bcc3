//! Checks that every policy and composition must pass, and small corpora for them.

use crate::{
    Batch, Corpus, CorpusEntry, Course, Curriculum, CurriculumConfig, Epochs, GroupKey, GroupOutcome, LastBatch, Order,
    Progress, SimulatedStep, Simulation, SkilledLearner, WarmStart, With,
};
use proptest::prelude::*;
use proptest::sample::select;
use seethink_core::{Capability, PassRate, ProblemId, Purpose, Rng};
use std::collections::{BTreeMap, BTreeSet};

/// Corpus with the given number of problems of each capability; ids and pass rates (of sixteen
/// rollouts) are scattered.
pub(crate) fn corpus(counts: &[(Capability, usize)]) -> Corpus {
    let entries = counts.iter().flat_map(|(capability, n)| (0..*n).map(move |_| capability)).enumerate();
    Corpus::new(entries.map(|(i, capability)| {
        let mut rng = Rng::new(11, Purpose::World, &[i as u64]);
        let id = ProblemId(rng.next_u64());
        CorpusEntry {
            pass_rate: Some(PassRate::new(rng.below(17) as f32 / 16.0).unwrap()),
            ..CorpusEntry::new(id, capability.clone())
        }
    }))
    .unwrap()
}

/// Corpus with the given numbers of problems of the paper's three capabilities.
pub(crate) fn three(perception: usize, textual: usize, visual: usize) -> Corpus {
    let [a, b, c] = Capability::ALL;
    corpus(&[(a, perception), (b, textual), (c, visual)])
}

/// Group of a problem with these rewards, which are its accuracies too.
pub(crate) fn outcome(problem: u64, rewards: &[f32]) -> GroupOutcome {
    let mean = rewards.iter().sum::<f32>() / rewards.len().max(1) as f32;
    GroupOutcome {
        key: GroupKey { step: 0, problem: ProblemId(problem) },
        rewards: rewards.to_vec(),
        accuracies: rewards.to_vec(),
        advantages: rewards.iter().map(|reward| reward - mean).collect(),
        lengths: vec![3; rewards.len()],
        n_truncated: 0,
    }
}

/// Draws one problem and asks to replay one group; panics if asked to fill no places.
#[derive(Debug)]
pub(crate) struct Eager;

impl Curriculum for Eager {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        [ProblemId(1)].into_iter().collect()
    }

    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        assert!(places > 0, "asked to fill no places");
        vec![GroupKey { step: 0, problem: ProblemId(1) }]
    }
}

/// Draws all batches that are left, without outcomes.
pub(crate) fn drain(course: &mut Course, size: usize) -> Vec<Batch> {
    std::iter::from_fn(|| step(course, size)).collect()
}

/// Takes one step without outcomes; `None` if the course is over.
pub(crate) fn step(course: &mut Course, size: usize) -> Option<Batch> {
    let batch = course.draw(size);
    if batch.is_empty() {
        return None;
    }
    course.observe(&[]);
    Some(batch)
}

/// Checks that a static policy keeps the contract, over random corpora, batch sizes, orders,
/// lengths and seeds.
///
/// `build` chooses the stages, which must not have lengths of their own.
pub(crate) fn check_policy<F>(build: F)
where
    F: Fn(Order, Epochs, LastBatch) -> CurriculumConfig,
{
    let orders = select(vec![Order::Shuffled, Order::EasyToHard, Order::HardToEasy]);
    let epochs = prop_oneof![
        (1u32..4).prop_map(Epochs::PerStage),
        (1u32..4).prop_map(Epochs::OverWholePlan),
        (1u32..20).prop_map(|steps| Epochs::AsNeeded { steps }),
    ];
    let last_batches = select(vec![LastBatch::Drop, LastBatch::Keep]);
    let counts = [1usize..30, 1usize..30, 1usize..30];
    proptest!(|((order, epochs, last_batch) in (orders, epochs, last_batches), [a, b, c] in counts,
                size in 1usize..12, seed: u64, cut in 0usize..40)| {
        let corpus = three(a, b, c);
        let config = build(order.clone(), epochs, last_batch);
        let fresh = || config.build(&corpus, seed).unwrap();
        let batches = drain(&mut fresh(), size);
        sequence(&fresh(), &corpus, epochs, size, &batches)?;
        coverage(&fresh(), &corpus, epochs, last_batch, size, &batches)?;
        sorted(&corpus, &order, epochs, &batches)?;
        resume(&mut fresh(), &mut fresh(), size, cut, &batches)?;
        if last_batch == LastBatch::Keep && !matches!(epochs, Epochs::AsNeeded { .. }) {
            let flat = |batches: Vec<Batch>| batches.into_iter().flat_map(|b| b.problems).collect::<Vec<_>>();
            prop_assert_eq!(flat(drain(&mut fresh(), size + 3)), flat(batches), "batch size changes the order");
        }
    });
}

/// Ids of the problems of a stage.
fn pool(course: &Course, corpus: &Corpus, stage: usize) -> Vec<ProblemId> {
    let wanted = &course.curriculum().stages()[stage].capabilities;
    let belongs = |entry: &&CorpusEntry| wanted.is_empty() || wanted.contains(&entry.capability);
    corpus.iter().filter(belongs).map(|entry| entry.id).collect()
}

/// Checks that stages follow one another, never go back within a pass and last as long as planned,
/// and that batches have the right size and hold different problems of their stage.
fn sequence(
    course: &Course,
    corpus: &Corpus,
    epochs: Epochs,
    size: usize,
    batches: &[Batch],
) -> Result<(), TestCaseError> {
    let n_stages = course.curriculum().stages().len();
    let mut visits: Vec<usize> = batches.iter().map(|batch| batch.stage).collect();
    let steps: Vec<usize> =
        (0..n_stages).map(|stage| visits.iter().filter(|&&visited| visited == stage).count()).collect();
    prop_assert_eq!(course.curriculum().planned_steps(Some(size)), Some(steps));
    if n_stages > 1 {
        visits.dedup();
        let passes = if let Epochs::OverWholePlan(passes) = epochs { passes as usize } else { 1 };
        prop_assert_eq!(visits, (0..n_stages).collect::<Vec<_>>().repeat(passes));
    }
    for batch in batches {
        let mut ids = batch.problems.clone();
        ids.sort_unstable();
        ids.dedup();
        prop_assert!((1..=size).contains(&ids.len()) && ids.len() == batch.problems.len(), "{:?}", batch);
        let pool = pool(course, corpus, batch.stage);
        prop_assert!(ids.iter().all(|id| pool.binary_search(id).is_ok()), "a problem of another stage");
    }
    Ok(())
}

/// Checks that every epoch of a stage draws every problem once: exactly with `Keep`, all but an
/// incomplete batch with `Drop`.
fn coverage(
    course: &Course,
    corpus: &Corpus,
    epochs: Epochs,
    last_batch: LastBatch,
    size: usize,
    batches: &[Batch],
) -> Result<(), TestCaseError> {
    for stage in 0..course.curriculum().stages().len() {
        let pool = pool(course, corpus, stage);
        let own: Vec<&Batch> = batches.iter().filter(|batch| batch.stage == stage).collect();
        let per_epoch = last_batch.batches_per_epoch(pool.len(), size);
        let drawn_per_epoch = match last_batch {
            LastBatch::Keep => pool.len(),
            LastBatch::Drop => (per_epoch * size).min(pool.len()),
        };
        let n_epochs = own.len().div_ceil(per_epoch);
        if let Epochs::PerStage(n) | Epochs::OverWholePlan(n) = epochs {
            prop_assert_eq!((n_epochs, own.len() % per_epoch), (n as usize, 0));
        }
        for epoch in own.chunks(per_epoch) {
            let mut ids: Vec<ProblemId> = epoch.iter().flat_map(|batch| batch.problems.iter().copied()).collect();
            let n_drawn = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), n_drawn, "a problem twice in an epoch");
            if epoch.len() == per_epoch {
                prop_assert_eq!(n_drawn, drawn_per_epoch);
            }
        }
    }
    Ok(())
}

/// Checks that pass rates are monotone within an epoch if the order is by pass rate; only for
/// stages of exactly one epoch.
fn sorted(corpus: &Corpus, order: &Order, epochs: Epochs, batches: &[Batch]) -> Result<(), TestCaseError> {
    if !matches!(epochs, Epochs::PerStage(1) | Epochs::OverWholePlan(1)) {
        return Ok(());
    }
    let mut rates: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for batch in batches {
        let rate = |id: &ProblemId| corpus.get(*id).unwrap().pass_rate.unwrap().fraction();
        rates.entry(batch.stage).or_default().extend(batch.problems.iter().map(rate));
    }
    for rates in rates.values() {
        match order {
            Order::EasyToHard => prop_assert!(rates.is_sorted_by(|a, b| a >= b), "{:?}", rates),
            Order::HardToEasy => prop_assert!(rates.is_sorted(), "{:?}", rates),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a run stopped after `cut` batches and resumed from its record, written as text,
/// draws the same batches as an uninterrupted run.
fn resume(
    stopped: &mut Course,
    resumed: &mut Course,
    size: usize,
    cut: usize,
    batches: &[Batch],
) -> Result<(), TestCaseError> {
    let cut = cut.min(batches.len());
    for batch in &batches[..cut] {
        prop_assert_eq!(step(stopped, size), Some(batch.clone()));
    }
    let record = serde_json::to_string(&stopped.to_record()).unwrap();
    resumed.load_record(&serde_json::from_str(&record).unwrap()).unwrap();
    prop_assert_eq!(resumed.curriculum().metrics(), stopped.curriculum().metrics());
    prop_assert_eq!(drain(resumed, size), &batches[cut..]);
    prop_assert_eq!(step(resumed, size), None, "over is over");
    Ok(())
}

const MERGED: &str = "Merged(order: Shuffled, epochs: PerStage(3), last_batch: Keep)";

/// Configurations of every policy and every composition, some with several settings.
fn every_policy() -> Vec<CurriculumConfig> {
    let staged = |epochs: &str, last_batch: &str| {
        format!("Staged(order: EasyToHard, epochs: {epochs}, last_batch: {last_batch})")
    };
    let watching = |length: &str| {
        format!(
            "Staged(stages: [(name: \"a\", length: {length}), (name: \"b\", length: Steps(3))], order: Shuffled, epochs: PerStage(1), last_batch: Keep)"
        )
    };
    let levels = "by: (axes: [PassRate], bins: 3), hardest_first: true";
    let nested = "Staged(stages: [(name: \"a\", policy: AdaRft(difficulty: PassRate, revisit: NextEpoch)), (name: \"b\", policy: Vas())], order: Shuffled, epochs: AsNeeded(steps: 4), last_batch: Keep)";
    let texts = [
        MERGED.to_owned(),
        "Merged(order: EasyToHard, epochs: PerStage(4), last_batch: Drop)".into(),
        staged("OverWholePlan(2)", "Keep"),
        staged("PerStage(3)", "Drop"),
        staged("AsNeeded(steps: 5)", "Drop"),
        watching("Threshold(quantity: Accuracy, at_least: 0.9, window: 3, at_most: 9)"),
        watching("Plateau(quantity: Reward, gain: 0.1, window: 3, at_most: 9)"),
        nested.into(),
        format!("With(policy: {MERGED}, rules: [ZeroVariance(), Vcrl(capacity: 9)], steps: 9)"),
        format!(
            "Mix(parts: [(0.6, {MERGED}), (0.4, Pools()), (0.3, AdaRft(difficulty: PassRate, revisit: NextEpoch))])"
        ),
        format!("WarmStart(steps: 3, first: Review(mastered: 1.0, first: 1, share: 0.5), then: {MERGED})"),
        format!("WarmStart(steps: 9, first: {MERGED}, then: {})", staged("PerStage(1)", "Keep")),
        format!("Sections(stages: [(name: \"a\", length: Some(Steps(5))), (name: \"b\")], policy: {MERGED})"),
        format!("Repeat(times: 3, policy: {})", staged("PerStage(1)", "Keep")),
        format!("Band(axis: PassRate, at_most: 2.0, policy: {MERGED})"),
        format!("Replay(share: 0.5, capacity: 20, policy: {MERGED})"),
        "AdaRft(difficulty: PassRate, revisit: Always)".into(),
        "AdaRft(difficulty: PassRate, revisit: NextEpoch)".into(),
        "Sec(by: (axes: [Capability]), rate: 0.5, temperature: 0.4)".into(),
        "Dump(by: (axes: [Capability]))".into(),
        format!("E2h({levels}, schedule: Cosine, steps: 9)"),
        format!("Ladder({levels}, up: 0.7, down: 0.3, window: 12)"),
        "Pools()".into(),
        "Vas()".into(),
        "FgExpo()".into(),
        "Review(mastered: 0.75, first: 1, share: 0.5)".into(),
    ];
    texts.iter().map(|text| read(text)).collect()
}

/// Parses a configuration in the syntax of configuration files.
pub(crate) fn read(text: &str) -> CurriculumConfig {
    let extensions = "#![enable(unwrap_variant_newtypes, implicit_some)]";
    ron::from_str(&format!("{extensions} {text}")).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn no_policy_is_forgotten() {
    let Err(ron::error::SpannedError { code: ron::Error::NoSuchEnumVariant { expected, .. }, .. }) =
        ron::from_str::<CurriculumConfig>("Nothing()")
    else {
        panic!("an unknown policy is refused by its name")
    };
    let names: Vec<String> = every_policy().iter().map(|config| format!("{config:?}")).collect();
    for variant in expected.iter().filter(|variant| **variant != "Custom") {
        assert!(names.iter().any(|name| name.starts_with(&format!("{variant}("))), "{variant} is not checked");
    }
}

/// Group of a problem in a step, with completions that are right at its prior pass rate.
fn graded(corpus: &Corpus, step: u64, problem: ProblemId) -> GroupOutcome {
    let rate = f64::from(corpus.get(problem).unwrap().pass_rate.unwrap().fraction());
    let mut rng = Rng::new(3, Purpose::World, &[step, problem.0]);
    let rewards: Vec<f32> = (0..4).map(|_| f32::from(u8::from(rng.uniform() < rate))).collect();
    GroupOutcome { key: GroupKey { step, problem: ProblemId(problem.0) }, ..outcome(problem.0, &rewards) }
}

/// Takes a step that draws `size` problems and then, as after refused groups, `refills` more;
/// `None` if the course is over.
fn refilled_step(course: &mut Course, corpus: &Corpus, size: usize, refills: &[usize]) -> Option<Vec<Batch>> {
    let step = course.progress().steps;
    let first = course.draw(size);
    if first.is_empty() {
        return None;
    }
    let mut batches = vec![first];
    batches.extend(refills.iter().map(|&want| course.draw(want)));
    let drawn = batches.iter().flat_map(|batch| &batch.problems);
    let groups: Vec<GroupOutcome> = drawn.map(|&problem| graded(corpus, step, problem)).collect();
    let n_admitted = groups.iter().filter(|group| course.admit(group)).count();
    assert!(course.replay(2).len() <= 2 && n_admitted <= groups.len());
    course.observe(&groups);
    Some(batches)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Checks that no problem comes twice in a step, however often the step draws again, that its
    /// stage stays the same, and that a resumed run draws the same problems.
    #[test]
    fn no_step_draws_a_problem_twice(
        config in select(every_policy()), counts in [1usize..12, 1usize..12, 1usize..12], size in 1usize..10,
        refills in prop::collection::vec(prop::collection::vec(1usize..6, 0..5), 12), cut in 0usize..12, seed: u64,
    ) {
        let [a, b, c] = counts;
        let corpus = three(a, b, c);
        let mut course = config.build(&corpus, seed).unwrap();
        let mut resumed = None;
        for (now, refills) in refills.iter().enumerate() {
            if now == cut {
                let record = serde_json::to_string(&course.to_record()).unwrap();
                let mut fresh = config.build(&corpus, seed).unwrap();
                fresh.load_record(&serde_json::from_str(&record).unwrap()).unwrap();
                resumed = Some(fresh);
            }
            let before = course.progress().problems;
            let batches = refilled_step(&mut course, &corpus, size, refills);
            if let Some(resumed) = &mut resumed {
                prop_assert_eq!(&refilled_step(resumed, &corpus, size, refills), &batches);
                prop_assert_eq!(resumed.curriculum().metrics(), course.curriculum().metrics());
            }
            let Some(batches) = batches else { break };
            let mut seen: BTreeSet<ProblemId> = BTreeSet::new();
            for (batch, want) in batches.iter().zip(std::iter::once(&size).chain(refills)) {
                prop_assert!(batch.problems.len() <= *want && (batch.is_empty() || batch.stage == batches[0].stage));
                seen.extend(&batch.problems);
            }
            let n_drawn = course.progress().problems - before;
            prop_assert_eq!(seen.len() as u64, n_drawn, "problems came twice in step {}: {:?}", now, batches);
        }
    }

    /// Checks that every problem is visited equally often although refills draw ahead.
    #[test]
    fn refills_leave_every_epoch_whole(
        text in select(vec![MERGED, "AdaRft(difficulty: PassRate, revisit: NextEpoch)"]),
        counts in [1usize..12, 1usize..12, 1usize..12], size in 1usize..10, seed: u64,
        refills in prop::collection::vec(prop::collection::vec(1usize..6, 0..5), 120),
    ) {
        let [a, b, c] = counts;
        let corpus = three(a, b, c);
        let mut course = read(text).build(&corpus, seed).unwrap();
        let mut visits: BTreeMap<ProblemId, usize> = corpus.iter().map(|entry| (entry.id, 0)).collect();
        for refills in &refills {
            let Some(batches) = refilled_step(&mut course, &corpus, size, refills) else { break };
            batches.iter().flat_map(|batch| &batch.problems).for_each(|id| *visits.entry(*id).or_default() += 1);
            let (least, most) = (visits.values().min(), visits.values().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?}", visits);
        }
        prop_assert!(text != MERGED || visits.values().all(|&n| n == 3), "{:?}", visits);
    }

    /// Checks that the steps of a warm start do not count for the policy after it, which takes as
    /// many steps, stage by stage, as it does alone.
    #[test]
    fn a_warm_start_takes_no_steps_from_what_follows(
        config in select(every_policy()), steps in 1u32..7, first in select(vec!["Vas()", "Pools()"]), size in 1usize..10, seed: u64,
    ) {
        let corpus = three(12, 12, 12);
        let then = Box::new(if config.is_endless() {
            CurriculumConfig::With(With { policy: Box::new(config), rules: Vec::new(), steps: Some(6) })
        } else {
            config
        });
        let warm = CurriculumConfig::WarmStart(WarmStart { steps, first: Box::new(read(first)), then: then.clone() });
        // Completions are right in the warm start, which would end a stage by its threshold, and
        // wrong afterwards.
        let stages = |config: &CurriculumConfig, n_warm: u32| {
            let mut course = config.build(&corpus, seed).unwrap();
            let planned = course.curriculum().planned_steps(Some(size));
            let mut stages = Vec::new();
            loop {
                let batch = course.draw(size);
                if batch.is_empty() {
                    return (stages, planned);
                }
                let reward = f32::from(u8::from(stages.len() < n_warm as usize));
                course.observe(&batch.problems.iter().map(|id| outcome(id.0, &[reward; 2])).collect::<Vec<_>>());
                stages.push(batch.stage);
            }
        };
        let (alone, planned_alone) = stages(&then, 0);
        let (found, planned) = stages(&warm, steps);
        prop_assert_eq!(&found[..steps as usize], &vec![0; steps as usize]);
        prop_assert_eq!(&found[steps as usize..], &alone);
        if let Some(mut expected) = planned_alone {
            expected[0] += steps as usize;
            prop_assert_eq!(planned, Some(expected));
        }
    }
}

/// Reference cases of a suite; `tests/fixtures/grpo/README.md` names their origin.
pub(crate) fn cases(suite: &str) -> Vec<serde_json::Value> {
    let lines = include_str!("../../../tests/fixtures/grpo/curriculum.jsonl").lines();
    let cases: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let cases: Vec<_> = cases.into_iter().filter(|case| case["suite"] == suite).collect();
    assert!(!cases.is_empty(), "no cases of {suite}");
    cases
}

/// Numbers of a list.
pub(crate) fn float_list(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Numbers of a list of lists, or of a list of objects by the order of their keys.
pub(crate) fn floats(value: &serde_json::Value) -> Vec<Vec<f64>> {
    let row = |row: &serde_json::Value| match row.as_object() {
        Some(object) => object.values().map(|number| number.as_f64().unwrap()).collect(),
        None => float_list(row),
    };
    value.as_array().unwrap().iter().map(row).collect()
}

/// Simulates 80 steps with known pass rates, by the index of the capability in the paper's order;
/// returns each capability's share of the problems drawn in the second half. Also checks that the
/// curriculum resumes exactly.
pub(crate) fn check_adaptive(config: &CurriculumConfig, corpus: &Corpus, rate: impl Fn(usize) -> f64) -> [f64; 3] {
    check_resume(config, corpus);
    let place = |capability: &Capability| Capability::ALL.iter().position(|one| one == capability).unwrap();
    let mut course = config.build(corpus, 1).unwrap();
    let simulation = Simulation { max_steps: 80, ..Simulation::default() };
    let steps = simulation.run(&mut course, corpus, &mut |entry: &CorpusEntry| rate(place(&entry.capability)));
    assert_eq!(steps.len(), 80, "over too soon");
    let mut counts = [0usize; 3];
    for step in &steps {
        let mut ids: Vec<ProblemId> = step.drawn().collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((step.sampled.len(), ids.len()), (32, 32), "a full batch of different problems");
    }
    for id in steps[40..].iter().flat_map(SimulatedStep::drawn) {
        counts[place(&corpus.get(id).unwrap().capability)] += 1;
    }
    counts.map(|n| n as f64 / counts.iter().sum::<usize>() as f64)
}

/// Checks that a simulated run, stopped after various numbers of steps and resumed from its record
/// as text, equals the run that was not stopped.
pub(crate) fn check_resume(config: &CurriculumConfig, corpus: &Corpus) {
    let simulation = Simulation { batch: 8, max_draws: 3, max_steps: 24, ..Simulation::default() };
    let learner = || SkilledLearner::new(corpus, 0.02, 0.3);
    let whole = simulation.run(&mut config.build(corpus, 5).unwrap(), corpus, &mut learner());
    assert_eq!(
        whole,
        simulation.run(&mut config.build(corpus, 5).unwrap(), corpus, &mut learner()),
        "not deterministic"
    );
    assert_ne!(config.build(corpus, 5).unwrap().to_record(), config.build(corpus, 6).unwrap().to_record());
    for cut in [0, 1, 7, 23] {
        // The bank belongs to the simulation and not to the record, so the first steps are run
        // again to fill it.
        let mut resumed = config.build(corpus, 5).unwrap();
        let mut skills = learner();
        let first = Simulation { max_steps: cut, ..simulation };
        let mut steps = Vec::new();
        let mut bank = Default::default();
        first.go_on(&mut resumed, corpus, &mut skills, &mut bank, &mut steps);
        let record = serde_json::to_string(&resumed.to_record()).unwrap();
        let mut resumed = config.build(corpus, 5).unwrap();
        resumed.load_record(&serde_json::from_str(&record).unwrap()).unwrap();
        simulation.go_on(&mut resumed, corpus, &mut skills, &mut bank, &mut steps);
        assert_eq!(steps[..], whole[..], "resumed after {cut} steps");
    }
}
