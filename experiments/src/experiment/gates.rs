//! Gates of a backbone: measurements without which a table gives no verdict.

use super::Setting;
use anyhow::Result;
use seethink::run::report;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Gates of a backbone, as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Name of the backbone's folder.
    pub backbone: String,
    /// Commit of the program that measured them, with `+` where files had been changed.
    pub commit: String,
    /// Levels of each base model, in words.
    pub bases: Vec<String>,
    /// The gates.
    pub gates: Vec<Gate>,
}

/// Gate: a measurement and the range in which it has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Name, as G1.
    pub id: String,
    /// What is measured.
    pub about: String,
    /// Measured value; a fraction, or a difference of fractions.
    pub value: f64,
    /// 95 % interval: Wilson's over problems for a base model, Student's over seeds for runs; for
    /// the worst of several runs their range.
    pub interval: (f64, f64),
    /// Lowest value at which the gate holds.
    pub at_least: f64,
    /// Highest value at which the gate holds.
    pub at_most: f64,
}

impl Gate {
    /// Returns whether the gate holds.
    pub fn holds(&self) -> bool {
        (self.at_least..=self.at_most).contains(&self.value)
    }
}

impl Gates {
    /// Path of the gates of a backbone below a folder of runs or results.
    pub fn path(setting: Setting, out: &Path) -> PathBuf {
        setting.folder_below(out).join("gates.json")
    }

    /// Reads the gates of a backbone; `None` if they were not measured.
    ///
    /// # Errors
    /// If the file is broken.
    pub fn read(setting: Setting, out: &Path) -> Result<Option<Self>> {
        let path = Self::path(setting, out);
        if path.exists() { Ok(Some(report::read_json(&path)?)) } else { Ok(None) }
    }

    /// Gates that do not hold.
    pub fn failed(&self) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(|gate| !gate.holds())
    }

    /// Reason why no verdict can be given; `None` if all gates hold.
    pub fn objection(gates: Option<&Self>) -> Option<String> {
        let Some(gates) = gates else { return Some("the gates were not measured".into()) };
        let mut failed: Vec<&str> = gates.failed().map(|gate| gate.id.as_str()).collect();
        failed.dedup();
        (!failed.is_empty()).then(|| format!("{} not hold", does(&failed)))
    }
}

fn does(failed: &[&str]) -> String {
    match failed {
        [one] => format!("{one} does"),
        several => format!("{} do", several.join(", ")),
    }
}

impl fmt::Display for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| gate | measured | value | 95 % interval | holds if | |\n|---|---|---:|---:|---:|---|")?;
        let percent = |x: f64| format!("{:.1}", 100.0 * x).replace('-', "−");
        for gate in &self.gates {
            let Gate { id, about, value, interval: (low, high), at_least, at_most } = gate;
            let wanted = match (*at_least, *at_most) {
                (at_least, 1.0) => format!("≥ {}", percent(at_least)),
                (0.0, at_most) => format!("≤ {}", percent(at_most)),
                (at_least, at_most) => format!("{} to {}", percent(at_least), percent(at_most)),
            };
            let holds = if gate.holds() { "holds" } else { "**fails**" };
            let value = percent(*value);
            writeln!(f, "| {id} | {about} | {value} | {} to {} | {wanted} | {holds} |", percent(*low), percent(*high))?;
        }
        for (base, seed) in self.bases.iter().zip(1..) {
            writeln!(f, "\nBase model {seed}: {base}.")?;
        }
        Ok(())
    }
}
