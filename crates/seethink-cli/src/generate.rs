//! `seethink generate`: an answer to a single prompt.

use crate::limits::Limits;
use anyhow::{Context, Result, ensure};
use seethink::core::{ImageSource, ProblemId, Purpose};
use seethink::data::{Alpha, ImageLoader};
use seethink::models::{
    AnyBackbone, Content, ImageLimits, Message, Processor, Role, VisionLanguageModel, VlmProcessor, WeightDtype,
};
use seethink::rollout::{Capacity, DrawKey, Generator, Load, Prompt, Sampling};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Default length limit of an answer, tokens.
const MAX_TOKENS: usize = 512;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder or name of a checkpoint.
    model: String,
    /// Text of the prompt. Images are placed before it.
    #[arg(long)]
    prompt: String,
    /// Image file; may be given several times.
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// System prompt.
    #[arg(long)]
    system: Option<String>,
    /// Maximum length of the answer, tokens; 512 if not given, or what the model has positions left
    /// for.
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Sampling temperature, instead of the checkpoint's own; 0 decodes greedily.
    #[arg(long)]
    temperature: Option<f32>,
    /// Top-p (nucleus) sampling threshold, instead of the checkpoint's own.
    #[arg(long)]
    top_p: Option<f32>,
    /// Top-k sampling limit, instead of the checkpoint's own; 0 keeps all tokens.
    #[arg(long)]
    top_k: Option<usize>,
    /// Repetition penalty, instead of the checkpoint's own; 1 changes nothing.
    #[arg(long)]
    repetition_penalty: Option<f32>,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number format of weights and computation: f32, f16 or bf16.
    #[arg(long, default_value = "f32")]
    dtype: WeightDtype,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    limits: Limits,
    /// Drop the alpha channel of transparent images instead of compositing them on white.
    #[arg(long)]
    drop_alpha: bool,
    /// Rotate images by their EXIF orientation.
    #[arg(long)]
    exif: bool,
    /// Print one JSON object at the end instead of streaming the answer.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn sampling(&self, processor: &VlmProcessor) -> Sampling {
        let own = processor.generation_config();
        let max_tokens = self.max_tokens.unwrap_or(MAX_TOKENS);
        let mut sampling = Sampling::from_config(own, max_tokens);
        if self.temperature.is_some_and(|temperature| temperature > 0.0) && !own.do_sample {
            sampling = Sampling { repetition_penalty: own.repetition_penalty, ..Sampling::plain(max_tokens) };
        }
        Sampling {
            temperature: self.temperature.unwrap_or(sampling.temperature),
            top_p: self.top_p.unwrap_or(sampling.top_p),
            top_k: self.top_k.unwrap_or(sampling.top_k),
            repetition_penalty: self.repetition_penalty.unwrap_or(sampling.repetition_penalty),
            ..sampling
        }
    }

    fn messages(&self) -> Vec<Message> {
        let text = |text: &String| Content::Text { text: text.clone() };
        let system = self.system.iter().map(|system| Message { role: Role::System, content: vec![text(system)] });
        let images = self.image.iter().map(|_| Content::Image);
        let content = images.chain([text(&self.prompt)]).collect();
        system.chain([Message { role: Role::User, content }]).collect()
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let device = seethink::run::device(&args.device)?;
    let alpha = if args.drop_alpha { Alpha::Drop } else { Alpha::White };
    let loader = ImageLoader { alpha, exif_orientation: args.exif, ..ImageLoader::default() };
    let images =
        args.image.iter().map(|path| loader.load(&ImageSource::Path(path.clone()))).collect::<Result<Vec<_>, _>>()?;
    let dir = seethink::hub::fetch(&args.model)?;
    let processor =
        VlmProcessor::from_pretrained(&dir)?.with_image_limits(&args.limits.over(ImageLimits::default()))?;
    let mut sampling = args.sampling(&processor);
    sampling.check()?;
    let input = processor.encode(&args.messages(), &images)?;
    let started = Instant::now();
    let model = AnyBackbone::from_pretrained_as(&dir, args.dtype, &device)
        .with_context(|| format!("cannot load {}", dir.display()))?;
    let loaded = started.elapsed();

    if args.max_tokens.is_none() {
        let left = model.max_positions().saturating_sub(input.tokens.len());
        sampling.max_tokens = MAX_TOKENS.min(left.max(1));
    }
    let load = Load { prompts: 1, prompt: input.tokens.len(), rows: 1, max_tokens: sampling.max_tokens };
    Capacity::of(&model).check(load)?;
    let generator = Generator { model: &model, processor: &processor, sampling, max_batch: 1 };
    let key = DrawKey { seed: args.seed, purpose: Purpose::Evaluation, step: 0 };
    let prompt = Prompt::new(ProblemId(0), &input);
    let started = Instant::now();
    let mut first = None;
    let mut printed = String::new();
    let mut failed = None;
    let completion = generator.stream(&prompt, key, &mut |tokens| {
        first.get_or_insert_with(|| started.elapsed());
        if args.json {
            return true;
        }
        match processor.decode(tokens).map_err(anyhow::Error::from).and_then(|text| print_new(&text, &mut printed)) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let completion = completion?;
    let (total, first) = (started.elapsed().as_secs_f64(), first.unwrap_or_default().as_secs_f64());
    let n = completion.tokens.len();
    ensure!(n > 0, "nothing was generated");
    if args.json {
        let json = json!({
            "text": completion.text,
            "finish": completion.finish,
            "prompt_tokens": input.tokens.len(),
            "image_tokens": input.image_tokens.len(),
            "tokens": completion.tokens,
            "log_probs": completion.log_probs,
            "load_seconds": loaded.as_secs_f64(),
            "first_token_seconds": first,
            "seconds": total,
        });
        println!("{}", serde_json::to_string_pretty(&json)?);
    } else {
        // The rest of the text, held back because it might have been half a character.
        println!("{}", completion.text.strip_prefix(printed.as_str()).unwrap_or_default());
        let rate = (n - 1) as f64 / (total - first).max(1e-9);
        eprintln!(
            "[{} prompt tokens, {} of them of images; first token after {first:.2} s; {n} tokens, {rate:.1} a second; loaded in {:.2} s]",
            input.tokens.len(),
            input.image_tokens.len(),
            loaded.as_secs_f64()
        );
    }
    Ok(())
}

/// Prints the new text, except for characters that may still change: a token can hold a part of
/// one.
fn print_new(text: &str, printed: &mut String) -> Result<()> {
    let sure = text.trim_end_matches('\u{FFFD}');
    if let Some(new) = sure.strip_prefix(printed.as_str()) {
        print!("{new}");
        std::io::stdout().flush()?;
        *printed = sure.to_owned();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn answers_longer_than_the_model_has_positions_for_are_refused() {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/assets/digits-v1-base/qwen3_vl");
        let line = |max_tokens: &[&str]| {
            let words = ["generate", model, "--prompt", "What is 1 + 1?", "--device", "flex", "--json"];
            run(&parse(words.iter().chain(max_tokens)).unwrap())
        };
        let error = line(&["--max-tokens", "100000000"]).unwrap_err().to_string();
        assert!(error.contains("completions of up to 100000000") && error.contains("has 512 positions"), "{error}");
        // Without a requested length, the limit is lowered to the available room.
        line(&[]).unwrap();
    }
}
