//! Models of any family, chosen by the configuration of a checkpoint.

use crate::Activations;
use crate::config::{ModelConfig, family_name, one_of};
use crate::family::Family;
use crate::files::CheckpointFiles;
use crate::image_processor::Pictures;
use crate::weights::{self, LoadError, SaveError, SaveOptions, WeightDtype};
use crate::{Parameter, PixelTensor, ProcessorError, Tokenizer, VisionLanguageModel, VisualFeatures, Vlm, VlmInput};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use seethink_core::{SettingError, Trainable};
use seethink_nn::KvCache;
use serde_json::Value;
use std::path::Path;

/// Declares a variant per family. A new family is a line here and its `pub mod`.
macro_rules! families {
    ($($variant:ident => $family:ident),* $(,)?) => {
        /// A model of any family.
        // A program has one such value, and everything large in it is behind handles.
        #[allow(clippy::large_enum_variant)]
        #[derive(Module, Debug)]
        pub enum AnyBackbone {
            $(#[doc = concat!("See [`", stringify!($family), "`](crate::", stringify!($family), ").")]
            $variant(Vlm<crate::$family::VisionEncoder>),)*
        }

        /// `model_type` and class of every family.
        const FAMILIES: &[(&str, &str)] =
            &[$((<crate::$family::Config as Family>::MODEL_TYPE, <crate::$family::Config as Family>::ARCHITECTURE)),*];

        /// Runs `$body` on the model of the family.
        macro_rules! each {
            ($self:expr, $model:ident => $body:expr) => {
                match $self {
                    $(AnyBackbone::$variant($model) => $body,)*
                }
            };
        }

        /// Runs `$body` on the model of the family, where `$body` returns a model.
        macro_rules! map {
            ($self:expr, $model:ident => $body:expr) => {
                match $self {
                    $(AnyBackbone::$variant($model) => AnyBackbone::$variant($body),)*
                }
            };
        }

        impl AnyBackbone {
            fn open(dir: &Path, dtype: Option<WeightDtype>, device: &Device) -> Result<Self, LoadError> {
                let path = dir.join(weights::CONFIG);
                let json: Value = weights::read_json(&path)?;
                let wrong = |error| LoadError::Setting { path: path.clone(), error };
                let name = family_name(&json, FAMILIES).map_err(wrong)?;
                $(if name == <crate::$family::Config as Family>::MODEL_TYPE {
                    return Ok(Self::$variant(match dtype {
                        Some(dtype) => Vlm::from_pretrained_as(dir, dtype, device)?,
                        None => Vlm::lazy(ModelConfig::read(dir)?, device),
                    }));
                })*
                Err(wrong(unknown(name)))
            }
        }

        impl AnyBackbone {
            /// Creates a model with random weights, see [`Vlm::init_seeded`]; `json` is a
            /// `config.json`.
            ///
            /// # Errors
            /// If the configuration is malformed, or of no family.
            pub fn init_seeded(json: Value, seed: u64, device: &Device) -> Result<Self, LoadError> {
                let wrong = |error| LoadError::Setting { path: weights::CONFIG.into(), error };
                let name = family_name(&json, FAMILIES).map_err(wrong)?.to_owned();
                $(if name == <crate::$family::Config as Family>::MODEL_TYPE {
                    return Ok(Self::$variant(Vlm::init_seeded(ModelConfig::from_json(json)?, seed, device)));
                })*
                Err(wrong(unknown(&name)))
            }
        }

        /// Image settings of a checkpoint's family, and the maximum number of positions of its
        /// decoder.
        pub(crate) fn pictures(
            files: &CheckpointFiles,
            tokenizer: &Tokenizer,
        ) -> Result<(Pictures, usize), ProcessorError> {
            let json: Value = files.json(weights::CONFIG)?.ok_or_else(|| ProcessorError::Missing {
                dir: files.dir().to_owned(),
                needed: weights::CONFIG,
            })?;
            let wrong = |error| LoadError::Setting { path: files.dir().join(weights::CONFIG), error };
            let name = family_name(&json, FAMILIES).map_err(wrong)?.to_owned();
            $(if name == <crate::$family::Config as Family>::MODEL_TYPE {
                let config = ModelConfig::<crate::$family::Config>::from_json(json)?;
                return Ok((config.pictures(files, tokenizer)?, config.text().max_positions()));
            })*
            Err(wrong(unknown(&name)).into())
        }
    };
}

families! {
    Qwen2_5Vl => qwen2_5_vl,
    Qwen3Vl => qwen3_vl,
    InternVl => internvl3,
}

