//! Chat completions from a small server on loopback, which refuses, fails and sends malformed
//! answers.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::Image;
use seethink::data::PassRateTable;
use seethink::eval::Remote;
use seethink::eval::pass_rate::measure;
use seethink::eval::{Endpoint, EndpointError};
use seethink::models::{Content, ImageLimits, Message, Role};
use seethink::reward::AnswerReward;
use seethink::rollout::{Problems, PromptFormat, Sampling};
use seethink_tests::server::{Reply, Server, answer};
use seethink_tests::tiny;
use serde_json::{Map, Value, json};
use std::time::Duration;

fn question() -> Vec<Message> {
    let text = Content::Text { text: "What is this?".into() };
    vec![Message { role: Role::User, content: vec![Content::Image, text] }]
}

fn ask(endpoint: &Endpoint) -> Result<Vec<String>, EndpointError> {
    let picture = Image::new(2, 1, vec![7; 6]).unwrap();
    endpoint.complete(&question(), &[picture], &Sampling { temperature: 0.5, ..Sampling::plain(9) }, 2, 3)
}

#[test]
fn a_request_says_everything_and_pictures_travel_along() {
    let server = Server::start(|_, request| answer(request, |i| format!("answer {i}")));
    assert_eq!(ask(&server.endpoint(1)).unwrap(), ["answer 0", "answer 1"]);
    let request = server.requests()[0].clone();
    assert_eq!((&request["model"], &request["n"], &request["seed"]), (&json!("small"), &json!(2), &json!(3)));
    assert_eq!((&request["temperature"], &request["max_tokens"]), (&json!(0.5), &json!(9)));
    let [picture, text] = &request["messages"][0]["content"].as_array().unwrap()[..] else { panic!("{request}") };
    assert_eq!(text, &json!({ "type": "text", "text": "What is this?" }));
    assert!(picture["image_url"]["url"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
}

#[test]
fn what_passes_is_tried_again() {
    let server = Server::start(|number, request| match number {
        0 => Some((429, "retry-after: 0\r\n", "too many".into())),
        1 => Some((503, "", "busy".into())),
        2 => None,
        3 => Some((200, "", "<html>".into())),
        4 => Some((200, "", json!({ "choices": [] }).to_string())),
        _ => answer(request, |_| "at last".into()),
    });
    assert_eq!(ask(&server.endpoint(6)).unwrap(), ["at last", "at last"]);
    assert_eq!(server.n_requests(), 6);
}

#[test]
fn what_does_not_pass_is_told_with_the_last_answer() {
    let error_of = |behaviour: fn(usize, &Value) -> Reply, tries, n_requests| {
        let server = Server::start(behaviour);
        let error = ask(&server.endpoint(tries)).unwrap_err();
        assert_eq!(server.n_requests(), n_requests);
        error.to_string()
    };
    let refused = error_of(|_, _| Some((401, "", "who are you?".into())), 5, 1);
    assert!(refused.contains("answered 401 after 1 tries: who are you?"), "{refused}");
    let busy = error_of(|_, _| Some((500, "", "x".repeat(999))), 3, 3);
    assert!(busy.contains("500 after 3 tries: xxx") && busy.ends_with('…') && busy.len() < 400, "{busy}");
    let garbage = error_of(|_, _| Some((200, "", "nonsense".into())), 2, 2);
    assert!(garbage.contains("`nonsense`") && garbage.contains("2 `choices`"), "{garbage}");
    let silent = error_of(|_, _| None, 2, 2);
    assert!(silent.contains("no answer from http://127.0.0.1"), "{silent}");
}

#[test]
fn a_server_that_takes_too_long_is_given_up_on() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(20));
        None
    });
    assert!(matches!(ask(&server.endpoint(1)), Err(EndpointError::Connection { tries: 1, .. })));
}

#[test]
fn pass_rates_come_from_an_endpoint_and_what_was_measured_is_kept() {
    let problems = tiny::problems(2);
    let right = problems[0].answer.clone();
    // Every second attempt gives the first problem's answer, right or wrong for the others; the
    // second batch of three has an attempt that fails.
    let server = Server::start(move |number, request| {
        if number == 7 || number >= 9 {
            return Some((500, "", "broken".into()));
        }
        let right = right.clone();
        answer(request, move |i| if i % 2 == 0 { format!("\\boxed{{{right}}}") } else { "no".into() })
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rates.jsonl");
    let mut table = PassRateTable::open(&path, &Map::new()).unwrap();
    let endpoint = server.endpoint(1);
    let prompt = PromptFormat::default();
    let images = ImageLimits::default();
    let solver =
        Remote { endpoint: &endpoint, prompt: &prompt, images, sampling: Sampling::plain(9), seed: 1, parallel: 3 };
    let reward = AnswerReward::default();
    let (ids, all): (Vec<_>, Problems) =
        (problems.iter().map(|problem| problem.id).collect(), problems.iter().cloned().collect());
    measure(&solver, &reward, &all, &ids, 2, &mut table, &mut |_, _| true).unwrap();
    assert_eq!(table.attempts(problems[0].id), [true, false]);
    assert_eq!(server.n_requests(), 6);

    let error = measure(&solver, &reward, &all, &ids, 4, &mut table, &mut |_, _| true).unwrap_err();
    assert!(error.to_string().contains("broken"), "{error}");
    let kept = PassRateTable::read(&path).unwrap();
    let mut attempts: Vec<usize> = problems.iter().map(|problem| kept.attempts(problem.id).len()).collect();
    attempts[..3].sort_unstable();
    assert_eq!(attempts, [2, 4, 4, 2, 2, 2], "what came beside the failure is kept");
}
