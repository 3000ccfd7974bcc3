//! `config.json`: the fields that a family reads, and the whole file, which is written back.

use crate::files::CheckpointFiles;
use crate::text_config::{TextConfig, TextKind};
use crate::vision::{Encoder, VisionSide};
use crate::vlm_processor::Pictures;
use crate::weights::{self, Initial, LoadError, Naming, WeightDtype};
use crate::{ProcessorError, Tokenizer, Vlm};
use burn::tensor::Device;
use seethink_nn::RotaryFrequencies;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::ops::Deref;
use std::path::Path;

/// Family of backbones: configuration, vision side, names and image processing; everything else is
/// shared.
///
/// Implemented by the fields of `config.json` that the family reads, spelled as there.
pub trait Family: DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Vision encoder of the family, which names the projector.
    type Encoder: Encoder<Family = Self>;

    /// `model_type` of the family's checkpoints.
    const MODEL_TYPE: &'static str;

    /// Name of the class with which the reference loads the checkpoints.
    const ARCHITECTURE: &'static str;

    /// True if the outer `tie_word_embeddings` counts where the text's own flag is missing.
    const OUTER_TIE_FLAG: bool = true;

    /// Display name of the model, as its authors write it.
    fn display_name(&self) -> &'static str;

    /// Converts older layouts of the file to the layout of the fields.
    fn unify(_json: &mut Value) {}

    /// Configuration of the decoder.
    fn text(&self) -> &TextConfig;

    /// Kind of decoder, and its rotary frequencies.
    ///
    /// # Errors
    /// If the settings are missing or of a kind that is not implemented.
    fn decoder(&self) -> Result<(TextKind, RotaryFrequencies), String>;

    /// Checks that the vision side is consistent, fits the decoder, and is of a kind that is
    /// implemented.
    ///
    /// # Errors
    /// If it is not; the error names the setting.
    fn check(&self) -> Result<(), String>;

    /// Creates encoder and projector with fresh weights.
    fn vision(&self, device: &Device) -> VisionSide<Self::Encoder>;

    /// Naming of the modules in checkpoints.
    fn naming(&self) -> Naming;

    /// Initialisation of a parameter of the vision side; `None` where it is that of the decoder's
    /// parameters.
    fn initial(&self, name: &str) -> Option<Initial>;

    /// Image processing: pictures to patches and tokens.
    ///
    /// # Errors
    /// If the image settings are missing or cannot be implemented.
    fn pictures(&self, files: &CheckpointFiles, tokenizer: &Tokenizer) -> Result<Pictures, ProcessorError>;
}

/// Model configuration: `config.json`, checked; the fields of the family `F`, which it dereferences
/// to, and the whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig<F> {
    fields: F,
    json: Value,
}

impl<F> Deref for ModelConfig<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.fields
    }
}

impl<F: Family> ModelConfig<F> {
    /// Reads and checks `config.json` in `dir`.
    ///
    /// # Errors
    /// If the file is missing or malformed, or describes a model of another family.
    pub fn read(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(weights::CONFIG);
        Self::parse(weights::read_json(&path)?, &path)
    }

    /// Creates a configuration from JSON.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_json(json: Value) -> Result<Self, LoadError> {
        Self::parse(json, Path::new(weights::CONFIG))
    }

    fn parse(json: Value, path: &Path) -> Result<Self, LoadError> {
        let unsupported = |what| LoadError::Unsupported { path: path.to_owned(), what };
        // Files of another family lack our fields: the error names the family, not the first
        // missing field.
        let found = family_name(&json).map_err(unsupported)?;
        if found != F::MODEL_TYPE {
            return Err(unsupported(format!("`model_type` is {found}, expected {}", F::MODEL_TYPE)));
        }
        for part in ["text_config", "vision_config"] {
            if json.get(part).is_some_and(|found| !found.is_object()) {
                return Err(unsupported(format!("`{part}` is no object")));
            }
        }
        let mut unified = json.clone();
        F::unify(&mut unified);
        let fields: F = serde_path_to_error::deserialize(unified).map_err(|source| LoadError::Config {
            path: path.to_owned(),
            field: source.path().to_string(),
            source: source.into_inner(),
        })?;
        fields.text().check().and_then(|()| fields.decoder()).and_then(|_| fields.check()).map_err(unsupported)?;
        Ok(Self { fields, json })
    }

    /// The whole file as JSON, fields that are not read here included.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Creates a model with random weights, see [`Vlm::init_seeded`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Vlm<F::Encoder> {
        Vlm::init_seeded(self.clone(), seed, device)
    }

    /// Returns whether the head is the embedding table (tied embeddings). The text's flag decides,
    /// where there is one.
    pub fn ties_embeddings(&self) -> bool {
        let outer = || self.json["tie_word_embeddings"].as_bool().filter(|_| F::OUTER_TIE_FLAG);
        self.fields.text().tie_word_embeddings.or_else(outer).unwrap_or(false)
    }

    /// Sets the flag of tied embeddings in every place where readers look.
    pub(crate) fn set_tied(&mut self, tied: bool) {
        self.json["tie_word_embeddings"] = tied.into();
        if let Some(text) = self.json.get_mut("text_config") {
            text["tie_word_embeddings"] = tied.into();
        }
        let mut unified = self.json.clone();
        F::unify(&mut unified);
        self.fields = serde_json::from_value(unified).expect("it was read before, but for a flag");
    }

    /// The file with this number format of the weights, in every place and spelling of that
    /// setting.
    pub(crate) fn with_dtype(&self, dtype: WeightDtype) -> Value {
        let mut json = self.json.clone();
        for part in ["", "/text_config", "/vision_config"] {
            for key in ["dtype", "torch_dtype"] {
                if let Some(value) = json.pointer_mut(&format!("{part}/{key}")) {
                    *value = dtype.torch_name().into();
                }
            }
        }
        json
    }
}

/// `model_type` of a configuration, else the family of its `architectures`.
///
/// # Errors
/// If no family matches.
pub(crate) fn family_name(json: &Value) -> Result<&str, String> {
    let named = json["model_type"].as_str();
    let text = json["text_config"]["model_type"].as_str().unwrap_or_default();
    if let Some(experts) = named.into_iter().chain([text]).find(|name| name.ends_with("_moe")) {
        return Err(format!("{experts}: mixtures of experts are not supported yet, only dense models are"));
    }
    if named == Some("internvl_chat") {
        let note =
            "in the original layout, expected the Hugging Face one, which is published under names ending in -hf";
        return Err(format!("`model_type` is internvl_chat: InternVL {note}"));
    }
    let architecture = json["architectures"][0].as_str().unwrap_or_default();
    let by_class = || crate::any::FAMILIES.iter().find(|(_, class)| *class == architecture).map(|(name, _)| *name);
    named.or_else(by_class).ok_or_else(|| {
        format!("neither `model_type` nor `architectures` names a model; expected one of {}", crate::any::names())
    })
}
