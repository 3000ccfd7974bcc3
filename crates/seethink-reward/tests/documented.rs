//! Tests of the claims in docs/verifier.md.

use seethink_reward::{AnswerReward, Rule, Unscorable, Verdict};

const PAGE: &str = include_str!("../../../docs/verifier.md");

#[test]
fn examples_are_judged_as_they_say() {
    let table = PAGE.split("## Examples").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let mut n = 0;
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        // Within a table a bar is written `\|`.
        let cells: Vec<String> = line.replace("\\|", "\0").split('|').map(|cell| cell.replace('\0', "|")).collect();
        let code = |i: usize| cells[i].trim().strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).expect(line);
        let verdict = match cells[4].trim() {
            "right" => Verdict::Right,
            "wrong" => Verdict::Wrong,
            "no answer" => Verdict::Unscorable(Unscorable::NoAnswer),
            "no truth" => Verdict::Unscorable(Unscorable::NoTruth),
            other => panic!("no verdict `{other}`"),
        };
        let rule: Rule = code(1).parse().expect(line);
        let judgement = rule.judge(code(2), code(3));
        assert_eq!(judgement.verdict, verdict, "{line}\n{}", judgement.steps.join("\n"));
        n += 1;
    }
    assert_eq!(n, 47);
}

#[test]
fn configurations_are_read() {
    let blocks = PAGE.split("```ron\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let rewards: Vec<AnswerReward> = blocks
        .map(|block| {
            let value = block.trim_start_matches("reward:").trim_end_matches(',');
            ron::from_str::<AnswerReward>(value).unwrap_or_else(|error| panic!("{block}: {error}"))
        })
        .collect();
    assert_eq!((rewards.len(), rewards[1].penalties.len()), (2, 2));
    assert!(rewards.iter().all(|reward| reward.check().is_ok()));
}
