//! The small base model: how it is made, and the copy that ships with the program.
//!
//! A Qwen3-VL of about a million parameters with a byte-level BPE of its own, fine-tuned on solutions of the digits world
//! and stopped early on purpose: it knows the format and is mediocre at all three capabilities, so that reinforcement
//! learning has something to do. `cargo run --release --example make_base` makes it again.

use crate::report::write_file;
use anyhow::{Context, Result, ensure};
use seethink::core::{Capability, Problem, Purpose, Rng};
use seethink::data::digits::DigitsWorld;
use seethink::data::{Split, THINK_PROMPT};
use serde_json::json;
use std::path::Path;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split as SplitAt, SplitPattern};
use tokenizers::processors::byte_level::ByteLevel as ByteLevelProcessor;
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior, TokenizerBuilder};

/// Cuts text into words, single digits and punctuation, as the Qwen tokenizers do.
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Added tokens and whether they are special, in the order of their ids.
const ADDED: [(&str, bool); 10] = [
    ("<|endoftext|>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<|vision_start|>", true),
    ("<|vision_end|>", true),
    ("<|vision_pad|>", true),
    ("<|image_pad|>", true),
    ("<|video_pad|>", true),
    ("<think>", false),
    ("</think>", false),
];

/// Turns of text and images in the form of the Qwen3-VL template, without its tools and videos.
const CHAT_TEMPLATE: &str = "\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for item in message.content %}
            {%- if item.type == 'image' %}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
            {%- else %}
                {{- item.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
";

/// Tokens before the added ones: the 256 bytes, single digits, frequent words and parts of words.
const VOCABULARY: usize = 768;

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../assets/digits-base/", $name)).as_slice())),+]
    };
}

