//! `seethink inspect`: family, parameters, image tokens and memory of a checkpoint.

use crate::limits::Limits;
use anyhow::Result;
use seethink::models::{
    AnyBackbone, ImageLimits, ImageProcessor, LoadError, Part, VisionLanguageModel, VlmProcessor, WeightDtype,
    WeightSummary,
};
use seethink::run::RunConfig;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder or name of a checkpoint.
    model: String,
    /// Configuration file of a run, for its limits on the size of images.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides of the configuration; may be given several times.
    #[arg(long, value_name = "PATH=VALUE", requires = "config")]
    set: Vec<String>,
    #[command(flatten)]
    limits: Limits,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Rank of the adapters in the LoRA row, on every linear layer of the decoder.
    #[arg(long, default_value_t = 16)]
    lora_rank: usize,
}

/// Sizes of the images whose tokens are counted.
const PICTURES: [(u32, u32); 3] = [(640, 480), (1920, 1080), (4000, 3000)];

/// Number of parameters of a model part.
struct Counted {
    name: &'static str,
    n: usize,
}

impl Args {
    /// Image limits of the run, overridden by those of the options.
    fn image_limits(&self) -> Result<ImageLimits> {
        let run = self.config.as_ref().map(|file| RunConfig::load(file, &self.set)).transpose()?;
        Ok(self.limits.over(run.map(|run| run.images).unwrap_or_default()))
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = seethink::hub::fetch(&args.model)?;
    let model = AnyBackbone::skeleton(&dir)?;
    let limits = args.image_limits()?;
    let processor = VlmProcessor::from_pretrained(&dir)?.with_image_limits(&limits)?;
    let weights = match WeightSummary::read(&dir) {
        Err(LoadError::NoWeights { .. }) => None,
        weights => Some(weights?),
    };
    let parameters = model.parameters();
    let size = |shape: &[usize]| shape.iter().product::<usize>();
    let of = |part| parameters.iter().filter(|one| one.part == part).map(|one| size(&one.shape)).sum::<usize>();
    let parts = [
        Counted { name: "vision encoder", n: of(Part::VisionEncoder) },
        Counted { name: "projector", n: of(Part::Projector) },
        Counted { name: "language model", n: of(Part::LanguageModel) },
    ];
    let total: usize = parts.iter().map(|part| part.n).sum();
    let linear = parameters.iter().filter(|one| one.part == Part::LanguageModel && one.transposed);
    let in_layers = linear.filter(|one| one.name.contains(".layers."));
    let adapters: usize = in_layers.map(|one| args.lora_rank * one.shape.iter().sum::<usize>()).sum();
    let memory = WeightDtype::ALL.map(|(name, dtype)| {
        let bytes = dtype.size();
        // Training keeps a gradient and AdamW's two moments beside each trained weight; adapters
        // and their moments are f32 for every dtype of the model.
        let figures = [bytes * total, bytes * total + 16 * adapters, 4 * bytes * total];
        (name, figures, bytes * model.cache_numbers_per_token())
    });
    let images = processor.image_processor();
    let tokens: Vec<_> = PICTURES
        .iter()
        .map(|&(width, height)| Ok((width, height, images.n_image_tokens(width, height)?)))
        .collect::<Result<_>>()?;
    let [fewest, most] = extremes(images);
    let generation = processor.generation_config();
    if args.json {
        let memory = memory.map(|(name, [inference, lora, full], cache)| {
            let figures = json!({
                "inference": inference, "lora": lora, "full_training": full, "cache_per_token": cache,
            });
            (name.to_owned(), figures)
        });
        let json = json!({
            "folder": dir,
            "family": model.model_type(),
            "name": model.display_name(),
            "parameters": parts.iter().map(|part| (part.name.to_owned(), part.n.into())).collect::<Map<String, Value>>(),
            "total_parameters": total,
            "weights": weights.as_ref().map(|weights| json!({
                "files": weights.n_files, "bytes": weights.n_bytes, "numbers": weights.n_numbers,
            })),
            "images": images.rules(),
            "image_limits": limits,
            "image_tokens": tokens.iter().map(|(width, height, n)| json!([width, height, n])).collect::<Value>(),
            "fewest_image_tokens": fewest,
            "most_image_tokens": most,
            "memory_bytes": memory.into_iter().collect::<Map<String, Value>>(),
            "lora_rank": args.lora_rank,
        });
        println!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(());
    }
    println!("{} ({}), {}", model.display_name(), model.model_type(), dir.display());
    println!("\nparameters");
    for Counted { name, n } in &parts {
        println!("  {name:<16} {:>10}  {:>4.1} %", count(*n), 100.0 * *n as f64 / total as f64);
    }
    println!("  {:<16} {:>10}", "all", count(total));
    match weights {
        Some(weights) => {
            let formats: Vec<_> = weights.n_numbers.keys().cloned().collect();
            let (n, size) = (weights.n_files, gigabytes(weights.n_bytes as usize));
            println!("\nweights    {n} file{}, {size}, {}", if n == 1 { "" } else { "s" }, formats.join(", "));
        }
        None => println!("\nweights    none in this folder"),
    }
    println!("images     {}", images.rules());
    let examples: Vec<_> = tokens.iter().map(|(width, height, n)| format!("{width}x{height}: {n}")).collect();
    println!("           tokens of {}; of any size {} to {}", examples.join(", "), fewest, most);
    println!(
        "sampling   {}",
        if generation.do_sample {
            let (t, p, k, r) =
                (generation.temperature, generation.top_p, generation.top_k, generation.repetition_penalty);
            format!("temperature {t}, top-p {p}, top-k {k}, repetition penalty {r}")
        } else {
            format!("greedy, repetition penalty {}", generation.repetition_penalty)
        }
    );
    println!(
        "\nmemory by arithmetic: weights, gradients and optimiser, without activations\n\
         \x20            inference   LoRA rank {:<3}   full training   cache of 1,000 tokens",
        args.lora_rank
    );
    for (name, figures, cache) in memory {
        let [inference, lora, full] = figures.map(gigabytes);
        println!("  {name:<6} {inference:>13} {lora:>15} {full:>15} {:>23}", gigabytes(1000 * cache));
    }
    Ok(())
}

/// Fewest and most tokens of an image, over sizes from one pixel to 24,576 by 24,576, with an
/// aspect ratio of at most 128.
fn extremes(images: &dyn ImageProcessor) -> [usize; 2] {
    // Side lengths: powers of two and numbers halfway between them.
    let sides: Vec<u32> = (0..15).flat_map(|power| [1 << power, 3 << power >> 1]).collect();
    let sizes = sides.iter().flat_map(|&width| sides.iter().map(move |&height| (width, height)));
    let mut found = [usize::MAX, 0];
    for (width, height) in sizes.filter(|(width, height)| width.max(height) <= &(128 * width.min(height))) {
        // Limits of a few pixels reject some thin shapes.
        if let Ok(n) = images.n_image_tokens(width, height) {
            found = [found[0].min(n), found[1].max(n)];
        }
    }
    found
}

fn gigabytes(bytes: usize) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}

