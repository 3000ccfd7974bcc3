//! Tests that every composition passes calls on to its parts.

use crate::checks::{outcome, read, three};
use crate::{Course, CurriculumConfig, GroupKey, GroupOutcome, Metric};
use seethink_core::ProblemId;

const MERGED: &str = "Merged(order: Shuffled, epochs: PerStage(9), last_batch: Keep)";

/// Every composition around a policy with one stage.
fn around(policy: &str) -> Vec<CurriculumConfig> {
    let texts = [
        format!("With(policy: {policy})"),
        format!("Mix(parts: [(1.0, {policy})])"),
        format!("WarmStart(steps: 9, first: {policy}, then: {MERGED})"),
        format!("WarmStart(steps: 0, first: {MERGED}, then: {policy})"),
        format!("Sections(stages: [(name: \"only\")], policy: {policy})"),
        format!("Repeat(times: 2, policy: {policy})"),
        format!("Band(axis: PassRate, at_most: 2.0, policy: {policy})"),
        format!("Replay(share: 0.0, capacity: 0, policy: {policy})"),
        format!(
            "Staged(stages: [(name: \"only\", policy: {policy})], order: Shuffled, epochs: PerStage(9), last_batch: Keep)"
        ),
    ];
    texts.iter().map(|text| read(text)).collect()
}

fn metric(metrics: &[Metric], name: &str) -> Option<f64> {
    metrics.iter().find(|(key, _)| key.ends_with(name)).map(|(_, value)| *value)
}

/// Group of a problem in the current step.
fn group(course: &Course, problem: ProblemId, rewards: &[f32]) -> GroupOutcome {
    GroupOutcome { key: GroupKey { step: course.progress().steps, problem }, ..outcome(problem.0, rewards) }
}

#[test]
fn every_question_reaches_the_part_at_work() {
    let corpus = three(9, 9, 9);
    let rules = "[Speed(screen: 2, more: 3), Vcrl(early: 0.0, capacity: 8), Weight(Focal(gamma: 1.0))]";
    for config in around(&format!("With(policy: {MERGED}, rules: {rules})")) {
        let mut course = config.build(&corpus, 1).unwrap();
        let problem = course.draw(1).problems[0];
        let screening = group(&course, problem, &[]);
        assert_eq!(course.extend(&screening), Some(2), "{config:?}");
        assert_eq!(course.extend(&group(&course, problem, &[0.0, 1.0])), Some(3), "{config:?}");
        let [refused, admitted] =
            [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]].map(|rewards| group(&course, problem, &rewards));
        assert_eq!([course.admit(&refused), course.admit(&admitted)], [false, true], "{config:?}");
        assert_eq!(course.curriculum().weight(&admitted), 0.75, "{config:?}");
        assert!(course.replay(2).is_empty(), "nothing is banked: {config:?}");
        course.observe(std::slice::from_ref(&admitted));
        assert_eq!(course.curriculum().banked(), [admitted.key], "{config:?}");
        assert_eq!(metric(&course.curriculum().metrics(), "vcrl/bank"), Some(1.0), "{config:?}");
        course.draw(1);
        assert_eq!(course.replay(2), [admitted.key], "{config:?}");
    }
}

#[test]
fn a_replayed_group_belongs_to_the_part_that_asked_for_it() {
    let corpus = three(9, 9, 9);
    let part = |gamma: f64, bank: usize| {
        let rules = format!("[Vcrl(early: 0.0, capacity: {bank}), Weight(Focal(gamma: {gamma}))]");
        format!("(1.0, With(policy: {MERGED}, rules: {rules}))")
    };
    let mut course = read(&format!("Mix(parts: [{}, {}])", part(0.0, 0), part(2.0, 8))).build(&corpus, 1).unwrap();
    let problems = course.draw(2).problems;
    let groups: Vec<GroupOutcome> = problems.iter().map(|&id| group(&course, id, &[0.0, 1.0])).collect();
    assert_eq!([0, 1].map(|part| course.curriculum().weight(&groups[part])), [1.0, 0.25]);
    course.observe(&groups);
    course.draw(2);
    assert_eq!(course.replay(3), [groups[1].key]);
    assert_eq!(course.curriculum().weight(&groups[1]), 0.25);
}

#[test]
fn places_of_a_replay_are_shared_with_the_rules_below_it() {
    let corpus = three(9, 9, 9);
    let inner = format!("With(policy: {MERGED}, rules: [Vcrl(early: 0.0, capacity: 2)])");
    let mut course = read(&format!("Replay(share: 0.5, capacity: 9, policy: {inner})")).build(&corpus, 1).unwrap();
    let drawn = course.draw(6).problems;
    assert_eq!(drawn.len(), 6);
    let groups: Vec<GroupOutcome> = drawn.iter().map(|&id| group(&course, id, &[0.0, 1.0])).collect();
    course.observe(&groups);
    assert_eq!(course.draw(6).problems.len(), 3, "half of the batch comes from the bank");
    // If all three are admitted, the bank fills its three places and no more. If none is, two
    // groups of the rule are added.
    assert_eq!(course.replay(3).len(), 3);
    course.observe(&[]);
    course.draw(6);
    assert_eq!(course.replay(6).len(), 5);
}

