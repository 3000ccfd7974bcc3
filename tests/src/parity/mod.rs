//! Parity with the reference: every quantity of a folder of fixtures, computed again and compared.
//!
//! A folder holds `checkpoint/` and the reference's results for it; `fixtures/models/README.md`
//! defines the layout and `parity/make_fixtures.py` makes such folders. The checkpoint names its
//! family; `pictures` and `forward` convert what families store differently.

mod case;
mod checkpoint;
mod forward;
mod generate;
mod pictures;
mod program;
mod prompts;
mod reference;
mod table;
mod train;
mod weights;

pub use case::Case;
pub use checkpoint::compare_checkpoint;
pub use program::{Options, run};
pub use reference::{Reference, Tensors};
pub use table::{Row, Table};
pub use train::{cross_entropy, gradients_as_model, next_token_loss, saved};

use anyhow::{Context, Result};
use seethink::burn::tensor::Device;
use seethink::models::{AnyBackbone, VlmProcessor, WeightDtype};
use std::path::{Path, PathBuf};

/// Settings of a comparison.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Device to compute on.
    pub device: Device,
    /// Number format of the computation. Errors of half precision are shown and not judged.
    pub dtype: WeightDtype,
    /// Factor of the tolerances: 1 on `flex`, whose sums are done in an order like the reference's.
    pub slack: f64,
    /// Folder that receives each saved checkpoint, by the name of its fixtures.
    pub keep: Option<PathBuf>,
}

impl Settings {
    /// Settings for `f32` on the default device.
    pub fn new() -> Self {
        Self { device: Device::default(), dtype: WeightDtype::F32, slack: 1.0, keep: None }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// Compares all quantities of one folder.
///
/// # Errors
/// If the folder does not have that layout, or its checkpoint cannot be loaded.
pub fn compare(dir: &Path, settings: &Settings) -> Result<Table> {
    let reference = Reference::open(dir)?;
    let checkpoint = reference.checkpoint();
    let processor = VlmProcessor::from_pretrained(&checkpoint)?;
    let model = AnyBackbone::from_pretrained_as(&checkpoint, settings.dtype, &settings.device)?;
    let mut table = Table::new(model.display_name(), settings);
    pictures::compare(&reference, &processor, &mut table)?;
    prompts::compare(&reference, &processor, &mut table)?;
    forward::compare(&reference, &model, &mut table)?;
    generate::compare(&reference, &model, &processor, &mut table)?;
    train::compare(&reference, &model, &mut table)?;
    let keep = settings.keep.as_ref().map(|keep| keep.join(dir.file_name().unwrap_or_default()));
    weights::compare(&reference, keep.as_deref(), &mut table)?;
    Ok(table)
}

/// Quantities that every folder must have; a family may have more.
const QUANTITIES: [&str; 29] = [
    "resized pictures, 8 bits",
    "image token counts",
    "image grids",
    "pixel values",
    "pixel values on white",
    "pixel values in a batch",
    "rendered prompts",
    "token ids of prompts",
    "expanded prompts",
    "grids in prompts",
    "positions",
    "tokens of texts",
    "texts of tokens",
    "vision encoder per block",
    "image features",
    "hidden states per layer",
    "after the final norm",
    "logits",
    "log-sum-exp of the logits",
    "most likely tokens",
    "log-probabilities of next tokens",
    "greedy tokens",
    "log-probabilities of greedy tokens",
    "cached decoding against one pass",
    "gradients with kept activations",
    "loss",
    "gradients",
    "parameter norms after AdamW",
    "bytes of saved tensors",
];

/// Compares the committed fixtures of a family.
///
/// # Panics
/// If a row exceeds its tolerance, or a quantity that every family has is missing.
pub fn assert_parity(family: &str, settings: &Settings) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(family);
    let table = compare(&dir, settings).expect("the fixtures are whole");
    println!("{table}");
    for quantity in QUANTITIES {
        assert!(table.row(quantity).is_some_and(|row| row.n > 0), "{quantity} was not compared");
    }
    let failed: Vec<_> = table.rows.iter().filter(|row| !row.pass).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The folders of `root` that hold fixtures, by name; `root` itself if it is one.
///
/// # Errors
/// If there is no such folder.
pub fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let is_fixture = |dir: &Path| dir.join("checkpoint/config.json").is_file();
    let name = |dir: &Path| dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if is_fixture(root) {
        return Ok(vec![(name(root), root.to_owned())]);
    }
    let entries = std::fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| is_fixture(dir))
        .map(|dir| (name(&dir), dir))
        .collect();
    found.sort();
    anyhow::ensure!(!found.is_empty(), "{} holds no folder with checkpoint/config.json", root.display());
    Ok(found)
}

/// Replaces the text between the lines `<!-- parity -->` and `<!-- /parity -->` of a Markdown file.
///
/// # Errors
/// If the file cannot be read or written, or has no such lines.
pub fn write_between_marks(path: &Path, text: &str) -> Result<()> {
    const MARKS: [&str; 2] = ["<!-- parity -->\n", "<!-- /parity -->\n"];
    let page = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parts = page.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = parts.with_context(|| format!("{} has no `<!-- parity -->` marks", path.display()))?;
    let [open, close] = MARKS;
    let temporary = path.with_extension("partial");
    std::fs::write(&temporary, format!("{before}{open}{text}{close}{after}"))?;
    Ok(std::fs::rename(&temporary, path)?)
}
