//! Perception problems from captions: the hops that ask models.
//!
//! [`Perception`] is a folder of journals.
//! Each hop asks for what its journal lacks, a batch at a time, and writes down what comes before it asks on; so it can be stopped
//! anywhere and goes on where it was, and more captions, attempts or tries can be asked for later.
//! Everything is asked through a [`Solver`]: questions, answers from pictures and answers from captions all take the chat template and
//! the retries that training problems take.

use crate::endpoint::EndpointError;
use crate::solver::{SolveError, Solver};
use seethink_core::{ImageSource, Problem};
use seethink_data::perception::{
    Answer, Answers, Caption, INSTRUCTION, Item, KeepRule, Letter, Questions, Report, SplitShares, View, items,
    question_problem, write_splits,
};
use seethink_data::{DataError, ImageLoader, write_atomic};
use seethink_reward::stated_choice;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a hop stopped. What was answered before is in the journals.
#[derive(Debug, thiserror::Error)]
pub enum PerceptionError {
    /// There was no answer.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A journal could not be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Two models would write into one journal.
    #[error("the model `{0}` is named twice, or two models differ in punctuation only; expected models that differ")]
    SameModel(String),
    /// A setting that cannot work.
    #[error("{key} is {found}, expected {expected}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would work.
        expected: &'static str,
    },
}

/// What is asked for, and of whom.
#[derive(Debug, Clone, PartialEq)]
pub struct PerceptionOptions {
    /// Seed of the order of options.
    pub seed: u64,
    /// Replies that the writer may give for a caption until one is a question.
    pub tries: usize,
    /// Answers that each model gives, and how they decide.
    pub rule: KeepRule,
    /// How pictures are divided whose captions do not say where they belong.
    pub shares: SplitShares,
    /// Whatever tells the writer of the questions from others: model, sampling, seed.
    pub writer: Map<String, Value>,
    /// The models that answer: a name, and whatever tells each from others.
    pub models: Vec<(String, Map<String, Value>)>,
}

/// A folder in which captions become problems.
#[derive(Debug)]
pub struct Perception {
    dir: PathBuf,
    captions: Vec<Caption>,
    options: PerceptionOptions,
    questions: Questions,
    runs: Vec<Run>,
    unanswered: BTreeMap<String, Vec<String>>,
}

/// One model's answers from one view.
#[derive(Debug)]
struct Run {
    model: usize,
    view: View,
    answers: Answers,
}

/// Hears how much is done and wanted; `false` stops the hop.
pub type Progress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

impl Perception {
    /// Opens the journals in `dir`, or begins them. Nobody is asked yet.
    ///
    /// # Errors
    /// If a setting cannot work, or a journal cannot be used, was made with other settings or is in use.
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

    /// Captions that the writer is still to be asked about.
    pub fn open_questions(&self) -> usize {
        self.captions.iter().filter(|caption| self.is_open(caption)).count()
    }

    fn is_open(&self, caption: &Caption) -> bool {
        self.questions.mcq(caption).is_none() && self.questions.rejected(caption).len() < self.options.tries
    }

