//! `config.json`: the fields that a family reads, and the whole file, which is written back.

use crate::checks::expect;
use crate::family::Family;
use crate::weights::{self, LoadError, WeightDtype};
use seethink_core::SettingError;
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
        let wrong = |error| LoadError::Setting { path: path.to_owned(), error };
        // Files of another family lack our fields: the error names the family, not the first
        // missing field.
        let found = family_name(&json, &[(F::MODEL_TYPE, F::ARCHITECTURE)]).map_err(wrong)?;
        expect(found == F::MODEL_TYPE, "model_type", found, F::MODEL_TYPE).map_err(wrong)?;
        for part in ["text_config", "vision_config"] {
            if let Some(found) = json.get(part) {
                expect(found.is_object(), part, found, "an object").map_err(wrong)?;
            }
        }
        let mut unified = json.clone();
        F::unify(&mut unified);
        let fields: F = serde_path_to_error::deserialize(unified).map_err(|source| LoadError::Config {
            path: path.to_owned(),
            field: source.path().to_string(),
            source: source.into_inner(),
        })?;
        // Files that do not nest the decoder's settings have them at the top level.
        let is_nested = json.get("text_config").is_some();
        let text_path = |error: SettingError| if is_nested { error.within("text_config") } else { error };
        let decoder = fields.text().check().and_then(|()| fields.decoder());
        decoder.map_err(text_path).and_then(|_| fields.check()).map_err(wrong)?;
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
pub(crate) fn family_name<'a>(json: &'a Value, families: &[(&'static str, &str)]) -> Result<&'a str, SettingError> {
    let named = json["model_type"].as_str();
    let text = json["text_config"]["model_type"].as_str();
    for (key, name) in [("model_type", named), ("text_config.model_type", text)] {
        if let Some(experts) = name.filter(|name| name.ends_with("_moe")) {
            let expected = "a dense model: mixtures of experts are not supported yet";
            return Err(SettingError::new(key, experts, expected));
        }
    }
    if let Some(original @ "internvl_chat") = named {
        let expected = "internvl, the Hugging Face layout, which is published under names ending in -hf";
        return Err(SettingError::new("model_type", original, expected));
    }
    let architecture = json["architectures"][0].as_str().unwrap_or_default();
    let by_class = || families.iter().find(|(_, class)| *class == architecture).map(|(name, _)| *name);
    named.or_else(by_class).ok_or_else(|| {
        let found = json.get("model_type").map_or_else(|| "missing".to_owned(), Value::to_string);
        SettingError::new("model_type", found, format!("{}, or its class in `architectures`", one_of(families)))
    })
}

/// Description of the types of `families`.
pub(crate) fn one_of(families: &[(&str, &str)]) -> String {
    match families {
        [(name, _)] => (*name).to_owned(),
        _ => format!("one of {}", families.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
    }
}
