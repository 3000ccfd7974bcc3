//! Checkpoints written and read, and what is said about those that cannot be read.

use crate::fixtures::{Tensors, json, model, other_config, path, saved};
use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use seethink_models::qwen3_vl::Qwen3Vl;
use seethink_models::{LoadError, WeightDtype};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tempfile::TempDir;

fn load(dir: &Path) -> Result<Qwen3Vl, LoadError> {
    Qwen3Vl::from_pretrained(dir, &Device::default())
}

fn refused(dir: &Path) -> String {
    let error = load(dir).expect_err("this checkpoint must be refused");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

/// The reference's checkpoint, for tests that change it.
fn copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(dir.path().join(name), std::fs::read(path("checkpoint").join(name)).unwrap()).unwrap();
    }
    dir
}

/// Dtype, shape and bytes of a tensor.
type Stored = (Dtype, Vec<usize>, Vec<u8>);

/// Rewrites the tensors of a checkpoint.
fn rewrite(dir: &TempDir, change: impl FnOnce(&mut BTreeMap<String, Stored>)) {
    let file = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let stored = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let mut tensors: BTreeMap<_, _> = tensors.into_iter().map(|(name, view)| (name, stored(view))).collect();
    change(&mut tensors);
    let view = |(dtype, shape, data)| TensorView::new(dtype, shape, data).unwrap();
    let views = tensors.iter().map(|(name, (dtype, shape, data))| (name, view((*dtype, shape.clone(), data))));
    safetensors::serialize_to_file(views, None, &file).unwrap();
}

fn edit_config(dir: &TempDir, change: impl FnOnce(&mut Value)) {
    let file = dir.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(file, serde_json::to_vec(&config).unwrap()).unwrap();
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    for model in [model(), other_config().init_seeded(1, &Device::default())] {
        let dir = tempfile::tempdir().unwrap();
        model.save_pretrained(dir.path()).unwrap();
        let again = load(dir.path()).unwrap();
        let (a, b) = (saved(&model), saved(&again));
        assert_eq!(a.names().count(), b.names().count());
        for name in a.names() {
            assert_eq!(a.shape(name), b.shape(name), "{name}");
            assert_eq!(a.floats(name), b.floats(name), "{name}");
        }
        assert!(std::fs::read_dir(dir.path()).unwrap().count() == 2, "no temporary file is left");
    }
}

#[test]
fn a_saved_checkpoint_has_the_names_and_shapes_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    model().save_pretrained_as(dir.path(), WeightDtype::Bf16).unwrap();
    let ours = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let theirs = std::fs::read(path("checkpoint/model.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&ours).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let (ours, theirs) = (SafeTensors::deserialize(&ours).unwrap(), SafeTensors::deserialize(&theirs).unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (name, expected) in theirs.iter() {
        let found = ours.tensor(name).unwrap();
        assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "{name}");
        assert_eq!(found.data(), expected.data(), "{name}");
    }
}

#[test]
fn the_configuration_is_kept_and_names_the_format() {
    let dir = tempfile::tempdir().unwrap();
    model().save_pretrained(dir.path()).unwrap();
    let found: Value = serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    let mut expected = json("checkpoint/config.json");
    expected["text_config"]["dtype"] = json!("float32");
    // The same number, which the file happens to write without a point.
    expected["text_config"]["rope_theta"] = json!(5e6);
    assert_eq!(found, expected);
}

#[test]
fn shards_and_half_precision_are_read() {
    let dir = copy();
    let single = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&single).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let mut shards = [Vec::new(), Vec::new()];
    let mut map = HashMap::new();
    for (i, (name, view)) in tensors.into_iter().enumerate() {
        map.insert(name.clone(), format!("model-0000{}-of-00002.safetensors", i % 2 + 1));
        shards[i % 2].push((name, view));
    }
    for (i, shard) in shards.into_iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", i + 1);
        safetensors::serialize_to_file(shard, None, &dir.path().join(name)).unwrap();
    }
    std::fs::remove_file(single).unwrap();
    let index = json!({ "metadata": {}, "weight_map": map });
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let (found, expected) = (saved(&load(dir.path()).unwrap()), saved(&model()));
    for name in expected.names() {
        assert_eq!(found.floats(name), expected.floats(name), "{name}");
    }

    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert!(refused(dir.path()).contains("model-00002-of-00002.safetensors"));
}

