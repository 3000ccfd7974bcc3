//! Tests of reading and writing checkpoints, and of the errors for those that cannot be read.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use seethink::burn::tensor::{DType, Device};
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::models::{
    AnyBackbone, ForwardCost, LoadError, SaveOptions, VisionLanguageModel, VlmProcessor, WeightDtype,
};
use seethink_files::crash_after;
use seethink_tests::others::others;
use seethink_tests::parity::saved;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn checkpoint(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(family).join("checkpoint")
}

fn load(dir: &Path) -> Result<AnyBackbone, LoadError> {
    AnyBackbone::from_pretrained(dir, &Device::default())
}

/// Loads the reference's Qwen3-VL, as its own type.
fn load_qwen3(dir: &Path) -> Result<Qwen3Vl, LoadError> {
    Qwen3Vl::from_pretrained(dir, &Device::default())
}

fn refused(dir: &Path) -> String {
    let error = load(dir).expect_err("this checkpoint must be refused");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

/// Copies weights and configuration of the reference's Qwen3-VL, for tests that change them.
fn copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(dir.path().join(name), std::fs::read(checkpoint("qwen3_vl").join(name)).unwrap()).unwrap();
    }
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Bits of every tensor of a model.
fn bits(model: &AnyBackbone) -> BTreeMap<String, Vec<u32>> {
    let tensors = saved(model).unwrap();
    let bits = |name: &str| tensors.floats(name).unwrap().iter().map(|x| x.to_bits()).collect();
    tensors.names().map(|name| (name.to_owned(), bits(name))).collect()
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
    for other in others() {
        let model = other.model(1);
        let dir = tempfile::tempdir().unwrap();
        model.save_pretrained(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["config.json", "model.safetensors"], "no temporary file is left");
        assert_eq!(bits(&load(dir.path()).unwrap()), bits(&model), "{}", other.name);
    }
}

#[test]
fn large_models_are_saved_in_shards_and_the_files_of_the_other_kind_leave() {
    let model = others()[0].model(1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    model.save_pretrained(dir.path()).unwrap();
    let sharded = SaveOptions { dtype: None, max_shard_bytes: 20_000 };
    model.save_pretrained_with(dir.path(), sharded).unwrap();
    let found = names(dir.path());
    let n = found.iter().filter(|name| name.starts_with("model-")).count();
    assert!(n > 2, "{found:?}");
    assert!(!found.contains(&"model.safetensors".to_owned()) && found.contains(&"notes.txt".to_owned()), "{found:?}");
    let index: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("model.safetensors.index.json")).unwrap()).unwrap();
    let n_parameters: usize = model.parameters().iter().map(|one| one.shape.iter().product::<usize>()).sum();
    assert_eq!(index["metadata"]["total_size"], json!(4 * n_parameters));
    assert_eq!(index["weight_map"].as_object().unwrap().len(), model.parameters().len());
    for shard in found.iter().filter(|name| name.starts_with("model-")) {
        let bytes = std::fs::read(dir.path().join(shard)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let size: usize = tensors.iter().map(|(_, view)| view.data().len()).sum();
        assert!(tensors.len() == 1 || size <= 20_000, "{shard} has {size} bytes");
    }
    assert_eq!(bits(&load(dir.path()).unwrap()), bits(&model));

    // Fewer shards, then none: no file of the many is left.
    model.save_pretrained_with(dir.path(), SaveOptions { dtype: None, max_shard_bytes: 60_000 }).unwrap();
    assert!(names(dir.path()).len() < found.len());
    assert_eq!(bits(&load(dir.path()).unwrap()), bits(&model));
    model.save_pretrained(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["config.json", "model.safetensors", "notes.txt"]);
}

/// Result of loading a folder: the model of these bits, or the reason why there is none.
fn found(dir: &Path) -> Result<BTreeMap<String, Vec<u32>>, String> {
    load(dir).map(|model| bits(&model)).map_err(|error| error.to_string())
}

#[test]
fn a_crash_while_saving_leaves_the_old_model_or_the_new_one_or_none() {
    let other = &others()[0];
    let (old, new) = (other.model(1), other.model(2));
    let (old_bits, new_bits) = (bits(&old), bits(&new));
    let options = |max_shard_bytes| SaveOptions { dtype: None, max_shard_bytes };
    let (single, many, few) = (options(u64::MAX), options(20_000), options(60_000));
    // From one file to several, the other way round, and among as many files of the same or of
    // other names.
    for (before, after) in [(single, many), (many, single), (many, few), (few, many), (many, many), (single, single)] {
        let mut seen = [0; 3];
        for n in 0.. {
            let dir = tempfile::tempdir().unwrap();
            old.save_pretrained_with(dir.path(), before).unwrap();
            let (result, done) = crash_after(n, || new.save_pretrained_with(dir.path(), after));
            match found(dir.path()) {
                Ok(found) if found == old_bits => seen[0] += 1,
                Ok(found) if found == new_bits => seen[1] += 1,
                Ok(_) => panic!("a mixture after {done:?}"),
                Err(message) => {
                    assert!(message.contains("saving it was interrupted"), "{message} after {done:?}");
                    seen[2] += 1;
                }
            }
            if result.is_ok() {
                assert!(seen[1] > 0 && names(dir.path()).iter().all(|name| !name.ends_with(".partial")));
                break;
            }
            // The files that are left do not prevent the next attempt.
            if n % 5 == 0 {
                new.save_pretrained_with(dir.path(), after).unwrap();
                assert_eq!(found(dir.path()).unwrap(), new_bits);
            }
        }
        // Replacing one file by one file is a single step.
        assert_eq!(seen[2] == 0, before == single && after == single, "{seen:?}");
    }
}

