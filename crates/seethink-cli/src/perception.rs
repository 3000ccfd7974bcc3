//! `seethink data perception`: synthesis of perception problems from captions.

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use seethink::data::perception::{CaptionKeys, KeepRule, SplitShares, View, read_captions};
use seethink::eval::perception::{Perception, PerceptionError, PerceptionOptions};
use seethink::eval::{Endpoint, EndpointOptions, InProcess, Remote, Solver};
use seethink::models::AnyBackbone;
use seethink::rollout::{Generator, PromptFormat, Sampling};
use seethink::run::RunConfig;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file of a run: prompt and maximum completion length of the model to be
    /// trained, and number format of models in process.
    config: PathBuf,
    /// Overrides of the configuration; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// File of captions: JSON lines with `image` (a path beside the file), `caption` and,
    /// optionally, `id`, `split` and `source`.
    #[arg(long, value_name = "FILE")]
    captions: PathBuf,
    /// Folder of the images, instead of that of the captions.
    #[arg(long, value_name = "DIR")]
    image_dir: Option<PathBuf>,
    /// Accept images outside that folder: by absolute paths, by `..`, or by links.
    #[arg(long)]
    images_outside: bool,
    /// Key of the image in the captions; image_file in DOCCI.
    #[arg(long, default_value = "image", value_name = "KEY")]
    image_key: String,
    /// Key of the text in the captions; description in DOCCI.
    #[arg(long, default_value = "caption", value_name = "KEY")]
    caption_key: String,
    /// Key of the id in the captions; example_id in DOCCI.
    #[arg(long, default_value = "id", value_name = "KEY")]
    id_key: String,
    /// Key of the split in the captions.
    #[arg(long, default_value = "split", value_name = "KEY")]
    split_key: String,
    /// Maximum number of captions: the first ones are used.
    #[arg(long)]
    limit: Option<usize>,
    /// Folder of the journals, the report and the problems. An interrupted run in it is resumed.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Language model that writes the questions: a folder or a name of a checkpoint, or URL#NAME
    /// for an OpenAI-compatible server, such as http://localhost:8000/v1#Qwen/Qwen2.5-72B-Instruct.
    /// OPENAI_API_KEY is used as the key.
    #[arg(long, value_name = "MODEL")]
    writer: String,
    /// Model that answers the questions, from the images and from the captions; may be given
    /// several times.
    #[arg(long = "model", value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// Maximum number of replies of the writer for a caption, until one is a valid question.
    #[arg(long, default_value_t = 2)]
    tries: usize,
    /// Number of answers of each model from the image, all of which must be wrong. A guessing model
    /// passes in (3/4)^N of the cases.
    #[arg(long, default_value_t = 4)]
    image_attempts: usize,
    /// Number of answers of each model from the caption, all of which must be right.
    #[arg(long, default_value_t = 2)]
    caption_attempts: usize,
    /// Sampling temperature of the answers.
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// Sampling temperature of the questions.
    #[arg(long, default_value_t = 0.7)]
    writer_temperature: f32,
    /// Maximum length of the writer's replies, tokens.
    #[arg(long, default_value_t = 1024)]
    writer_max_tokens: usize,
    /// Share of the images for validation, where captions do not state the split.
    #[arg(long, default_value_t = 0.05)]
    validation: f64,
    /// Share of the images for tests, where captions do not state the split.
    #[arg(long, default_value_t = 0.1)]
    test: f64,
    /// Seed of all random draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of parallel requests to a server.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Timeout of a request, seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Device of models in process, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Model with its prompt, its sampling settings and its address.
