//! Summary table of a run, for the terminal and for Markdown.

use super::number::{count, cut, duration, percent, words};
use super::{Checkpoint, Measurement, Meter, RunSummary};
use std::fmt::Write;

/// Widest line of the terminal table, in characters.
const MAX_WIDTH: usize = 110;
/// Content of an empty cell.
pub(super) const NOTHING: &str = "-";

/// Formats the table for the terminal: one row for the base model and one after each stage, at most
/// 110 characters wide.
///
/// Accuracies are test accuracies in percent with their 95 % Wilson interval, `length` is the mean
/// completion length in tokens, `time` (h:mm:ss) and `tokens` (trained) are the costs of the stage
/// alone. More than three capabilities may need more than 110 characters; nothing is left out.
pub fn table(summary: &RunSummary) -> String {
    let rows = rows(summary);
    let n_columns = rows[0].len();
    let mut widths: Vec<usize> =
        (0..n_columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let others: usize = widths[1..].iter().map(|width| width + 2).sum();
    widths[0] = widths[0].min(MAX_WIDTH.saturating_sub(others).max(8));

    let mut text = format!("{}\n", summary.title);
    let rule = "-".repeat(widths[0] + others);
    for (i, row) in rows.iter().enumerate() {
        let _ = write!(text, "{:<width$}", cut(&row[0], widths[0]), width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
        if i == 0 || i + 2 == rows.len() {
            let _ = writeln!(text, "{rule}");
        }
    }
    text + "test accuracy in % [95 % Wilson interval]; time and updated tokens, prompts included, of the stage alone\n"
}

/// Formats the table in Markdown, without a heading.
pub fn markdown(summary: &RunSummary) -> String {
    let rows = rows(summary);
    let line =
        |row: &[String]| format!("| {} |\n", row.iter().map(|cell| escape(cell)).collect::<Vec<_>>().join(" | "));
    let mut text = line(&rows[0]);
    text += &format!("|---|{}\n", "---:|".repeat(rows[0].len() - 1));
    rows[1..].iter().for_each(|row| text += &line(row));
    text + "\nTest accuracy in % [95 % Wilson interval]; mean completion length in tokens; time of the stage and tokens of its updates, prompts included.\n"
}

/// Rows of the table: header, checkpoints and the total, with equal numbers of cells.
fn rows(summary: &RunSummary) -> Vec<Vec<String>> {
    let mut header = vec!["after".to_owned()];
    header.extend(summary.capabilities.iter().map(|capability| words(capability)));
    header.extend(["length", "time", "tokens"].map(str::to_owned));

    let mut total = vec!["total".to_owned()];
    total.extend(summary.capabilities.iter().map(|_| String::new()));
    total.extend([
        String::new(),
        or_nothing(summary.total.get(Meter::WallSecs), duration),
        or_nothing(summary.total.get(Meter::TokensTrained), count),
    ]);

    let checkpoints = summary.checkpoints.iter().map(|checkpoint| row(checkpoint, &summary.capabilities));
    std::iter::once(header).chain(checkpoints).chain([total]).collect()
}

fn row(checkpoint: &Checkpoint, capabilities: &[String]) -> Vec<String> {
    let mut cells = vec![label(checkpoint)];
    cells.extend(capabilities.iter().map(|capability| or_nothing(checkpoint.test.get(capability), accuracy)));
    cells.extend(costs(checkpoint));
    cells
}

/// Length, time and tokens of a row.
pub(super) fn costs(checkpoint: &Checkpoint) -> [String; 3] {
    // The base model was not trained: a zero would look like a measurement.
    let tokens = checkpoint.spent.get(Meter::TokensTrained).filter(|_| !checkpoint.is_base());
    [
        or_nothing(checkpoint.mean_length, |length| format!("{length:.1}")),
        or_nothing(checkpoint.spent.get(Meter::WallSecs), duration),
        or_nothing(tokens, count),
    ]
}

/// Name of a row.
pub(super) fn label(checkpoint: &Checkpoint) -> String {
    let unfinished = if checkpoint.test.is_empty() && !checkpoint.is_base() { " (unfinished)" } else { "" };
    words(&checkpoint.stage) + unfinished
}

fn accuracy(measurement: &Measurement) -> String {
    match measurement.interval {
        Some(interval) => {
            format!("{} [{}, {}]", percent(measurement.accuracy), percent(interval.low), percent(interval.high))
        }
        None => percent(measurement.accuracy),
    }
}

fn or_nothing<T>(value: Option<T>, format: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), format)
}

