//! Conversion of LaTeX to plain text, which mathruler reads instead of LaTeX.
//!
//! # Source
//! The output of pylatexenc's `latex2text`, as far as answers need it. Differs on request: sums in
//! fractions keep their brackets, so that `\frac{a+b}{c}` is not `a+b/c`.

use seethink_math::closing_brace;

/// Maximum nesting of braces.
const MAX_DEPTH: usize = 32;

/// Converts a formula to text, with `brackets` around sums in fractions; `None` if its braces do
/// not match or are nested too deeply.
pub(super) fn plain_text(latex: &str, brackets: bool) -> Option<String> {
    let mut out = String::new();
    write(latex, &mut out, brackets, 0)?;
    Some(out)
}

fn write(latex: &str, out: &mut String, brackets: bool, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut rest = latex;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        match first {
            '{' => {
                let end = closing_brace(after)?;
                write(&after[..end], out, brackets, depth + 1)?;
                rest = &after[end + 1..];
                continue;
            }
            '}' => return None,
            '%' => rest = after.find('\n').map_or("", |end| &after[end + 1..]),
            '~' => {
                out.push('\u{a0}');
                rest = after;
            }
            '&' => {
                out.push_str("   ");
                rest = after;
            }
            '\\' => rest = command(after, out, brackets, depth)?,
            other => {
                out.push(other);
                rest = after;
            }
        }
    }
    Some(())
}

/// Writes the text of the command after a backslash; returns the rest.
fn command<'a>(text: &'a str, out: &mut String, brackets: bool, depth: usize) -> Option<&'a str> {
    let n = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    if n == 0 {
        let Some(sign) = text.chars().next() else { return Some("") };
        match sign {
            '{' | '}' | '$' | '%' | '&' | '#' | '_' => out.push(sign),
            ',' | ';' | ':' | ' ' => out.push(' '),
            '\\' => out.push('\n'),
            _ => {}
        }
        return Some(&text[sign.len_utf8()..]);
    }
    let (name, rest) = text.split_at(n);
    let rest = rest.trim_start_matches(' ');
    match name {
        "frac" => {
            let (above, rest) = argument(rest)?;
            let (below, rest) = argument(rest)?;
            for (part, between) in [(above, "/"), (below, "")] {
                let mut inner = String::new();
                write(part, &mut inner, brackets, depth + 1)?;
                let is_sum = inner.trim().chars().skip(1).any(|c| matches!(c, '+' | '-'))
                    || (between.is_empty() && inner.contains(['*', '/', '·', '×']));
                let is_bracketed =
                    inner.starts_with('(') && inner.ends_with(')') && !inner[1..inner.len() - 1].contains(['(', ')']);
                if brackets && is_sum && !is_bracketed {
                    out.push('(');
                    out.push_str(&inner);
                    out.push(')');
                } else {
                    out.push_str(&inner);
                }
                out.push_str(between);
            }
            Some(rest)
        }
        "sqrt" => {
            let rest = match rest.strip_prefix('[') {
                Some(degree) => {
                    let end = degree.find(']')?;
                    // Roots other than square roots keep their degree.
                    if degree[..end].trim() != "2" {
                        out.push_str("root");
                        write(&degree[..end], out, brackets, depth + 1)?;
                    }
                    degree[end + 1..].trim_start()
                }
                None => rest,
            };
            let (inner, rest) = argument(rest)?;
            out.push_str("√(");
            write(inner, out, brackets, depth + 1)?;
            out.push(')');
            Some(rest)
        }
        "left" | "right" | "big" | "Big" | "bigg" | "Bigg" => Some(rest.strip_prefix('.').unwrap_or(rest)),
        "begin" | "end" => {
            let (environment, rest) = argument(rest)?;
            let is_array = environment == "array" || environment.ends_with("matrix");
            let rest = match (name, environment) {
                ("begin", "array") => argument(rest)?.1,
                _ => rest,
            };
            if is_array {
                out.push_str(if name == "begin" { "[ " } else { " ]" });
            }
            Some(rest)
        }
        "mathbf" | "mathbb" => {
            let (inner, rest) = argument(rest)?;
            let mut plain = String::new();
            write(inner, &mut plain, brackets, depth + 1)?;
            out.extend(plain.chars().map(|c| styled(c, name == "mathbb")));
            Some(rest)
        }
        "vec" | "hat" | "bar" | "tilde" | "dot" | "ddot" => {
            let (inner, rest) = argument(rest)?;
            write(inner, out, brackets, depth + 1)?;
            out.push(match name {
                "vec" => '\u{20d7}',
                "hat" => '\u{302}',
                "bar" => '\u{305}',
                "tilde" => '\u{303}',
                "dot" => '\u{307}',
                _ => '\u{308}',
            });
            Some(rest)
        }
        "hspace" | "vspace" | "color" => Some(argument(rest)?.1),
        _ => {
            if let Some(symbol) = symbol(name) {
                out.push_str(symbol);
            }
            // Arguments of unknown commands are text.
            Some(rest)
        }
    }
}

