//! Runs that exceed the model's positions or the memory: refused before their first step, with the
//! numbers.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::{Problem, Purpose};
use seethink::curriculum::{
    Corpus, CorpusEntry, Course, CurriculumConfig, Epochs, LastBatch, Length, Order, Quantity, Stage, Staged,
};
use seethink::data::{DataSource, Dataset, DatasetConfig, TokenCounter, write_problems};
use seethink::models::Processor;
use seethink::models::qwen3_vl::{Qwen3Vl, Qwen3VlConfig};
use seethink::rollout::{DrawKey, Generator, Problems, Prompt, PromptFormat, Sampling};
use seethink::train::{Grpo, GrpoConfig, Interrupter, Sft, SftConfig, SftData, TrainError};
use seethink_tests::tiny::{self, LetterReward};
use std::sync::Arc;

/// The tiny model with this maximum number of positions.
fn model(max_positions: usize) -> Qwen3Vl {
    let mut json = tiny::config(1072, 32).json().clone();
    json["text_config"]["max_position_embeddings"] = max_positions.into();
    Qwen3VlConfig::from_json(json).unwrap().init_seeded(3, &Default::default())
}

fn config(max_tokens: usize) -> GrpoConfig {
    GrpoConfig { sampling: Sampling::plain(max_tokens), ..tiny::grpo_config() }
}

fn plan() -> Staged {
    Staged {
        stages: vec![Stage::new("first", []), Stage::new("second", [])],
        order: Order::Shuffled,
        epochs: Epochs::AsNeeded { steps: 1 },
        last_batch: LastBatch::Keep,
    }
}

fn course(plan: Staged, problems: &[Problem]) -> Course {
    CurriculumConfig::Staged(plan).build(&Corpus::new(problems.iter().map(CorpusEntry::from)).unwrap(), 1).unwrap()
}

/// Length of the longest prompt in tokens, by encoding all prompts.
fn longest(format: &PromptFormat) -> usize {
    let problems = tiny::problems(4);
    let lengths = problems.iter().map(|problem| format.encode(&tiny::processor(), problem).unwrap().tokens.len());
    lengths.max().unwrap()
}

/// Starts a run and returns its error; no event may be reported and no file written.
fn refused(config: GrpoConfig, plan: Staged, model: Qwen3Vl) -> String {
    let (folder, problems) = (tempfile::tempdir().unwrap(), tiny::problems(4));
    let grpo = Grpo {
        config,
        seed: 1,
        processor: Arc::new(tiny::processor()),
        reward: Arc::new(LetterReward),
        rewards: Default::default(),
        curriculum: course(plan, &problems),
        problems: problems.into_iter().collect(),
        validate: None,
        observer: Box::new(|event| panic!("the run began: {event:?}")),
        dashboard: false,
    };
    let run = folder.path().join("run");
    let error = grpo.train(model, &run, false, Interrupter::new()).unwrap_err().to_string();
    assert!(!run.exists());
    println!("{error}");
    error
}

#[test]
fn completions_longer_than_the_model_has_positions_for_do_not_start() {
    let prompt = longest(&config(8).prompt);
    let error = refused(config(100_000_000), plan(), tiny::model(3));
    for part in [
        "stage `first`".to_owned(),
        format!("prompts of up to {prompt} tokens"),
        "completions of up to 100000000".into(),
        format!("sequences of {}", prompt + 100_000_000),
        "262144 positions (max_position_embeddings)".into(),
        format!("at most {}", 262_144 - prompt),
    ] {
        assert!(error.contains(&part), "{part}: {error}");
    }
    let mut plan = plan();
    plan.stages[1].overrides.set("max_tokens", 2000usize);
    let error = refused(config(8), plan, model(1000));
    assert!(error.contains("stage `second`") && error.contains("completions of up to 2000"), "{error}");
}

#[test]
fn a_cache_larger_than_memory_does_not_start() {
    let mut config = config(200_000);
    config.group_size = 1_000_000;
    let prompt = longest(&config.prompt);
    let error = refused(config, plan(), tiny::model(3));
    // Keys and values of two layers with one head of 32 channels, four bytes each.
    let bytes_per_token = 2 * 2 * 32 * 4;
    let bytes = (prompt + 1_000_000 * 200_000) * bytes_per_token;
    for part in [
        format!("1 prompts of up to {prompt} tokens and 1000000 completions of up to 200000"),
        format!("takes {:.1} GiB at {bytes_per_token} bytes a token", bytes as f64 / f64::from(1 << 30)),
        "GiB of memory are available".into(),
    ] {
        assert!(error.contains(&part), "{part}: {error}");
    }
}

