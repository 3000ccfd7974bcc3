//! Numbers of the findings, computed by short queries.

use crate::experiment::{Results, Setting};
use crate::tables;
use anyhow::{Result, bail};
use seethink::run::config::BaseFamily;
use std::fmt::Write;

/// Numbers computed from the results by query:
///
/// - `gates`: gates of every backbone, as tables;
/// - `verdicts`: verdicts on visual reasoning, of every backbone and contrast of the tables;
/// - `runs`: how many runs there are.
pub struct Figures<'a> {
    results: &'a Results,
}

impl<'a> Figures<'a> {
    /// Creates figures from these results.
    pub fn new(results: &'a Results) -> Self {
        Self { results }
    }

    /// Formats the number of a query.
    ///
    /// # Errors
    /// If there is no such query.
    pub fn get(&self, asked: &str) -> Result<String> {
        Ok(match asked {
            "gates" => self.each(|backbone| self.gates(backbone)),
            "verdicts" => self.each(|backbone| self.verdicts(backbone)),
            "runs" => self.backbones().map(|one| self.results.all_runs(one).count()).sum::<usize>().to_string(),
            _ => bail!("no such number"),
        })
    }

    fn backbones(&self) -> impl Iterator<Item = BaseFamily> {
        BaseFamily::ALL.into_iter().map(|(_, backbone)| backbone)
    }

    /// Section of each backbone.
    fn each(&self, section: impl Fn(BaseFamily) -> String) -> String {
        let of = |backbone| {
            let title = Setting::new(self.results.scale, backbone).title();
            format!("### {title}\n\n{}", section(backbone))
        };
        self.backbones().map(of).collect::<Vec<_>>().join("\n")
    }

    fn gates(&self, backbone: BaseFamily) -> String {
        self.results.gates(backbone).map_or_else(|| "Not measured yet.\n".into(), ToString::to_string)
    }

    fn verdicts(&self, backbone: BaseFamily) -> String {
        if self.results.all_runs(backbone).next().is_none() {
            return "Not run yet.\n".into();
        }
        if let Some(objection) = self.results.objection(backbone) {
            return format!("No verdict: {objection}.\n");
        }
        let mut text = String::from("| table | difference in visual reasoning | |\n|---|---|---|\n");
        for experiment in tables::ALL.into_iter().filter(|one| one.backbones.contains(&backbone)) {
            for contrast in experiment.contrasts {
                if let Some(judged) = self.results.judged(backbone, experiment, contrast) {
                    let _ = writeln!(text, "| {} | {} | {judged} |", experiment.title, contrast.label);
                }
            }
        }
        text
    }
}
