//! Synthesis of perception problems from captions: the steps that call models.
//!
//! [`Perception`] is a folder of journals. Each step requests what its journal lacks, a batch at a
//! time, and writes the answers down before the next request; so it can be interrupted anywhere and
//! resumed, and more captions, attempts or tries can be requested later. All requests go through a
//! [`Solver`]: questions, answers from images and answers from captions use the chat template and
//! the retries of training problems.

use crate::endpoint::EndpointError;
use crate::solver::{SolveError, Solver};
use seethink_core::{ImageSource, Problem, SettingError};
use seethink_data::perception::{
    Answer, Answers, Caption, INSTRUCTION, Item, KeepRule, Letter, Questions, Report, SplitShares, View, items,
    question_problem, write_splits,
};
use seethink_data::{DataError, ImageLoader};
use seethink_reward::stated_choice;
use seethink_rollout::ProgressCallback;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Errors of a step. Answers received before an error are in the journals.
#[derive(Debug, thiserror::Error)]
pub enum PerceptionError {
    /// The model failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A journal could not be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Two models would share one journal.
    #[error("the model `{0}` is named twice, or two models differ in punctuation only; expected models that differ")]
    SameModel(String),
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// Options of the synthesis: seeds, tries, filter rule, splits and models.
#[derive(Debug, Clone, PartialEq)]
pub struct PerceptionOptions {
    /// Seed of the order of options.
    pub seed: u64,
    /// Maximum number of replies of the writer for a caption, until one is a question.
    pub tries: usize,
    /// Number of answers of each model, and the rule that keeps questions.
    pub rule: KeepRule,
    /// Split shares of images whose captions state no split.
    pub shares: SplitShares,
    /// Identity of the writer of the questions: model, sampling, seed.
    pub writer: Map<String, Value>,
    /// Models that answer: name and identity of each.
    pub models: Vec<(String, Map<String, Value>)>,
}

/// Synthesis of perception problems in a folder of journals.
#[derive(Debug)]
pub struct Perception {
    dir: PathBuf,
    captions: Vec<Caption>,
    options: PerceptionOptions,
    questions: Questions,
    runs: Vec<Run>,
    unanswered: BTreeMap<String, Vec<String>>,
}

/// Answers of one model from one view.
#[derive(Debug)]
struct Run {
    model: usize,
    view: View,
    answers: Answers,
}

impl Perception {
    /// Opens or creates the journals in `dir`. No model is called yet.
    ///
    /// # Errors
    /// If a setting is out of range, or a journal cannot be used, was made with other settings or
    /// is in use.
    pub fn open(dir: &Path, captions: Vec<Caption>, options: PerceptionOptions) -> Result<Self, PerceptionError> {
        options.check()?;
        std::fs::create_dir_all(dir).map_err(|source| DataError::Io { action: "create", path: dir.into(), source })?;
        let mut origin = options.writer.clone();
        origin.insert("instruction".into(), INSTRUCTION.into());
        let questions = Questions::open(&dir.join("questions.jsonl"), &origin, options.seed)?;
        let mut runs = Vec::new();
        for (model, (name, origin)) in options.models.iter().enumerate() {
            for view in View::ALL {
                let mut origin = origin.clone();
                origin.insert("answers_from".into(), json!(view));
                let path = dir.join(format!("answers-{}-{}.jsonl", file_name(name), view.as_str()));
                runs.push(Run { model, view, answers: Answers::open(&path, &origin)? });
            }
        }
        Ok(Self { dir: dir.to_owned(), captions, options, questions, runs, unanswered: BTreeMap::new() })
    }

    /// Number of captions that the writer still has to be asked about.
    pub fn open_questions(&self) -> usize {
        self.captions.iter().filter(|caption| self.is_open(caption)).count()
    }

    fn is_open(&self, caption: &Caption) -> bool {
        self.questions.mcq(caption).is_none() && self.questions.rejected(caption).len() < self.options.tries
    }

