//! Tokens of a formula, in LaTeX or as plain text.

use super::Unreadable;
use super::names::{CLINGING, INVISIBLE, PLAIN, TEXT, is_command};

/// Token, with the part of its spelling that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Number: digits, perhaps with a point and an exponent (`2.5E-3`); separators of thousands are
    /// still in it.
    Number(&'a str),
    /// Letter: each is a variable of its own.
    Letter(char),
    /// Name of a LaTeX command, or its equivalent in plain text.
    Command(&'a str),
    /// Text in `\text{…}` and similar commands.
    Text(&'a str),
    /// Any other character; `{` and `}` group and are not seen.
    Sign(char),
    /// Opening brace of a set, `\{`.
    OpenSet,
    /// Closing brace of a set, `\}`.
    CloseSet,
    /// Row separator, `\\`.
    NewRow,
    /// Beginning of an environment, `\begin{…}`.
    Begin(&'a str),
    /// End of an environment, `\end{…}`.
    End(&'a str),
}

/// Position of a token in the text, bytes.
pub(super) type Place = usize;

/// Syntax of formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// LaTeX: names have a backslash, letters without one are variables.
    Latex,
    /// Plain text as Python and SymPy read it: `sqrt(`, `pi` and `sin(` are names, `**` is a power,
    /// brackets are round.
    Plain,
}

/// Splits a text into tokens.
///
/// # Errors
/// If a `\text{` does not close, or a character is not in the syntax.
pub(super) fn tokens(text: &str, syntax: Syntax) -> Result<Vec<(Place, Token<'_>)>, Unreadable> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (token, length) = match first {
            c if c.is_whitespace() || c == '$' => (None, c.len_utf8()),
            c if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) => {
                let number = number(rest, syntax);
                let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
                if syntax == Syntax::Plain && is_whole && number.len() > 1 && first == '0' {
                    return Err(Unreadable::Syntax { at, expected: "a number without zeros before it" });
                }
                (Some(number), number.len())
            }
            '*' if syntax == Syntax::Plain && rest.starts_with("**") => {
                tokens.push((at, Token::Sign('^')));
                rest = &rest[2..];
                continue;
            }
            '[' | ']' | '{' | '}' | '|' | ':' | '\\' if syntax == Syntax::Plain => {
                return Err(Unreadable::Syntax { at, expected: "a sign of arithmetic" });
            }
            // A comma without the space after it.
            '{' if rest.starts_with("{,}") => {
                tokens.push((at, Token::Sign(',')));
                rest = &rest["{,}".len()..];
                continue;
            }
            '\\' => {
                let (token, length) = command(rest, at)?;
                tokens.extend(token.map(|token| (at, token)));
                rest = &rest[length..];
                continue;
            }
            c if c.is_ascii_alphabetic() => {
                let begins = !text[..at].ends_with(|c: char| c.is_ascii_alphabetic());
                let is_name = |name: &str| {
                    let after = rest.strip_prefix(name);
                    after.is_some_and(|after| matches!(name, "pi" | "oo") || (begins && after.starts_with('(')))
                };
                let name = match syntax {
                    Syntax::Latex if begins => conjunction(rest),
                    Syntax::Latex => None,
                    Syntax::Plain => PLAIN.into_iter().find(|name| is_name(name)),
                };
                match name {
                    Some(name) => {
                        tokens.push((at, Token::Command(name)));
                        rest = &rest[name.len()..];
                    }
                    None => {
                        tokens.push((at, Token::Letter(c)));
                        rest = &rest[1..];
                    }
                }
                continue;
            }
            c => {
                match syntax {
                    Syntax::Latex => tokens.extend(unicode(c).map(|token| (at, token))),
                    Syntax::Plain if c.is_alphabetic() => tokens.push((at, Token::Letter(c))),
                    Syntax::Plain => tokens.push((at, Token::Sign(c))),
                }
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        tokens.extend(token.map(|number| (at, Token::Number(number))));
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// Number at the start of a text: `12`, `1.5`, `.5`, `2.5E-3`, `1{,}000`, `1,\!000`; in plain text
/// `12.` and `2.5e-3` too.
fn number(text: &str, syntax: Syntax) -> &str {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    for separator in ["{,}", ",\\!", "\\,"] {
        // Only groups of three are separated.
        while text[end..].starts_with(separator) {
            let mut from = end + separator.len();
            from += text[from..].bytes().take_while(|byte| *byte == b' ').count();
            if digits(from) != 3 {
                break;
            }
            end = from + 3;
        }
    }
    if text[end..].starts_with('.') && !text[end + 1..].starts_with('.') {
        let places = digits(end + 1);
        if places > 0 || syntax == Syntax::Plain {
            end += 1 + places;
        }
    }
    let exponents: &[char] = if syntax == Syntax::Plain { &['e', 'E'] } else { &['E'] };
    if let Some(rest) = text[end..].strip_prefix(exponents) {
        let sign = usize::from(rest.starts_with(['+', '-']));
        let places = digits(end + 1 + sign);
        if places > 0 {
            end += 1 + sign + places;
        }
    }
    &text[..end]
}

/// Command at the start of a text, unless it is invisible, and its length in bytes.
fn command(text: &str, at: Place) -> Result<(Option<Token<'_>>, usize), Unreadable> {
    let after = &text[1..];
    let n = after.bytes().take_while(u8::is_ascii_alphabetic).count();
    let Some(first) = after.chars().next() else { return Ok((None, 1)) };
    if n == 0 {
        let token = match first {
            '{' => Some(Token::OpenSet),
            '}' => Some(Token::CloseSet),
            '\\' => Some(Token::NewRow),
            '|' => Some(Token::Command("Vert")),
            '%' | '(' | ')' => Some(Token::Sign(first)),
            // Spaces.
            ',' | ';' | ':' | '!' | '>' | '/' | '$' => None,
            c if c.is_whitespace() => None,
            _ => return Err(Unreadable::Syntax { at, expected: "a command" }),
        };
        return Ok((token, 1 + first.len_utf8()));
    }
    let mut name = &after[..n];
    let known = |name: &str| is_command(name) || INVISIBLE.contains(name) || TEXT.contains(name);
    if !known(name)
        && let Some(clinging) = CLINGING.into_iter().find(|clinging| name.starts_with(*clinging))
    {
        name = &name[..clinging.len()];
    }
    let end = 1 + name.len();
    let braced = |from: usize| -> Result<Option<(&str, usize)>, Unreadable> {
        let rest = text[from..].trim_start();
        let Some(content) = rest.strip_prefix('{') else { return Ok(None) };
        let start = text.len() - content.len();
        let Some(close) = crate::closing_brace(content) else {
            return Err(Unreadable::Syntax { at: at + from, expected: "a closing brace" });
        };
        Ok(Some((&content[..close], start + close + 1)))
    };
    if INVISIBLE.contains(name) {
        // `\left.` and `\right.` close nothing.
        let skipped =
            usize::from(matches!(name, "left" | "right" | "mleft" | "mright") && text[end..].starts_with('.'));
        return Ok((None, end + skipped));
    }
    if TEXT.contains(name) {
        return Ok(match braced(end)? {
            Some((content, end)) => {
                let word = content.trim().trim_matches(',').trim();
                let token = match conjunction(word) {
                    Some(conjunction) if conjunction == word => Some(Token::Command(conjunction)),
                    _ => (!word.is_empty()).then_some(Token::Text(content)),
                };
                (token, end)
            }
            None => (None, end),
        });
    }
    if let "begin" | "end" = name {
        let Some((environment, end)) = braced(end)? else {
            return Err(Unreadable::Syntax { at, expected: "the name of an environment" });
        };
        return Ok((Some(if name == "begin" { Token::Begin(environment) } else { Token::End(environment) }), end));
    }
    Ok((Some(Token::Command(name)), end))
}

/// Conjunction (*and* or *or*) at the start of a text, if no letter follows: any other character
/// may touch it, `(1,2)or(2,1)`.
fn conjunction(text: &str) -> Option<&'static str> {
    let is_word =
        |word: &&str| text.strip_prefix(*word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    ["and", "or"].into_iter().find(is_word)
}

/// Token of a character beyond ASCII, or of a sign.
fn unicode(c: char) -> Option<Token<'static>> {
    let command = Token::Command;
    Some(match c {
        '−' | '–' => Token::Sign('-'),
        '×' => Token::Sign('*'),
        '÷' => Token::Sign('/'),
        '≤' | '⩽' => command("le"),
        '≥' | '⩾' => command("ge"),
        '≠' => command("ne"),
        '≈' => command("approx"),
        '±' => command("pm"),
        '∓' => command("mp"),
        'π' => command("pi"),
        'θ' => command("theta"),
        'α' => command("alpha"),
        'β' => command("beta"),
        'γ' => command("gamma"),
        'λ' => command("lambda"),
        'μ' => command("mu"),
        'φ' | 'ϕ' => command("phi"),
        'ω' => command("omega"),
        'Δ' => command("Delta"),
        '∈' => command("in"),
        '∅' => command("emptyset"),
        // Quotation marks are ignored.
        '"' | '\u{200b}' => return None,
        other => Token::Sign(other),
    })
}