/// The files of the model that ships with the program.
const EMBEDDED: [(&str, &[u8]); 7] = embedded![
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Writes the model that ships with the program as a Hugging Face folder; files of an earlier call are replaced.
///
/// # Errors
/// If a file cannot be written.
pub fn unpack(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for (name, bytes) in EMBEDDED {
        write_file(&dir.join(name), bytes)?;
    }
    Ok(())
}

/// Writes a folder with tokenizer, template, image processor and `config.json`: everything but the weights.
///
/// # Errors
/// If a file cannot be written.
pub fn write_blank(world: &DigitsWorld, seed: u64, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let write = |name: &str, value: &serde_json::Value| {
        let path = dir.join(name);
        std::fs::write(&path, serde_json::to_string_pretty(value)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    };
    let tokenizer = train_tokenizer(world, seed)?;
    tokenizer.save(dir.join("tokenizer.json"), true).map_err(anyhow::Error::from_boxed)?;
    let id = |token: &str| tokenizer.token_to_id(token).with_context(|| format!("the tokenizer lacks {token}"));
    let vocab = tokenizer.get_vocab_size(true).next_multiple_of(16);
    write(
        "tokenizer_config.json",
        &json!({
            "tokenizer_class": "Qwen2Tokenizer",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "add_bos_token": false,
            "model_max_length": 512,
        }),
    )?;
    write(
        "generation_config.json",
        &json!({
            "do_sample": true, "temperature": 1.0, "top_p": 1.0, "top_k": 0,
            "eos_token_id": [id("<|im_end|>")?, id("<|endoftext|>")?],
            "pad_token_id": id("<|endoftext|>")?,
        }),
    )?;
    write(
        "preprocessor_config.json",
        &json!({
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "processor_class": "Qwen3VLProcessor",
            "patch_size": 8, "temporal_patch_size": 2, "merge_size": 2,
            "size": { "shortest_edge": 256, "longest_edge": 9216 },
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        }),
    )?;
    write(
        "config.json",
        &json!({
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "model_type": "qwen3_vl",
            "image_token_id": id("<|image_pad|>")?,
            "video_token_id": id("<|video_pad|>")?,
            "vision_start_token_id": id("<|vision_start|>")?,
            "vision_end_token_id": id("<|vision_end|>")?,
            "tie_word_embeddings": true,
            "text_config": {
                "model_type": "qwen3_vl_text",
                "vocab_size": vocab,
                "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
                "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
                "hidden_act": "silu", "rms_norm_eps": 1e-6, "attention_bias": false, "attention_dropout": 0.0,
                "max_position_embeddings": 512, "initializer_range": 0.05, "use_cache": true,
                "rope_theta": 10000.0,
                "rope_scaling": { "rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": true },
                "tie_word_embeddings": true, "dtype": "bfloat16",
                "eos_token_id": id("<|im_end|>")?, "pad_token_id": id("<|endoftext|>")?,
            },
            "vision_config": {
                "model_type": "qwen3_vl",
                "depth": 3, "hidden_size": 64, "intermediate_size": 192, "num_heads": 4, "hidden_act": "gelu_pytorch_tanh",
                "in_channels": 3, "patch_size": 8, "temporal_patch_size": 2, "spatial_merge_size": 2,
                "out_hidden_size": 128, "num_position_embeddings": 36, "deepstack_visual_indexes": [0, 1],
                "initializer_range": 0.05,
            },
        }),
    )?;
    let path = dir.join("chat_template.jinja");
    std::fs::write(&path, CHAT_TEMPLATE).with_context(|| format!("cannot write {}", path.display()))
}

/// Pictures of the training split with the question what they show; the solution names place, ink and digit of every cell.
///
/// The stage of captions comes before the questions, as in the making of larger models: it ties the vision encoder to
/// words, one supervised digit per cell.
pub fn captions(world: &DigitsWorld, seed: u64) -> impl Iterator<Item = Problem> {
    let picture = move |index| {
        let capability = &Capability::PERCEPTION;
        let scene = world.scene(Split::Train, capability, index, seed)?;
        let cells = scene.cells.iter().enumerate().map(|(i, cell)| format!("{} {cell}.", scene.place(i)));
        let problem = world.problem(Split::Train, capability, index, seed);
        Some(Problem {
            prompt: format!("{}Describe.", Problem::IMAGE_PLACEHOLDER),
            solution: Some(format!("<think>{}</think>", cells.collect::<Vec<_>>().join(" "))),
            ..problem
        })
    };
    (0..).map_while(picture)
}

/// Four options and the letter of each: what a multiple-choice question needs beside its picture.
pub fn lookups(world: &DigitsWorld, seed: u64) -> impl Iterator<Item = Problem> {
    (0..).filter_map(move |index| {
        let problem = world.problem(Split::Train, &Capability::PERCEPTION, index, seed);
        let (_, options) = problem.prompt.split_once("\nOptions:\n")?;
        let mut found: Vec<&str> = options.lines().collect();
        Rng::new(seed, Purpose::FineTuning, &[index]).shuffle(&mut found);
        Some(Problem {
            prompt: format!("Options:\n{options}"),
            solution: Some(format!("<think>{}.</think>", found.join(". "))),
            images: Vec::new(),
            ..problem
        })
    })
}

/// Questions that ask for a thing and not for a procedure begin with one of these.
const ASKS_FOR_A_RESULT: [&str; 6] = ["What", "Which", "Where", "How", "On", "Find"];

/// One of this many is solved against the habit, so that each way is seen with every question.
const EXCEPTION: usize = 6;

/// Problems as two people with different habits solve them, one who works everything out and one who answers at a glance.
///
/// Who asks for a result ("What is …", "Find …") mostly gets a glance, who asks for a procedure ("Compute …", "Add up …")
/// mostly gets the working; one in six is the other way round.
pub fn of_mixed_habits(problems: impl Iterator<Item = Problem>, seed: u64) -> impl Iterator<Item = Problem> {
    problems.enumerate().map(move |(index, problem)| {
        let question = problem.prompt.trim_start_matches(Problem::IMAGE_PLACEHOLDER);
        let asks_for_a_result = ASKS_FOR_A_RESULT.iter().any(|word| question.starts_with(word));
        let exception = Rng::new(seed, Purpose::FineTuning, &[index as u64, 1]).below(EXCEPTION) == 0;
        if asks_for_a_result != exception { at_a_glance(problem) } else { problem }
    })
}

/// The problem with a solution that skips the working: nothing is read off the picture or worked out in steps.
fn at_a_glance(problem: Problem) -> Problem {
    let last = match &problem.solution {
        // The letter needs its option beside it.
        Some(solution) if problem.capability == Capability::PERCEPTION => {
            let thought = solution.trim_start_matches("<think>").split("</think>").next().unwrap_or_default();
            thought.trim_end_matches('.').rsplit(". ").next().unwrap_or_default().to_string()
        }
        _ => problem.answer.clone(),
    };
    Problem { solution: Some(format!("<think>{last}.</think> \\boxed{{{}}}", problem.answer)), ..problem }
}

/// A byte-level BPE over questions and solutions of the training split.
fn train_tokenizer(world: &DigitsWorld, seed: u64) -> Result<tokenizers::Tokenizer> {
    let texts = Capability::ALL.iter().flat_map(|capability| {
        world.problems(Split::Train, capability, seed).take(2000).flat_map(|problem| {
            [
                problem.prompt.replace(seethink::core::Problem::IMAGE_PLACEHOLDER, ""),
                problem.solution.unwrap_or_default(),
            ]
        })
    });
    // The instruction is part of every prompt; the tags are tokens of their own and take no part in the merges.
    let texts = texts.map(|text| {
        format!("{text}\n{THINK_PROMPT}\nuser\nassistant\n").replace("<think>", "\n").replace("</think>", "\n")
    });
    let split = SplitAt::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false)
        .map_err(anyhow::Error::from_boxed)?;
    let bytes = ByteLevel::new(false, false, false);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(vec![
            PreTokenizerWrapper::Split(split),
            PreTokenizerWrapper::ByteLevel(bytes),
        ])))
        .with_post_processor(Some(ByteLevelProcessor::new(false, false, false)))
        .with_decoder(Some(ByteLevelDecoder::new(false, false, false)))
        .build()
        .map_err(anyhow::Error::from_boxed)?;
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(VOCABULARY)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, texts).map_err(anyhow::Error::from_boxed)?;
    let mut tokenizer: tokenizers::Tokenizer = tokenizer.into();
    for (token, special) in ADDED {
        let added = AddedToken::from(token, special).normalized(false);
        let n_added = if special { tokenizer.add_special_tokens(&[added]) } else { tokenizer.add_tokens(&[added]) };
        ensure!(n_added == 1, "the token {token} is in the vocabulary already");
    }
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink::data::digits::DigitsConfig;
    use seethink::prelude::*;

    #[test]
    fn solutions_of_both_habits_are_right_and_both_are_frequent() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        for capability in &Capability::ALL {
            let worked_out: Vec<_> = world.problems(Split::Train, capability, 1).take(300).collect();
            let mixed: Vec<_> = of_mixed_habits(worked_out.iter().cloned(), 1).collect();
            for problem in &mixed {
                let solution = problem.solution.as_deref().unwrap();
                let score = ThinkBoxedReward::default().score(problem, solution);
                assert_eq!(score.value, 1.0, "{solution}");
            }
            let n_glances = mixed.iter().zip(&worked_out).filter(|(mixed, worked_out)| mixed != worked_out).count();
            assert!((90..=210).contains(&n_glances), "{capability}: {n_glances} of 300");
        }
    }

    #[test]
    fn a_glance_keeps_the_option_and_its_letter() {
        let problem = Problem {
            prompt: "<image>Which digit is at the center?".into(),
            solution: Some("<think>center 5. 5(C).</think> \\boxed{C}".into()),
            answer: "C".into(),
            capability: Capability::PERCEPTION,
            ..DigitsWorld::new(DigitsConfig::default()).unwrap().problem(Split::Train, &Capability::PERCEPTION, 0, 1)
        };
        assert_eq!(at_a_glance(problem).solution.unwrap(), "<think>5(C).</think> \\boxed{C}");
    }
}