    /// Requests a question for each caption that lacks one, in as many tries as the options allow;
    /// a reply that is not a question is counted, and the next try has another seed.
    ///
    /// # Errors
    /// If the writer or the journal fails, or `progress` stops it.
    pub fn write_questions(
        &mut self,
        writer: &dyn Solver,
        progress: &mut ProgressCallback<'_>,
    ) -> Result<(), PerceptionError> {
        let Self { captions, options, questions, .. } = self;
        let mut refused =
            Refused { n_answered: captions.iter().filter(|one| questions.mcq(one).is_some()).count(), said: vec![] };
        for attempt in 0..options.tries {
            // The captions with exactly this many rejected replies are due now; others come later
            // or are done.
            let open: Vec<&Caption> = captions
                .iter()
                .filter(|one| questions.mcq(one).is_none() && questions.rejected(one).len() == attempt)
                .collect();
            for batch in open.chunks(writer.batch(1).max(1)) {
                let done = captions.iter().filter(|one| questions.mcq(one).is_some()).count();
                let problems: Vec<Problem> = batch.iter().map(|caption| question_problem(caption)).collect();
                let mut replies = Vec::new();
                let asked = ask(
                    writer,
                    &problems,
                    attempt..attempt + 1,
                    &mut refused,
                    &mut || progress(done, captions.len()),
                    &mut |index, texts| replies.extend(texts.into_iter().map(|text| (batch[index], text))),
                );
                questions.push(replies)?;
                asked?;
            }
        }
        self.unanswered.insert("questions".into(), refused.said);
        progress(self.captions.len() - self.open_questions(), self.captions.len());
        Ok(())
    }

    /// Number of questions that a model still has to answer from a view.
    ///
    /// # Panics
    /// If there is no model of this number.
    pub fn open_answers(&self, model: usize, view: View) -> usize {
        let run = &self.runs[self.run(model, view)];
        let wanted = self.options.attempts(view);
        let (items, _) = items(&self.captions, &self.questions);
        items.iter().filter(|item| run.answers.given(item.id).len() < wanted).count()
    }

    fn run(&self, model: usize, view: View) -> usize {
        let found = self.runs.iter().position(|run| run.model == model && run.view == view);
        found.expect("a model among those of the options")
    }

    /// Requests answers of a model to every question from a view, as many as the options say.
    /// Images are decoded a batch at a time; one that cannot be decoded, or that the model refuses,
    /// leaves its question unanswered and is listed by [`unanswered`](Self::unanswered).
    ///
    /// # Errors
    /// If the model or the journal fails, or `progress` stops it.
    ///
    /// # Panics
    /// If there is no model of this number.
    pub fn answer(
        &mut self,
        model: usize,
        view: View,
        solver: &dyn Solver,
        progress: &mut ProgressCallback<'_>,
    ) -> Result<(), PerceptionError> {
        let wanted = self.options.attempts(view);
        let at = self.run(model, view);
        let Self { captions, questions, runs, .. } = self;
        let (items, _) = items(captions, questions);
        let answers = &mut runs[at].answers;
        // Questions are grouped by their number of answers, which determines how many they need.
        let mut by_number: BTreeMap<usize, Vec<&Item<'_>>> = BTreeMap::new();
        for item in &items {
            by_number.entry(answers.given(item.id).len().min(wanted)).or_default().push(item);
        }
        let mut done = by_number.remove(&wanted).map_or(0, |answered| answered.len());
        let mut refused = Refused { n_answered: done, said: vec![] };
        for (before, open) in by_number {
            for batch in open.chunks(solver.batch(wanted - before).max(1)) {
                let (problems, asked_items) = decoded(batch, view, &mut refused.said);
                let mut given = Vec::new();
                let asked = ask(
                    solver,
                    &problems,
                    before..wanted,
                    &mut refused,
                    &mut || progress(done, items.len()),
                    &mut |index, texts| given.push((asked_items[index].id, read(asked_items[index], texts))),
                );
                answers.push(given)?;
                asked?;
                done += batch.len();
            }
        }
        progress(done, items.len());
        self.unanswered.insert(format!("{}, {}", self.options.models[model].0, view.as_str()), refused.said);
        Ok(())
    }

    /// Requests of this session without an answer, by step: images that cannot be decoded and
    /// requests that were refused. They are repeated in the next session.
    pub fn unanswered(&self) -> &BTreeMap<String, Vec<String>> {
        &self.unanswered
    }

    /// Counts the results, writes `report.json` and `report.md`, and if `finish` is set writes the
    /// kept problems into `problems/`.
    ///
    /// # Errors
    /// If files cannot be written, or an image is missing.
    pub fn report(&self, finish: bool) -> Result<Report, PerceptionError> {
        let Self { options, .. } = self;
        let runs: Vec<_> =
            self.runs.iter().map(|run| (options.models[run.model].0.as_str(), run.view, &run.answers)).collect();
        let (report, kept) = Report::new(&self.captions, &self.questions, &runs, options.rule, options.shares);
        if finish {
            write_splits(&self.dir.join("problems"), &kept, options.shares)?;
        }
        let write = |name: &str, text: io::Result<String>| {
            let path = self.dir.join(name);
            let written = text.and_then(|text| seethink_files::write(&path, text.as_bytes()));
            written.map_err(|source| DataError::Io { action: "write", path, source })
        };
        let json = serde_json::to_string_pretty(&report).map_err(io::Error::from);
        write("report.json", json.map(|json| json + "\n"))?;
        write("report.md", Ok(report.to_markdown()))?;
        Ok(report)
    }
}

impl PerceptionOptions {
    fn attempts(&self, view: View) -> usize {
        match view {
            View::Image => self.rule.image_attempts,
            View::Caption => self.rule.caption_attempts,
        }
    }

