//! Perception problems from captions: whole runs over a handful of pictures, with a scripted
//! language model on loopback.
//!
//! Tests named after a defect are of the defects that the released pipeline has;
//! `docs/perception-data.md` has the list.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use seethink::core::{ImageSource, Problem};
use seethink::data::perception::{
    CaptionKeys, INSTRUCTION, KeepRule, Report, SplitShares, Verdict, View, read_captions,
};
use seethink::data::{PassRateTable, Split};
use seethink::eval::Endpoint;
use seethink::eval::pass_rate::measure;
use seethink::eval::perception::{Perception, PerceptionError, PerceptionOptions};
use seethink::eval::{InProcess, Remote, SolveError, Solver};
use seethink::models::ImageLimits;
use seethink::reward::{AnswerReward, is_correct};
use seethink::rollout::{Generator, PromptFormat, Sampling};
use seethink::run::config::DataConfig;
use seethink_tests::server::{Reply, Server, answer};
use seethink_tests::tiny;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const COLOURS: [(&str, [u8; 3]); 4] =
    [("red", [220, 30, 30]), ("green", [30, 160, 30]), ("blue", [30, 30, 220]), ("white", [250, 250, 250])];
const N: usize = 12;

/// Folder of pictures of one colour each and a file of captions that name the colour.
struct World(TempDir);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        for i in 0..N {
            let (colour, rgb) = COLOURS[i % 4];
            let name = format!("{i}.png");
            image::RgbImage::from_pixel(6, 4, image::Rgb(rgb)).save(folder.path().join(&name)).unwrap();
            let split = if i < 4 { "test" } else { "train" };
            let caption = format!("A {colour} cup, number {i}, on a table.");
            lines += &format!("{}\n", json!({ "image": name, "caption": caption, "id": i, "split": split }));
        }
        fs::write(folder.path().join("captions.jsonl"), lines).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open_with(&self, out: &str, change: impl FnOnce(&mut PerceptionOptions)) -> Result<Perception, PerceptionError> {
        let captions = read_captions(&self.path("captions.jsonl"), &CaptionKeys::default(), None, false, None)?;
        let origin = |model: &str| {
            let Value::Object(origin) = json!({ "model": model, "seed": 5, "sampling": sampling() }) else { panic!() };
            origin
        };
        let mut options = PerceptionOptions {
            seed: 5,
            tries: 2,
            rule: KeepRule { image_attempts: 3, caption_attempts: 2 },
            shares: SplitShares { validation: 0.1, test: 0.1 },
            writer: origin("writer"),
            models: vec![("eyes".into(), origin("eyes"))],
        };
        change(&mut options);
        Perception::open(&self.path(out), captions, options)
    }

    fn open(&self, out: &str) -> Perception {
        self.open_with(out, |_| ()).unwrap()
    }

    /// Lines of a journal.
    fn rows(&self, journal: &str) -> Vec<Value> {
        fs::read_to_string(self.path(journal))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn sampling() -> Sampling {
    Sampling { temperature: 0.5, ..Sampling::plain(99) }
}

fn bare() -> PromptFormat {
    PromptFormat { system: None, suffix: String::new() }
}

fn remote<'a>(endpoint: &'a Endpoint, prompt: &'a PromptFormat) -> Remote<'a> {
    Remote { endpoint, prompt, images: ImageLimits::default(), sampling: sampling(), seed: 5, parallel: 3 }
}

/// Runs all hops; `progress` may stop them.
fn hops(
    perception: &mut Perception,
    endpoint: &Endpoint,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<(), PerceptionError> {
    let (bare, trained) = (bare(), PromptFormat::default());
    perception.write_questions(&remote(endpoint, &bare), progress)?;
    perception.answer(0, View::Image, &remote(endpoint, &trained), progress)?;
    perception.answer(0, View::Caption, &remote(endpoint, &trained), progress)
}

fn run(world: &World, out: &str, server: &Server) -> Result<Report, PerceptionError> {
    let mut perception = world.open(out);
    let asked = hops(&mut perception, &server.endpoint(1), &mut |_, _| true);
    let report = perception.report(asked.is_ok())?;
    asked.map(|()| report)
}

/// Text and colour of the picture in a request's last message.
fn parts(request: &Value) -> (String, Option<[u8; 3]>) {
    let content = request["messages"].as_array().unwrap().last().unwrap()["content"].as_array().unwrap();
    let text = content.iter().filter_map(|part| part["text"].as_str()).collect();
    let pixel = |url: &Value| {
        let data = url.as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
        image::load_from_memory(&BASE64.decode(data).unwrap()).unwrap().into_rgb8().get_pixel(0, 0).0
    };
    (text, content.iter().find(|part| part["type"] == "image_url").map(|part| pixel(&part["image_url"]["url"])))
}

/// Scripted model that writes questions about colours, reads captions, and takes red for green and
/// green for red in pictures.
fn says(request: &Value) -> String {
    let (text, pixel) = parts(request);
    if let Some(caption) = text.strip_prefix(INSTRUCTION) {
        let number: String = caption.chars().filter(char::is_ascii_digit).collect();
        let right = COLOURS.iter().position(|(colour, _)| caption.contains(colour)).unwrap();
        let mut names = COLOURS.map(|(colour, _)| colour);
        names.swap(0, right);
        let [a, b, c, d] = names;
        let options = json!({ "A": a, "B": b, "C": c, "D": d });
        let question =
            json!({ "question": format!("What colour is cup {number}?"), "options": options, "answer": "A" });
        return format!("Here you are.\n```json\n{question}\n```");
    }
    let colour = match pixel {
        Some(pixel) => match COLOURS.iter().find(|(_, rgb)| *rgb == pixel).unwrap().0 {
            "red" => "green",
            "green" => "red",
            other => other,
        },
        None => COLOURS.iter().find(|(colour, _)| text.contains(&format!("A {colour} cup"))).unwrap().0,
    };
    let line = text.lines().find(|line| line.get(1..).is_some_and(|rest| rest == format!(". {colour}"))).unwrap();
    format!("<think>A cup it is.</think> \\boxed{{{}}}", &line[..1])
}

fn well(request: &Value) -> Reply {
    answer(request, |_| says(request))
}

fn kept(world: &World, out: &str) -> Vec<Problem> {
    let data = DataConfig::folder(world.path(out).join("problems"));
    Split::ALL.iter().flat_map(|&split| data.problems(split, None).unwrap()).collect()
}

#[test]
fn captions_become_the_problems_that_a_model_sees_wrongly() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    let report = run(&world, "out", &server).unwrap();
    assert_eq!((report.captions, report.questions, report.kept()), (N, N, N / 2));
    assert_eq!(report.verdicts[&Verdict::ImageRight], N / 2);
    assert_eq!((report.runs[0].attempts, report.runs[0].right, report.runs[1].right), (3 * N, 3 * N / 2, 2 * N));
    assert_eq!(report.splits["test"], 2, "the captions' own part");
    assert_eq!(server.n_requests(), 3 * N);
    let problems = kept(&world, "out");
    assert_eq!(problems.len(), N / 2);
    for problem in &problems {
        let number: usize = problem.tags["caption_id"].parse().unwrap();
        assert!(number % 4 < 2, "red and green are what it sees wrongly");
        assert!(problem.prompt.contains(&format!("{}. {}\n", problem.answer, COLOURS[number % 4].0)));
    }
    let written: Report = serde_json::from_slice(&fs::read(world.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    assert_eq!(fs::read_to_string(world.path("out/report.md")).unwrap(), report.to_markdown());
}

#[test]
fn defect_16_a_run_reads_what_was_written() {
    let world = World::new();
    run(&world, "out", &Server::start(|_, request| well(request))).unwrap();
    let data = DataConfig::folder(world.path("out/problems"));
    let problems = data.problems(Split::Train, None).unwrap();
    assert_eq!(problems.len(), N / 2 - 2);
    let processor = tiny::processor();
    for problem in &problems {
        PromptFormat::default().encode(&processor, problem).unwrap();
        let completion = format!(r"<think>So.</think> \boxed{{{}}}", problem.answer);
        let score = seethink::reward::Reward::score(&AnswerReward::default(), problem, completion.as_str().into());
        assert_eq!(score.value, 1.0);
    }
}

#[test]
fn defect_17_what_was_not_answered_is_not_kept() {
    let world = World::new();
    // A second model is never asked from the picture.
    let second = |options: &mut PerceptionOptions| options.models.push(("second".into(), Map::new()));
    let mut perception = world.open_with("out", second).unwrap();
    let server = Server::start(|_, request| well(request));
    let endpoint = server.endpoint(1);
    hops(&mut perception, &endpoint, &mut |_, _| true).unwrap();
    perception.answer(1, View::Caption, &remote(&endpoint, &bare()), &mut |_, _| true).unwrap();
    let report = perception.report(true).unwrap();
    assert_eq!((report.kept(), report.verdicts[&Verdict::ImageMissing]), (0, N));
    assert_eq!(report.runs[2].missing, N);
    assert!(kept(&world, "out").is_empty());
    perception.answer(1, View::Image, &remote(&endpoint, &bare()), &mut |_, _| true).unwrap();
    assert_eq!(perception.report(true).unwrap().kept(), N / 2);
}

#[test]
fn defect_20_every_request_is_a_chat_and_views_differ_in_what_is_shown_only() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    run(&world, "out", &server).unwrap();
    let requests = server.requests();
    let of = |wanted: &dyn Fn(&str, bool) -> bool| -> Vec<&Value> {
        let wanted = |request: &&Value| {
            let (text, pixel) = parts(request);
            wanted(&text, pixel.is_some())
        };
        requests.iter().filter(wanted).collect()
    };
    let (from_image, from_caption) =
        (of(&|_, picture| picture), of(&|text, picture| !picture && !text.starts_with(INSTRUCTION)));
    assert_eq!((from_image.len(), from_caption.len()), (N, N));
    let question = |request: &Value| {
        let (text, _) = parts(request);
        text[text.find("What colour").unwrap()..].to_owned()
    };
    for one in &from_image {
        let (text, _) = parts(one);
        assert!(!text.contains("on a table"), "the caption is not shown with the picture");
        let other = from_caption.iter().find(|other| question(other) == question(one)).unwrap();
        for key in ["model", "seed", "temperature", "top_p", "max_tokens"] {
            assert_eq!(one[key], other[key], "{key}");
        }
        for request in [one, other] {
            let messages = request["messages"].as_array().unwrap();
            assert!(messages.len() == 1 && messages[0]["role"] == "user", "{request}");
            for part in messages[0]["content"].as_array().unwrap() {
                assert!(["text", "image_url"].contains(&part["type"].as_str().unwrap()), "{part}");
            }
        }
    }
}

#[test]
fn defect_21_a_malformed_question_costs_itself_only() {
    let world = World::new();
    // Number 3 gets its question in the second try, number 7 never; the try is in the seed.
    let server = Server::start(|_, request| {
        let (text, _) = parts(request);
        let bad = text.starts_with(INSTRUCTION)
            && (text.contains("number 7,") || text.contains("number 3,") && request["seed"] == 5);
        answer(request, |_| if bad { says(request).replace("\"C\":", "\"E\":") } else { says(request) })
    });
    let report = run(&world, "out", &server).unwrap();
    assert_eq!((report.questions, report.without_question), (N - 1, 1));
    assert_eq!(report.rejected_replies["incomplete"], 3);
    assert_eq!(report.runs[0].answered, N - 1);
    assert_eq!(report.kept(), N / 2);
    let rejected = world.rows("out/questions.jsonl").iter().filter(|row| !row["rejected"].is_null()).count();
    assert_eq!(rejected, 3);
}

/// Solver that forwards to another and counts pictures in memory.
struct Counting<'a> {
    inner: Remote<'a>,
    most: RefCell<usize>,
}

impl Solver for Counting<'_> {
    fn batch(&self, attempts: usize) -> usize {
        self.inner.batch(attempts)
    }

    fn solve(
        &self,
        problems: &[&Problem],
        attempts: Range<usize>,
        go_on: &mut dyn FnMut() -> bool,
        answered: &mut dyn FnMut(usize, Vec<String>),
    ) -> Result<(), SolveError> {
        let images = problems.iter().flat_map(|problem| &problem.images);
        let n_pixels = images.filter(|image| matches!(image, ImageSource::Pixels(_))).count();
        self.most.replace_with(|most| n_pixels.max(*most));
        self.inner.solve(problems, attempts, go_on, answered)
    }
}

