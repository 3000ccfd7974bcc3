//! Checkpoints of random weights, as fast as a disk takes them: a published size has billions of
//! them, and what is timed does not depend on their values.

use super::SEED;
use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, View};
use seethink::models::{AnyBackbone, VisionLanguageModel, WeightDtype};
use seethink::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Length of the sequence of normal numbers that matrices repeat: a prime, so that no two rows of a
/// matrix begin alike.
const PERIOD: usize = 1_000_003;

/// Writes `config.json` and random weights into a folder: matrices are normal with the
/// configuration's deviation, biases zero, norms one.
pub(super) fn write(config: &Value, dtype: WeightDtype, folder: &Path) {
    let mut config = config.clone();
    config["text_config"]["dtype"] = json!(match dtype {
        WeightDtype::F32 => "float32",
        WeightDtype::F16 => "float16",
        WeightDtype::Bf16 => "bfloat16",
    });
    let deviation = config["text_config"]["initializer_range"].as_f64().unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let encode = |values: Vec<f32>| {
        let n = values.len();
        TensorData::new(values, [n]).convert_dtype(dtype.tensor_dtype()).as_bytes().to_vec()
    };
    let mut rng = Rng::new(SEED, Purpose::Weights, &[]);
    let normal = encode((0..PERIOD).map(|_| (rng.normal() * deviation) as f32).collect());
    let (zero, one) = (encode(vec![0.0]), encode(vec![1.0]));
    let tensors = AnyBackbone::skeleton(folder).unwrap().parameters().into_iter().map(|parameter| {
        let pattern = match parameter.shape.len() {
            1 if parameter.name.ends_with("bias") => &zero,
            1 => &one,
            _ => &normal,
        };
        (parameter.name, Repeated { dtype, shape: parameter.shape, pattern })
    });
    // The reference refuses files that do not name the framework whose layout they follow.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), &folder.join("model.safetensors")).unwrap();
}

/// Tensor whose numbers repeat.
struct Repeated<'a> {
    dtype: WeightDtype,
    shape: Vec<usize>,
    pattern: &'a [u8],
}

impl View for Repeated<'_> {
    fn dtype(&self) -> Dtype {
        match self.dtype.tensor_dtype() {
            DType::BF16 => Dtype::BF16,
            DType::F16 => Dtype::F16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = self.pattern.repeat(self.data_len().div_ceil(self.pattern.len()));
        bytes.truncate(self.data_len());
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}
