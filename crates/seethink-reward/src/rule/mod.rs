//! Rules that judge whether an answer is right.

mod gsm8k;
mod hendrycks;
mod math_verify;
mod mathruler;
mod plain_text;

pub(crate) use gsm8k::last_number;
pub use math_verify::MathVerify;

use crate::{choice_letter, is_correct};
use seethink_core::SettingError;
use seethink_math::{Fuel, OutOfFuel, Reason};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Rule that judges an answer. Each rule is that of a published grader; where ours differs from it
/// on purpose, its documentation says so.
///
/// # Examples
/// ```
/// use seethink_reward::Rule;
///
/// assert!(Rule::MATH_VERIFY.judge("$2\\sin x\\cos x$", "So it is $\\sin 2x$.").is_right());
/// assert!(!Rule::MATH_VERIFY.judge("$x$", "$|x|$").is_right());
/// // Whole numbers must be written as such for mathruler.
/// assert!(!Rule::Mathruler.judge("6", "12/2").is_right());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Rule {
    /// mathruler 0.1.0, the paper's: strict about whole numbers, fractions and order. Takes the
    /// answer itself, not a text that contains it.
    Mathruler,
    /// mathruler with a fault of the original: `\frac{a+b}{c}` is read as `a+b/c`, so that some
    /// wrong answers are right.
    MathrulerAsReleased,
    /// math-verify 0.9.0: finds answers in texts and compares their meanings: numbers, sets,
    /// intervals, relations, matrices.
    MathVerify(MathVerify),
    /// The MATH benchmark's: the same spelling, after normalisation.
    Hendrycks,
    /// GSM8K's: the final number of a text is the number of the truth.
    Gsm8k,
    /// MATH-Vision's: the same letter, the same text or the same value.
    MathVision,
    /// An option letter.
    Choice,
    /// The light rule of this crate: [`is_correct`].
    #[default]
    Light,
    /// The same text, except for blanks at the ends.
    Exact,
    /// A number within a tolerance of the truth: the larger of an absolute and a relative one.
    Numeric {
        /// Absolute tolerance; not negative.
        absolute: f64,
        /// Relative tolerance, as a share of the truth; not negative.
        relative: f64,
    },
}

/// Judgement of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Verdict: right, wrong, or undecided.
    pub verdict: Verdict,
    /// Steps of the judgement, one per line.
    pub steps: Vec<String>,
}

/// Verdict on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is right.
    Right,
    /// The answer is wrong.
    Wrong,
    /// The answer cannot be judged.
    Unscorable(Unscorable),
    /// The judgement takes more work than is allowed; the limit does not depend on the machine.
    OutOfFuel,
}

/// Reason why an answer cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unscorable {
    /// No answer was found in the text.
    NoAnswer,
    /// No answer was found in the truth.
    NoTruth,
}

impl Judgement {
    /// Returns whether the answer is right.
    pub fn is_right(&self) -> bool {
        self.verdict == Verdict::Right
    }

    fn new(found: Result<Option<Reason>, OutOfFuel>, steps: Vec<String>) -> Self {
        let mut steps = steps;
        let verdict = match found {
            Ok(Some(reason)) => {
                steps.push(format!("right: {}", why(reason)));
                Verdict::Right
            }
            Ok(None) => {
                steps.push("wrong: nothing says that they are the same".into());
                Verdict::Wrong
            }
            Err(OutOfFuel) => {
                steps.push("not told: that takes more work than an answer may".into());
                Verdict::OutOfFuel
            }
        };
        Self { verdict, steps }
    }

    fn unscorable(why: Unscorable, mut steps: Vec<String>) -> Self {
        let what = match why {
            Unscorable::NoAnswer => "the text",
            Unscorable::NoTruth => "the truth",
        };
        steps.push(format!("not told: no answer was found in {what}"));
        Self { verdict: Verdict::Unscorable(why), steps }
    }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Spelling => "spelled alike",
        Reason::Form => "the same by the rules of arithmetic",
        Reason::Values => "the same values wherever they were compared",
        Reason::Rounded => "the same when rounded",
        Reason::Name => "the same name",
        Reason::Parts => "the same part by part",
        Reason::Factor => "the same relation, up to a factor",
    }
}

impl Rule {
    /// math-verify's rule with its usual settings.
    pub const MATH_VERIFY: Self = Self::MathVerify(MathVerify::USUAL);

