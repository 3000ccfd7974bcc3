//! Time per step of every policy at a million problems: `cargo bench -p seethink-curriculum`.

use seethink_core::{Capability, PassRate, ProblemId, Purpose, Rng};
use seethink_curriculum::{Corpus, CorpusEntry, CurriculumConfig, GroupKey, GroupOutcome};
use std::time::Instant;

/// Policies to time, as configurations.
const POLICIES: [&str; 14] = [
    "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)",
    "Merged(order: EasyToHard, epochs: PerStage(1), last_batch: Keep)",
    "Staged(order: EasyToHard, epochs: PerStage(1), last_batch: Keep)",
    "Mix(parts: [(0.5, Pools()), (0.5, Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep))])",
    "Replay(share: 0.5, capacity: 1024, policy: Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep))",
    "AdaRft(difficulty: PassRate, revisit: Always)",
    "AdaRft(difficulty: PassRate, revisit: NextEpoch)",
    "Sec(by: (axes: [Capability, PassRate], bins: Some(10)), rate: 0.5, temperature: 0.4)",
    "Dump(by: (axes: [Capability]))",
    "E2h(by: (axes: [PassRate], bins: Some(5)), hardest_first: true, schedule: Cosine, steps: 1000)",
    "Ladder(by: (axes: [PassRate], bins: Some(5)), hardest_first: true, up: 0.7, down: 0.3, window: 2560)",
    "Vas()",
    "FgExpo()",
    "Review(mastered: 1.0, first: 4, share: 0.25)",
];

/// Times steps of 512 problems, each with a group of eight completions: drawing, admitting,
/// replaying, observing and metrics.
fn main() {
    let entry = |i: u64| {
        let mut rng = Rng::new(5, Purpose::World, &[i]);
        let (id, capability) = (ProblemId(rng.next_u64()), Capability::ALL[rng.below(3)].clone());
        CorpusEntry { pass_rate: PassRate::new(rng.uniform() as f32).ok(), ..CorpusEntry::new(id, capability) }
    };
    let start = Instant::now();
    let corpus = Corpus::new((0..1_000_000).map(entry)).expect("ids are different");
    println!("corpus {:?}", start.elapsed());
    let outcome = |step: u64, problem: ProblemId| {
        let mut rng = Rng::new(6, Purpose::World, &[problem.0]);
        let rewards: Vec<f32> = (0..8).map(|_| rng.below(2) as f32).collect();
        GroupOutcome {
            key: GroupKey { step, problem },
            accuracies: rewards.clone(),
            advantages: rewards.iter().map(|reward| reward - 0.5).collect(),
            lengths: vec![9; 8],
            n_truncated: 0,
            rewards,
        }
    };
    let solved = |step: u64, problem: ProblemId| {
        let ones = vec![1.0; 8];
        GroupOutcome { rewards: ones.clone(), accuracies: ones, advantages: vec![0.0; 8], ..outcome(step, problem) }
    };
    // Policies, with the number of problems that are solved before the timing starts.
    let cases = POLICIES
        .map(|policy| (policy, 0))
        .into_iter()
        .chain([("Review(mastered: 1.0, first: 4, share: 0.25)", 999_900)]);
    for (policy, n_solved) in cases {
        let start = Instant::now();
        let text = format!("#![enable(unwrap_variant_newtypes)] #![enable(implicit_some)] {policy}");
        let config: CurriculumConfig = ron::from_str(&text).unwrap_or_else(|error| panic!("{policy}: {error}"));
        let mut course = config.build(&corpus, 1).unwrap_or_else(|error| panic!("{policy}: {error}"));
        let build_time = start.elapsed();
        let ids: Vec<ProblemId> = corpus.iter().take(n_solved).map(|entry| entry.id).collect();
        for ids in ids.chunks(512) {
            course.observe(&ids.iter().map(|&id| solved(0, id)).collect::<Vec<_>>());
        }
        let mut times = Vec::new();
        for step in 0..200 {
            let start = Instant::now();
            let batch = course.draw(512);
            let drawn = start.elapsed();
            assert!(!batch.is_empty(), "{policy} is over");
            let graded = |&problem| if n_solved > 0 { solved(step, problem) } else { outcome(step, problem) };
            let groups: Vec<GroupOutcome> = batch.problems.iter().map(graded).collect();
            let start = Instant::now();
            groups.iter().for_each(|group| assert!(course.admit(group)));
            course.replay(256);
            course.observe(&groups);
            std::hint::black_box(course.curriculum().metrics());
            times.push(drawn + start.elapsed());
        }
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "build {build_time:>12.1?}  step {median:>9.1?} (median) {worst:>9.1?} (worst)  {policy}, {n_solved} solved before"
        );
    }
}
