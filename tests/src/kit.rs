//! Table of the results of `tests/gpu/run.sh`: a row for every measurement, seethink's figure beside
//! PyTorch's, or why there is none.
//!
//! A folder of results has `about.txt`, which says where they were measured, and `parts.tsv` with a
//! line for every process: name, exit status (or `absent`, `skipped`), seconds, and the peak of the
//! device's memory in MB, if it is known. Beside them lie the processes' input, output and errors as
//! `NAME.in`, `NAME.out` and `NAME.err`.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Ends of the names of a work's two processes.
const SIDES: [&str; 2] = [".seethink", ".pytorch"];

/// Process that has run, or was meant to.
struct Part {
    name: String,
    status: String,
    seconds: String,
    device_mb: String,
    input: String,
    output: String,
    errors: String,
}

/// Answer of a worker to a request.
#[derive(Deserialize)]
struct Answer {
    what: String,
    seconds: f64,
    tokens: u64,
}

/// Prints the table of a folder of results.
///
/// # Errors
/// If the folder cannot be read, or a part of seethink has no figure; the table is printed then too.
pub fn print_table(results: &Path) -> Result<()> {
    let (table, missing) = table(results)?;
    print!("{table}");
    ensure!(missing.is_empty(), "there is no figure for {}", missing.join("; "));
    Ok(())
}

/// Markdown table of a folder of results, and seethink's measurements that have no figure.
fn table(results: &Path) -> Result<(String, Vec<String>)> {
    let read = |name: &str| std::fs::read_to_string(results.join(name));
    let needed = |name: &str| read(name).with_context(|| format!("cannot read {}", results.join(name).display()));
    let parts: Vec<Part> = needed("parts.tsv")?
        .lines()
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut field = || fields.next().unwrap_or_default();
            let (name, status, seconds, device_mb) = (field(), field(), field(), field());
            let file = |end: &str| read(&format!("{name}.{end}")).unwrap_or_default();
            let (input, output, errors) = (file("in"), file("out"), file("err"));
            Part { name, status, seconds, device_mb, input, output, errors }
        })
        .collect();
    let mut rows = Vec::new();
    let mut missing = Vec::new();
    let mut row = |part: &str, what: &str, cells: [Result<String, String>; 2], ratio: Option<f64>| {
        if let Err(reason) = &cells[0] {
            missing.push(format!("{part}, {what}: {reason}"));
        }
        let [ours, theirs] = cells.map(|cell| cell.unwrap_or_else(|reason| reason).replace('|', "/"));
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        rows.push(format!("| {part} | {what} | {ours} | {theirs} | {ratio} |\n"));
    };
    for part in &parts {
        if let Some(work) = part.name.strip_suffix(SIDES[0]) {
            let other = parts.iter().find(|other| other.name.strip_suffix(SIDES[1]) == Some(work));
            let mut seen = BTreeSet::new();
            for what in part.input.lines().filter(|what| seen.insert(*what)) {
                let ours = part.answer(what);
                let theirs = other.map_or_else(|| Err("absent".to_owned()), |other| other.answer(what));
                let ratio = ours.as_ref().ok().zip(theirs.as_ref().ok());
                let ratio = ratio.map(|(ours, theirs)| theirs.seconds / ours.seconds);
                row(work, what, [ours, theirs].map(|answer| answer.map(|answer| answer.figure())), ratio);
            }
            let all = |of: fn(&Part) -> &str| [Some(part), other].map(|part| Ok(part.map_or("", of).to_owned()));
            row(work, "whole process, s", all(|part| &part.seconds), None);
            if !part.device_mb.is_empty() {
                row(work, "peak memory of the device, MB", all(|part| &part.device_mb), None);
            }
        } else if part.name.starts_with("parity") {
            row(&part.name, "quantities within their tolerances", [part.parity(), Ok(String::new())], None);
        } else if !part.name.ends_with(SIDES[1]) {
            let done = if part.status == "0" { Ok(format!("{} s", part.seconds)) } else { Err(part.reason()) };
            row(&part.name, "from start to report", [done, Ok(String::new())], None);
        }
    }
    let head = "| part | measurement | seethink | PyTorch | ratio |\n|---|---|---:|---:|---:|\n";
    Ok((format!("{}\n{head}{}", needed("about.txt")?, rows.concat()), missing))
}

impl Part {
    /// Last answer to a request, or why there is none: the first request without an answer ended the
    /// process.
    fn answer(&self, what: &str) -> Result<Answer, String> {
        let answers: Vec<Answer> = self.output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let answered = |what: &str| answers.iter().any(|answer| answer.what == what);
        let ended_at = self.input.lines().find(|what| !answered(what));
        match (answered(what), ended_at) {
            (false, Some(first)) if first != what => Err("not reached".to_owned()),
            (false, _) => Err(self.reason()),
            (true, _) => Ok(answers.into_iter().rfind(|answer| answer.what == what).expect("answered")),
        }
    }

