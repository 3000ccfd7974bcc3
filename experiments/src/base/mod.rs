//! Small base models: their training, and the copies that ship with the programs.
//!
//! One model of each family, of about a million parameters, with a byte-level BPE of its own,
//! fine-tuned on solutions of the first digits world, `digits-v1`, and deliberately under-trained: it
//! has learned the format and is mediocre at all three capabilities, which leaves room for improvement
//! by reinforcement learning. `cargo run --release --example make_base_v1` trains a model again;
//! `make_base` trains one for the digits world in which sight has to be learnt.

mod checkpoint;
mod lessons_v1;
mod tokenizer;

pub use checkpoint::write_blank;
pub use lessons_v1::{cells, lookups, of_mixed_habits};
pub use tokenizer::Vocabulary;

use seethink::data::digest;
use seethink::run::config::BaseFamily;
use seethink::run::report::write_file;
use seethink::run::{BaseModels, RunError};
use std::path::Path;

macro_rules! embedded {
    ($family:literal $(, $more:literal)*) => {
        const {
            &[
                $(($more, include_bytes!(concat!("../../assets/digits-v1-base/", $family, "/", $more)).as_slice()),)*
                embedded!(@file $family, "chat_template.jinja"),
                embedded!(@file $family, "config.json"),
                embedded!(@file $family, "generation_config.json"),
                embedded!(@file $family, "model.safetensors"),
                embedded!(@file $family, "preprocessor_config.json"),
                embedded!(@file $family, "tokenizer.json"),
                embedded!(@file $family, "tokenizer_config.json"),
            ]
        }
    };
    (@file $family:literal, $name:literal) => {
        ($name, include_bytes!(concat!("../../assets/digits-v1-base/", $family, "/", $name)).as_slice())
    };
}

/// Files of the models that ship with the programs.
fn embedded(family: BaseFamily) -> &'static [(&'static str, &'static [u8])] {
    match family {
        BaseFamily::Qwen2_5Vl => embedded!("qwen2_5_vl"),
        BaseFamily::Qwen3Vl => embedded!("qwen3_vl"),
        BaseFamily::InternVl3 => embedded!("internvl3", "processor_config.json"),
        BaseFamily::InternVl3_5 => embedded!("internvl3_5", "processor_config.json"),
    }
}

/// Small base models that ship with the programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct DigitsBases;

impl BaseModels for DigitsBases {
    fn unpack(&self, family: BaseFamily, folder: &Path) -> Result<(), RunError> {
        embedded(family).iter().try_for_each(|(name, bytes)| Ok(write_file(&folder.join(name), bytes)?))
    }
}

/// Writes the shipped model of a family as a Hugging Face folder; files of an earlier call are
/// replaced.
///
/// # Errors
/// If a file cannot be written.
pub fn unpack(family: BaseFamily, folder: &Path) -> Result<(), RunError> {
    DigitsBases.unpack(family, folder)
}

/// Fingerprint of the files of a shipped model.
pub(crate) fn fingerprint(family: BaseFamily) -> String {
    digest(embedded(family).iter().flat_map(|(name, bytes)| [name.as_bytes(), *bytes]))
}