#[test]
fn defect_21_pictures_are_decoded_a_batch_at_a_time() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    let (endpoint, bare, trained) = (server.endpoint(1), bare(), PromptFormat::default());
    let mut perception = world.open("out");
    perception.write_questions(&remote(&endpoint, &bare), &mut |_, _| true).unwrap();
    // The last picture disappears: the batches before it do not need it.
    fs::remove_file(world.path(&format!("{}.png", N - 1))).unwrap();
    let counting = Counting { inner: remote(&endpoint, &trained), most: RefCell::new(0) };
    perception.answer(0, View::Image, &counting, &mut |_, _| true).unwrap();
    assert_eq!(counting.most.into_inner(), 3);
    let said = &perception.unanswered()["eyes, image"];
    assert!(said.len() == 1 && said[0].contains(&format!("{}.png", N - 1)), "{said:?}");
    assert_eq!(perception.report(false).unwrap().runs[0].answered, N - 1);
}

#[test]
fn defect_26_single_letters_are_options_only_where_the_truth_is_one() {
    assert!(is_correct("2 + i", "2+i") && !is_correct("I", "2+i") && !is_correct("2 + i", "I"));
    assert!(is_correct("f(x) = 2", "f(x)=2") && !is_correct("F", "f(x)=2") && !is_correct("f(x) = 2", "F"));
    assert!(is_correct("b", "B") && is_correct("x", "x") && !is_correct("a", "b"));
}