fn count(n: usize) -> String {
    match n as f64 {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n => format!("{n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;
    use std::path::Path;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    /// Image limits of a command line.
    fn limits(words: &[&str]) -> ImageLimits {
        parse::<Args>(["inspect", "model"].iter().chain(words)).unwrap().image_limits().unwrap()
    }

    #[test]
    fn limits_are_the_runs_and_those_that_are_given() {
        let run = format!("{ROOT}/configs/paper/internvl3_8b/merged_as_released.ron");
        let released = ImageLimits { min_pixels: Some(262_144), max_pixels: Some(500_000), max_tiles: Some(12) };
        assert_eq!(limits(&[]), ImageLimits::default());
        assert_eq!(limits(&["--config", &run]), released);
        let set = ["--config", &run, "--set", "images.max_tiles=6", "--max-pixels", "400000"];
        assert_eq!(limits(&set), ImageLimits { max_pixels: Some(400_000), max_tiles: Some(6), ..released });
        assert!(parse::<Args>(["inspect", "model", "--set", "seed=1"]).is_err());
    }

    #[test]
    fn fewest_and_most_tokens_follow_the_limits() {
        let of = |family: &str, limits: ImageLimits| {
            let dir = Path::new(ROOT).join("tests/fixtures/models").join(family).join("checkpoint");
            let processor = VlmProcessor::from_pretrained(&dir).unwrap().with_image_limits(&limits).unwrap();
            extremes(processor.image_processor())
        };
        let none = ImageLimits::default();
        // 3,136 to 12,544 pixels in cells of 28 by 28; the thinnest image, 128 to 1, is a row of
        // √(12,544 · 128) pixels.
        assert_eq!(of("qwen2_5_vl", none), [4, 45]);
        let [fewest, most] = of("qwen2_5_vl", ImageLimits { max_pixels: Some(6_272), ..none });
        assert!(fewest == 4 && most < 45, "{fewest} {most}");
        // Up to six tiles and the thumbnail, of 28 by 28 pixels.
        let [tile, most] = of("internvl3", none);
        assert_eq!(most, 7 * tile);
        assert_eq!(of("internvl3", ImageLimits { max_tiles: Some(2), ..none }), [tile, 3 * tile]);
    }

    /// Runs the command, which prints to the terminal, without errors.
    #[test]
    fn a_checkpoint_is_inspected_within_limits() {
        let model = format!("{ROOT}/tests/fixtures/models/internvl3/checkpoint");
        let line = |words: &[&str]| parse::<Args>(["inspect", &model].iter().chain(words)).unwrap();
        run(&line(&["--max-tiles", "3"])).unwrap();
        run(&line(&["--max-tiles", "3", "--json"])).unwrap();
        let message = run(&line(&["--max-pixels", "5"])).unwrap_err().to_string();
        assert!(message.contains("`max_pixels` is 5, expected at least 784"), "{message}");
    }
}
