//! Names in formulas.

use super::expr::Function;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Set of words, for look-up.
type Words = LazyLock<BTreeSet<&'static str>>;

/// Names of Greek letters.
pub(super) static GREEK: Words = LazyLock::new(|| {
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho sigma varsigma \
     tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar".split_ascii_whitespace().collect()
});

/// Names that plain text may contain, longest first where one begins another.
pub(super) const PLAIN: [&str; 22] = [
    "arcsin", "arccos", "arctan", "sqrt", "sinh", "cosh", "tanh", "asin", "acos", "atan", "sin", "cos", "tan", "cot",
    "sec", "csc", "log", "exp", "abs", "ln", "pi", "oo",
];

/// Commands that change only the appearance.
pub(super) static INVISIBLE: Words = LazyLock::new(|| {
    "left right mleft mright middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle \
     scriptstyle limits nolimits quad qquad hspace enspace thinspace nonumber rm bf it boldsymbol".split_ascii_whitespace().collect()
});

/// Commands whose argument is text.
pub(super) static TEXT: Words = LazyLock::new(|| {
    "text mbox textbf textit textrm textnormal textsf texttt mathrm mathbf mathit mathsf hbox"
        .split_ascii_whitespace()
        .collect()
});

/// Commands that may end before their letters do, because the letter of a variable may follow:
/// `\lvertx`.
pub(super) const CLINGING: [&str; 15] = [
    "lvert", "rvert", "vert", "lbrace", "rbrace", "lbrack", "rbrack", "cdot", "times", "quad", "left", "right", "circ",
    "infty", "pi",
];

/// Other commands that the parser knows, beside functions, letters and accents.
pub(super) static COMMANDS: Words = LazyLock::new(|| {
    "frac dfrac tfrac cfrac sqrt binom dbinom tbinom pi infty oo pm mp cdot times ast star div mod bmod pmod in notin cup cap \
     setminus backslash emptyset varnothing mathbb Bbb le leq leqslant ge geq geqslant ne neq lt gt approx equiv subset \
     subseteq to rightarrow int sum prod lim partial mathrm operatorname boxed fbox lvert rvert vert mid lVert rVert Vert \
     lfloor rfloor lceil rceil llcorner lrcorner ulcorner urcorner lbrace rbrace lbrack rbrack langle rangle circ degree \
     prime top ldots dots cdots dotsc imath angle triangle variable begin end and or land lor percent colon overset".split_ascii_whitespace().collect()
});

/// Accents: signs over or under a letter, which make another variable of it, by the name that they
/// share.
const ACCENTS: [(&str, &str); 14] = [
    ("overline", "bar"),
    ("bar", "bar"),
    ("vec", "vec"),
    ("overrightarrow", "vec"),
    ("hat", "hat"),
    ("widehat", "hat"),
    ("tilde", "tilde"),
    ("widetilde", "tilde"),
    ("dot", "dot"),
    ("ddot", "ddot"),
    ("underline", "underline"),
    ("mathcal", ""),
    ("mathscr", ""),
    ("mathfrak", ""),
];

/// Name of the accent that a command sets, if it sets one.
pub(super) fn accent(command: &str) -> Option<&'static str> {
    ACCENTS.iter().find(|(name, _)| *name == command).map(|(_, accent)| *accent)
}

/// Returns whether the parser knows a command.
pub(super) fn is_command(name: &str) -> bool {
    COMMANDS.contains(name) || GREEK.contains(name) || accent(name).is_some() || Function::by_name(name).is_some()
}