fn unknown(name: &str) -> SettingError {
    SettingError::new("model_type", name, one_of(FAMILIES))
}

impl AnyBackbone {
    /// Reads `config.json` and the weights of a checkpoint folder, as `f32`. The family is that of
    /// `model_type`, else of `architectures`.
    ///
    /// # Errors
    /// As [`Vlm::from_pretrained`], and if no family has the checkpoint's type.
    pub fn from_pretrained(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        Self::from_pretrained_as(dir, WeightDtype::F32, device)
    }

    /// [`from_pretrained`](Self::from_pretrained) in a given number format, in which everything is
    /// then computed.
    ///
    /// # Errors
    /// As [`from_pretrained`](Self::from_pretrained).
    pub fn from_pretrained_as(dir: &Path, dtype: WeightDtype, device: &Device) -> Result<Self, LoadError> {
        Self::open(dir, Some(dtype), device)
    }

    /// Model skeleton from a checkpoint's configuration, for inspection: no weights are read, and
    /// none are created until their values are read.
    ///
    /// # Errors
    /// If the configuration is missing, malformed, or of no family.
    pub fn skeleton(dir: &Path) -> Result<Self, LoadError> {
        Self::open(dir, None, &Device::default())
    }

    /// Size of the key-value cache, in numbers per token.
    pub fn cache_numbers_per_token(&self) -> usize {
        each!(self, model => model.config().text().cache_numbers_per_token())
    }

    /// Writes `config.json` and the weights into `dir`, see [`Vlm::save_pretrained`].
    ///
    /// # Errors
    /// As [`Vlm::save_pretrained`].
    pub fn save_pretrained(&self, dir: &Path) -> Result<(), SaveError> {
        self.save_pretrained_with(dir, SaveOptions::default())
    }

    /// [`save_pretrained`](Self::save_pretrained) in a given number format or in shards of a given
    /// size.
    ///
    /// # Errors
    /// As [`save_pretrained`](Self::save_pretrained).
    pub fn save_pretrained_with(&self, dir: &Path, options: impl Into<SaveOptions>) -> Result<(), SaveError> {
        each!(self, model => model.save_pretrained_with(dir, options))
    }

    /// `model_type` of the family.
    pub fn model_type(&self) -> &str {
        let json = each!(self, model => model.config().json());
        family_name(json, FAMILIES).expect("checked when it was read")
    }

    /// Name of the family as its authors write it.
    pub fn display_name(&self) -> &'static str {
        each!(self, model => model.config().display_name())
    }

    /// Number format of the weights.
    pub fn dtype(&self) -> DType {
        each!(self, model => model.text.dtype())
    }
}

impl VisionLanguageModel for AnyBackbone {
    fn vocab_size(&self) -> usize {
        each!(self, model => model.vocab_size())
    }

    fn device(&self) -> Device {
        each!(self, model => model.device())
    }

    fn max_positions(&self) -> usize {
        each!(self, model => model.max_positions())
    }

    fn cache_bytes_per_token(&self) -> usize {
        each!(self, model => model.cache_bytes_per_token())
    }

    fn activation_bytes_per_token(&self) -> usize {
        each!(self, model => model.activation_bytes_per_token())
    }

    fn encode_images_traced(&self, pixels: PixelTensor, observe: &mut dyn FnMut(usize, &Tensor<2>)) -> VisualFeatures {
        each!(self, model => model.encode_images_traced(pixels, observe))
    }

    fn hidden_states_traced(&self, input: VlmInput, observe: &mut dyn FnMut(usize, &Tensor<3>)) -> Tensor<3> {
        each!(self, model => model.hidden_states_traced(input, observe))
    }

    fn lm_head(&self, hidden: Tensor<2>) -> Tensor<2> {
        each!(self, model => model.lm_head(hidden))
    }

    fn empty_cache(&self, batch: usize, max_seq: usize) -> KvCache {
        each!(self, model => model.empty_cache(batch, max_seq))
    }

    fn hidden_states_cached(&self, input: VlmInput, cache: &mut KvCache) -> Tensor<3> {
        each!(self, model => model.hidden_states_cached(input, cache))
    }

    fn set_trainable(self, trainable: Trainable) -> Self {
        map!(self, model => model.set_trainable(trainable))
    }

    fn backward(
        &self,
        input: VlmInput,
        pixels: Option<PixelTensor>,
        activations: Activations,
        head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
    ) -> GradientsParams {
        each!(self, model => model.backward(input, pixels, activations, head))
    }

    fn parameters(&self) -> Vec<Parameter> {
        each!(self, model => model.parameters())
    }
}
