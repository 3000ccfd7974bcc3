//! `config.json`: the fields that a family reads, and the whole file, which is written back.

use crate::family::Family;
use crate::weights::{self, LoadError, WeightDtype};
use serde_json::Value;
use std::ops::Deref;
use std::path::Path;

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
        let found = family_name(&json, &[(F::MODEL_TYPE, F::ARCHITECTURE)]).map_err(unsupported)?;
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

/// `model_type` of a configuration, else that of its class in `architectures`; `families` are
/// types and classes.
///
/// # Errors
/// If no family matches.
pub(crate) fn family_name<'a>(json: &'a Value, families: &[(&'static str, &str)]) -> Result<&'a str, String> {
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
    let by_class = || families.iter().find(|(_, class)| *class == architecture).map(|(name, _)| *name);
    named.or_else(by_class).ok_or_else(|| {
        let names: Vec<&str> = families.iter().map(|(name, _)| *name).collect();
        format!("neither `model_type` nor `architectures` names a model; expected {}", names.join(", "))
    })
}
