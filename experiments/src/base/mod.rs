//! Small base models: their training, and the copies that ship with the programs.
//!
//! Models of about a million parameters of each family, with a byte-level BPE of their own. Those of
//! the digits world have learnt to read narrow pictures of two hundred digits, and see middlingly in
//! wide ones (`cargo run --release --example make_base`); there are several of a family, made with
//! different seeds. Those of the first world, `digits-v1`, are deliberately under-trained on its
//! solutions (`make_base_v1`).

mod checkpoint;
mod lessons_v1;
mod tokenizer;

pub use checkpoint::write_blank;
pub use lessons_v1::{cells, lookups, of_mixed_habits};
pub use tokenizer::Vocabulary;

use seethink::data::digest;
use seethink::run::config::{BaseFamily, ModelSource};
use seethink::run::report::write_file;
use seethink::run::{BaseModels, RunError};
use std::path::Path;

/// File of a model: name and content.
type File = (&'static str, &'static [u8]);

macro_rules! embedded {
    ($folder:literal $(, $more:literal)*) => {
        const {
            &[
                $(embedded!(@file $folder, $more),)*
                embedded!(@file $folder, "chat_template.jinja"),
                embedded!(@file $folder, "config.json"),
                embedded!(@file $folder, "generation_config.json"),
                embedded!(@file $folder, "model.safetensors"),
                embedded!(@file $folder, "preprocessor_config.json"),
                embedded!(@file $folder, "tokenizer.json"),
                embedded!(@file $folder, "tokenizer_config.json"),
            ]
        }
    };
    (@file $folder:literal, $name:literal) => {
        ($name, include_bytes!(concat!("../../assets/", $folder, "/", $name)).as_slice())
    };
}

/// Files of the models of the digits world, by seed: 1, 2, ….
fn of_digits(family: BaseFamily) -> &'static [&'static [File]] {
    match family {
        BaseFamily::Qwen2_5Vl => const { &[embedded!("digits-base/qwen2_5_vl-1")] },
        BaseFamily::Qwen3Vl => {
            const {
                &[
                    embedded!("digits-base/qwen3_vl-1"),
                    embedded!("digits-base/qwen3_vl-2"),
                    embedded!("digits-base/qwen3_vl-3"),
                ]
            }
        }
        BaseFamily::InternVl3 => {
            const {
                &[
                    embedded!("digits-base/internvl3-1", "processor_config.json"),
                    embedded!("digits-base/internvl3-2", "processor_config.json"),
                ]
            }
        }
        BaseFamily::InternVl3_5 => {
            const {
                &[
                    embedded!("digits-base/internvl3_5-1", "processor_config.json"),
                    embedded!("digits-base/internvl3_5-2", "processor_config.json"),
                ]
            }
        }
    }
}

/// Files of the models of `digits-v1`.
fn of_digits_v1(family: BaseFamily) -> &'static [File] {
    match family {
        BaseFamily::Qwen2_5Vl => embedded!("digits-v1-base/qwen2_5_vl"),
        BaseFamily::Qwen3Vl => embedded!("digits-v1-base/qwen3_vl"),
        BaseFamily::InternVl3 => embedded!("digits-v1-base/internvl3", "processor_config.json"),
        BaseFamily::InternVl3_5 => embedded!("digits-v1-base/internvl3_5", "processor_config.json"),
    }
}

/// Number of models of a family that runs of the digits world begin with.
pub fn n_bases(family: BaseFamily) -> u64 {
    of_digits(family).len() as u64
}

/// Number of the model that runs of a seed begin with.
pub fn base_of(family: BaseFamily, seed: u64) -> u64 {
    1 + (seed + n_bases(family) - 1) % n_bases(family)
}

/// Model of the digits world whose wrong answers choose the perception problems of the tables. No
/// arm trains it: in one run, problems that the trained model itself answered wrongly lowered its
/// perception.
pub const FILTER: ModelSource = ModelSource::DigitsBase { family: BaseFamily::Qwen2_5Vl, seed: 0 };

/// Names of all models that ship with the programs.
pub fn all() -> impl Iterator<Item = ModelSource> {
    let seeds = |family| (1..=n_bases(family)).map(move |seed| ModelSource::DigitsBase { family, seed });
    let families = || BaseFamily::ALL.into_iter().map(|(_, family)| family);
    families().flat_map(seeds).chain([FILTER]).chain(families().map(ModelSource::DigitsV1Base))
}

/// Files of a model that ships with the programs.
fn files(model: &ModelSource) -> Result<&'static [File], RunError> {
    let files = match model {
        model if *model == FILTER => Some(const { embedded!("digits-base/filter") } as &[File]),
        ModelSource::DigitsBase { family, seed } => {
            (*seed as usize).checked_sub(1).and_then(|i| of_digits(*family).get(i).copied())
        }
        ModelSource::DigitsV1Base(family) => Some(of_digits_v1(*family)),
        ModelSource::Pretrained(_) => None,
    };
    files.ok_or_else(|| RunError::NoBaseModel(model.clone()))
}

/// Small base models that ship with the programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct DigitsBases;

impl BaseModels for DigitsBases {
    fn unpack(&self, model: &ModelSource, folder: &Path) -> Result<(), RunError> {
        files(model)?.iter().try_for_each(|(name, bytes)| Ok(write_file(&folder.join(name), bytes)?))
    }
}

/// Writes a shipped model as a Hugging Face folder; files of an earlier call are replaced.
///
/// # Errors
/// If there is no such model, or a file cannot be written.
pub fn unpack(model: &ModelSource, folder: &Path) -> Result<(), RunError> {
    DigitsBases.unpack(model, folder)
}

/// Fingerprint of the files of a shipped model.
///
/// # Errors
/// If there is no such model.
pub(crate) fn fingerprint(model: &ModelSource) -> Result<String, RunError> {
    Ok(digest(files(model)?.iter().flat_map(|(name, bytes)| [name.as_bytes(), *bytes])))
}
