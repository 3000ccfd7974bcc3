//! Malformed texts for a verifier: pieces of formulas in any order, and answers with pieces
//! changed.

/// Generator of texts, the same for the same seed.
pub(crate) struct Inputs {
    state: u64,
    corpus: Vec<String>,
}

/// Pieces that some parser reads.
const PIECES: [&str; 125] = [
    "0",
    "1",
    "2",
    "7",
    "12",
    "3.14",
    ".5",
    "1,000",
    "1{,}000",
    "10^{9}",
    "9^{9^{9}}",
    "2E10",
    "0.\\overline{3}",
    "007",
    "100!",
    "x",
    "y",
    "n",
    "d",
    "e",
    "i",
    "f(x)",
    "dx",
    "x_{1}",
    "x^2_{ij}",
    "'",
    "+",
    "-",
    "*",
    "/",
    "^",
    "_",
    "=",
    "<",
    ">",
    "\\le",
    "\\ge",
    "!=",
    "!",
    "%",
    "\\%",
    ":",
    ",",
    ";",
    "&",
    "|",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\{",
    "\\}",
    "\\left(",
    "\\right)",
    "\\left|",
    "\\right|",
    "$",
    "$$",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\\boxed{",
    "\\fbox{",
    "\\frac",
    "\\frac{1}{2}",
    "\\frac12",
    "\\dfrac{",
    "\\sqrt",
    "\\sqrt{2}",
    "\\sqrt[3]{8}",
    "\\sin",
    "\\cos^2",
    "\\tan^{-1}",
    "\\log_2",
    "\\ln",
    "\\exp",
    "\\pi",
    "\\infty",
    "\\pm",
    "\\cdot",
    "\\times",
    "\\div",
    "\\mod",
    "\\in",
    "\\cup",
    "\\cap",
    "\\setminus",
    "\\mathbb{R}",
    "\\emptyset",
    "\\int_0^1",
    "\\sum_{k=1}^{n}",
    "\\sum_{k=1}^{500}",
    "\\prod",
    "\\lim_{x \\to 0}",
    "\\binom{5}{2}",
    "\\gcd(12, 18)",
    "\\max",
    "\\lfloor",
    "\\rfloor",
    "\\text{ cm}",
    "\\text{and}",
    "\\mathrm{",
    "\\begin{pmatrix}",
    "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
    "\\frac{123457}{765432}",
    "0.12345678987654321",
    "\\end{pmatrix}",
    "\\\\",
    "^\\circ",
    "\\overline{AB}",
    " and ",
    " or ",
    "and",
    "or",
    "\\{x\\}",
    "answer is ",
    "Answer: ",
    "final answer is ",
    "I hope",
    "\n",
    " ",
    "é",
];

impl Inputs {
    /// Creates a generator with answers to change.
    pub(crate) fn new(seed: u64, corpus: Vec<String>) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), corpus }
    }

    /// A number below `n` (SplitMix64).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// Generates a text.
    pub(crate) fn text(&mut self) -> String {
        let mut text = match self.below(4) {
            0 | 1 if !self.corpus.is_empty() => {
                let nth = self.below(self.corpus.len());
                self.corpus[nth].clone()
            }
            _ => String::new(),
        };
        for _ in 0..=self.below(10) {
            let piece = PIECES[self.below(PIECES.len())];
            let boundary = |text: &str, at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let place = self.below(text.len() + 1);
            let at = boundary(&text, place);
            match self.below(8) {
                0 => {
                    let far = self.below(12);
                    let end = boundary(&text, (at + far).min(text.len())).max(at);
                    text.replace_range(at..end, piece);
                }
                1 if text.len() < 2000 => {
                    let n = 1 + self.below(40);
                    text.insert_str(at, &piece.repeat(n));
                }
                2 => text.truncate(at),
                3 if text.len() < 2000 => {
                    let copy = text[at..].to_owned();
                    text.push_str(&copy);
                }
                _ => text.insert_str(at, piece),
            }
        }
        if self.below(3) == 0 { format!("${text}$") } else { text }
    }
}
