//! `seethink judge`: causes of wrong answers, labelled by an LLM judge.

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use seethink::eval::judge::{self, Share};
use seethink::eval::{Endpoint, EndpointOptions};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of answers: the samples.jsonl of a run, or a file with its keys.
    answers: PathBuf,
    /// Base URL of the judge, an OpenAI-compatible server, such as http://localhost:8000/v1.
    /// OPENAI_API_KEY is used as the key.
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// Name of the model on the server.
    #[arg(long)]
    model: String,
    /// File of labels: JSON lines, added to as labels arrive; answers with a label are not judged
    /// again.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Judge only answers to problems of this capability.
    #[arg(long, default_value = "visual_reasoning")]
    capability: String,
    /// Judge only answers after this number of steps; after the last evaluated step if not given.
    #[arg(long)]
    step: Option<usize>,
    /// Maximum number of answers to judge.
    #[arg(long)]
    limit: Option<usize>,
    /// File of human labels to compare with: JSON lines with `problem`, `step` and `cause`.
    #[arg(long, value_name = "FILE")]
    human: Option<PathBuf>,
    /// Number of parallel requests.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Timeout of a request, seconds.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut answers = judge::wrong_answers(&args.answers)?;
    answers.retain(|answer| answer.capability.is_empty() || answer.capability == args.capability);
    let step = args.step.or_else(|| answers.iter().map(|answer| answer.step).max());
    answers.retain(|answer| Some(answer.step) == step);
    answers.truncate(args.limit.unwrap_or(usize::MAX));
    ensure!(!answers.is_empty(), "{} has no wrong answer in {}", args.answers.display(), args.capability);
    let endpoint = Endpoint::new(EndpointOptions {
        url: args.endpoint.clone(),
        model: args.model.clone(),
        key: std::env::var("OPENAI_API_KEY").ok(),
        timeout: Duration::from_secs(args.timeout),
        tries: 8,
        pause: Duration::from_secs(1),
    });
    let bar = ProgressBar::new(answers.len() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} answers, {eta} left")?);
    let judged =
        judge::judge(&endpoint, &answers, &args.out, args.parallel, &mut |done, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let labels = judged?;
    println!("{} wrong answers in {} after step {}", labels.len(), args.capability, step.unwrap_or(0));
    for (cause, share) in judge::shares(&labels) {
        println!("{:<12} {}", cause.name(), show(share));
    }
    if let Some(path) = &args.human {
        match judge::agreement(&labels, &judge::labels(path)?) {
            Some(agreement) => {
                let kappa = agreement.kappa.map_or("undefined".to_owned(), |kappa| format!("{kappa:.2}"));
                println!("like people  {}, kappa {kappa}", show(agreement.alike));
            }
            None => println!("{} labels none of these answers", path.display()),
        }
    }
    Ok(())
}

fn show(share: Share) -> String {
    let percent = |fraction: f64| 100.0 * fraction;
    let interval = share
        .interval
        .map_or(String::new(), |interval| format!(" [{:.1}, {:.1}]", percent(interval.low), percent(interval.high)));
    format!("{} of {}, {:.1} %{interval}", share.n, share.of, percent(share.n as f64 / share.of.max(1) as f64))
}