#[test]
fn defect_27_the_seed_is_recorded_and_sent_and_attempts_come_together() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    run(&world, "out", &server).unwrap();
    for request in server.requests() {
        let (text, pixel) = parts(&request);
        let n = if text.starts_with(INSTRUCTION) { 1 } else { 2 + usize::from(pixel.is_some()) };
        assert_eq!((&request["seed"], &request["n"]), (&json!(5), &json!(n)));
        // Parameters that were not given are not sent: none is implicit.
        let keys: Vec<&String> = request.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["model", "messages", "n", "seed", "temperature", "top_p", "max_tokens"]);
    }
    for journal in ["questions", "answers-eyes-image", "answers-eyes-caption"] {
        let origin = &world.rows(&format!("out/{journal}.jsonl"))[0]["made_with"];
        assert_eq!((&origin["seed"], &origin["sampling"]["max_tokens"]), (&json!(5), &json!(99)));
    }
    let questions = |seed| {
        let name = format!("out-{seed}");
        let mut perception = world.open_with(&name, |options| options.seed = seed).unwrap();
        perception.write_questions(&remote(&server.endpoint(1), &bare()), &mut |_, _| true).unwrap();
        world.rows(&format!("{name}/questions.jsonl"))[1..].iter().map(|row| row["mcq"].clone()).collect::<Vec<_>>()
    };
    let same: Vec<Value> = world.rows("out/questions.jsonl")[1..].iter().map(|row| row["mcq"].clone()).collect();
    assert_eq!(questions(5), same);
    assert_ne!(questions(6), same, "the order of the options");
}

