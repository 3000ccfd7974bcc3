//! Prints the differences of every family from the reference; `cargo xtask parity` runs it.

use super::{Settings, compare, compare_checkpoint, folders, write_between_marks};
use anyhow::{Result, ensure};
use seethink::models::WeightDtype;
use std::path::{Path, PathBuf};

/// Options of the comparison with the results of the reference implementation.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A folder of fixtures, or one that holds several (see tests/fixtures/models/README.md).
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// A real checkpoint instead, a folder or a name on the hub, to be compared with the output of
    /// `tests/parity/reference.py` for it.
    #[arg(long, value_name = "MODEL", requires = "reference", conflicts_with = "fixtures")]
    model: Option<String>,
    /// Output file of `reference.py`.
    #[arg(long, value_name = "FILE", requires = "model")]
    reference: Option<PathBuf>,
    /// Device to compute on.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Number format of weights and computation: f32, f16 or bf16.
    #[arg(long, default_value = "f32")]
    dtype: WeightDtype,
    /// Factor of the tolerances, for devices that add up in another order.
    #[arg(long, default_value_t = 1.0)]
    slack: f64,
    /// Keep the checkpoints that are saved here, one folder each, for `tests/parity/load_back.py`.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write the tables into this Markdown file, between its marks.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

const HEADER: &str = "| family | quantity | values | largest error | relative | tolerance | within |\n|---|---|---:|---:|---:|---:|---|\n";

/// Prints the tables of a comparison.
///
/// # Errors
/// If there is no such device, a folder cannot be compared, or a quantity is not within its
/// tolerance.
pub fn run(args: &Options) -> Result<()> {
    let settings = Settings {
        device: seethink::run::device(&args.device)?,
        dtype: args.dtype,
        slack: args.slack,
        keep: args.keep.clone(),
    };
    let tables = match (&args.model, &args.reference) {
        (Some(model), Some(reference)) => {
            vec![compare_checkpoint(&seethink::hub::fetch(model)?, reference, &settings)?]
        }
        _ => {
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
            let folders = folders(args.fixtures.as_deref().unwrap_or(&own))?;
            folders.iter().map(|(_, dir)| compare(dir, &settings)).collect::<Result<Vec<_>>>()?
        }
    };
    let text: String = std::iter::once(HEADER.to_owned()).chain(tables.iter().map(ToString::to_string)).collect();
    print!("{text}");
    if let Some(path) = &args.write {
        write_between_marks(path, &text)?;
    }
    let failed = tables.iter().flat_map(|table| &table.rows).filter(|row| !row.pass).count();
    ensure!(failed == 0, "{failed} quantities are not within their tolerances");
    Ok(())
}
