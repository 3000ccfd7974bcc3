//! Scanner for answers in a text: after phrases, in boxes, between delimiters, as numbers.
//!
//! Each function is one of math-verify's patterns. None looks further than the maximum length of an
//! answer, and together they look at a bounded number of characters for each of the text, so that
//! every text takes linear time.

use std::cell::Cell;

/// Maximum length of a formula and of a sum, bytes.
const MAX_PIECE: usize = 8192;
/// Maximum length of a number in a fraction, bytes.
const MAX_NUMBER: usize = 64;
/// Number of characters that may be looked at for each of the text.
const LOOKS: usize = 32;

/// Forms of answers that are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forms {
    pub(super) latex: bool,
    pub(super) plain: bool,
}

/// Part of a text that may be an answer.
#[derive(Debug, Clone)]
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    pub(super) is_percent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Formula between delimiters.
    Formula,
    /// Box outside of any formula, to the last brace of the text.
    Box,
    /// Sum of numbers.
    Arithmetic,
    Number,
}

/// Text allowed between a phrase and the answer.
#[derive(Clone, Copy)]
pub(super) enum Gap {
    /// A colon.
    Colon,
    /// At most a hundred characters that end in *is*, and a colon.
    Is,
    /// At most fifty characters; before a number, a hundred that end in an equals sign.
    Any,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    lower: String,
    last_display: Option<usize>,
    last_bracket: Option<usize>,
    last_round: Option<usize>,
    /// Number of characters that may still be looked at.
    looks: Cell<usize>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            lower: text.to_ascii_lowercase(),
            last_display: text.rfind("$$"),
            last_bracket: text.rfind("\\]"),
            last_round: text.rfind("\\)"),
            looks: Cell::new(LOOKS * text.len() + MAX_PIECE),
        }
    }

    /// Finds answers anywhere in the text.
    pub(super) fn anywhere(&self, forms: Forms) -> Vec<Match> {
        let mut matches = Vec::new();
        if forms.latex {
            matches.extend(self.all(|at| self.formulas(at)));
        }
        if forms.plain {
            matches.extend(self.all(|at| self.anchored(at, Kind::Arithmetic)));
            matches.extend(self.all(|at| self.anchored(at, Kind::Number)));
        }
        matches
    }

    /// Matches in the whole text, from the left, without overlaps.
    fn all(&self, matches: impl Fn(usize) -> Option<Match>) -> Vec<Match> {
        let mut found = Vec::new();
        let mut at = 0;
        while at <= self.text.len() {
            if self.text.is_char_boundary(at)
                && let Some(one) = matches(at)
            {
                at = one.end.max(at + 1);
                found.push(one);
            } else {
                at += 1;
            }
        }
        found
    }

    /// Finds answers after a phrase, and with `hopes` before "I hope".
    pub(super) fn after(&self, phrase: &str, gap: Gap, hopes: bool, forms: Forms) -> Vec<Match> {
        let mut matches = Vec::new();
        for (is_wanted, is_latex) in [(forms.latex, true), (forms.plain, false)] {
            let mut from = 0;
            while is_wanted && let Some(found) = self.lower[from..].find(phrase) {
                let start = from + found;
                let end = start + phrase.len();
                match self.beyond(end, gap, hopes, is_latex) {
                    Some(one) => {
                        from = one.end.max(end);
                        matches.push(Match { start, ..one });
                    }
                    None => from = end,
                }
            }
        }
        matches
    }

    fn beyond(&self, from: usize, gap: Gap, hopes: bool, is_latex: bool) -> Option<Match> {
        let hoped = |one: &Match| {
            let rest = &self.text[one.end..];
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            !hopes || rest.strip_prefix(char::is_whitespace).unwrap_or(rest).starts_with("I hope")
        };
        let at = |place: usize| if is_latex { self.formulas(place) } else { self.number_or_sum(place) }.filter(hoped);
        let blanks = |place: usize| place + (self.text[place..].len() - self.text[place..].trim_start().len());
        let colon = |place: usize| place + usize::from(self.text[place..].starts_with(':'));
        match gap {
            // The pattern of numbers includes the blank.
            Gap::Colon => {
                at(if is_latex { blanks(colon(from)) } else { colon(from) }).or_else(|| at(blanks(colon(from))))
            }
            Gap::Is => self.places(from, 100, is_latex).find_map(|place| {
                let rest = &self.text[place..];
                let is = rest.trim_start().strip_prefix("is").filter(|_| rest.starts_with(char::is_whitespace))?;
                let after = colon(self.text.len() - is.len());
                at(if is_latex { blanks(after) } else { after })
            }),
            Gap::Any => {
                let equals = |place: usize| {
                    let is_equals = !is_latex && self.text[..place].ends_with('=');
                    is_equals.then(|| at(blanks(place))).flatten().filter(|one| self.no_equals(one.end))
                };
                let after_equals = if is_latex {
                    None
                } else {
                    self.places(from, 100, false).collect::<Vec<_>>().into_iter().rev().find_map(equals)
                };
                let near = || {
                    self.places(from, 50, is_latex)
                        .find_map(|place| at(place).filter(|one| is_latex || self.no_equals(one.end)))
                };
                after_equals.or_else(near)
            }
        }
    }

    /// Positions from `from` on, at most `n` characters further; without `lines`, on its line.
    fn places(&self, from: usize, n: usize, lines: bool) -> impl Iterator<Item = usize> {
        let rest = &self.text[from..];
        let ends = rest.char_indices().chain([(rest.len(), ' ')]);
        let mut is_over = false;
        ends.take(n + 1)
            .take_while(move |(_, c)| {
                let keep = !is_over;
                is_over |= !lines && *c == '\n';
                keep
            })
            .map(move |(at, _)| from + at)
    }

    fn no_equals(&self, place: usize) -> bool {
        !self.text[place..].trim_start().starts_with('=')
    }

    /// Matches up to six formulas with commas, *and* or *or* between them.
    fn formulas(&self, at: usize) -> Option<Match> {
        self.joined(at, |at| self.formula(at))
    }

    fn joined(&self, at: usize, one: impl Fn(usize) -> Option<(Piece, usize)>) -> Option<Match> {
        let (first, mut end) = one(at)?;
        let mut pieces = vec![first];
        while pieces.len() < 6 {
            let rest = self.text[end..].trim_start();
            let joint = [",and", ",or", "and", "or", ","].iter().find_map(|joint| rest.strip_prefix(joint));
            let Some(rest) = joint.map(str::trim_start) else { break };
            let Some((piece, after)) = one(self.text.len() - rest.len()) else { break };
            pieces.push(piece);
            end = after;
        }
        Some(Match { start: at, end, pieces })
    }

    /// Finds formulas with boxes in them, and boxes outside of formulas.
    pub(super) fn boxes(&self) -> Vec<Match> {
        let has_box = |(piece, end): (Piece, usize)| {
            let content = &self.text[piece.start..piece.end];
            content.contains("\\boxed{").then_some((piece, end))
        };
        let mut matches = self.all(|at| self.joined(at, |at| self.delimited(at).and_then(has_box)));
        if let (Some(start), Some(end)) = (self.text.find("\\boxed{"), self.text.rfind('}'))
            && end > start + 7
        {
            let piece = Piece { start, end: end + 1, kind: Kind::Box, is_percent: false };
            matches.push(Match { start, end: end + 1, pieces: vec![piece] });
        }
        matches
    }

    /// Matches a formula between delimiters, or a fraction of numbers, and the percent sign after
    /// it.
    fn formula(&self, at: usize) -> Option<(Piece, usize)> {
        self.delimited(at).or_else(|| {
            let text = &self.text[at..];
            let unsigned = text.strip_prefix('-').unwrap_or(text);
            let rest = unsigned.strip_prefix("\\frac{")?;
            let number = |text: &str| {
                let n = text.bytes().take(MAX_NUMBER).position(|byte| byte == b'}')?;
                let digits = text[..n].strip_prefix('-').unwrap_or(&text[..n]);
                let parts: Vec<&str> = digits.split(['.', ',']).collect();
                let is_number = parts.len() <= 2
                    && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
                is_number.then_some(n + 1)
            };
            let above = number(rest)?;
            let below = rest[above..].strip_prefix('{')?;
            let end = self.text.len() - below.len() + number(below)?;
            Some(self.with_percent(Piece { start: at, end, kind: Kind::Formula, is_percent: false }, end))
        })
    }

    fn delimited(&self, at: usize) -> Option<(Piece, usize)> {
        let text = &self.text[at..];
        let before = self.text[..at].chars().next_back();
        let found = |open: usize, content: usize, close: usize| {
            let piece = Piece { start: at + open, end: at + open + content, kind: Kind::Formula, is_percent: false };
            (content > 0).then(|| self.with_percent(piece, at + open + content + close))
        };
        if text.starts_with("$$") && before != Some('\\') && self.last_display.is_some_and(|last| last > at + 1) {
            let content = self.close_of(&text[2..], "$$", |_| false)?;
            if content > 0 {
                return found(2, content, 2);
            }
        }
        if text.starts_with("\\[") && before != Some('\\') && self.last_bracket.is_some_and(|last| last > at) {
            return found(2, self.close_of(&text[2..], "\\]", |_| false)?, 2);
        }
        if text.starts_with('$') && !before.is_some_and(|c| c == '\\' || c.is_ascii_digit()) {
            return found(1, self.close_of(&text[1..], "$", |c| c == '\n')?, 1);
        }
        if text.starts_with("\\(") && before != Some('\\') && self.last_round.is_some_and(|last| last > at) {
            return found(2, self.close_of(&text[2..], "\\)", |c| c == '\n')?, 2);
        }
        let mut chars = text.chars();
        let blank = chars.next().filter(|c| c.is_whitespace())?;
        let rest = text[blank.len_utf8()..].strip_prefix('[')?;
        let content = rest.bytes().take(MAX_PIECE).position(|byte| matches!(byte, b'\n' | b']' | b'['))?;
        let after = rest[content..].strip_prefix(']')?;
        let end = after.chars().next().filter(|c| c.is_whitespace())?;
        found(blank.len_utf8() + 1, content, 1 + end.len_utf8())
    }

    fn with_percent(&self, mut piece: Piece, end: usize) -> (Piece, usize) {
        let rest = self.text[end..].trim_start();
        let sign = ["%", "percentage", "Percentage", "percent", "Percent", "pct", "Pct", "\\%"]
            .iter()
            .find(|sign| rest.starts_with(**sign) && (piece.kind == Kind::Formula || **sign != "\\%"));
        piece.is_percent = sign.is_some();
        let end = sign.map_or(end, |sign| self.text.len() - rest.len() + sign.len());
        (piece, end)
    }

    fn number_or_sum(&self, at: usize) -> Option<Match> {
        self.anchored(at, Kind::Arithmetic).or_else(|| self.anchored(at, Kind::Number))
    }

    /// Matches a number or a sum of numbers after a blank, an equals sign or nothing.
    fn anchored(&self, at: usize, kind: Kind) -> Option<Match> {
        let text = &self.text[at..];
        let first = text.chars().next();
        let mut start = match first {
            Some(c) if c.is_whitespace() || c == '=' => at + c.len_utf8(),
            _ if at == 0 => at,
            _ => return None,
        };
        start += if self.text[start..].starts_with("**") { 2 } else { 0 };
        if kind == Kind::Number {
            let currency = self.text[start..].chars().next().filter(|c| "$€£¥₹₽₩".contains(*c));
            start += currency.map_or(0, char::len_utf8);
        }
        let length = match kind {
            Kind::Arithmetic => self.arithmetic(&self.text[start..]),
            _ => number_at(&self.text[start..]),
        }?;
        let piece = Piece { start, end: start + length, kind, is_percent: false };
        let (piece, end) =
            if kind == Kind::Number { self.with_percent(piece, start + length) } else { (piece, start + length) };
        Some(Match { start: at, end, pieces: vec![piece] })
    }

    /// Counts `n` characters as looked at, if so many are left.
    fn look(&self, n: usize) -> Option<()> {
        let left = self.looks.get();
        self.looks.set(left.saturating_sub(n));
        (left > 0).then_some(())
    }

    /// Position of a closing delimiter that no backslash escapes, unless a character comes first
    /// that `stops`, or it is too far.
    fn close_of(&self, text: &str, close: &str, stops: impl Fn(char) -> bool) -> Option<usize> {
        let mut escaped = false;
        for (at, c) in text.char_indices() {
            self.look(1)?;
            if at > MAX_PIECE || stops(c) {
                return None;
            }
            if !escaped && at > 0 && text[at..].starts_with(close) {
                return Some(at);
            }
            escaped = c == '\\' && !escaped && close.starts_with('$');
        }
        None
    }

    /// Length of a sum, product, … of numbers at the beginning of a text.
    fn arithmetic(&self, text: &str) -> Option<usize> {
        let operators = ['+', '-', '*', '×', '/', '^', '(', ')', '÷'];
        let mut head = usize::from(text.starts_with('-'));
        head += usize::from(text[head..].starts_with('('));
        head += usize::from(text[head..].starts_with('-'));
        if !text[head..].starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let is_part = |c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace() || operators.contains(&c);
        self.look(0)?;
        let n: usize = text[head..].chars().take(MAX_PIECE).take_while(|c| is_part(*c)).map(char::len_utf8).sum();
        self.look(n)?;
        let run = head + n;
        let first_operator = text[head + 1..run].find(operators).map(|at| head + 1 + at)?;
        let fits = |end: usize| {
            let after = text[end..].strip_prefix("**").unwrap_or(&text[end..]);
            after.is_empty() || after.starts_with(['.', ',', ':', ')', '$']) || after.starts_with(char::is_whitespace)
        };
        let ends = text[..run].char_indices().rev().map(|(at, c)| at + c.len_utf8());
        ends.take_while(|end| *end > first_operator + 1).find(|end| fits(*end))
    }
}

/// Length of a number at the beginning of a text.
fn number_at(text: &str) -> Option<usize> {
    let sign = usize::from(text.starts_with('-'));
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let first = digits(sign);
    let fraction = |from: usize| {
        if text[from..].starts_with('.') { Some(digits(from + 1)).filter(|n| *n > 0).map(|n| n + 1) } else { None }
    };
    if (1..=3).contains(&first) && text.as_bytes()[sign] != b'0' {
        let mut end = sign + first;
        let mut n_groups = 0;
        while text[end..].starts_with([',', ' ']) && digits(end + 1) >= 3 {
            end += 4;
            n_groups += 1;
        }
        if n_groups > 0 {
            return Some(end + fraction(end).unwrap_or(0));
        }
    }
    if first > 0 {
        let end = sign + first;
        if text[end..].starts_with([',', '.']) && digits(end + 1) > 0 {
            return Some(end + 1 + digits(end + 1));
        }
        return Some(end);
    }
    fraction(0).filter(|_| sign == 0)
}