#[test]
fn defect_28_a_kept_problem_is_asked_in_training_as_it_was_asked_from_its_picture() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    run(&world, "out", &server).unwrap();
    let asked = server.requests();
    // In the form of `seethink data pass-rate`, and as training prompts.
    let problems = kept(&world, "out");
    let mut table = PassRateTable::open(world.path("rates.jsonl"), &Map::new()).unwrap();
    let (endpoint, trained) = (server.endpoint(1), PromptFormat::default());
    let reward = AnswerReward::default();
    let ids: Vec<_> = problems.iter().map(|problem| problem.id).collect();
    let problems = problems.into_iter().collect();
    measure(&remote(&endpoint, &trained), &reward, &problems, &ids, 3, &mut table, &mut |_, _| true).unwrap();
    let measured = &server.requests()[asked.len()..];
    assert_eq!(measured.len(), N / 2);
    for request in measured {
        assert!(asked.contains(request), "{request}");
        assert!(!request.to_string().contains("<image>"), "the placeholder became a picture");
    }
    assert!(ids.iter().all(|&id| table.pass_rate(id).unwrap().fraction() == 0.0));
}

#[test]
fn a_run_that_is_stopped_anywhere_goes_on_where_it_was() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    let whole = run(&world, "whole", &server).unwrap();
    let n_whole = server.n_requests();
    let journals = |out: &str| {
        ["questions", "answers-eyes-image", "answers-eyes-caption", "problems/train/problems"]
            .map(|name| fs::read_to_string(world.path(&format!("{out}/{name}.jsonl"))).unwrap())
    };
    // The progress is asked before each batch and at the end of each hop: 4 + 1 times in each of
    // three.
    for stop in 0..15 {
        let (out, before) = (format!("stopped-{stop}"), server.n_requests());
        let mut n_calls = 0;
        let mut perception = world.open(&out);
        let stopped = hops(&mut perception, &server.endpoint(1), &mut |_, _| (n_calls, n_calls += 1).0 < stop);
        assert_eq!(stopped.is_err(), stop < 14, "only the last call comes when all is done, {stop}");
        drop(perception);
        assert_eq!(run(&world, &out, &server).unwrap(), whole, "{stop}");
        assert_eq!(journals(&out), journals("whole"), "{stop}");
        assert_eq!(server.n_requests() - before, n_whole, "nothing is asked twice, {stop}");
    }
}

