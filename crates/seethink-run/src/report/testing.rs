//! Synthetic run for the tests of the report.

use super::Sample;
use base64::Engine;
use seethink_train::StepRecord;

/// Record with these metrics.
pub(super) fn record(step: usize, stage: &str, metrics: &[(&str, f64)]) -> StepRecord {
    StepRecord {
        step,
        stage: stage.to_owned(),
        metrics: metrics.iter().map(|&(key, value)| (key.to_owned(), value)).collect(),
    }
}

/// Deterministic noise in [-1, 1).
fn noise(i: usize) -> f64 {
    let hash = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hash >> 40) as f64 / (1u64 << 23) as f64 - 1.0
}

/// Records of a staged run of 60 steps in which each stage improves the capability of its name.
pub(super) fn records() -> Vec<StepRecord> {
    let capabilities = ["perception", "textual_reasoning", "visual_reasoning"];
    let skill = |capability: usize, step: usize| {
        let of_own_stage = (step as f64 / 20.0 - capability as f64).clamp(0.0, 1.0);
        [0.45, 0.40, 0.22][capability]
            + [0.35, 0.30, 0.45][capability] * of_own_stage.sqrt()
            + 0.02 * (step as f64 / 60.0)
    };
    let length = |step: usize| 24.0 + 10.0 * (step as f64 / 60.0);
    let measure = |record: &mut StepRecord, split: &str, n: f64| {
        for (i, capability) in capabilities.iter().enumerate() {
            let accuracy = ((skill(i, record.step) + 0.02 * noise(7 * record.step + i)) * n).round() / n;
            let values =
                [("accuracy", accuracy), ("n", n), ("length", length(record.step) + i as f64), ("format", 0.97)];
            for (quantity, value) in values {
                record.metrics.insert(format!("{split}/{capability}/{quantity}"), value);
            }
        }
    };
    let mut base = record(0, "base", &[("time/elapsed_secs", 12.0), ("tokens/trained", 0.0)]);
    measure(&mut base, "test", 300.0);
    let mut records = vec![base];
    for step in 1..=60 {
        let stage = (step - 1) / 20;
        let accuracy = (skill(stage, step) + 0.12 * noise(step)).clamp(0.0, 1.0);
        let cumulative = step as f64;
        let mut record = record(
            step,
            capabilities[stage],
            &[
                ("reward/mean", 0.9 * accuracy + 0.097),
                ("reward/accuracy", accuracy),
                ("reward/format", (0.96 + 0.03 * noise(step + 100)).min(1.0)),
                ("rollout/length", length(step) + 3.0 * noise(step + 200)),
                ("rollout/completions", 256.0 * cumulative),
                ("tokens/trained", 7_680.0 * cumulative),
                ("tokens/generated", 8_000.0 * cumulative),
                ("time/elapsed_secs", 12.0 + 8.0 * cumulative),
                ("time/rollout_secs", 4.5),
                ("time/update_secs", 3.0),
                ("time/step_secs", 8.0),
                ("grpo/kl", 0.01),
            ],
        );
        if step % 20 == 0 {
            measure(&mut record, "test", 300.0);
        } else if step % 5 == 0 {
            measure(&mut record, "validation", 60.0);
        }
        records.push(record);
    }
    records
}

/// Samples that try to break out of the page, of problems that are answered before and after
/// training.
pub(super) fn samples() -> Vec<Sample> {
    let mut png = Vec::new();
    let picture = image::RgbImage::from_fn(24, 16, |x, y| image::Rgb([10 * x as u8, 15 * y as u8, 128]));
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).expect("a buffer takes any picture");
    let image = base64::engine::general_purpose::STANDARD.encode(png);
    let mut samples = Vec::new();
    for (step, stage, right) in [(0, "base", false), (20, "perception", true), (40, "textual_reasoning", true)] {
        for (i, capability) in ["perception", "textual_reasoning", "visual_reasoning"].into_iter().enumerate() {
            samples.push(Sample {
                step,
                stage: stage.to_owned(),
                capability: capability.to_owned(),
                problem: format!("{capability}/test/{i}"),
                prompt: "Which digit is left of the green 7?\nA. 3 <script>alert(1)</script>\nB. 5 & 6".to_owned(),
                images: if i == 1 { Vec::new() } else { vec![image.clone()] },
                answer: "\\frac{1}{2}".to_owned(),
                completion: "<think>\"half\" of 1 < 2</think> \\boxed{\\frac{1}{2}}</article>".to_owned(),
                accuracy: f32::from(u8::from(right || i == 1)),
                format: 1.0,
            });
        }
    }
    samples
}

/// Checks that `markup` is well-formed: quoted attributes, known entities, every element closed in
/// order.
///
/// # Panics
/// If `markup` is not well-formed.
pub(super) fn check_markup(markup: &str) {
    let mut open = Vec::new();
    let mut rest = markup.trim_start().strip_prefix("<!DOCTYPE html>").unwrap_or(markup);
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        let mut quoted = false;
        let end = rest[start..].find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let tag = &rest[start + 1..start + end.unwrap_or_else(|| panic!("unclosed tag: {:.80}", &rest[start..]))];
        rest = &rest[start + tag.len() + 2..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closes the wrong element");
            continue;
        }
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "not a tag: <{tag}>");
        assert!(!tag.contains('<'), "markup inside a tag: <{tag}>");
        tag.split('"').skip(1).step_by(2).for_each(check_text);
        if !tag.ends_with('/') {
            open.push(name);
        }
        // The content of these elements is not markup.
        if matches!(name, "style" | "script") {
            rest = &rest[rest.find(&format!("</{name}>")).unwrap_or_else(|| panic!("unclosed {name}"))..];
        }
    }
    check_text(rest);
    assert_eq!(open, Vec::<&str>::new(), "never closed");
}

fn check_text(text: &str) {
    for (i, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#39;", "&middot;", "&ndash;"];
        assert!(known.iter().any(|entity| text[i..].starts_with(entity)), "bare ampersand: {:.40}", &text[i..]);
    }
}

#[test]
fn the_check_of_markup_can_fail() {
    check_markup("<p class=\"a > b\">1 &lt; 2<br /></p>");
    for broken in ["<p>", "<p></q>", "<p>a & b</p>", "<p title=\"a & b\"></p>", "a < b", "<p><script>x</p>"] {
        assert!(std::panic::catch_unwind(|| check_markup(broken)).is_err(), "{broken}");
    }
}
