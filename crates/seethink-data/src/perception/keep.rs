//! Filter rule of questions: wrong from the image, right from the caption.

use super::Letter;
use serde::{Deserialize, Serialize};

/// Rule that keeps a question where every answer from the image is wrong and every answer from the
/// caption is right.
///
/// An answer that is missing, or that names no option, is neither right nor wrong. A model that
/// guesses among four options is wrong three times out of four, and `n` times in `(3/4)ⁿ` of the
/// cases ([`guess_share`](Self::guess_share)): one answer from the image would keep most of the
/// questions that a model cannot answer, together with a quarter less of those that it only
/// guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepRule {
    /// Number of answers from the image that count, of each model.
    pub image_attempts: usize,
    /// Number of answers from the caption that count, of each model.
    pub caption_attempts: usize,
}

/// Verdict on a question, with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Kept: wrong from the image, right from the caption.
    Kept,
    /// A model has too few answers from the image.
    ImageMissing,
    /// A model has too few answers from the caption.
    CaptionMissing,
    /// A model can answer the question from the image.
    ImageRight,
    /// A model's answer from the image names no option, so it is not known to be wrong.
    ImageUnread,
    /// A model's answer from the caption is wrong.
    CaptionWrong,
    /// A model's answer from the caption names no option.
    CaptionUnread,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 7] = [
        Self::Kept,
        Self::ImageMissing,
        Self::CaptionMissing,
        Self::ImageRight,
        Self::ImageUnread,
        Self::CaptionWrong,
        Self::CaptionUnread,
    ];

    /// Name of the verdict in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::ImageMissing => "an answer from the picture is missing",
            Self::CaptionMissing => "an answer from the caption is missing",
            Self::ImageRight => "answered from the picture",
            Self::ImageUnread => "an answer from the picture names no option",
            Self::CaptionWrong => "answered wrongly from the caption",
            Self::CaptionUnread => "an answer from the caption names no option",
        }
    }
}

impl KeepRule {
    /// Verdict on a question from the answers of each model, `[model][attempt]`; attempts beyond
    /// those that count are ignored. Without models all answers are missing.
    pub fn verdict(&self, right: Letter, image: &[&[Option<Letter>]], caption: &[&[Option<Letter>]]) -> Verdict {
        let Some(image) = counted(image, self.image_attempts) else { return Verdict::ImageMissing };
        let Some(caption) = counted(caption, self.caption_attempts) else { return Verdict::CaptionMissing };
        let any =
            |answers: &[Option<Letter>], wanted: &dyn Fn(Option<Letter>) -> bool| answers.iter().copied().any(wanted);
        if any(&image, &|letter| letter == Some(right)) {
            Verdict::ImageRight
        } else if any(&image, &|letter| letter.is_none()) {
            Verdict::ImageUnread
        } else if any(&caption, &|letter| letter.is_some_and(|letter| letter != right)) {
            Verdict::CaptionWrong
        } else if any(&caption, &|letter| letter.is_none()) {
            Verdict::CaptionUnread
        } else {
            Verdict::Kept
        }
    }

    /// Share of questions that `n_models` guessing models let pass as wrong from the image:
    /// `(3/4)^(n_models · image_attempts)`.
    pub fn guess_share(&self, n_models: usize) -> f64 {
        0.75f64.powf((n_models * self.image_attempts) as f64)
    }
}

/// First `attempts` answers of all models; `None` if a model has fewer, or there is no answer at
/// all.
fn counted(answers: &[&[Option<Letter>]], attempts: usize) -> Option<Vec<Option<Letter>>> {
    let all: Option<Vec<_>> = answers.iter().map(|one| one.get(..attempts)).collect();
    let all = all?.concat();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::{Purpose, Rng};

    const A: Option<Letter> = Some(Letter::A);
    const B: Option<Letter> = Some(Letter::B);
    const C: Option<Letter> = Some(Letter::C);

    fn verdict(image: &[&[Option<Letter>]], caption: &[&[Option<Letter>]]) -> Verdict {
        KeepRule { image_attempts: 2, caption_attempts: 1 }.verdict(Letter::B, image, caption)
    }

    #[test]
    fn all_must_be_wrong_from_the_picture_and_right_from_the_caption() {
        assert_eq!(verdict(&[&[A, C], &[C, C]], &[&[B], &[B]]), Verdict::Kept);
        assert_eq!(verdict(&[&[A, C], &[C, B]], &[&[B], &[B]]), Verdict::ImageRight);
        assert_eq!(verdict(&[&[A, C], &[None, C]], &[&[B], &[B]]), Verdict::ImageUnread);
        assert_eq!(verdict(&[&[A, C], &[C, C]], &[&[B], &[A]]), Verdict::CaptionWrong);
        assert_eq!(verdict(&[&[A, C], &[C, C]], &[&[B], &[None]]), Verdict::CaptionUnread);
        assert_eq!(verdict(&[&[A, C, B]], &[&[B, A]]), Verdict::Kept, "further attempts do not count");
    }

    #[test]
    fn defect_17_a_missing_answer_is_never_a_wrong_one() {
        let right: &[&[Option<Letter>]] = &[&[B], &[B]];
        assert_eq!(verdict(&[&[], &[]], right), Verdict::ImageMissing);
        assert_eq!(verdict(&[&[A, C], &[]], right), Verdict::ImageMissing, "one model was not asked");
        assert_eq!(verdict(&[&[A, C], &[A]], right), Verdict::ImageMissing, "one attempt was not made");
        assert_eq!(verdict(&[], right), Verdict::ImageMissing, "nobody was asked");
        assert_eq!(verdict(&[&[A, C]], &[&[]]), Verdict::CaptionMissing);
        assert_eq!(verdict(&[&[A, C]], &[]), Verdict::CaptionMissing);
        let nothing_counts = KeepRule { image_attempts: 0, caption_attempts: 0 };
        assert_eq!(nothing_counts.verdict(Letter::B, &[&[A]], &[&[B]]), Verdict::ImageMissing);
    }

    #[test]
    fn defect_23_repeated_attempts_catch_those_who_guess() {
        let n = 20_000;
        let passes = |attempts: usize, n_models: u64| {
            let rule = KeepRule { image_attempts: attempts, caption_attempts: 1 };
            let kept = (0..n).filter(|&question| {
                let guess = |model| {
                    let mut draws = Rng::new(1, Purpose::Evaluation, &[question, model]);
                    (0..attempts).map(|_| Some(*draws.choose(&Letter::ALL))).collect::<Vec<_>>()
                };
                let guesses: Vec<_> = (0..n_models).map(guess).collect();
                let image: Vec<&[_]> = guesses.iter().map(Vec::as_slice).collect();
                rule.verdict(Letter::B, &image, &[&[B]]) == Verdict::Kept
            });
            let (share, expected) = (kept.count() as f64 / n as f64, rule.guess_share(n_models as usize));
            // Four standard deviations of a share of 20,000 are at most 0.0141.
            assert!((share - expected).abs() < 0.0142, "{attempts} attempts: {share}, expected {expected}");
            share
        };
        assert!(passes(1, 1) > 0.73, "the released rule");
        assert!(passes(4, 1) < 0.34);
        assert!(passes(4, 2) < 0.12);
        assert!(passes(16, 1) < 0.03);
    }
}