    const NAMED: [(&'static str, Self); 10] = [
        ("mathruler", Self::Mathruler),
        ("mathruler_as_released", Self::MathrulerAsReleased),
        ("math_verify", Self::MATH_VERIFY),
        ("hendrycks", Self::Hendrycks),
        ("gsm8k", Self::Gsm8k),
        ("math_vision", Self::MathVision),
        ("choice", Self::Choice),
        ("light", Self::Light),
        ("exact", Self::Exact),
        ("numeric", Self::Numeric { absolute: 0.0, relative: 1e-6 }),
    ];

    /// Checks the settings.
    ///
    /// # Errors
    /// If a tolerance is negative or not finite.
    pub fn check(&self) -> Result<(), SettingError> {
        match self {
            Self::Numeric { absolute, relative } => {
                let tolerances = [("rule.absolute", absolute), ("rule.relative", relative)];
                match tolerances.into_iter().find(|(_, value)| !value.is_finite() || **value < 0.0) {
                    Some((key, value)) => Err(SettingError::new(key, value, "a finite tolerance of at least 0")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Judges an answer. For `math_verify` and `gsm8k` it may be a whole text, in which the answer
    /// is looked for; for the others it is the answer itself, as an [`Extractor`](crate::Extractor)
    /// finds it.
    ///
    /// Total and bounded: any two texts get a judgement, the same on every machine, in time linear
    /// in their length; the parts that are compared are bounded.
    pub fn judge(&self, truth: &str, answer: &str) -> Judgement {
        let mut fuel = Fuel::USUAL;
        let steps = vec![format!("rule: {self}")];
        let told = |is_right: bool, steps| Judgement::new(Ok(is_right.then_some(Reason::Spelling)), steps);
        match self {
            Self::Mathruler => Judgement::new(mathruler::same_answer(truth, answer, false, &mut fuel), steps),
            Self::MathrulerAsReleased => Judgement::new(mathruler::same_answer(truth, answer, true, &mut fuel), steps),
            Self::MathVerify(settings) => settings.judge(truth, answer, &mut fuel, steps),
            Self::Hendrycks => told(hendrycks::same_spelling(truth, answer), steps),
            Self::Gsm8k => gsm8k::judge(truth, answer, steps),
            Self::MathVision => {
                let found = mathruler::same_answer(truth, answer, false, &mut fuel);
                match found {
                    Ok(None) => Judgement::new(math_verify::same_formulas(truth, answer, &mut fuel), steps),
                    found => Judgement::new(found, steps),
                }
            }
            Self::Choice => match choice_letter(answer) {
                Some(letter) => {
                    let mut steps = steps;
                    steps.push(format!("the answer names option {letter}"));
                    told(truth.trim().chars().next().map(|c| c.to_ascii_uppercase()) == Some(letter), steps)
                }
                None => Judgement::unscorable(Unscorable::NoAnswer, steps),
            },
            Self::Light => told(is_correct(answer, truth), steps),
            Self::Exact => told(!truth.trim().is_empty() && truth.trim() == answer.trim(), steps),
            Self::Numeric { absolute, relative } => match (gsm8k::number(truth), gsm8k::number(answer)) {
                (None, _) => Judgement::unscorable(Unscorable::NoTruth, steps),
                (_, None) => Judgement::unscorable(Unscorable::NoAnswer, steps),
                (Some(truth), Some(answer)) => {
                    let near = gsm8k::near(&truth, &answer, *absolute, *relative);
                    Judgement::new(Ok(near.then_some(Reason::Rounded)), steps)
                }
            },
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = |one: &Self| std::mem::discriminant(one) == std::mem::discriminant(self);
        f.write_str(Self::NAMED.iter().find(|(_, rule)| same(rule)).map_or("", |(name, _)| name))
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Parses the name of a rule; the rule has its usual settings.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, rule)| rule);
        found.ok_or_else(|| format!("no rule `{name}`; there are {}", Self::NAMED.map(|(name, _)| name).join(", ")))
    }
}

/// Replaces spellings one after the other; most texts contain none of them, so that little time
/// goes into those.
fn replace(text: &mut String, spellings: &[(&str, &str)]) {
    let mut present = signs(text);
    for (old, new) in spellings {
        if signs(old) & !present == 0 && text.contains(old) {
            *text = text.replace(old, new);
            present = signs(text);
        }
    }
}

/// Set of a text's bytes, those that differ by 64 being one: a part of a text has no byte that the
/// text lacks.
fn signs(text: &str) -> u64 {
    text.bytes().fold(0, |signs, byte| signs | 1 << (byte % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_go_by_their_names() {
        for (name, rule) in Rule::NAMED {
            assert_eq!((name.parse::<Rule>(), rule.to_string().as_str()), (Ok(rule), name));
        }
        assert!("sympy".parse::<Rule>().unwrap_err().contains("mathruler, mathruler_as_released, math_verify"));
    }

    #[test]
    fn mathruler_is_strict_about_whole_numbers_fractions_and_order() {
        let judge = |truth, answer| Rule::Mathruler.judge(truth, answer).verdict;
        for (truth, answer) in [
            ("6", "6.0"),
            ("\\frac{1}{2}", "0.5"),
            ("1/2", "\\dfrac12"),
            ("10", "\\$10"),
            ("45^\\circ", "45"),
            ("5 cm", "5"),
            ("7 3/4", "31/4"),
            ("(1,2)", "( 1, 2 )"),
            ("2\\sqrt{3}", "\\sqrt{12}"),
            ("x+1", "1+x"),
            ("1,000", "1000"),
            ("[-2, 2]", "[-2., 2]"),
            ("x = 3", "3"),
        ] {
            assert_eq!(judge(truth, answer), Verdict::Right, "{truth} {answer}");
        }
        for (truth, answer) in [
            ("6", "12/2"),
            ("3/4", "6/8"),
            ("(1,2)", "(2,1)"),
            ("(1,2)", "[1,2]"),
            ("1/3", "0.333"),
            ("2.5", "~2.5"),
            ("(a-b)(a+b)", "[a-b][a+b]"),
            ("36\\pi", "36\\pi°"),
            ("\\sqrt{2}", "√2"),
            ("2:1", "+2:1"),
            ("10^6", "010^6"),
            ("120_5", "1205"),
            ("x^2", "x^2."),
            ("x", "y"),
            ("6", ""),
            ("\\frac{x}{x-1}", "\\frac{t}{t-1}"),
            ("9^{9^{9}}", "9^{9^{8}}"),
        ] {
            assert!(judge(truth, answer) != Verdict::Right, "{truth} {answer}");
        }
        // The original reads x/x-1, and Python takes underscores for separators.
        assert!(Rule::MathrulerAsReleased.judge("\\frac{x}{x-1}", "\\frac{t}{t-1}").is_right());
        assert!(Rule::MathrulerAsReleased.judge("120_5", "1205").is_right());
    }

    #[test]
    fn numbers_are_near_or_not() {
        let near =
            |truth, answer, absolute, relative| Rule::Numeric { absolute, relative }.judge(truth, answer).verdict;
        assert_eq!(near("100", "101", 1.0, 0.0), Verdict::Right);
        assert_eq!(near("100", "101", 0.0, 0.01), Verdict::Right);
        assert_eq!(near("100", "101", 0.5, 0.001), Verdict::Wrong);
        assert_eq!(near("100", "about a hundred", 1.0, 1.0), Verdict::Unscorable(Unscorable::NoAnswer));
        assert_eq!(near("many", "7", 1.0, 1.0), Verdict::Unscorable(Unscorable::NoTruth));
        assert_eq!(near("1", "2", f64::NAN, f64::NAN), Verdict::Wrong);
    }

    #[test]
    fn judgements_explain_themselves() {
        let steps = Rule::MATH_VERIFY.judge("$\\frac12$", "The answer is $0.5$.").steps.join("\n");
        assert!(steps.contains("math_verify") && steps.contains("1/2") && steps.contains("right"), "{steps}");
    }

    #[test]
    fn anything_is_judged() {
        let deep = "{".repeat(100_000) + &"}".repeat(100_000);
        let roots = "\\sqrt{".repeat(100_000);
        let long = "1+".repeat(500_000);
        let dollars = "$".repeat(10_001);
        // Products, powers and factorials are counted as they double or square the size.
        let products = [
            r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            "0.12345678987654321*",
            r"\frac{123457}{765432}+",
            r"\sqrt{123456789}x+",
        ]
        .map(|factor| format!("${}1$", factor.repeat(3900 / factor.len())));
        let chains = ["1/x", " \\mod x", "x!", "x^2", "-x", "x,", "\\cup x", "x=", "|x", "\\sin "]
            .map(|piece| format!("$x{}$", piece.repeat(2000 / piece.len())));
        let texts = [
            &deep,
            &roots,
            &long,
            &dollars,
            "9^{9^{9}}",
            "$9^{9^{9^{9}}}$",
            "$1000000!$",
            "$x^{10000000}$",
            "$(1.23456789x+y)^{64}$",
            "$\\binom{1/3}{300}$",
            "$\\sin(10^{10^{10}})$",
            "1/0",
        ];
        // A megabyte of each: quadratic time would take hours.
        let endless = [
            "\\(",
            "\\[",
            "$",
            "$ ",
            "\\frac{",
            "1 ",
            "1+ ",
            " [",
            "\\boxed{1}",
            "\\boxed{",
            "\\fbox{",
            "answer is ",
            "answer: ",
            "\\\\a",
            ",\\!",
            "1,111",
            "{",
            "\\text{",
            "and ",
            "9",
            "x^",
            "\\left",
            "%",
            "meter",
            " 1",
            "=",
        ];
        let endless = endless.map(|piece| piece.repeat((1 << 20) / piece.len()) + "\n\\) \\] $$ 7");
        for (_, rule) in Rule::NAMED {
            for text in &endless {
                rule.judge("$7$", text);
                rule.judge(text, text);
            }
            for text in texts.into_iter().chain(chains.iter().chain(&products).map(String::as_str)) {
                for truth in [text, "7", "$x$"] {
                    rule.judge(truth, text);
                }
            }
        }
    }
}