/// First argument: a group or one character.
fn argument(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('{') {
        let end = closing_brace(inner)?;
        return Some((&inner[..end], &inner[end + 1..]));
    }
    let end = match text.strip_prefix('\\') {
        Some(command) => {
            let letters = command.bytes().take_while(u8::is_ascii_alphabetic).count();
            1 + letters.max(command.chars().next().map_or(0, char::len_utf8))
        }
        None => text.chars().next()?.len_utf8(),
    };
    Some(text.split_at(end))
}

/// A letter in bold, or with doubled strokes.
fn styled(c: char, is_doubled: bool) -> char {
    let from = |base: u32, first: char| char::from_u32(base + (c as u32 - first as u32)).unwrap_or(c);
    match c {
        'R' if is_doubled => 'ℝ',
        'Z' if is_doubled => 'ℤ',
        'N' if is_doubled => 'ℕ',
        'Q' if is_doubled => 'ℚ',
        'C' if is_doubled => 'ℂ',
        'A'..='Z' => from(if is_doubled { 0x1d538 } else { 0x1d400 }, 'A'),
        'a'..='z' => from(if is_doubled { 0x1d552 } else { 0x1d41a }, 'a'),
        other => other,
    }
}

/// Text of a command without arguments.
fn symbol(name: &str) -> Option<&'static str> {
    const SYMBOLS: [(&str, &str); 108] = [
        ("alpha", "α"),
        ("beta", "β"),
        ("gamma", "γ"),
        ("delta", "δ"),
        ("epsilon", "ϵ"),
        ("varepsilon", "ε"),
        ("zeta", "ζ"),
        ("eta", "η"),
        ("theta", "θ"),
        ("iota", "ι"),
        ("kappa", "κ"),
        ("lambda", "λ"),
        ("mu", "μ"),
        ("nu", "ν"),
        ("xi", "ξ"),
        ("pi", "π"),
        ("rho", "ρ"),
        ("sigma", "σ"),
        ("tau", "τ"),
        ("upsilon", "υ"),
        ("phi", "ϕ"),
        ("varphi", "φ"),
        ("chi", "χ"),
        ("psi", "ψ"),
        ("omega", "ω"),
        ("Gamma", "Γ"),
        ("Delta", "Δ"),
        ("Theta", "Θ"),
        ("Lambda", "Λ"),
        ("Xi", "Ξ"),
        ("Pi", "Π"),
        ("Sigma", "Σ"),
        ("Phi", "Φ"),
        ("Psi", "Ψ"),
        ("Omega", "Ω"),
        ("ell", "ℓ"),
        ("infty", "∞"),
        ("cdot", "·"),
        ("times", "×"),
        ("div", "÷"),
        ("pm", "±"),
        ("mp", "∓"),
        ("ast", "∗"),
        ("star", "⋆"),
        ("le", "≤"),
        ("leq", "≤"),
        ("ge", "≥"),
        ("geq", "≥"),
        ("ne", "≠"),
        ("neq", "≠"),
        ("lt", "<"),
        ("gt", ">"),
        ("approx", "≈"),
        ("equiv", "≡"),
        ("sim", "∼"),
        ("cong", "≅"),
        ("in", "∈"),
        ("notin", "∉"),
        ("subset", "⊂"),
        ("subseteq", "⊆"),
        ("cup", "∪"),
        ("cap", "∩"),
        ("setminus", "∖"),
        ("emptyset", "∅"),
        ("varnothing", "∅"),
        ("to", "→"),
        ("rightarrow", "→"),
        ("Rightarrow", "⇒"),
        ("ldots", "…"),
        ("dots", "…"),
        ("cdots", "⋯"),
        ("angle", "∠"),
        ("triangle", "△"),
        ("circ", "∘"),
        ("prime", "'"),
        ("mid", "|"),
        ("parallel", "∥"),
        ("perp", "⊥"),
        ("lfloor", "⌊"),
        ("rfloor", "⌋"),
        ("lceil", "⌈"),
        ("rceil", "⌉"),
        ("langle", "⟨"),
        ("rangle", "⟩"),
        ("int", "∫"),
        ("sum", "∑"),
        ("prod", "∏"),
        ("partial", "∂"),
        ("nabla", "∇"),
        ("forall", "∀"),
        ("exists", "∃"),
        ("quad", " "),
        ("qquad", "  "),
        ("lbrace", "{"),
        ("rbrace", "}"),
        ("sin", "sin"),
        ("cos", "cos"),
        ("tan", "tan"),
        ("cot", "cot"),
        ("sec", "sec"),
        ("csc", "csc"),
        ("arcsin", "arcsin"),
        ("arccos", "arccos"),
        ("arctan", "arctan"),
        ("ln", "ln"),
        ("log", "log"),
        ("exp", "exp"),
        ("max", "max"),
    ];
    match name {
        "min" => Some("min"),
        "lim" => Some("lim"),
        "gcd" => Some("gcd"),
        "lcm" => Some("lcm"),
        "det" => Some("det"),
        "sinh" => Some("sinh"),
        "cosh" => Some("cosh"),
        "tanh" => Some("tanh"),
        _ => SYMBOLS.iter().find(|(command, _)| *command == name).map(|(_, symbol)| *symbol),
    }
}