#[test]
fn a_line_that_a_killed_program_left_half_is_asked_again() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    let whole = run(&world, "out", &server).unwrap();
    for journal in ["questions", "answers-eyes-image", "answers-eyes-caption"] {
        let path = world.path(&format!("out/{journal}.jsonl"));
        let bytes = fs::read(&path).unwrap();
        // Without its newline alone a line is whole.
        for (cut, n_requests) in [(1, 0), (2, 1), (20, 1)] {
            fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            let before = server.n_requests();
            assert_eq!(run(&world, "out", &server).unwrap(), whole);
            assert_eq!(server.n_requests() - before, n_requests, "{journal} without {cut} bytes");
            assert!(fs::read(&path).unwrap() == bytes, "{journal} without {cut} bytes");
        }
    }
}

#[test]
fn an_endpoint_that_fails_in_the_middle_loses_nothing() {
    let world = World::new();
    static BROKEN: AtomicUsize = AtomicUsize::new(usize::MAX);
    let server = Server::start(|number, request| {
        if number >= BROKEN.load(Ordering::SeqCst) { Some((500, "", "broken".into())) } else { well(request) }
    });
    let whole = run(&world, "whole", &server).unwrap();
    for working in [0, 1, 5, N, N + 4, 2 * N + 2] {
        let (out, before) = (format!("failed-{working}"), server.n_requests());
        BROKEN.store(before + working, Ordering::SeqCst);
        let message = run(&world, &out, &server).unwrap_err().to_string();
        assert!(message.contains("500 after 1 tries: broken"), "{message}");
        BROKEN.store(usize::MAX, Ordering::SeqCst);
        let report: Report = serde_json::from_slice(&fs::read(world.path(&out).join("report.json")).unwrap()).unwrap();
        let answered = report.runs.iter().map(|run| run.answered).sum::<usize>();
        assert_eq!(report.questions + answered, working, "what came beside the failure is kept");
        let failed = server.n_requests() - before - working;
        assert_eq!(run(&world, &out, &server).unwrap(), whole);
        assert_eq!(server.n_requests() - before, 3 * N + failed, "and not asked again");
    }
}

