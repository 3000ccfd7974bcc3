//! HTML report: `report.html` is one self-contained file, which needs no network and, for the
//! basics, no script.

mod samples;

use super::number::{count, duration, percent, words};
use super::records::{series, stages};
use super::table::{self, NOTHING};
use super::{Checkpoint, Measurement, Meter, ReportError, RunSummary, Sample, plot};
use seethink_train::StepRecord;
use std::fmt::Write;

/// Content of the page.
pub(super) struct Page<'a> {
    pub(super) summary: &'a RunSummary,
    pub(super) records: &'a [StepRecord],
    pub(super) figures: &'a [plot::Figure],
    pub(super) samples: &'a [Sample],
    pub(super) config: &'a str,
}

impl Page<'_> {
    /// Renders the page.
    pub(super) fn render(&self) -> Result<String, ReportError> {
        let title = escape(&self.summary.title);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n\
             <meta name=\"color-scheme\" content=\"light dark\" />\n<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
             <h1>{title}</h1>\n",
            include_str!("report.css")
        );
        page += &self.facts();
        page += &self.table();
        for figure in self.figures {
            let _ = write!(
                page,
                "<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n",
                figure.drawing.svg()?,
                escape(figure.caption)
            );
        }
        page += &samples::section(self.samples);
        if !self.config.is_empty() {
            let _ = write!(
                page,
                "<details>\n<summary>Configuration</summary>\n<pre>{}</pre>\n</details>\n",
                escape(self.config)
            );
        }
        let _ = write!(page, "<script>\n{}</script>\n</body>\n</html>\n", include_str!("report.js"));
        Ok(page)
    }

    /// Settings and costs of the run.
    fn facts(&self) -> String {
        let total = &self.summary.total;
        let trained: Vec<_> = stages(self.records).filter(|stage| stage.iter().any(|record| record.step > 0)).collect();
        let plan = trained.iter().map(|stage| format!("{} ({} steps)", words(&stage[0].stage), stage.len()));
        let facts = [
            ("Stages", Some(plan.collect::<Vec<_>>().join(" → ")).filter(|plan| !plan.is_empty())),
            ("Steps", Some(self.summary.steps.to_string())),
            ("Wall time", total.get(Meter::WallSecs).map(|secs| duration(secs) + &self.time_shares(secs))),
            ("Completions", total.get(Meter::Completions).map(count)),
            ("Tokens generated", total.get(Meter::TokensGenerated).map(count)),
            ("Tokens of updates", total.get(Meter::TokensTrained).map(count)),
        ];
        let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let rows: String =
            known.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(&value))).collect();
        format!("<dl class=\"facts\">\n{rows}</dl>\n")
    }

    /// Shares of rollouts, reference and updates in a wall time of `elapsed` seconds, in percent,
    /// as far as the metrics have them.
    fn time_shares(&self, elapsed: f64) -> String {
        let parts = [("rollout", "rollouts"), ("reference", "reference"), ("update", "updates")];
        let shares = parts.into_iter().filter_map(|(key, name)| {
            let secs: f64 = series(self.records, &format!("time/{key}_secs")).iter().map(|(_, secs)| secs).sum();
            (secs > 0.0 && elapsed > 0.0).then(|| format!("{name} {:.0} %", 100.0 * secs / elapsed))
        });
        let shares: Vec<_> = shares.collect();
        if shares.is_empty() { String::new() } else { format!(" ({})", shares.join(", ")) }
    }

    fn table(&self) -> String {
        let heads = self
            .summary
            .capabilities
            .iter()
            .map(|name| words(name))
            .chain(["length", "time", "tokens"].map(str::to_owned));
        let heads: String = heads.map(|head| format!("<th scope=\"col\">{}</th>", escape(&head))).collect();
        let rows: String = self.summary.checkpoints.iter().map(|checkpoint| self.row(checkpoint)).collect();
        format!(
            "<div class=\"scroll\"><table>\n<caption>Test accuracy in % [95 % Wilson interval] of the base model and after each \
             stage; mean completion length in tokens; time of the stage and tokens of its updates, prompts included.</caption>\n\
             <thead><tr><th scope=\"col\">after</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }

    fn row(&self, checkpoint: &Checkpoint) -> String {
        let mut cells = String::new();
        for capability in &self.summary.capabilities {
            cells += &accuracy_cell(checkpoint.test.get(capability));
        }
        for cell in table::costs(checkpoint) {
            let _ = write!(cells, "<td>{}</td>", escape(&cell));
        }
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&table::label(checkpoint)))
    }
}

fn accuracy_cell(measurement: Option<&Measurement>) -> String {
    let Some(measurement) = measurement else { return format!("<td>{NOTHING}</td>") };
    let value = percent(measurement.accuracy);
    match measurement.interval {
        Some(interval) => format!(
            "<td><b>{value}</b> <span class=\"quiet\">[{}, {}]</span></td>",
            percent(interval.low),
            percent(interval.high)
        ),
        None => format!("<td><b>{value}</b></td>"),
    }
}

/// Escapes `text` for an element or a quoted attribute. Control characters that no document may
/// hold become `�`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{check_markup, record, records, samples};

    fn page(title: &str, records: &[StepRecord], samples: &[Sample], config: &str) -> String {
        let summary = RunSummary::new(title, records);
        let figures = plot::figures(&summary, records);
        Page { summary: &summary, records, figures: &figures, samples, config }.render().unwrap()
    }

    #[test]
    fn what_the_model_or_a_file_says_is_text_and_never_markup() {
        let page = page("<b>R&D</b>", &records(), &samples(), "Run(title: \"</pre><script>\")");
        check_markup(&page);
        assert!(page.contains("<title>&lt;b&gt;R&amp;D&lt;/b&gt;</title>"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(escape("<a b=\"c\" d='e'>\u{0}\r"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page("run", &records(), &samples(), "");
        for reference in ["<link", "@import", "src=\"http", "href=\"http", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
        assert_eq!(page.matches("<svg ").count(), 3);
        assert!(!page.contains("<summary>Configuration"));
    }

    #[test]
    fn the_page_says_what_was_run() {
        let page = page("run", &records(), &[], "");
        assert!(page.contains("perception (20 steps) → textual reasoning (20 steps) → visual reasoning (20 steps)"));
        assert!(page.contains("<dt>Wall time</dt><dd>8:12 (rollouts 55 %, updates 37 %)</dd>"));
    }

    #[test]
    fn a_run_that_has_only_begun_has_a_page() {
        check_markup(&page("run", &[record(0, "base", &[])], &[], ""));
    }
}