#[test]
fn what_others_drew_is_learnt_by_those_who_keep_figures() {
    let corpus = three(9, 9, 9);
    let solved = |course: &Course| -> Vec<GroupOutcome> {
        corpus.iter().take(9).map(|entry| group(course, entry.id, &[0.0, 1.0, 1.0, 1.0])).collect()
    };
    let learners = [
        "Sec(by: (axes: [Capability]), rate: 0.5, temperature: 0.4)",
        "Dump(by: (axes: [Capability]))",
        "Pools()",
        "Vas()",
        "FgExpo()",
        "Review(mastered: 0.75, first: 1, share: 0.5)",
    ];
    let followers = [
        MERGED,
        "AdaRft(difficulty: PassRate, revisit: Always)",
        "E2h(by: (axes: [PassRate], bins: 3), schedule: Cosine, steps: 9)",
        "Ladder(by: (axes: [PassRate], bins: 3), up: 0.2, down: 0.1, window: 4)",
    ];
    let policies = learners.map(|policy| (policy, true)).into_iter().chain(followers.map(|policy| (policy, false)));
    for (policy, learns) in policies {
        for config in std::iter::once(read(policy)).chain(around(policy)) {
            let mut course = config.build(&corpus, 1).unwrap();
            let (before, progress) = (course.to_record(), course.progress());
            let groups = solved(&course);
            course.watch(&groups);
            assert_eq!(course.to_record() != before, learns, "{config:?}");
            assert_eq!(course.progress(), progress, "{config:?}");
        }
    }
}

#[test]
fn every_composition_shows_the_figures_of_its_parts() {
    let corpus = three(9, 9, 9);
    let figures = [
        ("AdaRft(difficulty: PassRate, start: 7.0, revisit: Always)", "target", 7.0),
        (
            "Vas()",
            "learnability",
            corpus
                .iter()
                .map(|one| one.pass_rate.unwrap().fraction())
                .map(|p| f64::from(p) * (1.0 - f64::from(p)))
                .sum::<f64>()
                / 27.0,
        ),
        ("FgExpo()", "mean_pass_rate", 0.0),
        ("Pools()", "pool/unseen", 1.0),
        ("E2h(by: (axes: [Capability]), schedule: Balanced, steps: 4)", "p/perception", 1.0 / 3.0),
        ("Ladder(by: (axes: [Capability]), up: 0.9, down: 0.1, window: 4)", "level", 0.0),
        ("Sec(by: (axes: [Capability]), rate: 0.5, temperature: 0.4)", "q/perception", 0.0),
        ("Dump(by: (axes: [Capability]))", "score/perception", (2.0 * 2f64.ln()).sqrt()),
        ("Review(mastered: 1.0, first: 1, share: 0.5)", "mastered", 0.0),
    ];
    for (policy, name, expected) in figures {
        for config in std::iter::once(read(policy)).chain(around(policy)) {
            let mut course = config.build(&corpus, 1).unwrap();
            course.draw(1);
            let found = metric(&course.curriculum().metrics(), name);
            let is_right = found.is_some_and(|found| (found - expected).abs() < 1e-9);
            assert!(is_right, "{name} {found:?}, expected {expected}: {config:?}");
        }
    }
}

#[test]
fn stages_are_those_of_the_policy_inside() {
    let corpus = three(9, 9, 9);
    let stage = "stage: (name: \"inside\"), order: Shuffled, epochs: PerStage(1), last_batch: Keep";
    for config in around(&format!("Merged({stage})")) {
        let expected = match &config {
            CurriculumConfig::Staged(_) | CurriculumConfig::Sections(_) => "only",
            CurriculumConfig::WarmStart(warm) if warm.steps > 0 => "merged",
            // The parts of a mix form one stage together.
            CurriculumConfig::Mix(_) => {
                assert!(config.stages().is_empty());
                continue;
            }
            _ => "inside",
        };
        let course = config.build(&corpus, 1).unwrap();
        for stages in [config.stages(), course.curriculum().stages()] {
            assert_eq!(stages.iter().map(|stage| &stage.name).collect::<Vec<_>>(), [expected], "{config:?}");
        }
    }
}

#[test]
fn a_stage_with_a_policy_lasts_for_epochs_of_its_problems() {
    let corpus = three(10, 7, 0);
    let stages = "[(name: \"a\", capabilities: [\"perception\"], policy: Vas(), length: Epochs(3)), (name: \"b\")]";
    let text = format!("Staged(stages: {stages}, order: Shuffled, epochs: AsNeeded(steps: 2), last_batch: Keep)");
    let mut course = read(&text).build(&corpus, 1).unwrap();
    let stages: Vec<usize> = crate::checks::drain(&mut course, 4).iter().map(|batch| batch.stage).collect();
    // Thirty problems, four at a time.
    assert_eq!(stages, [[0; 8].as_slice(), &[1; 2]].concat());
}

