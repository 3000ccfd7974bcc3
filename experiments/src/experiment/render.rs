//! Render.

use super::run::Task;
use super::{Experiment, Scale};
use anyhow::Result;
use std::path::Path;

pub struct Rendered {
    pub markdown: String,
}
impl Rendered {
    pub fn write(&self, _out: &Path) -> Result<()> {
        Ok(())
    }
}
pub fn render(_e: &Experiment, _s: Scale, _t: &[Task], _o: &Path) -> Result<Rendered> {
    Ok(Rendered { markdown: String::new() })
}