    /// Number of quantities within their tolerances, of those that are judged, and the error of the
    /// logits.
    fn parity(&self) -> Result<String, String> {
        let rows: Vec<Vec<&str>> = self
            .output
            .lines()
            .map(|line| line.split('|').map(str::trim).collect())
            .filter(|row: &Vec<&str>| row.len() == 9)
            .collect();
        let n = |verdict: &str| rows.iter().filter(|row| row[7].starts_with(verdict)).count();
        let (within, beyond) = (n("yes"), n("**no**"));
        let errors = rows.iter().filter(|row| row[2] == "logits").filter_map(|row| row[5].parse().ok());
        if within + beyond == 0 {
            return Err(self.reason());
        }
        let largest = errors.fold(0.0, f64::max);
        Ok(format!("{within} of {}; logits off by {largest:.1e}", within + beyond))
    }

    /// Why the process has no figure, in a line.
    fn reason(&self) -> String {
        match self.status.as_str() {
            "absent" | "skipped" => self.status.clone(),
            "124" => format!("out of time after {} s", self.seconds),
            status => {
                // The line after that of a panic is its message; other programs end with theirs.
                let mut lines = self.errors.lines().filter(|line| !line.trim().is_empty());
                let panic = lines.clone().skip_while(|line| !line.contains("panicked at")).nth(1);
                let error = lines.clone().rfind(|line| line.starts_with("Error: "));
                let line = panic.or(error).or_else(|| lines.next_back()).unwrap_or("no message");
                format!("failed ({status}): {}", line.trim().chars().take(160).collect::<String>())
            }
        }
    }
}

impl Answer {
    /// Tokens a second, or the time where no tokens are counted.
    fn figure(&self) -> String {
        match self.tokens {
            0 | 1 => format!("{:.2} ms", 1e3 * self.seconds),
            tokens => format!("{:.0} tokens/s", tokens as f64 / self.seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_or_a_reason_for_every_measurement() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("about.txt", "## A card\n");
        let rows = ["| q | logits | 8 | 1e-3 | 2.0e-3 | 1e-2 | yes |", "| q | loss | 1 | 3 | 3 | 1 | **no**: here |"];
        write("parity-f32.out", &rows.join("\n"));
        write("W1.seethink.in", "load\ndecode 8\ndecode 8\nupdate\n");
        let answer =
            |what, seconds, tokens| format!("{{\"what\": {what:?}, \"seconds\": {seconds}, \"tokens\": {tokens}}}\n");
        write("W1.seethink.out", &["ready\n".into(), answer("load", 0.5, 0), answer("decode 8", 4.0, 64)].concat());
        write("W1.pytorch.in", "load\ndecode 8\nupdate\n");
        let theirs = [answer("load", 1.0, 0), answer("decode 8", 9.0, 64), answer("decode 8", 2.0, 64)].concat();
        write("W1.pytorch.out", &(theirs + &answer("update", 1.0, 10)));
        write("W1.seethink.err", "thread 'main' panicked at x.rs:1:\nout of memory | 5 GB\nnote: run with\n");
        let part = "parity-f32\t1\t3\t\nW1.seethink\t101\t7\t900\nW1.pytorch\t0\t8\t800\nstaged\t124\t60\t\n";
        write("parts.tsv", part);
        let (table, missing) = table(folder.path()).unwrap();
        let expected = [
            "| parity-f32 | quantities within their tolerances | 1 of 2; logits off by 2.0e-3 |  |  |",
            "| W1 | load | 500.00 ms | 1000.00 ms | 2.00 |",
            "| W1 | decode 8 | 16 tokens/s | 32 tokens/s | 0.50 |",
            "| W1 | update | failed (101): out of memory / 5 GB | 10 tokens/s |  |",
            "| W1 | whole process, s | 7 | 8 |  |",
            "| W1 | peak memory of the device, MB | 900 | 800 |  |",
            "| staged | from start to report | out of time after 60 s |  |  |",
        ];
        assert!(table.starts_with("## A card\n\n| part |"), "{table}");
        assert_eq!(table.lines().skip(4).collect::<Vec<_>>(), expected);
        let about =
            ["W1, update: failed (101): out of memory | 5 GB", "staged, from start to report: out of time after 60 s"];
        assert_eq!(missing, about);
        assert!(print_table(folder.path()).is_err());
        assert!(print_table(&folder.path().join("none")).is_err());
    }
}