#[test]
fn what_is_refused_for_its_own_sake_is_missing_and_asked_again_next_time() {
    let world = World::new();
    static REFUSING: AtomicUsize = AtomicUsize::new(1);
    let server = Server::start(|_, request| {
        let (text, pixel) = parts(request);
        let refused = pixel.is_some() && text.contains("cup 4?") || text.contains("number 9,");
        if refused && REFUSING.load(Ordering::SeqCst) == 1 {
            return Some((400, "", "too long".into()));
        }
        well(request)
    });
    let mut perception = world.open("out");
    hops(&mut perception, &server.endpoint(1), &mut |_, _| true).unwrap();
    let report = perception.report(true).unwrap();
    assert_eq!((report.no_reply, report.questions, report.runs[0].missing), (1, N - 1, 1));
    assert_eq!((report.verdicts[&Verdict::ImageMissing], report.kept()), (1, N / 2 - 2), "4 is red and 9 is green");
    for (hop, id) in [("questions", "9: "), ("eyes, image", "4: ")] {
        let said = &perception.unanswered()[hop];
        assert!(said.len() == 1 && said[0].starts_with(id) && said[0].contains("too long"), "{said:?}");
    }
    drop(perception);
    REFUSING.store(0, Ordering::SeqCst);
    assert_eq!(run(&world, "out", &server).unwrap().kept(), N / 2);
}

#[test]
fn a_server_that_refuses_everything_is_an_error() {
    let world = World::new();
    let server = Server::start(|_, _| Some((400, "", "no such model".into())));
    let message = run(&world, "out", &server).unwrap_err().to_string();
    assert!(message.contains("400 after 1 tries: no such model"), "{message}");
    assert!(server.n_requests() <= 6, "one batch, and one by one");
}

#[test]
fn a_picture_that_cannot_be_decoded_is_missing() {
    let world = World::new();
    fs::write(world.path("5.png"), "not a picture").unwrap();
    let mut perception = world.open("out");
    let server = Server::start(|_, request| well(request));
    hops(&mut perception, &server.endpoint(1), &mut |_, _| true).unwrap();
    let report = perception.report(true).unwrap();
    assert_eq!((report.verdicts[&Verdict::ImageMissing], report.kept()), (1, N / 2 - 1));
    let said = &perception.unanswered()["eyes, image"];
    assert!(said.len() == 1 && said[0].starts_with("5: cannot") && said[0].contains("5.png"), "{said:?}");
}

