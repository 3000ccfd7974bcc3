//! A curriculum at a million problems costs a training step nothing.

use seethink_core::{Capability, PassRate, ProblemId, Purpose, Rng};
use seethink_curriculum::{Corpus, CorpusEntry, CurriculumConfig, Epochs, LastBatch, Order, Staged};
use std::time::{Duration, Instant};

/// A whole epoch per stage in batches of 512; an implementation that touches every problem in every batch takes seconds.
#[test]
fn a_million_problems_are_drawn_in_microseconds_a_batch() {
    let entry = |i: u64| {
        let mut rng = Rng::new(5, Purpose::World, &[i]);
        CorpusEntry {
            id: ProblemId(rng.next_u64()),
            capability: Capability::ALL[rng.below(3)].clone(),
            pass_rate: PassRate::new(rng.uniform() as f32).ok(),
            tags: Default::default(),
        }
    };
    let start = Instant::now();
    let corpus = Corpus::new((0..1_000_000).map(entry)).unwrap();
    let corpus_time = start.elapsed();
    for order in [Order::Shuffled, Order::EasyToHard] {
        let stages = Staged::paper_stages();
        let staged = Staged { stages, order, epochs: Epochs::PerStage(1), last_batch: LastBatch::Keep };
        let start = Instant::now();
        let mut curriculum = CurriculumConfig::Staged(staged).build(&corpus, 1).unwrap();
        let build_time = start.elapsed();
        let (mut n_problems, mut times) = (0, Vec::new());
        loop {
            let start = Instant::now();
            let Some(batch) = curriculum.next_batch(&corpus, 512) else { break };
            times.push(start.elapsed());
            n_problems += batch.problems.len();
        }
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{order:?}: corpus {corpus_time:?}, build {build_time:?}, batch {median:?} (median), {worst:?} (worst)"
        );
        assert_eq!(n_problems, 1_000_000);
        assert!(median < Duration::from_micros(500), "{median:?}");
        assert!(worst < Duration::from_millis(500), "{worst:?}");
    }
}
