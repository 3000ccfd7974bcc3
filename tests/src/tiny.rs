//! A Qwen3-VL with random weights that is small enough to train in a test, and problems for it.

use crate::ending::Ending;
use seethink::burn::module::{Module, ModuleVisitor, Param};
use seethink::burn::tensor::{Device, Tensor};
use seethink::core::{Capability, Problem};
use seethink::data::Split;
use seethink::data::digits_v1::{DigitsConfig, DigitsWorld};
use seethink::models::qwen3_vl::{Qwen3Vl, Qwen3VlConfig};
use seethink::models::{Processor, VlmProcessor};
use seethink::reward::{Response, Reward, Score};
use seethink::rollout::{PromptFormat, Sampling};
use seethink::train::{ActivationMemory, GrpoConfig, MemoryConfig, OptimizerConfig, PolicyLoss, Schedule};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Folder with the tiny tokenizer, template and image settings.
pub fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/qwen3_vl/checkpoint")
}

/// Settings of GRPO for the tiny model: four problems a step, three completions of each, two
/// updates.
pub fn grpo_config() -> GrpoConfig {
    GrpoConfig {
        prompt: PromptFormat { system: None, suffix: String::new() },
        rollout_batch: 4,
        group_size: 3,
        mini_batch: 2,
        max_draws: 1,
        sampling: Sampling::plain(8),
        loss: PolicyLoss::default(),
        optimizer: OptimizerConfig {
            learning_rate: 1e-3,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            schedule: Schedule::CONSTANT,
        },
        memory: MemoryConfig {
            decode_batch: 64,
            micro_batch_tokens: 400,
            logit_chunk: 64,
            activations: ActivationMemory::Auto,
        },
        checkpoint_every: 10,
        validate_every: 0,
    }
}

/// Configuration of the fixture with a smaller model: two decoder layers, two vision blocks, one
/// DeepStack level.
///
/// # Panics
/// If the fixture cannot be read.
pub fn config(vocab: usize, hidden: usize) -> Qwen3VlConfig {
    let mut json = Qwen3VlConfig::read(&checkpoint()).expect("the fixture is whole").json().clone();
    let edit = |part: &mut Value, changes: Value| {
        part.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    };
    let text = json!({
        "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.2
    });
    let vision = json!({
        "hidden_size": 16, "intermediate_size": 24, "depth": 2, "num_heads": 2, "out_hidden_size": hidden,
        "initializer_range": 0.2, "deepstack_visual_indexes": [0]
    });
    edit(&mut json["text_config"], text);
    edit(&mut json["vision_config"], vision);
    Qwen3VlConfig::from_json(json).expect("a consistent configuration")
}

/// Creates a model for the fixture's tokenizer.
pub fn model(seed: u64) -> Qwen3Vl {
    config(1072, 32).init_seeded(seed, &Device::default())
}

/// Processor of the fixture, except that every sixteenth token ends a completion: a random model
/// then writes completions of any length.
///
/// # Panics
/// If the fixture cannot be read.
pub fn processor() -> Ending {
    let inner = VlmProcessor::from_pretrained(&checkpoint()).expect("the fixture is whole");
    let eos = (0..1000).step_by(16).chain(inner.eos_token_ids().iter().copied()).collect();
    let forbidden = inner.forbidden_token_ids().to_vec();
    Ending { inner, eos, forbidden }
}

/// Problems of the digits world, `n` of each capability.
///
/// # Panics
/// Never: the default world is valid.
pub fn problems(n: usize) -> Vec<Problem> {
    let world = DigitsWorld::new(DigitsConfig::default()).expect("the default is valid");
    Capability::ALL.iter().flat_map(|capability| world.problems(Split::Train, capability, 1).take(n)).collect()
}

/// Reward: the share of letters in a completion. A random model earns a part, which differs within
/// a group.
#[derive(Debug, Clone, Copy)]
pub struct LetterReward;

impl Reward for LetterReward {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn score(&self, _: &Problem, response: Response<'_>) -> Score {
        let n_letters = response.text.chars().filter(char::is_ascii_alphabetic).count();
        let share = n_letters as f32 / response.text.chars().count().max(1) as f32;
        Score { value: share, parts: vec![("accuracy", share.round())], ..Score::default() }
    }
}

/// Bits of all weights, parameter by parameter.
pub fn weights(model: &impl Module) -> Vec<Vec<u32>> {
    #[derive(Default)]
    struct Collect(Vec<Vec<u32>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().into_data().iter::<f32>().map(f32::to_bits).collect());
        }
    }
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.0
}