#[test]
fn a_missing_head_ties_and_a_present_one_decides_by_the_flag() {
    let dir = copy();
    let flag = |dir: &TempDir, tied: bool| {
        edit_config(dir, |config| {
            config["tie_word_embeddings"] = json!(true);
            config["text_config"]["tie_word_embeddings"] = json!(tied);
        });
    };
    flag(&dir, false);
    assert!(load(dir.path()).unwrap().config().ties_embeddings(), "no head in the file");
    rewrite(&dir, |tensors| {
        let head = (Dtype::BF16, vec![1072, 64], vec![0; 2 * 1072 * 64]);
        tensors.insert("lm_head.weight".to_owned(), head);
    });
    let model = load(dir.path()).unwrap();
    assert!(!model.config().ties_embeddings() && model.text.head.is_some());
    flag(&dir, true);
    assert!(load(dir.path()).unwrap().text.head.is_none(), "the flag says to ignore the head");
}

#[test]
fn missing_and_unexpected_tensors_are_named() {
    let dir = copy();
    rewrite(&dir, |tensors| {
        let view = tensors.remove("model.language_model.norm.weight").unwrap();
        tensors.insert("model.language_model.norm.scale".to_owned(), view);
    });
    let message = refused(dir.path());
    assert!(message.contains("it lacks model.language_model.norm.weight;"), "{message}");
    assert!(message.contains("it has model.language_model.norm.scale, which the model lacks"), "{message}");
}

#[test]
fn shapes_and_dtypes_are_checked() {
    let dir = copy();
    edit_config(&dir, |config| config["text_config"]["intermediate_size"] = json!(145));
    let message = refused(dir.path());
    assert!(
        message.contains("mlp.gate_proj.weight` has shape [144, 64]") && message.contains("[145, 64]"),
        "{message}"
    );

    let dir = copy();
    rewrite(&dir, |tensors| {
        let norm = tensors.get_mut("model.language_model.norm.weight").unwrap();
        norm.0 = Dtype::I16;
    });
    let message = refused(dir.path());
    assert!(message.contains("`model.language_model.norm.weight` has dtype I16"), "{message}");
}

#[test]
fn damaged_files_are_recognised() {
    let dir = copy();
    let file = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 10]).unwrap();
    let message = refused(dir.path());
    assert!(message.contains(&format!("has {} bytes", bytes.len() - 10)), "{message}");
    assert!(message.contains(&format!("asks for {}", bytes.len())), "{message}");
    std::fs::write(&file, b"\x10\0\0\0\0\0\0\0not json at all!").unwrap();
    assert!(refused(dir.path()).contains("header"));
    std::fs::write(&file, b"xx").unwrap();
    assert!(refused(dir.path()).contains("damaged"));
    std::fs::remove_file(&file).unwrap();
    assert!(refused(dir.path()).contains("neither model.safetensors nor"));
}

#[test]
fn other_models_are_refused_by_name() {
    let dir = copy();
    edit_config(&dir, |config| config["model_type"] = json!("qwen3_vl_moe"));
    let message = refused(dir.path());
    assert!(message.contains("qwen3_vl_moe") && message.contains("not supported"), "{message}");
    edit_config(&dir, |config| {
        config["model_type"] = json!("qwen3_vl");
        config["text_config"]["hidden_size"] = json!("many");
    });
    let message = refused(dir.path());
    assert!(message.contains("`text_config.hidden_size`") && message.contains("many"), "{message}");
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(refused(dir.path()).contains("config.json"));
}

#[test]
fn saving_over_a_checkpoint_replaces_it() {
    let dir = copy();
    other_config().init_seeded(1, &Device::default()).save_pretrained(dir.path()).unwrap();
    let found = Tensors::read(&dir.path().join("model.safetensors"));
    assert_eq!(found.shape("lm_head.weight"), [40, 24]);
    assert!(!load(dir.path()).unwrap().config().ties_embeddings());
}
