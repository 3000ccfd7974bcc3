//! Comparison of weights that are read and written: every tensor comes back bit by bit.

use super::reference::Reference;
use super::table::Table;
use anyhow::{Context, Result};
use safetensors::{Dtype, SafeTensors};
use seethink::burn::tensor::Device;
use seethink::models::{AnyBackbone, SaveOptions, VlmProcessor, WeightDtype};
use std::collections::BTreeMap;
use std::path::Path;

/// Dtype, shape and bytes of every tensor of a folder.
type Stored = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Compares on `flex`, which supports every format of a file.
///
/// `keep`: the folder in which the last written checkpoint stays, for loading by another program.
pub(super) fn compare(reference: &Reference, keep: Option<&Path>, table: &mut Table) -> Result<()> {
    let checkpoint = reference.checkpoint();
    let expected = stored(&checkpoint)?;
    let dtype = expected.values().next().context("the checkpoint is empty")?.0;
    let dtype = match dtype {
        Dtype::F16 => WeightDtype::F16,
        Dtype::BF16 => WeightDtype::Bf16,
        _ => WeightDtype::F32,
    };
    let n_bytes: usize = expected.values().map(|(_, _, bytes)| bytes.len()).sum();
    // In the format of the file, and widened to f32 in between; in one file, and in several.
    for (through, max_shard_bytes) in [(dtype, u64::MAX), (WeightDtype::F32, n_bytes as u64 / 3)] {
        let temporary = tempfile::tempdir()?;
        let folder = keep.unwrap_or(temporary.path());
        let model = AnyBackbone::from_pretrained_as(&checkpoint, through, &Device::flex())?;
        model.save_pretrained_with(folder, SaveOptions { dtype: Some(dtype), max_shard_bytes })?;
        VlmProcessor::from_pretrained(&checkpoint)?.save_pretrained(folder)?;
        let found = stored(folder)?;
        table.equal("names of saved tensors", "all", &names(&found), &names(&expected));
        for (name, (dtype, shape, bytes)) in &expected {
            if let Some(found) = found.get(name) {
                table.equal("shapes of saved tensors", name, &[(found.0, &found.1)], &[(*dtype, shape)]);
                table.equal("bytes of saved tensors", name, &found.2, bytes);
            }
        }
        // The written checkpoint is complete.
        AnyBackbone::from_pretrained(folder, &Device::flex())?;
        VlmProcessor::from_pretrained(folder)?;
    }
    Ok(())
}

fn names(stored: &Stored) -> Vec<&str> {
    stored.keys().map(String::as_str).collect()
}

/// Reads all tensors of a folder, in however many files.
fn stored(dir: &Path) -> Result<Stored> {
    let mut tensors = Stored::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let bytes = std::fs::read(&path)?;
            let file = SafeTensors::deserialize(&bytes).with_context(|| format!("{} is malformed", path.display()))?;
            let views = file.iter();
            tensors
                .extend(views.map(|(name, view)| {
                    (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
                }));
        }
    }
    Ok(tensors)
}
