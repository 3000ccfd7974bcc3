//! The reference's tensors, and what the tests make of them.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use seethink_models::qwen3_vl::{Qwen3Vl, Qwen3VlConfig};
use seethink_models::{PixelTensor, Pixels, VisionLanguageModel, VisualTokens, VlmInput};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file of the reference.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/qwen3_vl").join(name)
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

/// The reference's checkpoint, without gradient tracking.
pub(crate) fn model() -> Qwen3Vl {
    Qwen3Vl::from_pretrained(&path("checkpoint"), &Device::default()).unwrap()
}

/// A model unlike the checkpoint where the configuration leaves a choice: own head, attention biases, one key-value head, one
/// DeepStack level.
pub(crate) fn other_config() -> Qwen3VlConfig {
    let config = json!({
        "model_type": "qwen3_vl", "image_token_id": 1,
        "text_config": {
            "vocab_size": 40, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "attention_bias": true,
            "initializer_range": 0.3, "tie_word_embeddings": false, "dtype": "bfloat16",
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
        },
        "vision_config": {
            "depth": 2, "hidden_size": 16, "intermediate_size": 20, "num_heads": 2, "num_position_embeddings": 9,
            "out_hidden_size": 24, "deepstack_visual_indexes": [1], "patch_size": 4, "initializer_range": 0.3
        }
    });
    serde_json::from_value(config).unwrap()
}

/// Tensors of a safetensors file, in memory.
pub(crate) struct Tensors(HashMap<String, (Vec<usize>, TensorData)>);

impl Tensors {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().filter_map(|(name, view)| {
            let shape = view.shape().to_vec();
            let data = match view.dtype() {
                Dtype::F32 => {
                    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                    TensorData::new(values.collect::<Vec<_>>(), shape.clone())
                }
                Dtype::I64 => {
                    let values = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
                    TensorData::new(values.collect::<Vec<_>>(), shape.clone())
                }
                _ => return None,
            };
            Some((name.to_owned(), (shape, data)))
        });
        Self(tensors.collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn get(&self, name: &str) -> &(Vec<usize>, TensorData) {
        self.0.get(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.get(name).0
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.get(name).1.as_slice().unwrap()
    }

    pub(crate) fn ints(&self, name: &str) -> &[i64] {
        self.get(name).1.as_slice().unwrap()
    }

    pub(crate) fn int_tensor<const D: usize>(&self, name: &str) -> Tensor<D, Int> {
        Tensor::from_data(self.get(name).1.clone(), &Device::default())
    }
}

/// A batch of the reference.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) tensors: Tensors,
    pub(crate) seq: usize,
    /// 1 where a token stands, 0 for padding; `[batch · seq]`.
    pub(crate) mask: Vec<i64>,
    pub(crate) pixels: Option<PixelTensor>,
}

impl Case {
    pub(crate) fn read(name: &str) -> Self {
        let tensors = Tensors::read(&path("forward.safetensors"));
        let images = &json("forward.json")[name]["images"];
        let images: Vec<String> = images.as_array().unwrap().iter().map(|i| i.as_str().unwrap().to_owned()).collect();
        let patches = Tensors::read(&path("preprocess.safetensors"));
        let mut pixels = Pixels::default();
        for image in &images {
            pixels.values.extend(patches.floats(&format!("{image}.pixel_values")));
        }
        if !images.is_empty() {
            let grids = tensors.ints(&format!("{name}.image_grid_thw"));
            pixels.grids = grids.chunks(3).map(|g| [g[0] as usize, g[1] as usize, g[2] as usize]).collect();
        }
        Self {
            name: name.to_owned(),
            seq: tensors.shape(&format!("{name}.input_ids"))[1],
            mask: tensors.ints(&format!("{name}.attention_mask")).to_vec(),
            pixels: (!images.is_empty()).then(|| pixels.to_tensor(&Device::default())),
            tensors,
        }
    }