#[test]
fn a_crash_while_saving_leaves_the_old_processor_or_the_new_one_or_none() {
    let [old, new] =
        ["internvl3", "qwen3_vl"].map(|family| VlmProcessor::from_pretrained(&checkpoint(family)).unwrap());
    let files = |dir: &Path| -> BTreeMap<String, Vec<u8>> {
        names(dir).into_iter().map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
    };
    let expected = [&old, &new].map(|processor| {
        let dir = tempfile::tempdir().unwrap();
        processor.save_pretrained(dir.path()).unwrap();
        files(dir.path())
    });
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        old.save_pretrained(dir.path()).unwrap();
        let (result, done) = crash_after(n, || new.save_pretrained(dir.path()));
        let mut left = files(dir.path());
        left.retain(|name, _| !name.ends_with(".partial"));
        if !expected.contains(&left) {
            std::fs::copy(checkpoint("qwen3_vl").join("config.json"), dir.path().join("config.json")).unwrap();
            let message = VlmProcessor::from_pretrained(dir.path()).unwrap_err().to_string();
            assert!(message.contains("saving it was interrupted"), "{message} after {done:?}");
        }
        if result.is_ok() {
            assert_eq!(files(dir.path()), expected[1], "nothing of the old one is left");
            break;
        }
    }
}

#[test]
fn both_sets_of_names_are_read_and_the_one_that_was_read_is_written() {
    let renames: [(&str, &[(&str, &str)]); 2] = [
        ("qwen2_5_vl", &[("visual.", "model.visual."), ("model.", "model.language_model.")]),
        (
            "internvl3",
            &[
                ("language_model.model.", "model.language_model."),
                ("language_model.lm_head.", "lm_head."),
                ("vision_tower.", "model.vision_tower."),
                ("multi_modal_projector.", "model.multi_modal_projector."),
            ],
        ),
    ];
    for (family, renames) in renames {
        let expected = bits(&load(&checkpoint(family)).unwrap());
        let rename = |name: &str| -> String {
            let found = renames.iter().find_map(|(hub, tree)| Some(format!("{tree}{}", name.strip_prefix(hub)?)));
            found.unwrap_or_else(|| name.to_owned())
        };
        let dir = tempfile::tempdir().unwrap();
        load(&checkpoint(family)).unwrap().save_pretrained(dir.path()).unwrap();
        rewrite(&dir, |tensors| {
            *tensors = std::mem::take(tensors).into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect();
        });
        let model = load(dir.path()).unwrap();
        let found = bits(&model);
        assert_eq!(found.len(), expected.len());
        for (name, values) in &expected {
            assert_eq!(&found[&rename(name)], values, "{family}: {name}");
        }
        assert!(model.parameters().iter().all(|parameter| found.contains_key(&parameter.name)));
    }
}

#[test]
fn half_precision_is_kept_when_asked() {
    for (dtype, tensor_dtype) in [(WeightDtype::Bf16, DType::BF16), (WeightDtype::F16, DType::F16)] {
        let dir = tempfile::tempdir().unwrap();
        others()[1].model(1).save_pretrained_with(dir.path(), dtype).unwrap();
        let model = AnyBackbone::from_pretrained_as(dir.path(), dtype, &Device::default()).unwrap();
        assert_eq!(model.dtype(), tensor_dtype);
        let again = tempfile::tempdir().unwrap();
        model.save_pretrained(again.path()).unwrap();
        let [a, b] = [&dir, &again].map(|dir| std::fs::read(dir.path().join("model.safetensors")).unwrap());
        assert_eq!(a, b);
        let config: Value = serde_json::from_slice(&std::fs::read(again.path().join("config.json")).unwrap()).unwrap();
        let expected = if dtype == WeightDtype::Bf16 { "bfloat16" } else { "float16" };
        assert_eq!(config["text_config"]["dtype"], expected);
        // The widened values are equal.
        assert_eq!(bits(&load(dir.path()).unwrap()), bits(&model));
    }
}

