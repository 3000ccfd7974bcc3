//! Vision-language model of any family: a vision side and a decoder.

mod backward;

use crate::config::ModelConfig;
use crate::family::{Encoder, Family, VisionSide};
use crate::text::{Shared, TextDecoder};
use crate::weights::{Dialect, Initial, LoadError, SaveError, SaveOptions, WeightDtype, WeightFiles};
use crate::{Activations, Parameter, PixelTensor, VisionLanguageModel, VisualFeatures, VlmInput, weights};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use seethink_core::Trainable;
use seethink_nn::KvCache;
use std::path::Path;

/// A vision-language model of the family whose vision encoder is `E`.
#[derive(Module, Debug)]
pub struct Vlm<E: Encoder> {
    /// Vision side: patches to image tokens.
    pub vision: VisionSide<E>,
    /// Text decoder: tokens to hidden states and logits.
    pub text: TextDecoder,
    #[module(skip)]
    config: ModelConfig<E::Family>,
    #[module(skip)]
    dialect: Dialect,
}

impl<E: Encoder> Vlm<E> {
    /// Creates a model whose parameters are initialised when they are first read.
    pub(crate) fn lazy(config: ModelConfig<E::Family>, device: &Device) -> Self {
        let (kind, frequencies) = config.decoder().expect("checked when the configuration was read");
        let tied = config.ties_embeddings();
        Self {
            vision: config.vision(device),
            text: TextDecoder::new(config.text(), kind, frequencies, tied, device),
            config,
            dialect: Dialect::Hub,
        }
    }

    /// Creates a model with random weights: normal with the configuration's deviation, biases zero,
    /// norms one.
    ///
    /// The weights are a function of `seed` and of each tensor's name and shape alone.
    pub fn init_seeded(config: ModelConfig<E::Family>, seed: u64, device: &Device) -> Self {
        let naming = config.naming();
        let text = config.text().initializer_range;
        let init = |name: &str| config.initial(name).unwrap_or(Initial::Normal(text));
        weights::initialize(Self::lazy(config.clone(), device), &naming, seed, init)
    }

    /// Reads `config.json` and the weights of a checkpoint folder, as `f32`.
    ///
    /// # Errors
    /// If a file is missing, malformed or damaged, the model is of another kind, or the weights do
    /// not fit it.
    pub fn from_pretrained(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        Self::from_pretrained_as(dir, WeightDtype::F32, device)
    }

    /// [`from_pretrained`](Self::from_pretrained) in a given number format, in which everything is
    /// then computed.
    ///
    /// # Errors
    /// As [`from_pretrained`](Self::from_pretrained).
    pub fn from_pretrained_as(dir: &Path, dtype: WeightDtype, device: &Device) -> Result<Self, LoadError> {
        let mut config = ModelConfig::<E::Family>::read(dir)?;
        let files = WeightFiles::open(dir)?;
        let naming = config.naming();
        let dialect = naming.dialect_of(|name| files.contains(name));
        let head = naming.head(dialect);
        // Some checkpoints leave the flag to a default and tie the head to the embedding table.
        let tied = config.ties_embeddings() || !files.contains(&head);
        config.set_tied(tied);
        let ignored: &[&str] = if tied { &[head.as_str()] } else { &[] };
        let model = Self { dialect, ..Self::lazy(config, device) };
        weights::load(model, &naming, dialect, &files, dtype, ignored)
    }

    /// Writes `config.json` and the weights into `dir`, in the checkpoint's own names and the
    /// model's own number format.
    ///
    /// # Errors
    /// If a file cannot be written; then the files that were there before are still there.
    pub fn save_pretrained(&self, dir: &Path) -> Result<(), SaveError> {
        self.save_pretrained_with(dir, SaveOptions::default())
    }

    /// [`save_pretrained`](Self::save_pretrained) in a given number format or in shards of a given
    /// size.
    ///
    /// # Errors
    /// As [`save_pretrained`](Self::save_pretrained).
    pub fn save_pretrained_with(&self, dir: &Path, options: impl Into<SaveOptions>) -> Result<(), SaveError> {
        let SaveOptions { dtype, max_shard_bytes } = options.into();
        let dtype = dtype.unwrap_or(WeightDtype::of(self.text.dtype()));
        let names = (&self.config.naming(), self.dialect);
        weights::save(dir, &self.config.with_dtype(dtype), self, names, dtype, max_shard_bytes)
    }

    /// Configuration of the model.
    pub fn config(&self) -> &ModelConfig<E::Family> {
        &self.config
    }

    fn run_layers(
        &self,
        input: &VlmInput,
        shared: &Shared,
        mut cache: Option<&mut KvCache>,
        observe: &mut dyn FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        let mut x = self.text.embed(input);
        for layer in 0..self.text.layers.len() {
            observe(layer, &x);
            x = self.text.layer(layer, x, shared, input.visual.as_ref(), cache.as_deref_mut());
        }
        observe(self.text.layers.len(), &x);
        self.text.norm.forward(x)
    }
}

impl<E: Encoder> VisionLanguageModel for Vlm<E> {
    fn vocab_size(&self) -> usize {
        self.text.vocab_size()
    }

    fn device(&self) -> Device {
        self.text.embed.weight.device()
    }

    fn max_positions(&self) -> usize {
        self.config.text().max_positions()
    }

    fn cache_bytes_per_token(&self) -> usize {
        self.config.text().cache_numbers_per_token() * self.text.dtype().size()
    }

    fn activation_bytes_per_token(&self) -> usize {
        self.config.text().activation_numbers_per_token() * self.text.dtype().size()
    }

    fn encode_images_traced(&self, pixels: PixelTensor, observe: &mut dyn FnMut(usize, &Tensor<2>)) -> VisualFeatures {
        let layout = self.vision.encoder.layout(&pixels);
        self.vision.encode(pixels.patches.cast(self.text.dtype()), &layout, observe)
    }

    fn hidden_states_traced(&self, input: VlmInput, observe: &mut dyn FnMut(usize, &Tensor<3>)) -> Tensor<3> {
        let shared = self.text.shared(&input);
        self.run_layers(&input, &shared, None, observe)
    }

    fn lm_head(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.text.logits(hidden)
    }

    fn empty_cache(&self, batch: usize, max_seq: usize) -> KvCache {
        self.text.empty_cache(batch, max_seq)
    }

    fn hidden_states_cached(&self, input: VlmInput, cache: &mut KvCache) -> Tensor<3> {
        let shared = self.text.shared_cached(&input, cache);
        self.run_layers(&input, &shared, Some(cache), &mut |_, _| {})
    }

    fn set_trainable(mut self, trainable: Trainable) -> Self {
        self.vision = self.vision.set_learns(trainable.vision_encoder, trainable.projector);
        self.text = self.text.set_require_grad(trainable.language_model);
        self
    }

    fn backward(
        &self,
        input: VlmInput,
        pixels: Option<PixelTensor>,
        activations: Activations,
        head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
    ) -> GradientsParams {
        match activations {
            Activations::Kept => backward::keeping(self, input, pixels, head),
            Activations::Recomputed => backward::recomputing(self, input, pixels, head),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        weights::parameters(self, &self.config.naming(), self.dialect)
    }
}

impl<F: Family> ModelConfig<F> {
    /// Creates a model with random weights, see [`Vlm::init_seeded`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Vlm<F::Encoder> {
        Vlm::init_seeded(self.clone(), seed, device)
    }
}