/// Escapes characters that would end a cell or start markup.
pub(super) fn escape(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for c in cell.chars() {
        if matches!(c, '|' | '\\' | '*' | '`' | '<') {
            text.push('\\');
        }
        text.push(if c.is_control() { ' ' } else { c });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{record, records};

    #[test]
    fn golden_table() {
        let expected = "\
staged on digits
after                     perception  textual reasoning   visual reasoning  length  time  tokens
------------------------------------------------------------------------------------------------
base               46.0 [40.4, 51.7]  39.7 [34.3, 45.3]  23.7 [19.2, 28.8]    25.0  0:12       -
perception         82.0 [77.3, 85.9]  40.7 [35.3, 46.3]  24.0 [19.5, 29.1]    28.3  2:40    154k
textual reasoning  82.3 [77.6, 86.2]  71.3 [66.0, 76.2]  21.7 [17.4, 26.7]    31.7  2:40    154k
visual reasoning   82.3 [77.6, 86.2]  70.7 [65.3, 75.5]  70.7 [65.3, 75.5]    35.0  2:40    154k
------------------------------------------------------------------------------------------------
total                                                                               8:12    461k
test accuracy in % [95 % Wilson interval]; time and updated tokens, prompts included, of the stage alone
";
        assert_eq!(table(&RunSummary::new("staged on digits", &records())), expected);
    }

    #[test]
    fn golden_markdown() {
        let expected = "\
| after | perception | textual reasoning | visual reasoning | length | time | tokens |
|---|---:|---:|---:|---:|---:|---:|
| base | 46.0 [40.4, 51.7] | 39.7 [34.3, 45.3] | 23.7 [19.2, 28.8] | 25.0 | 0:12 | - |
| perception | 82.0 [77.3, 85.9] | 40.7 [35.3, 46.3] | 24.0 [19.5, 29.1] | 28.3 | 2:40 | 154k |
| textual reasoning | 82.3 [77.6, 86.2] | 71.3 [66.0, 76.2] | 21.7 [17.4, 26.7] | 31.7 | 2:40 | 154k |
| visual reasoning | 82.3 [77.6, 86.2] | 70.7 [65.3, 75.5] | 70.7 [65.3, 75.5] | 35.0 | 2:40 | 154k |
| total |  |  |  |  | 8:12 | 461k |

Test accuracy in % [95 % Wilson interval]; mean completion length in tokens; time of the stage and tokens of its updates, prompts included.
";
        assert_eq!(markdown(&RunSummary::new("staged on digits", &records())), expected);
    }

    #[test]
    fn a_long_stage_name_never_widens_the_table() {
        let mut records = records();
        records.iter_mut().skip(1).for_each(|record| record.stage = "x".repeat(300));
        let table = table(&RunSummary::new("merged", &records));
        assert!(table.lines().all(|line| line.chars().count() <= MAX_WIDTH), "{table}");
        assert!(table.contains("xxx~"));
    }

    #[test]
    fn an_interrupted_stage_says_so_and_missing_numbers_are_dashes() {
        let summary =
            RunSummary::new("", &[record(0, "base", &[]), record(1, "vi|sual", &[("validation/a/accuracy", 0.5)])]);
        let table = table(&summary);
        assert!(table.contains("vi|sual (unfinished)  -       -     -       -\n"), "{table}");
        assert!(markdown(&summary).contains("| vi\\|sual (unfinished) | - | - | - | - |"));
    }
}