#[test]
fn prompts_longer_than_the_model_has_positions_for_do_not_start() {
    let prompt = longest(&config(8).prompt);
    let error = refused(config(8), plan(), model(prompt));
    assert!(error.contains(&format!("prompts of fewer than {prompt}")), "{error}");
    // A suffix of one stage alone counts too.
    let suffix = " again and again".repeat(100);
    let long = longest(&PromptFormat { system: None, suffix: suffix.clone() });
    let mut plan = plan();
    plan.stages[1].overrides.set("prompt_suffix", suffix);
    let error = refused(config(8), plan, model(prompt + 8));
    assert!(error.contains("stage `second`") && error.contains(&format!("prompts of up to {long} tokens")), "{error}");
}

#[test]
fn the_last_position_may_be_used_and_long_completions_that_fit() {
    let problems = tiny::problems(4);
    let (course, prompt) = (course(plan(), &problems), longest(&config(8).prompt));
    let problems: Problems = problems.into_iter().collect();
    let check = |max_tokens: usize, model: Qwen3Vl| {
        config(max_tokens).check_run(course.curriculum(), &problems, &tiny::processor(), &model)
    };
    check(8, model(prompt + 8)).unwrap();
    assert!(matches!(check(9, model(prompt + 8)), Err(TrainError::Capacity { .. })));
    // A quarter of all positions: 12 sequences of 65,000 tokens take 0.4 GB.
    check(65_000, tiny::model(3)).unwrap();
}

#[test]
fn the_longest_prompt_of_files_is_found_in_their_index() {
    let (folder, problems, processor) = (tempfile::tempdir().unwrap(), tiny::problems(4), tiny::processor());
    write_problems(folder.path().join("train"), &problems).unwrap();
    let config = DatasetConfig::new([DataSource::new(folder.path().join("train"))]);
    let format = PromptFormat::default();
    let count =
        |question: &str, sizes: &[(u32, u32)]| Ok(processor.n_prompt_tokens(&format.conversation(question), sizes)?);
    for counter in [None, Some(TokenCounter { name: "tiny", count: &count })] {
        let dataset = Dataset::open(&config, counter.as_ref()).unwrap();
        assert_eq!(dataset.len(), 12);
        let found = Problems::Files(Arc::new(dataset)).longest_prompt(&format, &processor).unwrap();
        assert_eq!(found, longest(&format));
    }
}

#[test]
fn a_generator_does_not_begin_what_has_no_positions() {
    let (model, processor, problems) = (model(1000), tiny::processor(), tiny::problems(1));
    let input = PromptFormat::default().encode(&processor, &problems[0]).unwrap();
    let generator = Generator { model: &model, processor: &processor, sampling: Sampling::plain(1000), max_batch: 1 };
    let key = DrawKey { seed: 1, purpose: Purpose::Evaluation, step: 0 };
    let prompt = Prompt::new(problems[0].id, &input);
    let errors = [
        generator.generate(std::slice::from_ref(&prompt), 1, key, &mut |_, _| panic!("it began")).unwrap_err(),
        generator.stream(&prompt, key, &mut |_| panic!("it began")).unwrap_err(),
    ];
    for error in errors {
        let expected = format!("sequences of {}, but the model has 1000 positions", input.tokens.len() + 1000);
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn an_example_longer_than_the_model_has_positions_for_is_not_imitated() {
    let mut problems = tiny::problems(1);
    problems.iter_mut().for_each(|problem| problem.solution = Some("It is 1.".into()));
    problems[2].solution = Some("It is so. ".repeat(100));
    let (folder, GrpoConfig { prompt, optimizer, memory, .. }) = (tempfile::tempdir().unwrap(), config(8));
    let longest = prompt.n_tokens(&tiny::processor(), &problems[2]).unwrap();
    let sft = Sft {
        config: SftConfig { prompt, batch: 2, epochs: 1, optimizer, memory },
        seed: 1,
        processor: Arc::new(tiny::processor()),
        data: SftData { train: problems.clone(), validation: Vec::new() },
        progress: Box::new(|_, _, _, _| panic!("it began")),
    };
    let error = sft.train(model(longest + 100), folder.path(), Interrupter::new()).unwrap_err().to_string();
    assert!(
        error.contains(&problems[2].id.to_string()) && error.ends_with(&format!("has {} positions", longest + 100))
    );
}

#[test]
fn a_warm_up_without_a_known_number_of_steps_does_not_start() {
    let mut plan = plan();
    plan.stages[1].length =
        Some(Length::Threshold { quantity: Quantity::Reward, at_least: 0.5, window: 2, at_most: 9 });
    plan.stages[0].overrides.set("warmup", 0.5);
    let error = refused(config(8), plan, tiny::model(3));
    assert!(error.contains("stage `first` has a warm-up") && error.contains("fixed length"), "{error}");
}
