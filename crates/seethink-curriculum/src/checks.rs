//! What every static policy must hold, and small corpora to hold it on.

use crate::{BatchPlan, Corpus, CorpusEntry, Curriculum, CurriculumError, Epochs, LastBatch, Order};
use proptest::prelude::*;
use proptest::sample::select;
use seethink_core::{Capability, PassRate, ProblemId, Purpose, Rng};
use std::collections::BTreeMap;

/// A corpus with so many problems of each capability, ids and pass rates (of sixteen rollouts) scattered.
pub(crate) fn corpus(counts: &[(Capability, usize)]) -> Corpus {
    let entries = counts.iter().flat_map(|(capability, n)| (0..*n).map(move |_| capability)).enumerate();
    Corpus::new(entries.map(|(i, capability)| {
        let mut rng = Rng::new(11, Purpose::World, &[i as u64]);
        CorpusEntry {
            id: ProblemId(rng.next_u64()),
            capability: capability.clone(),
            pass_rate: Some(PassRate::new(rng.below(17) as f32 / 16.0).unwrap()),
            tags: Default::default(),
        }
    }))
    .unwrap()
}

/// The paper's three capabilities, so many problems of each.
pub(crate) fn three(perception: usize, textual: usize, visual: usize) -> Corpus {
    let [a, b, c] = Capability::ALL;
    corpus(&[(a, perception), (b, textual), (c, visual)])
}

/// Every batch that is left.
pub(crate) fn drain(curriculum: &mut dyn Curriculum, corpus: &Corpus, size: usize) -> Vec<BatchPlan> {
    std::iter::from_fn(|| curriculum.next_batch(corpus, size)).collect()
}

/// Holds a static policy to the contract over random corpora, batch sizes, orders, lengths and seeds.
///
/// `build` is called with stages that the policy chooses itself; they must not have lengths of their own.
pub(crate) fn check_policy<F>(build: F)
where
    F: Fn(Order, Epochs, LastBatch, &Corpus, u64) -> Result<Box<dyn Curriculum>, CurriculumError>,
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
        let fresh = || build(order, epochs, last_batch, &corpus, seed).unwrap();
        let batches = drain(&mut *fresh(), &corpus, size);
        sequence(&*fresh(), &corpus, epochs, size, &batches)?;
        coverage(&*fresh(), &corpus, epochs, last_batch, size, &batches)?;
        sorted(&corpus, order, epochs, &batches)?;
        resume(&mut *fresh(), &mut *fresh(), &corpus, size, cut, &batches)?;
        if last_batch == LastBatch::Keep && !matches!(epochs, Epochs::AsNeeded { .. }) {
            let flat = |batches: Vec<BatchPlan>| batches.into_iter().flat_map(|b| b.problems).collect::<Vec<_>>();
            prop_assert_eq!(flat(drain(&mut *fresh(), &corpus, size + 3)), flat(batches), "batch size changes the order");
        }
    });
}

/// Ids of the problems of a stage.
fn pool(curriculum: &dyn Curriculum, corpus: &Corpus, stage: usize) -> Vec<ProblemId> {
    let wanted = &curriculum.stages()[stage].capabilities;
    let belongs = |entry: &&CorpusEntry| wanted.is_empty() || wanted.contains(&entry.capability);
    corpus.entries().iter().filter(belongs).map(|entry| entry.id).collect()
}

/// Stages follow one another, never go back within a pass, and last as long as planned; batches hold what they may.
fn sequence(
    curriculum: &dyn Curriculum,
    corpus: &Corpus,
    epochs: Epochs,
    size: usize,
    batches: &[BatchPlan],
) -> Result<(), TestCaseError> {
    let n_stages = curriculum.stages().len();
    let mut visits: Vec<usize> = batches.iter().map(|batch| batch.stage).collect();
    let steps: Vec<usize> =
        (0..n_stages).map(|stage| visits.iter().filter(|&&visited| visited == stage).count()).collect();
    prop_assert_eq!(curriculum.planned_steps(size), Some(steps));
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
        let pool = pool(curriculum, corpus, batch.stage);
        prop_assert!(ids.iter().all(|id| pool.binary_search(id).is_ok()), "a problem of another stage");
    }
    Ok(())
}

/// Every problem of a stage once per epoch: exactly with `Keep`, all but an incomplete batch with `Drop`.
fn coverage(
    curriculum: &dyn Curriculum,
    corpus: &Corpus,
    epochs: Epochs,
    last_batch: LastBatch,
    size: usize,
    batches: &[BatchPlan],
) -> Result<(), TestCaseError> {
    for stage in 0..curriculum.stages().len() {
        let pool = pool(curriculum, corpus, stage);
        let own: Vec<&BatchPlan> = batches.iter().filter(|batch| batch.stage == stage).collect();
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

/// Pass rates are monotone within an epoch where the order says so; checked where a stage has exactly one epoch.
fn sorted(corpus: &Corpus, order: Order, epochs: Epochs, batches: &[BatchPlan]) -> Result<(), TestCaseError> {
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
            Order::Shuffled => {}
            Order::EasyToHard => prop_assert!(rates.is_sorted_by(|a, b| a >= b), "{:?}", rates),
            Order::HardToEasy => prop_assert!(rates.is_sorted(), "{:?}", rates),
        }
    }
    Ok(())
}

/// A run stopped after `cut` batches and resumed from its record, as text, goes on as if nothing had happened.
fn resume(
    stopped: &mut dyn Curriculum,
    resumed: &mut dyn Curriculum,
    corpus: &Corpus,
    size: usize,
    cut: usize,
    batches: &[BatchPlan],
) -> Result<(), TestCaseError> {
    let cut = cut.min(batches.len());
    for batch in &batches[..cut] {
        prop_assert_eq!(stopped.next_batch(corpus, size), Some(batch.clone()));
    }
    let record = ron::to_string(&stopped.to_record()).unwrap();
    resumed.load_record(ron::from_str(&record).unwrap()).unwrap();
    prop_assert_eq!(resumed.metrics(), stopped.metrics());
    prop_assert_eq!(drain(resumed, corpus, size), &batches[cut..]);
    prop_assert_eq!(resumed.next_batch(corpus, size), None, "over is over");
    Ok(())
}