struct Asked<'a> {
    args: &'a Args,
    config: &'a RunConfig,
    /// Name of the model, without the server.
    name: &'a str,
    url: Option<&'a str>,
    prompt: &'a PromptFormat,
    sampling: Sampling,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.set)?;
    let most = args.image_attempts.max(args.caption_attempts);
    ensure!(
        args.temperature != 0.0 || most <= 1,
        "--temperature is 0, which gives the same answer {most} times; expected more, or one attempt from each view"
    );
    let keys = CaptionKeys {
        image: args.image_key.clone(),
        caption: args.caption_key.clone(),
        id: args.id_key.clone(),
        split: args.split_key.clone(),
        ..CaptionKeys::default()
    };
    let captions = read_captions(&args.captions, &keys, args.image_dir.as_deref(), args.images_outside, args.limit)?;
    println!("{} captions in {}", captions.len(), args.captions.display());
    // Questions are requested without the format instruction; answers use the prompt of training.
    let bare = PromptFormat { system: None, suffix: String::new() };
    let sampling = Sampling { temperature: args.writer_temperature, ..Sampling::plain(args.writer_max_tokens) };
    let asked = |model, prompt, sampling| Asked::new(args, &config, model, prompt, sampling);
    let writer = asked(&args.writer, &bare, sampling)?;
    let sampling = Sampling { temperature: args.temperature, ..config.grpo.sampling };
    let models: Vec<Asked<'_>> =
        args.models.iter().map(|model| asked(model, &config.grpo.prompt, sampling)).collect::<Result<_>>()?;
    let options = PerceptionOptions {
        seed: args.seed,
        tries: args.tries,
        rule: KeepRule { image_attempts: args.image_attempts, caption_attempts: args.caption_attempts },
        shares: SplitShares { validation: args.validation, test: args.test },
        writer: writer.origin(),
        models: models.iter().map(|model| (model.name.to_owned(), model.origin())).collect(),
    };
    let mut perception = Perception::open(&args.out, captions, options)?;
    let hops = hops(&mut perception, &writer, &models);
    // Counted after an interruption as well.
    let report = perception.report(hops.is_ok())?;
    hops.with_context(|| format!("stopped; what came is kept in {}: run it again to go on", args.out.display()))?;
    print!("{}", report.to_markdown());
    for (hop, said) in perception.unanswered().iter().filter(|(_, said)| !said.is_empty()) {
        println!("\n{hop}: {} without an answer, asked again next time; the first: {}", said.len(), said[0]);
    }
    println!("\nproblems for `data: Folder(path: {:?})` and report written", args.out.join("problems"));
    Ok(())
}