    fn check(&self) -> Result<(), PerceptionError> {
        let counts = [
            ("tries", self.tries),
            ("image_attempts", self.rule.image_attempts),
            ("caption_attempts", self.rule.caption_attempts),
            ("models", self.models.len()),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return Err(SettingError::new(key, 0, "at least 1").into());
        }
        let SplitShares { validation, test } = self.shares;
        if !(validation >= 0.0 && test >= 0.0 && validation + test <= 1.0) {
            let found = format!("validation {validation} and test {test}");
            return Err(SettingError::new("shares", found, "shares of at least 0 that add up to at most 1").into());
        }
        for (at, (name, _)) in self.models.iter().enumerate() {
            if self.models[..at].iter().any(|(other, _)| file_name(other) == file_name(name)) {
                return Err(PerceptionError::SameModel(name.clone()));
            }
        }
        Ok(())
    }
}

/// File name of a model's journal.
fn file_name(model: &str) -> String {
    model.chars().map(|c| if c.is_alphanumeric() || c == '.' || c == '_' { c } else { '-' }).collect()
}

/// Problems of a batch with their images in memory, and their items; those whose image cannot be
/// decoded are added to `unreadable`.
fn decoded<'a>(batch: &[&'a Item<'a>], view: View, unreadable: &mut Vec<String>) -> (Vec<Problem>, Vec<&'a Item<'a>>) {
    let mut problems = Vec::new();
    let mut asked = Vec::new();
    for &item in batch {
        let mut problem = item.problem(view);
        let pixels = problem.images.iter().map(|image| ImageLoader::default().load(image).map(ImageSource::Pixels));
        match pixels.collect() {
            Ok(pixels) => {
                problem.images = pixels;
                problems.push(problem);
                asked.push(item);
            }
            Err(error) => unreadable.push(format!("{}: {error}", item.caption.id)),
        }
    }
    (problems, asked)
}

/// Parses the options named in replies.
fn read(item: &Item<'_>, texts: Vec<String>) -> Vec<Answer> {
    let options = item.mcq.options.each_ref().map(String::as_str);
    let letter = |raw: &str| stated_choice(raw, &options).map(|index| Letter::ALL[index]);
    texts.into_iter().map(|raw| Answer { letter: letter(&raw), raw }).collect()
}

/// Refused requests, while other requests were answered.
struct Refused {
    /// Number of answers so far, those of earlier sessions included.
    n_answered: usize,
    said: Vec<String>,
}

/// Requests a batch; `heard` receives the answers, also before an error. If one problem is refused
/// on its own account, the others are requested one by one, unless there never was an answer: then
/// the fault does not lie in one problem.
fn ask(
    solver: &dyn Solver,
    problems: &[Problem],
    attempts: Range<usize>,
    refused: &mut Refused,
    go_on: &mut dyn FnMut() -> bool,
    heard: &mut dyn FnMut(usize, Vec<String>),
) -> Result<(), SolveError> {
    let all: Vec<&Problem> = problems.iter().collect();
    let mut is_open = vec![true; problems.len()];
    let solved = solver.solve(&all, attempts.clone(), go_on, &mut |index, texts| {
        is_open[index] = false;
        heard(index, texts);
    });
    refused.n_answered += is_open.iter().filter(|&&open| !open).count();
    let Err(error) = solved else { return Ok(()) };
    if !concerns_one(&error) {
        return Err(error);
    }
    let open: Vec<usize> = (0..problems.len()).filter(|&index| is_open[index]).collect();
    let mut said = Vec::new();
    for index in open {
        let answered = &mut |_: usize, texts: Vec<String>| heard(index, texts);
        match solver.solve(&all[index..=index], attempts.clone(), go_on, answered) {
            Ok(()) => refused.n_answered += 1,
            Err(error) if concerns_one(&error) => {
                let id = problems[index].tags.get("caption_id").map_or("", String::as_str);
                said.push(format!("{id}: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    if refused.n_answered == 0 {
        return Err(error);
    }
    refused.said.extend(said);
    Ok(())
}

/// Returns whether an error may concern a single problem and not the model: a prompt that does not
/// fit, a request that is too large.
fn concerns_one(error: &SolveError) -> bool {
    match error {
        SolveError::Prompt(_) => true,
        SolveError::Endpoint(EndpointError::Status { status, .. }) => matches!(status, 400 | 413 | 422),
        _ => false,
    }
}