    /// Has a question written for each caption that lacks one, in as many tries as the options say; a reply that is no question is
    /// counted, and the next try has another seed.
    ///
    /// # Errors
    /// If the writer or the journal fails, or `progress` stops it.
    pub fn write_questions(&mut self, writer: &dyn Solver, progress: &mut Progress<'_>) -> Result<(), PerceptionError> {
        let Self { captions, options, questions, .. } = self;
        let mut refused =
            Refused { n_answered: captions.iter().filter(|one| questions.mcq(one).is_some()).count(), said: vec![] };
        for attempt in 0..options.tries {
            // Those that have one rejected reply after the other are at this attempt; others come later or are done.
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

    /// Questions that a model is still to be asked from a view.
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

    /// Has a model answer every question from a view, as often as the options say. Pictures are decoded a batch at a time; one that
    /// cannot be decoded, or that the model refuses, leaves its question unanswered and is told by [`unanswered`](Self::unanswered).
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
        progress: &mut Progress<'_>,
    ) -> Result<(), PerceptionError> {
        let wanted = self.options.attempts(view);
        let at = self.run(model, view);
        let Self { captions, questions, runs, .. } = self;
        let (items, _) = items(captions, questions);
        let answers = &mut runs[at].answers;
        // Questions that have as many answers already need as many more.
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

    /// What had no answer in this session though the hop went on, by hop: pictures that cannot be decoded and requests that were refused.
    /// They are asked again next time.
    pub fn unanswered(&self) -> &BTreeMap<String, Vec<String>> {
        &self.unanswered
    }

    /// Counts what there is, writes `report.json` and `report.md`, and where `finish` says so the problems that are kept, into `problems/`.
    ///
    /// # Errors
    /// If files cannot be written, or a picture is not there any more.
    pub fn report(&self, finish: bool) -> Result<Report, PerceptionError> {
        let Self { options, .. } = self;
        let runs: Vec<_> =
            self.runs.iter().map(|run| (options.models[run.model].0.as_str(), run.view, &run.answers)).collect();
        let (report, kept) = Report::new(&self.captions, &self.questions, &runs, options.rule, options.shares);
        if finish {
            write_splits(&self.dir.join("problems"), &kept, options.shares)?;
        }
        let json = serde_json::to_string_pretty(&report).map_err(|error| DataError::Io {
            action: "write",
            path: self.dir.join("report.json"),
            source: error.into(),
        })?;
        write_atomic(&self.dir.join("report.json"), (json + "\n").as_bytes())?;
        write_atomic(&self.dir.join("report.md"), report.to_markdown().as_bytes())?;
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
            return Err(PerceptionError::Setting { key, found: "0".into(), expected: "at least 1" });
        }
        let SplitShares { validation, test } = self.shares;
        if !(validation >= 0.0 && test >= 0.0 && validation + test <= 1.0) {
            return Err(PerceptionError::Setting {
                key: "shares",
                found: format!("validation {validation} and test {test}"),
                expected: "shares of at least 0 that add up to at most 1",
            });
        }
        for (at, (name, _)) in self.models.iter().enumerate() {
            if self.models[..at].iter().any(|(other, _)| file_name(other) == file_name(name)) {
                return Err(PerceptionError::SameModel(name.clone()));
            }
        }
        Ok(())
    }
}

/// A model's name as part of a file's.
fn file_name(model: &str) -> String {
    model.chars().map(|c| if c.is_alphanumeric() || c == '.' || c == '_' { c } else { '-' }).collect()
}

/// The problems of a batch with their pictures in memory, and their items; those whose picture cannot be decoded are told.
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

/// Answers with the options that they name.
fn read(item: &Item<'_>, texts: Vec<String>) -> Vec<Answer> {
    let options = item.mcq.options.each_ref().map(String::as_str);
    let letter = |raw: &str| stated_choice(raw, &options).map(|index| Letter::ALL[index]);
    texts.into_iter().map(|raw| Answer { letter: letter(&raw), raw }).collect()
}

/// What was refused for its own sake while others were answered.
struct Refused {
    /// Answers so far, those of earlier sessions included.
    n_answered: usize,
    said: Vec<String>,
}

/// Asks a batch; `heard` gets what comes, whatever happens. Where something in it is refused for its own sake, the rest is asked one by
/// one, unless nothing was ever answered: then the fault is not with one problem.
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

/// Whether an error may be about one problem and not about the model: a prompt that does not fit, a request that is too large.
fn concerns_one(error: &SolveError) -> bool {
    match error {
        SolveError::Prompt(_) => true,
        SolveError::Endpoint(EndpointError::Status { status, .. }) => matches!(status, 400 | 413 | 422),
        _ => false,
    }
}
