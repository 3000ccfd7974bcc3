//! Digest of a run as one picture: the accuracy curves, and a problem with its completions before
//! and after training.

use super::figures::Figure;
use crate::report::Sample;
use crate::report::number::words;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seethink_plot::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET, RGBColor, text_width};

const WIDTH: f64 = 900.0;
const CURVES: f64 = 400.0;
const CARD: f64 = 206.0;
/// Left end of headings, as in the curves.
const LEFT: f64 = 16.0;
/// Maximum side length of the magnified image, pixels.
const IMAGE: f64 = 160.0;
const TEXT_SIZE: f64 = 14.0;
const LINE: f64 = 20.0;

/// Draws the accuracy figure of a run above one of its samples: of the last stage's capability, the
/// first problem that is solved at the end and was not before training.
pub(in crate::report) fn digest(figures: &[Figure], samples: &[Sample]) -> Option<Drawing> {
    let curves = figures.iter().find(|figure| figure.name == "accuracy")?;
    let (before, after) = learnt(samples)?;
    let mut page = Drawing::new("Accuracy against training step, and a problem before and after", WIDTH, CURVES + CARD);
    page.place(&curves.drawing, (0.0, 0.0));
    page.line(&[(LEFT, CURVES + 2.0), (WIDTH - LEFT, CURVES + 2.0)], 1.0, Paint(GRID, 1.0));

    let top = CURVES + 20.0;
    let image = after.images.first().and_then(|image| decode(image));
    let side = image.map_or(0.0, |image| draw_image(&mut page, &image, (LEFT, top)));
    let x = if side > 0.0 { LEFT + side + 24.0 } else { LEFT };
    let mut y = top + 8.0;
    for line in wrap(after.prompt.replace("<image>", "").trim(), 15.5, WIDTH - x - LEFT) {
        page.text((x, y), &line, 15.5, INK, Anchor::Start);
        y += LINE;
    }
    for sample in [before, after] {
        y += 8.0;
        draw_attempt(&mut page, (x, &mut y), sample);
    }
    Some(page)
}

/// First problem of the last stage's capability (of any, where the stage has another name) that is
/// wrong before training and right at the end: its two samples.
fn learnt(samples: &[Sample]) -> Option<(&Sample, &Sample)> {
    let last = samples.iter().max_by_key(|sample| sample.step)?;
    let solved = samples.iter().filter(|sample| sample.step == last.step && sample.is_right());
    let pairs = solved.filter_map(|after| {
        let before = samples.iter().find(|one| one.step == 0 && one.problem == after.problem && !one.is_right())?;
        Some((before, after))
    });
    let pairs: Vec<_> = pairs.collect();
    pairs.iter().find(|(_, after)| after.capability == last.stage).or(pairs.first()).copied()
}

/// Draws who answers, the verdict and the completion, and moves `y` below them.
fn draw_attempt(page: &mut Drawing, (x, y): (f64, &mut f64), sample: &Sample) {
    let who =
        if sample.step == 0 { "base model".to_owned() } else { format!("after the stage of {}", words(&sample.stage)) };
    let (verdict, color) = if sample.is_right() { ("right", PALETTE[2]) } else { ("wrong", PALETTE[1]) };
    page.text((x, *y), &who, 12.5, QUIET, Anchor::Start);
    let from = x + text_width(&who, 12.5) + 10.0;
    let width = text_width(verdict, 12.0) + 12.0;
    page.rectangle((from, *y - 8.0), (from + width, *y + 9.0), Paint(color, 1.0));
    page.text((from + width / 2.0, *y), verdict, 12.0, RGBColor(255, 255, 255), Anchor::Middle);
    *y += LINE + 1.0;
    for line in wrap(&sample.completion, TEXT_SIZE, WIDTH - x - LEFT) {
        page.text((x, *y), &line, TEXT_SIZE, INK, Anchor::Start);
        *y += LINE;
    }
}

/// Decodes a base64 image; `None` if it cannot be shown.
fn decode(base64: &str) -> Option<image::RgbImage> {
    Some(image::load_from_memory(&STANDARD.decode(base64).ok()?).ok()?.into_rgb8())
}

/// Draws an image, magnified so that its pixels stay square; returns its width on the page.
fn draw_image(page: &mut Drawing, image: &image::RgbImage, (x, y): (f64, f64)) -> f64 {
    let longest = f64::from(image.width().max(image.height()).max(1));
    // Whole pixels where there are that many, so that no seams show.
    let factor = if longest <= IMAGE { (IMAGE / longest).floor() } else { IMAGE / longest };
    for (column, row, &image::Rgb([r, g, b])) in image.enumerate_pixels() {
        let from = (x + factor * f64::from(column), y + factor * f64::from(row));
        page.rectangle(from, (from.0 + factor, from.1 + factor), Paint(RGBColor(r, g, b), 1.0));
    }
    factor * f64::from(image.width())
}

/// Breaks a text into lines of at most `width` pixels, at spaces and line ends.
fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if !line.is_empty() && text_width(&longer, size) > width {
                lines.push(std::mem::replace(&mut line, word.to_owned()));
            } else {
                line = longer;
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{check_markup, records, samples};
    use crate::report::{RunSummary, plot};

    #[test]
    fn a_digest_shows_the_curves_and_a_problem_that_was_learnt() {
        let records = records();
        let figures = plot::figures(&RunSummary::new("staged", &records), &records);
        let (before, after) = learnt(&samples()).map(|(a, b)| (a.clone(), b.clone())).unwrap();
        assert_eq!(before.problem, after.problem);
        assert!(before.step == 0 && !before.is_right() && after.is_right());
        let svg = digest(&figures, &samples()).unwrap().svg().unwrap();
        check_markup(&svg);
        for expected in ["Accuracy (%)", "base model", "wrong", "right"] {
            assert!(svg.contains(expected), "{expected}");
        }
    }

    #[test]
    fn without_a_problem_that_was_learnt_there_is_no_digest() {
        let records = records();
        let figures = plot::figures(&RunSummary::new("staged", &records), &records);
        let wrong: Vec<Sample> = samples().into_iter().map(|sample| Sample { accuracy: 0.0, ..sample }).collect();
        assert!(digest(&figures, &wrong).is_none() && digest(&figures, &[]).is_none());
    }

    #[test]
    fn texts_are_broken_at_spaces_and_line_ends() {
        assert_eq!(wrap("one\ntwo", 12.0, 500.0), ["one", "two"]);
        let lines = wrap("a text that is too long for a line", 12.0, 90.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| text_width(line, 12.0) <= 90.0), "{lines:?}");
        assert_eq!(lines.join(" "), "a text that is too long for a line");
    }

    #[test]
    fn an_image_that_cannot_be_read_is_left_out() {
        assert!(decode("no image").is_none());
        assert!(decode(&samples()[0].images[0]).is_some());
    }
}