#[test]
fn other_settings_are_refused_and_more_of_the_same_is_not() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    run(&world, "out", &server).unwrap();
    type Change = fn(&mut PerceptionOptions);
    let other: [(Change, &str); 4] = [
        (|options| options.seed = 6, "questions.jsonl:1: made with 5 as `options_seed`, not with 6"),
        (|options| drop(options.writer.insert("model".into(), "else".into())), "made with \"writer\" as `model`"),
        (
            |options| drop(options.models[0].1.insert("seed".into(), 7.into())),
            "answers-eyes-image.jsonl:1: made with 5 as",
        ),
        (
            |options| drop(options.models[0].1.insert("more".into(), 1.into())),
            "made with nothing as `more`, not with 1",
        ),
    ];
    for (change, expected) in other {
        let message = world.open_with("out", change).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let wrong: [(Change, &str); 5] = [
        (|options| options.tries = 0, "`tries` is 0, expected at least 1"),
        (|options| options.rule.image_attempts = 0, "`image_attempts` is 0"),
        (|options| options.models.clear(), "`models` is 0"),
        (|options| options.shares.test = 0.95, "`shares` is validation 0.1 and test 0.95"),
        (|options| options.models.push(options.models[0].clone()), "`eyes` is named twice"),
    ];
    for (change, expected) in wrong {
        let message = world.open_with("out", change).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // More attempts: only the missing ones are requested.
    let before = server.n_requests();
    let mut perception = world.open_with("out", |options| options.rule.image_attempts = 5).unwrap();
    assert_eq!((perception.open_answers(0, View::Image), perception.open_answers(0, View::Caption)), (N, 0));
    hops(&mut perception, &server.endpoint(1), &mut |_, _| true).unwrap();
    assert_eq!(perception.report(true).unwrap().runs[0].attempts, 5 * N);
    let more = &server.requests()[before..];
    assert!(more.len() == N && more.iter().all(|request| request["n"] == 2 && request["seed"] == 8), "{}", more[0]);
}

#[test]
fn two_runs_do_not_share_a_folder_at_the_same_time() {
    let world = World::new();
    let _held = world.open("out");
    let message = world.open_with("out", |_| ()).unwrap_err().to_string();
    assert!(message.contains("another run may be using it"), "{message}");
}

#[test]
fn models_in_process_answer_too() {
    let world = World::new();
    let server = Server::start(|_, request| well(request));
    let (endpoint, bare, trained) = (server.endpoint(1), bare(), PromptFormat::default());
    let (model, processor) = (tiny::model(3), tiny::processor());
    let generator = || Generator { model: &model, processor: &processor, sampling: Sampling::plain(6), max_batch: 8 };
    let random = InProcess { generator: generator(), prompt: &trained, seed: 5 };
    let mut perception = world.open("out");
    perception.write_questions(&remote(&endpoint, &bare), &mut |_, _| true).unwrap();
    for view in View::ALL {
        perception.answer(0, view, &random, &mut |_, _| true).unwrap();
    }
    let report = perception.report(true).unwrap();
    assert_eq!((report.runs[0].attempts, report.runs[1].attempts), (3 * N, 2 * N));
    assert_eq!(report.kept(), 0, "six random tokens name no option three times");
    let rows = world.rows("out/answers-eyes-image.jsonl");
    assert!(rows[1..].iter().all(|row| row["raw"].as_array().unwrap().len() == 3));
    // A writer that writes noise makes no question, and does not stop the run.
    let mut perception = world.open("noise");
    let writer = InProcess { generator: generator(), prompt: &bare, seed: 5 };
    perception.write_questions(&writer, &mut |_, _| true).unwrap();
    let report = perception.report(true).unwrap();
    assert_eq!((report.questions, report.rejected_replies["no JSON"]), (0, 2 * N));
    assert!(kept(&world, "noise").is_empty());
}

#[test]
fn what_is_read_is_checked_before_anybody_is_asked() {
    let world = World::new();
    let path: &Path = &world.path("captions.jsonl");
    let good = fs::read_to_string(path).unwrap();
    let cases = [
        ("{\"image\": \"0.png\"".to_owned(), "not a JSON object"),
        (json!({ "image": "none.png", "caption": "A cup." }).to_string(), "none.png"),
        (
            json!({ "image": "0.png", "description": "A cup." }).to_string(),
            "no key \"caption\"; the line has image, description",
        ),
        (
            json!({ "image": "0.png", "caption": "A cup.", "id": 3 }).to_string(),
            "its id \"3\" stands in line 4 already",
        ),
    ];
    for (line, expected) in cases {
        fs::write(path, format!("{good}{line}\n")).unwrap();
        let message = world.open_with("out", |_| ()).unwrap_err().to_string();
        assert!(message.contains("captions.jsonl:13: ") && message.contains(expected), "{message}");
    }
    assert!(!world.path("out").exists());
}
