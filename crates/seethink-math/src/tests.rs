//! Tests of parsing, canonical forms, values, sets and relations, one level below the rules.

use super::canonical::canonical;
use super::compare::{Comparison, Reason, same};
use super::numeric::Evaluator;
use super::parse::{MAX_DEPTH, MAX_LENGTH, parse};
use super::{Expr, Fuel, Syntax, Unreadable, exact, same_values};
use proptest::prelude::*;

fn fuel() -> Fuel {
    Fuel::USUAL
}

#[track_caller]
fn read(text: &str) -> Expr {
    parse(text, Syntax::Latex, &mut fuel()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn why_same(truth: &str, answer: &str, how: &Comparison) -> Option<Reason> {
    same(&read(truth), &read(answer), how, &mut fuel()).expect("there is fuel")
}

#[test]
fn formulas_are_read_as_they_are_meant() {
    for (text, expected) in [
        ("-1{,}234.50", "-2469/2 (decimal)"),
        ("1,234,567", "1234567"),
        ("1, 2", "{1, 2}"),
        ("2.5E-3", "1/400"),
        ("2\\frac{1}{2}", "5/2"),
        ("\\frac12", "1/2"),
        ("\\dfrac{a+b}{2}", "((a + b)·2^-1)"),
        ("a/bc", "(a·b^-1·c)"),
        ("-x^2", "(-1·x^2)"),
        ("2^{3^2}", "2^3^2"),
        ("ab^2c", "(a·b^2·c)"),
        ("\\sqrt[3]{x}", "x^1/3"),
        ("\\sin^2 x", "sin(x)^2"),
        ("\\sin^{-1} x", "asin(x)"),
        ("\\sin 2x\\cos y", "(sin((2·x))·cos(y))"),
        ("\\log_2 8", "log(8, 2)"),
        ("5!", "factorial(5)"),
        ("\\binom{5}{2}", "binomial(5, 2)"),
        ("|x-1|", "abs((x + -1))"),
        ("\\left\\lfloor x\\right\\rfloor", "floor(x)"),
        ("45^\\circ", "45"),
        ("9\\%", "9 %"),
        ("x_{12}", "x_12"),
        ("\\text{red}", "red"),
        ("[0,1)", "[0, 1)"),
        ("(1,2,3)", "(1, 2, 3)"),
        ("\\{1,2\\}", "{1, 2}"),
        ("(11,7)or(7,11)", "{(11, 7), (7, 11)}"),
        ("1, 2, \\ldots, and 5", "{1, 2, 5}"),
        ("1\\text{, or }2and3", "{1, 2, 3}"),
        ("xor2", "(x·o·r·2)"),
        ("1o r2", "(1·o·r·2)"),
        ("sand", "(s·a·n·d)"),
        ("x_{or}", "x_or"),
        ("x = 1or y = 1", "{x = 1, y = 1}"),
        ("x = 1ory = 1", "x = (1·o·r·y) = 1"),
        ("\\{1+2\\}\\{3-4\\}", "((1 + 2)·(3 + -4))"),
        ("\\{\\{x\\}\\}/\\{2\\} - \\{y\\}", "((x·2^-1) + (-1·y))"),
        ("-\\{x\\}^{\\{2\\}}", "(-1·x^2)"),
        ("\\{x\\} \\bmod \\{y\\}!", "mod(x, factorial(y))"),
        ("\\sin\\{x\\}\\{y\\}", "sin((x·y))"),
        ("\\max\\{1,2\\}", "max(1, 2)"),
        ("\\{x\\}", "{x}"),
        ("\\{1\\}\\cup{2}", "{1} ∪ {2}"),
        ("(-\\infty,1]\\cup(2,3)", "((-1·∞), 1] ∪ (2, 3)"),
        ("x \\le 3", "x ≤ 3"),
        ("1<x<2", "1 < x < 2"),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "[1, 2; 3, 4]"),
        ("\\sum_{k=1}^{3} k", "sum(k; k, 1, 3)"),
    ] {
        assert_eq!(read(text).to_string(), expected, "{text}");
    }
    let plain = |text| parse(text, Syntax::Plain, &mut fuel()).unwrap().to_string();
    assert_eq!(plain("sqrt(2)*pi"), "(2^1/2·π)");
    assert_eq!(plain("2**3"), "2^3");
    assert_eq!(plain("3."), "3 (decimal)");
    assert_eq!(plain("2e3"), "2000");
    // As in SymPy: a name is a function only before its bracket.
    assert_eq!(plain("sqrt2"), plain("s*q*r*t*2"));
}

#[test]
fn each_syntax_refuses_the_signs_of_the_other() {
    for text in ["2**3", "√3", "30°", "∞", "2~x", "7./2", "\\[x\\]", "\\#"] {
        assert!(parse(text, Syntax::Latex, &mut fuel()).is_err(), "{text}");
    }
    for text in ["[1]", "{1}", "|x|", "1:2", "√3", "30°", "~2", "\\pi", "017"] {
        assert!(parse(text, Syntax::Plain, &mut fuel()).is_err(), "{text}");
    }
    for text in ["[1, 2, 3)", "[3, -4)", "+(1, 2)", "(1, 2)^\\circ", "f(x) = (1, 2)", "\\frac12\\%"] {
        assert!(parse(text, Syntax::Latex, &mut fuel()).is_err(), "{text}");
    }
}

#[test]
fn what_is_no_term_is_refused() {
    let texts = r"2\{1,2\} ; \{1,2\}\{3\} ; \{x=1\}\{2\} ; \{1,2\}+1 ; 1-\{1,2\} ; -\{1,2\} ; \pm\{1,2\} ; \{1,2\}/3
        ; \{1,2\}\bmod2 ; 5\bmod\{1,2\} ; \{1,2\}^2 ; \{1,2\}! ; \sin\{1,2\} ; (1,2)(2,3) ; |x|=\{1,2\} ; \sin x=(1,2)
        ; +\{2\}\cup\{3\} ; \{3\}\cap2x ; \mathbb{R}\setminus1 ; or 1 ; (and 1) ; \text{or} ; x^{or} ; 1or ; (1, 2 and) ; \{1,and\}";
    for text in texts.split(';').map(str::trim) {
        assert!(parse(text, Syntax::Latex, &mut fuel()).is_err(), "{text}");
    }
}

#[test]
fn what_is_no_formula_is_refused_with_its_place() {
    let refuse = |text: &str| parse(text, Syntax::Latex, &mut fuel()).unwrap_err();
    for (text, place) in [("1 + ", 4), ("(1, 2", 5), ("\\frac{1}", 8), ("x = ) 2", 4), ("3 )", 2)] {
        assert!(matches!(refuse(text), Unreadable::Syntax { at, .. } if at == place), "{text}: {}", refuse(text));
    }
    assert_eq!(refuse(&"1".repeat(MAX_LENGTH + 1)), Unreadable::TooLong);
    assert_eq!(refuse(&("(".repeat(MAX_DEPTH + 2) + "1")), Unreadable::TooDeep);
    let spent = parse("1+1", Syntax::Latex, &mut Fuel(10));
    assert!(matches!(spent, Err(Unreadable::OutOfFuel(_))), "{spent:?}");
}

#[test]
fn equal_by_arithmetic_is_equal_in_form() {
    let form = |text: &str| canonical(&read(text), &mut fuel()).unwrap();
    for (one, other) in [
        ("(x+1)^2", "x^2 + 2x + 1"),
        ("(a-b)(a+b)", "a^2 - b^2"),
        ("\\sqrt{12}", "2\\sqrt{3}"),
        ("\\frac{1}{\\sqrt 2}", "\\frac{\\sqrt 2}{2}"),
        ("\\sqrt{-4}", "2i"),
        ("i^3", "-i"),
        ("\\sqrt[3]{54}", "3\\sqrt[3]{2}"),
        ("\\frac{x}{y}\\cdot\\frac{y}{x}", "1"),
        ("\\frac{2x+2}{4}", "\\frac{x+1}{2}"),
        ("5!", "120"),
        ("x^{-2}", "\\frac{1}{x^2}"),
        ("\\frac{1}{2x+2}", "\\frac{1/2}{x+1}"),
    ] {
        assert_eq!(form(one), form(other), "{one} {other}");
    }
    for (one, other) in [("x", "y"), ("x^2", "x^3"), ("\\sqrt{x^2}", "x"), ("1/0", "2/0"), ("x", "x+1")] {
        assert_ne!(form(one), form(other), "{one} {other}");
    }
    for (text, is_polynomial) in
        [("3x^2y - 1", true), ("ix + \\sqrt{6}", true), ("\\sin x", false), ("x^{-1}", false), ("\\sqrt{10201}", true)]
    {
        assert_eq!(form(text).is_polynomial(), is_polynomial, "{text}");
    }
    // 10403 = 101 · 103 is not taken apart.
    assert!(!form("\\sqrt{10403}").is_polynomial());
}

#[test]
fn identities_hold_and_what_looks_like_one_does_not() {
    let same = |one: &str, other: &str| same_values(&read(one), &read(other), &mut fuel()).unwrap();
    for (one, other) in [
        ("2\\sin x\\cos x", "\\sin 2x"),
        ("\\sin^2 x + \\cos^2 x", "1"),
        ("\\tan x", "\\frac{\\sin x}{\\cos x}"),
        ("e^{i\\pi}", "-1"),
        ("\\ln 6", "\\ln 2 + \\ln 3"),
        ("\\log_2 10", "\\frac{\\ln 10}{\\ln 2}"),
        ("|x|", "\\sqrt{x^2}"),
        ("\\cosh x", "\\frac{e^x+e^{-x}}{2}"),
        ("\\arctan 1", "\\frac{\\pi}{4}"),
        ("\\arcsin\\frac12", "\\frac{\\pi}{6}"),
        ("\\sqrt{3+2\\sqrt2}", "1+\\sqrt2"),
        ("\\sqrt{10403}", "\\sqrt{101}\\sqrt{103}"),
        ("\\sum_{k=1}^{10} k^2", "385"),
        ("\\prod_{k=1}^{5} k", "120"),
        ("\\binom{6}{3}", "20"),
    ] {
        assert!(same(one, other).is_some(), "{one} {other}");
    }
    for (one, other) in [
        ("x", "|x|"),
        ("\\sqrt{x^2}", "x"),
        ("\\ln x^2", "2\\ln x"),
        ("\\sin x", "\\cos x"),
        ("\\pi", "3.14159265358979"),
        ("\\arcsin(\\sin x)", "x"),
        ("e^x", "e^y"),
        ("\\frac{1}{x-x}", "\\frac{2}{x-x}"),
        ("f(x)", "f(y)"),
        ("\\int x dx", "\\int x^2 dx"),
        ("2^{k-1}", "2^{k-1}+1"),
        ("\\sqrt2 + \\sqrt3", "\\sqrt2 - \\sqrt3"),
        ("\\frac{1+i\\sqrt3}{2}", "\\frac{1-i\\sqrt3}{2}"),
    ] {
        assert_eq!(same(one, other), None, "{one} {other}");
    }
}

#[test]
fn sets_intervals_and_tuples() {
    let strict = Comparison::default();
    for (truth, answer) in [
        ("\\{1,2,3\\}", "3, 1, 2"),
        ("\\{1,2,2\\}", "\\{2,1\\}"),
        ("[1,2]\\cup[2,3]", "[1,3]"),
        ("(0,1)\\cup[1,2)", "(0,2)"),
        ("(1,2)", "( \\frac{2}{2}, 2 )"),
        ("\\{5\\}", "5"),
        ("\\mathbb{R}\\setminus\\{0\\}", "(-\\infty,0)\\cup(0,\\infty)"),
        ("1 \\pm \\sqrt 2", "1-\\sqrt2, 1+\\sqrt2"),
        ("\\{1,2\\}\\cap\\{2,3\\}", "\\{2\\}"),
        ("x > 1", "(1,\\infty)"),
        ("|x| < 2", "(-2,2)"),
        ("-1 \\le x < 4", "[-1,4)"),
    ] {
        assert!(why_same(truth, answer, &strict).is_some(), "{truth} {answer}");
    }
    for (truth, answer) in [
        ("\\{1,2\\}", "\\{1,2,3\\}"),
        ("(1,2,3)", "(3,2,1)"),
        ("[0,1)", "(0,1)"),
        ("(0,1)\\cup(1,2)", "(0,2)"),
        ("(1,2),(3,4)", "(1,2)\\cup(3,4)"),
        ("x < 3, x > 1", "(-\\infty,3)\\cup(1,\\infty)"),
        ("[0,1)", "\\{[0,1)\\}"),
        ("\\{1,2\\}", "\\{1,1\\}"),
        ("(1,2)", "(1,3)"),
    ] {
        assert_eq!(why_same(truth, answer, &strict), None, "{truth} {answer}");
    }
}

#[test]
fn relations_and_matrices() {
    let strict = Comparison::default();
    for (truth, answer) in [
        ("x + y = 2", "2x + 2y = 4"),
        ("y = 2x + 1", "2x - y + 1 = 0"),
        ("x < 1", "-x > -1"),
        ("x < 1", "1 > x"),
        ("x = 5", "5"),
        ("x = 5\\%", "x = 0.05"),
        ("|AB| = 5", "5"),
        ("\\frac{|AB|}{|CD|} = 5", "5"),
        ("|a + b^n| = 5", "5"),
        ("\\log_a b = 5", "5"),
        ("|AB| \\approx 5", "5"),
        ("|AB| = |CD| = 5", "|AB| = 5"),
        ("x = \\{5\\%, 6\\%\\}", "x = \\{6\\%, 5\\%\\}"),
        ("x = 2 + 3 = 5", "5"),
        ("\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{bmatrix}1&\\frac42\\end{bmatrix}"),
        ("2\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}2\\\\4\\end{pmatrix}"),
    ] {
        assert!(why_same(truth, answer, &strict).is_some(), "{truth} {answer}");
    }
    for (truth, answer) in [
        ("x + y = 2", "x + y = 3"),
        ("x < 1", "-x < -1"),
        ("x < 1", "x \\le 1"),
        ("x = 5", "y = 6"),
        ("x + y = 5", "5"),
        ("x^y = 5", "5"),
        ("|2x| = 5", "5"),
        ("\\ln x = 5", "5"),
        ("\\gcd(a, b) = 5", "5"),
        ("|AB| = 5", "|CD| = 5"),
        ("x = 5\\%", "x = 5"),
        ("x = \\{5\\%, 6\\%\\}", "x = \\{5, 6\\}"),
        ("\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
        ("\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}2&1\\end{pmatrix}"),
    ] {
        assert_eq!(why_same(truth, answer, &strict), None, "{truth} {answer}");
    }
}

#[test]
fn settings_of_a_comparison_matter() {
    let strict = Comparison::default();
    let lenient = Comparison { strict: false, ..strict };
    assert_eq!(why_same("2t+1", "2x+1", &strict), None);
    assert!(why_same("2t+1", "2x+1", &lenient).is_some());
    assert_eq!(why_same("0.333333", "\\frac13", &strict), Some(Reason::Rounded));
    assert_eq!(why_same("0.333333", "\\frac13", &Comparison { places: 9, ..strict }), None);
    assert_eq!(why_same("9\\%", "9", &strict), Some(Reason::Form));
    assert_eq!(why_same("9\\%", "9", &Comparison { bare_percentages: false, ..strict }), None);
    assert_eq!(why_same("(1,2)", "1<x<2", &strict), None);
    assert!(why_same("(1,2)", "1<x<2", &Comparison { relations_as_sets: true, ..strict }).is_some());
}

#[test]
fn exact_values_stay_small() {
    let value = |text: &str| exact::value(&read(text), &mut fuel()).unwrap().map(|value| value.to_string());
    assert_eq!(value("\\frac{1}{3}+\\frac16").as_deref(), Some("1/2"));
    assert_eq!(value("8^{2/3}").as_deref(), Some("4"));
    assert_eq!(value("(-8)^{1/3}"), None);
    assert_eq!(value("0^{-1}"), None);
    assert_eq!(value("\\gcd(12,18)").as_deref(), Some("6"));
    assert_eq!(value("\\binom{-1}{3}").as_deref(), Some("-1"));
    assert_eq!(value("\\binom{1/2}{2}").as_deref(), Some("-1/8"));
    assert_eq!(value("\\binom{40}{20}").as_deref(), Some("137846528820"));
    assert!(value("\\binom{300}{150}").is_some());
    assert_eq!(value("9^{9^{9}}"), None);
    assert_eq!(value("1000000!"), None);
    assert_eq!(value("\\sqrt2"), None);
}

/// Value of a formula without variables, to ten places.
fn float(text: &str) -> Option<f64> {
    let (mut evaluator, mut fuel) = (Evaluator::new(0), fuel());
    let value = evaluator.value(&exact::folded(&read(text), &mut fuel).unwrap(), &mut fuel).expect("there is fuel")?;
    Some(value.rounded(10)?.to_string().parse::<f64>().expect("a number") / 1e10)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Compares values with those of the standard library.
    #[test]
    fn functions_have_the_values_that_they_have_elsewhere(n in -4000i32..4000) {
        let x = f64::from(n) / 1000.0;
        let cases: [(&str, f64); 14] = [
            ("\\sin", x.sin()),
            ("\\cos", x.cos()),
            ("\\tan", x.tan()),
            ("\\exp", x.exp()),
            ("\\ln", x.ln()),
            ("\\sinh", x.sinh()),
            ("\\cosh", x.cosh()),
            ("\\tanh", x.tanh()),
            ("\\arctan", x.atan()),
            ("\\arcsin", x.asin()),
            ("\\arccos", x.acos()),
            ("\\operatorname{arcsinh}", x.asinh()),
            ("\\operatorname{arctanh}", x.atanh()),
            ("\\sqrt", x.sqrt()),
        ];
        for (name, expected) in cases {
            let found = float(&format!("{name}{{({n}/1000)}}"));
            // Where the real function has no value, ours has a complex one, or none.
            if expected.is_finite() && expected.abs() < 1e4 {
                let found = found.unwrap_or(f64::NAN);
                prop_assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{} {}: {} {}", name, x, found, expected);
            }
        }
    }

    /// Equal forms have equal values.
    #[test]
    fn polynomials_are_told_apart(a in -9i64..10, b in -9i64..10, c in -9i64..10, d in -9i64..10) {
        let (one, other) = (format!("({a}x+{b})({c}x+{d})"), format!("{}x^2+{}x+{}", a * c, a * d + b * c, b * d));
        prop_assert!(same_values(&read(&one), &read(&other), &mut fuel()).unwrap().is_some());
        let off = format!("{other}+1");
        prop_assert!(same_values(&read(&one), &read(&off), &mut fuel()).unwrap().is_none());
    }
}