    pub(crate) fn key(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    pub(crate) fn batch(&self) -> usize {
        self.mask.len() / self.seq
    }

    pub(crate) fn expected(&self, what: &str) -> &[f32] {
        self.tensors.floats(&self.key(what))
    }

    /// The batch, image features still to come.
    pub(crate) fn input(&self, model: &Qwen3Vl) -> VlmInput {
        let ids = self.tensors.ints(&self.key("input_ids"));
        let image_token = i64::from(model.config().image_token_id);
        let positions: Vec<i64> = (0..ids.len()).filter(|&i| ids[i] == image_token).map(|i| i as i64).collect();
        let positions =
            (!positions.is_empty()).then(|| Tensor::<1, Int>::from_ints(positions.as_slice(), &Device::default()));
        VlmInput {
            input_ids: self.tensors.int_tensor(&self.key("input_ids")),
            position_ids: self.tensors.int_tensor(&self.key("position_ids")),
            segments: self.tensors.int_tensor::<2>(&self.key("attention_mask")).sub_scalar(1),
            visual: positions.map(|positions| VisualTokens { positions, features: None }),
        }
    }

    /// The batch with its image features.
    pub(crate) fn input_with_features(&self, model: &Qwen3Vl) -> VlmInput {
        let input = self.input(model);
        match &self.pixels {
            Some(pixels) => input.with_features(model.encode_images(pixels.clone())),
            None => input,
        }
    }

    /// Compares rows that are no padding: `[batch, seq, channels]`.
    pub(crate) fn compare(&self, what: &str, found: Tensor<3>, tolerance: f32) {
        let channels = found.dims()[2];
        let found: Vec<f32> = found.try_into_vec_as().unwrap();
        let rows = |values: &[f32]| -> Vec<f32> {
            let rows = values.chunks(channels).zip(&self.mask).filter(|(_, mask)| **mask == 1);
            rows.flat_map(|(row, _)| row.to_vec()).collect()
        };
        close(&self.key(what), &rows(&found), &rows(self.expected(what)), tolerance);
    }
}

/// Asserts that values are within `tolerance`, and prints how far apart they are.
pub(crate) fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let off = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst: f32, d| if d.is_nan() { f32::NAN } else { worst.max(d) });
    println!("{what}: off by {off:.2e}, allowed {tolerance:.0e}");
    assert!(off <= tolerance, "{what}: off by {off:.3e}, allowed {tolerance:.0e}");
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

/// The mean cross entropy of next tokens as the `head` of a backward pass; the loss is left in `loss`.
pub(crate) fn cross_entropy<'a>(
    model: &'a Qwen3Vl,
    labels: &'a [i64],
    loss: &'a mut f32,
) -> impl FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams) + 'a {
    move |hidden| {
        let hidden = hidden.autodiff().require_grad();
        let mean = next_token_loss(model, hidden.clone(), labels);
        *loss = mean.clone().into_scalar();
        let mut grads = mean.backward();
        let of_hidden = hidden.grad_remove(&mut grads).unwrap();
        (of_hidden, GradientsParams::from_grads(grads, model))
    }
}

/// Mean cross entropy of the labelled next tokens; −100 is no label.
pub(crate) fn next_token_loss(model: &Qwen3Vl, hidden: Tensor<3>, labels: &[i64]) -> Tensor<1> {
    let [batch, seq, channels] = hidden.dims();
    let labelled: Vec<i64> = (0..labels.len()).filter(|i| i % seq > 0 && labels[*i] >= 0).map(|i| i as i64).collect();
    let before: Vec<i64> = labelled.iter().map(|i| i - 1).collect();
    let targets: Vec<i64> = labelled.iter().map(|&i| labels[i as usize]).collect();
    let ints = |values: &[i64]| Tensor::<1, Int>::from_ints(values, &hidden.device());
    let logits = model.lm_head(hidden.clone().reshape([batch * seq, channels]).select(0, ints(&before)));
    log_softmax(logits, 1).gather(1, ints(&targets).unsqueeze_dim(1)).mean().neg()
}

/// A model whose parameters are the gradients, zero where there are none.
pub(crate) fn gradients_as_model(model: &Qwen3Vl, grads: &GradientsParams) -> Qwen3Vl {
    struct Replace<'a>(&'a GradientsParams);
    impl ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let id = param.id;
            param.map(|value| self.0.get::<D>(id).unwrap_or_else(|| value.zeros_like()))
        }
    }
    model.valid().map(&mut Replace(grads))
}

/// The parameters by their names in the checkpoint.
pub(crate) fn saved(model: &Qwen3Vl) -> Tensors {
    let dir = tempfile::tempdir().unwrap();
    model.save_pretrained(dir.path()).unwrap();
    Tensors::read(&dir.path().join("model.safetensors"))
}