#[test]
fn epochs_and_steps_of_a_plan_are_counted() {
    let corpus = three(4, 4, 0);
    let stages = r#"[(name: "a", capabilities: ["perception"]), (name: "b", capabilities: ["textual_reasoning"])]"#;
    let text = format!("Staged(stages: {stages}, order: Shuffled, epochs: OverWholePlan(2), last_batch: Keep)");
    let mut course = read(&text).build(&corpus, 1).unwrap();
    let mut found = Vec::new();
    while crate::checks::step(&mut course, 2).is_some() {
        let metrics = course.curriculum().metrics();
        found.push(["stage", "steps_in_stage", "epoch"].map(|name| metric(&metrics, name).unwrap()));
    }
    let pass = |pass: f64| {
        [[0.0, 1.0, 0.5], [0.0, 2.0, 1.0], [1.0, 1.0, 0.5], [1.0, 2.0, 1.0]]
            .map(|[stage, steps, epoch]| [stage, steps, epoch + pass])
    };
    assert_eq!(found, [pass(0.0), pass(1.0)].concat());
}

#[test]
fn steps_are_planned_where_no_outcome_decides_them() {
    let corpus = three(40, 40, 40);
    let merged = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
    let staged = "Staged(order: Shuffled, epochs: AsNeeded(steps: 5), last_batch: Keep)";
    let until = "Threshold(quantity: Accuracy, at_least: 0.5, window: 2, at_most: 9)";
    let watching = format!(
        "Staged(stages: [(name: \"a\"), (name: \"b\", length: {until})], order: Shuffled, epochs: PerStage(1), last_batch: Keep)"
    );
    let rules = "rules: [ZeroVariance()]";
    let sections = "[(name: \"a\", length: Steps(4)), (name: \"b\", length: Steps(6)), (name: \"c\")]";
    let steps = |steps: &[usize]| Some(steps.to_vec());
    // Steps in each stage for batches of eight, and for batches of unknown size.
    let cases = [
        (merged.to_owned(), [steps(&[15]), None]),
        (staged.into(), [steps(&[5, 5, 5]), steps(&[5, 5, 5])]),
        (watching.clone(), [None, None]),
        (format!("With(policy: {merged}, {rules})"), [None, None]),
        (format!("With(policy: {staged}, {rules}, steps: 7)"), [steps(&[5, 2, 0]), steps(&[5, 2, 0])]),
        (format!("With(policy: {watching}, steps: 7)"), [None, None]),
        ("With(policy: Vas(), steps: 7)".into(), [steps(&[7]), steps(&[7])]),
        ("With(policy: Vas())".into(), [None, None]),
        (format!("Repeat(times: 3, policy: {staged})"), [steps(&[15, 15, 15]), steps(&[15, 15, 15])]),
        (format!("Band(axis: PassRate, policy: {merged})"), [steps(&[15]), None]),
        // The number of problems drawn depends on the bank.
        (format!("Replay(share: 0.5, capacity: 9, policy: {merged})"), [None, None]),
        (format!("Replay(share: 0.5, capacity: 9, policy: {staged})"), [steps(&[5, 5, 5]), steps(&[5, 5, 5])]),
        (format!("WarmStart(steps: 3, first: Vas(), then: {staged})"), [steps(&[8, 5, 5]), steps(&[8, 5, 5])]),
        (format!("WarmStart(steps: 3, first: {merged}, then: {staged})"), [steps(&[8, 5, 5]), None]),
        (format!("WarmStart(steps: 99, first: {merged}, then: {staged})"), [steps(&[20, 5, 5]), None]),
        (format!("Sections(stages: {sections}, policy: {merged})"), [steps(&[4, 6, 5]), None]),
        (
            format!("Sections(stages: {sections}, policy: With(policy: Vas(), steps: 7))"),
            [steps(&[4, 3, 0]), steps(&[4, 3, 0])],
        ),
        (format!("Mix(parts: [(1.0, {merged})])"), [None, None]),
        ("E2h(by: (axes: [Capability]), schedule: Cosine, steps: 9)".into(), [steps(&[9]), steps(&[9])]),
    ];
    for (text, expected) in cases {
        let course = read(&text).build(&corpus, 1).unwrap();
        assert_eq!([Some(8), None].map(|want| course.curriculum().planned_steps(want)), expected, "{text}");
    }
}

#[test]
fn what_a_warm_start_saw_is_learnt_once() {
    let corpus = three(9, 0, 0);
    let mut course =
        read(&format!("WarmStart(steps: 1, first: {MERGED}, then: FgExpo(memory: 0.5))")).build(&corpus, 1).unwrap();
    let id = corpus.entry(3).id;
    let mut rates = Vec::new();
    for _ in 0..3 {
        course.draw(2);
        course.observe(&[group(&course, id, &[1.0])]);
        rates.push(metric(&course.curriculum().metrics(), "mean_pass_rate"));
    }
    // In the first step the metrics are those of the first policy; from then on the pass rate moves
    // half of the way to 1 in every step.
    assert_eq!(rates, [None, Some(0.875), Some(0.9375)]);
}
