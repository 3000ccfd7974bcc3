//! `seethink grade`: grading of answers by a rule, with the reasons.

use anyhow::{Context, Result};
use rayon::prelude::*;
use seethink::files;
use seethink::reward::{Extractor, Rule, Unscorable, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Maximum number of answers without a verdict that are shown.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Grading rule: mathruler, math_verify, hendrycks, gsm8k, math_vision, choice, light, exact or
    /// numeric.
    #[arg(long, default_value = "math_verify")]
    rule: Rule,
    /// Ground truth.
    #[arg(long, requires = "pred", conflicts_with = "jsonl")]
    gold: Option<String>,
    /// Predicted answer, or a text that contains it.
    #[arg(long, requires = "gold")]
    pred: Option<String>,
    /// File of answers in JSON lines, instead of a single answer.
    #[arg(long, value_name = "FILE", required_unless_present = "gold")]
    jsonl: Option<PathBuf>,
    /// Key of the ground truth in a line.
    #[arg(long, default_value = "gold")]
    gold_key: String,
    /// Key of the answer in a line.
    #[arg(long, default_value = "prediction")]
    pred_key: String,
    /// Extractor of the answer from the text, such as Boxed or AnswerTag; several are tried in
    /// turn. The whole text if not given.
    #[arg(long, value_name = "EXTRACTOR", value_parser = extractor)]
    extract: Vec<Extractor>,
    /// File to write the lines with their verdicts to.
    #[arg(long, value_name = "FILE", requires = "jsonl")]
    out: Option<PathBuf>,
}

fn extractor(text: &str) -> Result<Extractor, String> {
    ron::from_str(text).map_err(|error| error.to_string())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let (Some(gold), Some(pred)) = (&args.gold, &args.pred) {
        explain(args, gold, pred);
        return Ok(());
    }
    let Some(path) = &args.jsonl else { return Ok(()) };
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let graded =
        utf8(&bytes).and_then(|text| grade(args, text)).with_context(|| format!("cannot grade {}", path.display()))?;
    print!("{}", summary(&graded));
    if let Some(out) = &args.out {
        let lines = graded.iter().map(|(_, line, verdict)| {
            let mut line = line.clone();
            line["verdict"] = json!(name(*verdict));
            line.to_string() + "\n"
        });
        files::write(out, lines.collect::<String>().as_bytes())
            .with_context(|| format!("cannot write {}", out.display()))?;
        println!("written to {}", out.display());
    }
    Ok(())
}

fn explain(args: &Args, gold: &str, pred: &str) {
    let answer = if args.extract.is_empty() {
        pred
    } else if let Some(found) = Extractor::first(&args.extract, pred) {
        println!("found by {:?} at byte {}: {}", found.by, found.at, found.text);
        found.text
    } else {
        println!("not told: {:?} find no answer", args.extract);
        return;
    };
    args.rule.judge(gold, answer).steps.iter().for_each(|step| println!("{step}"));
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (read, rest) = bytes.split_at(error.valid_up_to());
        let number = 1 + read.iter().filter(|byte| **byte == b'\n').count();
        anyhow::anyhow!("line {number}: byte 0x{:02x} is not UTF-8; expected JSON lines", rest[0])
    })
}

/// Grades the lines on all cores; returns number, line and verdict of each.
fn grade(args: &Args, text: &str) -> Result<Vec<(usize, Value, Verdict)>> {
    let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
    let one = |&(number, line): &(usize, &str)| {
        let value: Value = serde_json::from_str(line).with_context(|| format!("line {number} is no JSON"))?;
        let text = |key: &str| match &value[key] {
            Value::String(text) => Ok(text.clone()),
            Value::Number(found) => Ok(found.to_string()),
            other => anyhow::bail!("line {number}: `{key}` is {other}, expected text or a number"),
        };
        let (gold, pred) = (text(&args.gold_key)?, text(&args.pred_key)?);
        let answer = match &args.extract[..] {
            [] => Some(pred.as_str()),
            extractors => Extractor::first(extractors, &pred).map(|found| found.text),
        };
        let verdict =
            answer.map_or(Verdict::Unscorable(Unscorable::NoAnswer), |answer| args.rule.judge(&gold, answer).verdict);
        Ok((number, value, verdict))
    };
    lines.par_iter().map(one).collect()
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Right => "right",
        Verdict::Wrong => "wrong",
        Verdict::Unscorable(Unscorable::NoAnswer) => "no answer found",
        Verdict::Unscorable(Unscorable::NoTruth) => "no truth found",
        Verdict::OutOfFuel => "out of fuel",
    }
}

/// Formats the number of answers of each verdict, and the lines without a verdict.
fn summary(graded: &[(usize, Value, Verdict)]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    graded.iter().for_each(|(.., verdict)| *counts.entry(name(*verdict)).or_default() += 1);
    let mut text = format!("{} answers\n", graded.len());
    for (name, n) in counts {
        text += &format!("{name:<16} {n:>8}  {:>5.1} %\n", 100.0 * n as f64 / graded.len().max(1) as f64);
    }
    let untold: Vec<_> =
        graded.iter().filter(|(.., verdict)| !matches!(verdict, Verdict::Right | Verdict::Wrong)).collect();
    for (number, _, verdict) in untold.iter().take(SHOWN) {
        text += &format!("line {number}: {}\n", name(*verdict));
    }
    if untold.len() > SHOWN {
        text += &format!("… and {} more\n", untold.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    fn args(words: &[&str]) -> Args {
        parse([&["grade"], words].concat()).unwrap()
    }

    #[test]
    fn lines_are_graded_and_counted() {
        let lines = "{\"gold\": 7, \"prediction\": \"\\\\boxed{7}\"}\n\n{\"gold\": \"7\", \"prediction\": \"\\\\boxed{8}\"}\n{\"gold\": \"7\", \"prediction\": \"none\"}\n";
        let args = args(&["--jsonl", "x", "--rule", "mathruler", "--extract", "Boxed"]);
        let graded = grade(&args, lines).unwrap();
        let verdicts: Vec<_> = graded.iter().map(|(number, _, verdict)| (*number, *verdict)).collect();
        let missing = Verdict::Unscorable(Unscorable::NoAnswer);
        assert_eq!(verdicts, [(1, Verdict::Right), (3, Verdict::Wrong), (4, missing)]);
        let text = summary(&graded);
        assert!(
            text.contains("3 answers")
                && text.contains("right                   1")
                && text.contains("line 4: no answer found"),
            "{text}"
        );
    }

    #[test]
    fn bad_lines_and_rules_are_named() {
        let args = args(&["--jsonl", "x"]);
        for (line, expected) in [
            ("{}", "line 1: `gold` is null"),
            ("nonsense", "line 1 is no JSON"),
            ("{\"gold\": 1, \"prediction\": []}", "`prediction` is []"),
        ] {
            assert!(format!("{:#}", grade(&args, line).unwrap_err()).contains(expected), "{line}");
        }
        let error = utf8(b"{}\n\n{\"gold\": \"\xff\"}").unwrap_err().to_string();
        assert!(error.starts_with("line 3: byte 0xff is not UTF-8"), "{error}");
        assert!(
            parse::<Args>(["grade", "--rule", "sympy", "--jsonl", "x"])
                .is_err_and(|error| error.to_string().contains("mathruler"))
        );
        assert!(parse::<Args>(["grade"]).is_err() && parse::<Args>(["grade", "--gold", "1"]).is_err());
    }
}
