//! Error analysis by a judge model on loopback, which gives the reasons for wrong answers.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use seethink::eval::judge::{Cause, JudgeError, agreement, judge, labels, shares, wrong_answers};
use seethink_tests::server::{Server, answer};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Answers to five problems, one of them right, in the format of a run.
fn samples(folder: &Path) -> PathBuf {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(4, 3, image::Rgb([9, 9, 200])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let picture = BASE64.encode(png.into_inner());
    let mut text = String::new();
    for i in 0..5 {
        let line = json!({
            "step": 60, "stage": "visual_reasoning", "capability": "visual_reasoning", "problem": format!("{i:016x}"),
            "prompt": "<image>Add up the top row.", "images": [picture], "answer": "8",
            "completion": format!("<think>top row {i} 5.</think> \\boxed{{{}}}", i + 5), "accuracy": if i == 3 { 1.0 } else { 0.0 },
            "format": 1.0,
        });
        let _ = writeln!(text, "{line}");
    }
    let path = folder.join("samples.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn wrong_answers_are_judged_once_and_what_was_judged_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let answers = wrong_answers(&samples(folder.path())).unwrap();
    assert_eq!(answers.len(), 4, "the right one is no matter of a judge");
    // The third request fails for good; the other replies name perception for 0 and 2, reasoning
    // for 1, and no cause otherwise.
    let server = Server::start(|number, request| {
        let text = request["messages"][0]["content"].to_string();
        if number == 2 {
            return Some((400, "", "not now".into()));
        }
        let cause = match () {
            () if text.contains("top row 0") => "It reads 0 where 3 stands.\n**Perception**",
            () if text.contains("top row 1") => "It adds wrongly.\nreasoning",
            () if text.contains("top row 2") => "perception",
            () => "Who can say?",
        };
        answer(request, |_| cause.into())
    });
    let out = folder.path().join("labels.jsonl");
    let endpoint = server.endpoint(1);
    let error = judge(&endpoint, &answers, &out, 2, &mut |_, _| ()).unwrap_err();
    assert!(matches!(&error, JudgeError::Endpoint(_)) && error.to_string().contains("not now"), "{error}");
    assert!(labels(&out).unwrap().len() >= 2);

    // A killed program leaves half a line at the end.
    let kept = std::fs::read_to_string(&out).unwrap();
    std::fs::write(&out, kept + "{\"problem\": \"00").unwrap();
    let n_before = (server.n_requests(), labels(&out).unwrap().len());
    let judged = judge(&endpoint, &answers, &out, 2, &mut |_, _| ()).unwrap();
    assert_eq!(server.n_requests() - n_before.0, 4 - n_before.1, "what is labelled is not asked again");
    let mut causes: Vec<Cause> = judged.iter().map(|label| label.cause).collect();
    causes.sort();
    assert_eq!(causes, [Cause::Perception, Cause::Perception, Cause::Reasoning, Cause::Unclear]);
    let [(_, perception), ..] = shares(&judged);
    assert!(perception.interval.is_some_and(|interval| interval.low < 0.5 && interval.high > 0.5));
    assert_eq!(labels(&out).unwrap().len(), 4);

    // The judge receives the picture, the question without its placeholder, both answers and the
    // instructions.
    let request = server.requests()[0].to_string();
    for expected in
        ["data:image/png;base64,", "Add up the top row.", "Right answer: 8", "boxed", "perception, reasoning, unclear"]
    {
        assert!(request.contains(expected), "{expected}: {request}");
    }
    assert!(!request.contains("<image>"));

    // People labelled two of the answers, one of them differently.
    let people = folder.path().join("people.jsonl");
    let label = |problem: &str, cause: &str| json!({ "problem": problem, "step": 60, "cause": cause }).to_string();
    let text = [label("0000000000000000", "perception"), label("0000000000000001", "perception")].join("\n");
    std::fs::write(&people, text).unwrap();
    let found = agreement(&judged, &labels(&people).unwrap()).unwrap();
    assert_eq!((found.alike.n, found.alike.of), (1, 2));
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.jsonl");
    std::fs::write(
        &path,
        "{\"problem\": \"1\", \"cause\": \"sight\"}\n{\"problem\": \"2\", \"cause\": \"reasoning\"}\n",
    )
    .unwrap();
    let error = labels(&path).unwrap_err().to_string();
    assert!(["people.jsonl:1: ", "sight", "perception"].iter().all(|part| error.contains(part)), "{error}");
    assert!(wrong_answers(&folder.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));

    let answers = wrong_answers(&samples(folder.path())).unwrap();
    let mut broken = answers[0].clone();
    broken.images = vec!["bm8gcGljdHVyZQ==".into()];
    let server = Server::start(|_, request| answer(request, |_| "unclear".into()));
    let out = folder.path().join("labels.jsonl");
    let error = judge(&server.endpoint(1), &[broken], &out, 1, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("picture of problem 0000000000000000"), "{error}");
    assert_eq!(server.n_requests(), 0);
}