#[test]
fn an_index_leads_to_safetensors_files_beside_it_alone() {
    for name in ["../model.safetensors", "/etc/model.safetensors", "pytorch_model.bin", "sub\\model.safetensors"] {
        let dir = copy();
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        let index = json!({ "metadata": {}, "weight_map": { "lm_head.weight": name } });
        std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        let message = refused(dir.path());
        assert!(message.contains("weight_map") && message.contains("same folder"), "{message}");
    }
    // A pickle is no checkpoint, whatever its content.
    let dir = copy();
    std::fs::rename(dir.path().join("model.safetensors"), dir.path().join("pytorch_model.bin")).unwrap();
    assert!(refused(dir.path()).contains("neither model.safetensors nor"));
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
    assert_eq!(bits(&load(dir.path()).unwrap()), bits(&load(&checkpoint("qwen3_vl")).unwrap()));

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
    assert!(load_qwen3(dir.path()).unwrap().config().ties_embeddings(), "no head in the file");
    rewrite(&dir, |tensors| {
        let head = (Dtype::BF16, vec![1072, 64], vec![0; 2 * 1072 * 64]);
        tensors.insert("lm_head.weight".to_owned(), head);
    });
    let model = load_qwen3(dir.path()).unwrap();
    assert!(!model.config().ties_embeddings() && model.text.head.is_some());
    flag(&dir, true);
    assert!(load_qwen3(dir.path()).unwrap().text.head.is_none(), "the flag says to ignore the head");
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
    for (model_type, text, words) in [
        ("qwen3_vl_moe", "qwen3_vl_moe_text", "mixtures of experts are not supported yet"),
        ("internvl", "qwen3_moe", "mixtures of experts are not supported yet"),
        ("internvl_chat", "qwen2", "names ending in -hf"),
        ("llava", "llama", "expected one of qwen2_5_vl, qwen3_vl, internvl"),
    ] {
        edit_config(&dir, |config| {
            config["model_type"] = json!(model_type);
            config["text_config"]["model_type"] = json!(text);
        });
        let message = refused(dir.path());
        assert!(message.contains(words), "{message}");
        let message = VlmProcessor::from_pretrained(dir.path()).expect_err("no processor either").to_string();
        assert!(message.contains("tokenizer") || message.contains(words), "{message}");
    }
    edit_config(&dir, |config| {
        config["model_type"] = json!("qwen2_5_vl");
    });
    let error = load_qwen3(dir.path()).expect_err("another family").to_string();
    assert!(error.contains("`model_type` is qwen2_5_vl, expected qwen3_vl"), "{error}");
    edit_config(&dir, |config| {
        config["model_type"] = json!("qwen3_vl");
        config["text_config"]["hidden_size"] = json!("many");
    });
    let message = refused(dir.path());
    assert!(message.contains("`text_config.hidden_size`") && message.contains("many"), "{message}");
    edit_config(&dir, |config| config["text_config"]["hidden_size"] = json!(1u64 << 60));
    let message = refused(dir.path());
    assert!(message.contains("`text_config.hidden_size` is 1152921504606846976, expected 1 to"), "{message}");
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(refused(dir.path()).contains("config.json"));
}

#[test]
fn a_configuration_without_a_type_is_told_by_its_class() {
    let dir = copy();
    edit_config(&dir, |config| drop(config.as_object_mut().unwrap().remove("model_type")));
    assert_eq!(load(dir.path()).unwrap().model_type(), "qwen3_vl");
    edit_config(&dir, |config| config["architectures"] = json!(["SomethingElse"]));
    assert!(refused(dir.path()).contains("`model_type` is missing, expected one of"));
}

#[test]
fn parameters_are_described_without_weights() {
    for family in ["qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5"] {
        let mut found = AnyBackbone::skeleton(&checkpoint(family)).unwrap().parameters();
        let mut expected = load(&checkpoint(family)).unwrap().parameters();
        for list in [&mut found, &mut expected] {
            list.sort_by(|a, b| a.name.cmp(&b.name));
        }
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.name, &found.shape, found.part), (&expected.name, &expected.shape, expected.part));
        }
    }
}

#[test]
fn saving_over_a_checkpoint_replaces_it() {
    let dir = copy();
    others()[1].model(1).save_pretrained(dir.path()).unwrap();
    let found = load_qwen3(dir.path()).unwrap();
    assert_eq!(found.text.head.as_ref().unwrap().weight.dims(), [24, 40]);
    assert!(!found.config().ties_embeddings());
}

#[test]
fn the_cost_of_a_pass_is_that_of_its_products() {
    let model = AnyBackbone::skeleton(&checkpoint("qwen3_vl")).unwrap();
    let (layers, width, heads, kv_heads, head, mlp, vocab) = (4.0, 64.0, 4.0, 2.0, 32.0, 144.0, 1072.0);
    let decoder = 2.0 * width * heads * head + 2.0 * width * kv_heads * head + 3.0 * width * mlp;
    let (vision_width, blocks, vision_mlp, patch, merged) = (32.0, 4.0, 76.0, 3.0 * 2.0 * 16.0 * 16.0, 4.0 * 32.0);
    let block = 4.0 * vision_width * vision_width + 2.0 * vision_width * vision_mlp;
    // The last features and three of the levels before them have a merger each.
    let merger = merged * merged + merged * width;
    let expected = ForwardCost {
        patch: 2.0 * (patch * vision_width + blocks * block),
        image_token: 2.0 * 4.0 * merger,
        token: 2.0 * layers * decoder,
        distribution: 2.0 * width * vocab,
        pair: 4.0 * layers * heads * head,
    };
    assert_eq!(ForwardCost::of(&model), expected);
}