/// Runs all steps: the writer, then one model after the other; models without open questions are
/// skipped.
fn hops(perception: &mut Perception, writer: &Asked<'_>, models: &[Asked<'_>]) -> Result<()> {
    if perception.open_questions() > 0 {
        writer.with(&mut |solver| hop("questions", |progress| perception.write_questions(solver, progress)))?;
    }
    for (index, model) in models.iter().enumerate() {
        let open: Vec<View> = View::ALL.into_iter().filter(|&view| perception.open_answers(index, view) > 0).collect();
        if open.is_empty() {
            continue;
        }
        model.with(&mut |solver| {
            for &view in &open {
                let name = format!("{} from the {}", model.name, view.as_str());
                hop(&name, |progress| perception.answer(index, view, solver, progress))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Runs a step with its progress bar.
fn hop(
    name: &str,
    hop: impl FnOnce(&mut dyn FnMut(usize, usize) -> bool) -> Result<(), PerceptionError>,
) -> Result<()> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left")?);
    bar.set_message(name.to_owned());
    let done = hop(&mut |done, wanted| {
        bar.set_length(wanted as u64);
        bar.set_position(done as u64);
        true
    });
    bar.finish_and_clear();
    Ok(done?)
}

impl<'a> Asked<'a> {
    fn new(
        args: &'a Args,
        config: &'a RunConfig,
        model: &'a str,
        prompt: &'a PromptFormat,
        sampling: Sampling,
    ) -> Result<Self> {
        sampling.check()?;
        let (name, url) = if model.starts_with("http://") || model.starts_with("https://") {
            match model.split_once('#') {
                Some((url, name)) if !name.is_empty() => (name, Some(url)),
                _ => bail!("{model} does not say which model the server is to answer with; expected {model}#NAME"),
            }
        } else {
            (model, None)
        };
        Ok(Self { args, config, name, url, prompt, sampling })
    }

    /// Identity of the model's answers: model, prompt, sampling, seed and image settings.
    fn origin(&self) -> Map<String, Value> {
        let mut origin = Map::new();
        origin.insert("model".into(), self.name.into());
        origin.insert("prompt".into(), json!(self.prompt));
        origin.insert("sampling".into(), json!(self.sampling));
        origin.insert("seed".into(), self.args.seed.into());
        if self.url.is_none() {
            origin.insert("dtype".into(), json!(self.config.dtype));
        }
        if !self.config.images.is_none() {
            origin.insert("images".into(), json!(self.config.images));
        }
        origin
    }

    /// Calls `work` with the model as a solver; a model in process is loaded for the call and
    /// dropped afterwards.
    fn with(&self, work: &mut dyn FnMut(&dyn Solver) -> Result<()>) -> Result<()> {
        let Self { args, config, prompt, sampling, .. } = *self;
        if let Some(url) = self.url {
            let endpoint = Endpoint::new(EndpointOptions {
                url: url.to_owned(),
                model: self.name.to_owned(),
                key: std::env::var("OPENAI_API_KEY").ok(),
                timeout: Duration::from_secs(args.timeout),
                tries: 8,
                pause: Duration::from_secs(1),
            });
            let (images, seed, parallel) = (config.images, args.seed, args.parallel);
            return work(&Remote { endpoint: &endpoint, prompt, images, sampling, seed, parallel });
        }
        let device = seethink::run::device(&args.device)?;
        let dir = seethink::hub::fetch(self.name)?;
        let processor = config.processor(&dir)?;
        let model = AnyBackbone::from_pretrained_as(&dir, config.dtype, &device)
            .with_context(|| format!("cannot load {}", dir.display()))?;
        let max_batch = config.grpo.memory.decode_batch;
        let generator = Generator { model: &model, processor: &processor, sampling, max_batch };
        work(&InProcess { generator, prompt, seed: args.seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    /// Error message for a command line; `CONFIG` and `CAPTIONS` stand for valid files.
    fn said(words: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let captions = folder.path().join("captions.jsonl");
        std::fs::write(folder.path().join("a.png"), "never looked into").unwrap();
        std::fs::write(&captions, "{\"image\": \"a.png\", \"caption\": \"A cat.\"}\n").unwrap();
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/digits_v1/qwen3_vl/staged.ron");
        let out = folder.path().join("out");
        let [captions, out] = [captions, out].map(|path| path.display().to_string());
        let line =
            ["perception", config, "--captions", &captions, "--out", &out].into_iter().chain(words.iter().copied());
        match parse(line) {
            Ok(args) => format!("{:#}", run(&args).unwrap_err()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_work_is_said_before_anybody_is_asked() {
        let good = ["--writer", "http://localhost:1/v1#w", "--model", "http://localhost:1/v1#m"];
        let cases: [(&[&str], &str); 7] = [
            (&["--temperature", "0"], "--temperature is 0, which gives the same answer 4 times"),
            (&["--temperature=-1"], "expected a finite number of at least 0"),
            (&["--image-attempts", "0", "--caption-attempts", "0"], "`image_attempts` is 0, expected at least 1"),
            (&["--caption-key", "description"], "no key \"description\"; the line has image, caption"),
            (&["--set", "grpo.grup_size=3"], "grup_size"),
            (&["--model", "http://localhost:2/v1#m"], "`m` is named twice"),
            (&["--tires", "3"], "unexpected argument '--tires'"),
        ];
        for (more, expected) in cases {
            let message = said(&[&good, more].concat());
            assert!(message.contains(expected), "{expected}: {message}");
        }
        let nameless = said(&["--writer", "http://localhost:1/v1", "--model", "m"]);
        assert!(nameless.contains("expected http://localhost:1/v1#NAME"), "{nameless}");
        assert!(said(&["--writer", "w"]).contains("--model <MODEL>"));
    }
}
