//! Parser of atoms: numbers, names, brackets, commands.

use super::build::quotient;
use super::expr::{Binder, Expr, Function, Interval};
use super::names::{GREEK, accent};
use super::parse::{Parsed, Parser, number};
use super::token::Token;
use super::{Unreadable, exact};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow};

/// Letters that name functions when brackets follow.
const FUNCTION_LETTERS: [&str; 7] = ["f", "g", "h", "F", "G", "H", "P"];

impl<'a> Parser<'a> {
    pub(super) fn atom(&mut self) -> Parsed {
        let start = self.position;
        let Some(token) = self.next() else { return Err(self.expected("a term")) };
        match token {
            Token::Number(text) => self.after_number(text),
            Token::Letter('d') if self.integrals > 0 && self.differential.is_none() && self.at_variable() => {
                let Expr::Symbol(variable) = self.nested(Self::atom)? else { return Err(self.expected("a variable")) };
                self.differential = Some(variable);
                Ok(Expr::integer(1))
            }
            Token::Letter(letter) => self.name(letter.to_string()),
            Token::Text(text) if let Some(number) = number_as_text(text) => Ok(Expr::rational(number)),
            Token::Text(text) => {
                let keep = |c: &char| !c.is_whitespace() && !matches!(c, '(' | ')' | '$' | '{' | '}');
                self.name(text.chars().filter(keep).collect())
            }
            Token::Begin(environment) => self.matrix(environment),
            Token::OpenSet => self.set(false),
            Token::Command("lbrace") => self.set(true),
            Token::Sign('{') => {
                self.position = start;
                match self.group()? {
                    whole @ (Expr::Matrix(_) | Expr::Tuple(_) | Expr::Interval(_)) => Ok(Expr::Set(vec![whole])),
                    inner => Ok(inner),
                }
            }
            Token::Sign('(') | Token::Command("langle") => self.brackets(false),
            Token::Sign('[') | Token::Command("lbrack") => self.brackets(true),
            Token::Sign('|') | Token::Command("vert" | "mid" | "lvert" | "Vert" | "lVert") => self.absolute(),
            Token::Command(name) => self.command(name),
            _ => {
                self.position = start;
                Err(self.expected("a term"))
            }
        }
    }

    /// Parses the rest of a number: the repeating digits under a bar.
    fn after_number(&mut self, text: &str) -> Parsed {
        let Some(value) = number(text) else { return Err(self.expected("a number of fewer digits")) };
        let bar = matches!(self.peek(), Some(Token::Command("overline" | "bar")));
        let repeated = match (self.peek_at(1), self.peek_at(2), self.peek_at(3)) {
            (Some(Token::Sign('{')), Some(Token::Number(digits)), Some(Token::Sign('}'))) => Some((digits, 4)),
            (Some(Token::Number(digits)), ..) if digits.len() == 1 => Some((digits, 2)),
            _ => None,
        };
        if bar
            && let Some((digits, n_tokens)) = repeated
            && let Some((_, places)) = text.split_once('.')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && let Some(period) = number(digits)
        {
            self.position += n_tokens;
            let ten = |exponent: usize| BigInt::from(10).pow(exponent as u32);
            let below = (ten(digits.len()) - BigInt::one()) * ten(places.len());
            return Ok(Expr::rational(value.value + period.value / BigRational::from_integer(below)));
        }
        Ok(Expr::Number(value))
    }

    /// Parses a variable with its subscript, or a function that is named by a letter and applied to
    /// arguments in brackets.
    fn name(&mut self, mut name: String) -> Parsed {
        let mut power = None;
        if self.take_sign('_') {
            let index = self.subscript()?;
            name = format!("{name}_{index}");
        } else if self.peek() == Some(Token::Sign('^')) && !matches!(self.peek_at(1), Some(Token::Command(_))) {
            // `x^2_{ij}` is the square of `x_{ij}`.
            let start = self.position;
            self.position += 1;
            match self.argument() {
                Ok(exponent) if self.take_sign('_') => {
                    let index = self.subscript()?;
                    name = format!("{name}_{index}");
                    power = Some(exponent);
                }
                _ => self.position = start,
            }
        }
        if name.is_empty() {
            return Err(self.expected("a name"));
        }
        let bracket = Some(Token::Sign('('));
        // `f{(x)}` as SymPy writes it.
        let is_braced = self.peek() == Some(Token::Sign('{')) && self.peek_at(1) == bracket;
        let is_function = FUNCTION_LETTERS.contains(&name.as_str()) && (is_braced || self.peek() == bracket);
        let name = if name == "I" { "i".to_owned() } else { name.to_lowercase() };
        let symbol = if is_function {
            self.position += usize::from(is_braced);
            let arguments = self.bracketed_arguments()?;
            if is_braced {
                self.need('}', "a closing brace")?;
            }
            Expr::Call(Function::Named(name), arguments)
        } else {
            Expr::Symbol(name)
        };
        Ok(match power {
            Some(exponent) => symbol.raised(exponent),
            None => symbol,
        })
    }

    /// Parses a subscript, as one word.
    pub(super) fn subscript(&mut self) -> Result<String, Unreadable> {
        let start = self.position;
        if self.peek() == Some(Token::Sign('{')) {
            let mut depth = 0usize;
            while let Some(token) = self.next() {
                match token {
                    Token::Sign('{') => depth += 1,
                    Token::Sign('}') => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Ok(self.spelling(start + 1, self.position - 1));
                }
            }
            return Err(self.expected("a closing brace"));
        }
        match self.next() {
            Some(Token::Number(digits)) => Ok(digits.to_owned()),
            Some(Token::Letter(_) | Token::Command(_) | Token::Text(_)) => Ok(self.spelling(start, self.position)),
            _ => Err(self.expected("a subscript")),
        }
    }

    /// Parses arguments between round brackets.
    fn bracketed_arguments(&mut self) -> Result<Vec<Expr>, Unreadable> {
        self.need('(', "an opening bracket")?;
        self.bracketed(|parser| {
            let rows = parser.rows(&|token| token == Token::Sign(')'))?;
            parser.need(')', "a closing bracket")?;
            Ok(rows.into_iter().flatten().collect())
        })
    }

    /// Parses a set after `\{`, or after `\lbrace`, which also groups.
    fn set(&mut self, may_group: bool) -> Parsed {
        let rows = self.bracketed(|parser| {
            let rows = parser.rows(&|token| matches!(token, Token::CloseSet | Token::Command("rbrace")))?;
            let is_closed = parser.take(Token::CloseSet) || parser.take_command(&["rbrace"]);
            if is_closed { Ok(rows) } else { Err(parser.expected("a closing brace")) }
        })?;
        let mut items: Vec<Expr> = rows.into_iter().flatten().collect();
        if may_group && items.len() == 1 {
            return Ok(items.remove(0));
        }
        Ok(Expr::Set(items))
    }

    /// Parses a group, an interval or a tuple after a round or square bracket.
    fn brackets(&mut self, is_square: bool) -> Parsed {
        let (rows, has_high) = self.bracketed(|parser| {
            let is_end =
                |token: Token<'_>| matches!(token, Token::Sign(')' | ']') | Token::Command("rangle" | "rbrack"));
            let rows = parser.rows(&is_end)?;
            match parser.next() {
                Some(Token::Sign(')') | Token::Command("rangle")) => Ok((rows, false)),
                Some(Token::Sign(']') | Token::Command("rbrack")) => Ok((rows, true)),
                _ => Err(parser.expected("a closing bracket")),
            }
        })?;
        let n_rows = rows.len();
        let fits = is_square == has_high;
        let mut items: Vec<Expr> = rows.into_iter().flatten().collect();
        match items.len() {
            0 => Err(self.expected("something in brackets")),
            1 if fits => Ok(items.remove(0)),
            2 if n_rows == 1 || items.iter().all(Expr::is_scalar) => {
                let (high, low) = (items.remove(1), items.remove(0));
                let is_empty = match (exact::value(&low, &mut self.fuel)?, exact::value(&high, &mut self.fuel)?) {
                    (Some(low), Some(high)) => low > high || (low == high && !(is_square && has_high)),
                    _ => low == Expr::Infinity,
                };
                if !is_empty && low.is_scalar() && high.is_scalar() {
                    return Ok(Expr::Interval(Box::new(Interval { low, high, has_low: is_square, has_high })));
                }
                if fits { Ok(Expr::Tuple(vec![low, high])) } else { Err(self.expected("a bracket that fits")) }
            }
            n if n > 1 && fits => Ok(Expr::Tuple(items)),
            _ => Err(self.expected("a bracket that fits")),
        }
    }

    /// Parses an absolute value after its bar, up to the next one.
    fn absolute(&mut self) -> Parsed {
        let bars = std::mem::replace(&mut self.bars, 1);
        let inner = self.nested(Self::sum);
        self.bars = bars;
        let inner = inner?;
        let is_closed = self.take_sign('|') || self.take_command(&["vert", "mid", "rvert", "Vert", "rVert"]);
        if !is_closed {
            return Err(self.expected("a closing bar"));
        }
        let function = if matches!(inner, Expr::Matrix(_)) { Function::Determinant } else { Function::Abs };
        Ok(Expr::call(function, inner))
    }

    /// Returns whether a variable follows, so that a `d` before it makes a differential.
    fn at_variable(&self) -> bool {
        match self.peek() {
            Some(Token::Letter(_)) => true,
            Some(Token::Command(name)) => GREEK.contains(name),
            _ => false,
        }
    }

    fn command(&mut self, name: &'a str) -> Parsed {
        match name {
            "pi" => Ok(Expr::Pi),
            "infty" | "oo" => Ok(Expr::Infinity),
            "emptyset" | "varnothing" => Ok(Expr::Set(Vec::new())),
            "imath" => Ok(Expr::symbol("i")),
            "frac" | "dfrac" | "tfrac" | "cfrac" => self.fraction(),
            "sqrt" => {
                let degree = if self.take_sign('[') {
                    let degree = self.bracketed(Self::sum)?;
                    self.need(']', "a closing bracket")?;
                    degree
                } else {
                    Expr::integer(2)
                };
                let radicand = self.root_argument()?;
                Ok(radicand.raised(quotient(Expr::integer(1), degree)))
            }
            "binom" | "dbinom" | "tbinom" => {
                let (above, below) = self.two_arguments()?;
                Ok(Expr::Call(Function::Binomial, vec![above, below]))
            }
            "boxed" | "fbox" | "variable" => self.argument(),
            "mathbb" | "Bbb" => {
                let Expr::Symbol(letter) = self.argument()? else { return Err(self.expected("the letter of a set")) };
                Ok(letter
                    .chars()
                    .next()
                    .map_or(Expr::Symbol(letter.clone()), |letter| Expr::NamedSet(letter.to_ascii_uppercase())))
            }
            "lfloor" | "llcorner" => self.rounded(Function::Floor, &["rfloor", "lrcorner"]),
            "lceil" | "ulcorner" => self.rounded(Function::Ceil, &["rceil", "urcorner"]),
            "operatorname" => {
                let name: String = match self.next() {
                    Some(Token::Sign('{')) => {
                        let start = self.position;
                        while !matches!(self.peek(), None | Some(Token::Sign('}'))) {
                            self.position += 1;
                        }
                        let name = self.spelling(start, self.position);
                        self.need('}', "a closing brace")?;
                        name
                    }
                    Some(Token::Text(text)) => text.trim().to_owned(),
                    _ => return Err(self.expected("the name of an operator")),
                };
                self.function(Function::by_name(&name).unwrap_or(Function::Named(name)))
            }
            "int" => self.integral(),
            "sum" => self.series(Binder::Sum),
            "prod" => self.series(Binder::Product),
            "lim" => self.limit(),
            // Signs for a kind of object: "∠A" is read as A.
            "angle" | "triangle" => self.nested(Self::atom),
            "partial" => self.name("∂".into()),
            _ if GREEK.contains(name) => self.name(name.to_owned()),
            _ => {
                if let Some(accent) = accent(name) {
                    let start = self.position;
                    self.argument()?;
                    let letters = self.spelling(start, self.position);
                    return self.name(if accent.is_empty() { letters } else { format!("{accent}({letters})") });
                }
                match Function::by_name(name) {
                    Some(function) => self.function(function),
                    None => {
                        self.position -= 1;
                        Err(self.expected("a known command"))
                    }
                }
            }
        }
    }

    /// Concatenates tokens as one word, without braces and blanks.
    fn spelling(&self, from: usize, to: usize) -> String {
        let mut word = String::new();
        for token in (from..to).filter_map(|position| self.token(position)) {
            match token {
                Token::Sign('{' | '}') => {}
                Token::Sign(sign) => word.push(sign),
                Token::Letter(letter) => word.push(letter),
                Token::Number(text)
                | Token::Command(text)
                | Token::Text(text)
                | Token::Begin(text)
                | Token::End(text) => {
                    word.extend(text.chars().filter(|c| !c.is_whitespace()));
                }
                Token::OpenSet | Token::CloseSet | Token::NewRow => word.push(' '),
            }
        }
        word
    }

    fn rounded(&mut self, function: Function, ends: &[&str]) -> Parsed {
        let inner = self.bracketed(Self::sum)?;
        if self.take_command(ends) { Ok(Expr::call(function, inner)) } else { Err(self.expected("the other bracket")) }
    }

    /// Parses the argument of a root; plain text has it in brackets.
    fn root_argument(&mut self) -> Parsed {
        if self.peek() == Some(Token::Sign('(')) {
            self.position += 1;
            return self.bracketed(|parser| {
                let inner = parser.sum()?;
                parser.need(')', "a closing bracket")?;
                Ok(inner)
            });
        }
        self.argument()
    }

    fn fraction(&mut self) -> Parsed {
        if let Some(derivative) = self.derivative()? {
            return Ok(derivative);
        }
        let (above, below) = self.two_arguments()?;
        Ok(quotient(above, below))
    }

    /// Parses a derivative after its command: `\frac{d}{dx} f` or `\frac{dy}{dx}`.
    fn derivative(&mut self) -> Result<Option<Expr>, Unreadable> {
        let is_d = |token| matches!(token, Some(Token::Letter('d') | Token::Command("partial")));
        if self.peek() != Some(Token::Sign('{')) || !is_d(self.peek_at(1)) {
            return Ok(None);
        }
        let (body, below) = match (self.peek_at(2), self.peek_at(3)) {
            (Some(Token::Sign('}')), _) => (None, 3),
            (Some(Token::Letter(letter)), Some(Token::Sign('}'))) => (Some(letter), 4),
            _ => return Ok(None),
        };
        let shape = (self.peek_at(below), self.peek_at(below + 1), self.peek_at(below + 3));
        let variable = match (shape, self.peek_at(below + 2)) {
            ((Some(Token::Sign('{')), d, Some(Token::Sign('}'))), Some(Token::Letter(letter))) if is_d(d) => {
                letter.to_lowercase().to_string()
            }
            ((Some(Token::Sign('{')), d, Some(Token::Sign('}'))), Some(Token::Command(greek)))
                if is_d(d) && GREEK.contains(greek) =>
            {
                greek.to_lowercase()
            }
            _ => return Ok(None),
        };
        self.position += below + 4;
        let body = match body {
            Some(letter) => Expr::symbol(letter.to_lowercase().to_string()),
            None => self.nested(|parser| parser.product(true))?,
        };
        Ok(Some(Expr::Bound(Binder::Derivative, Box::new(body), variable, Vec::new())))
    }

    /// Parses a function with its exponent, its base and its arguments, in brackets or not.
    fn function(&mut self, function: Function) -> Parsed {
        let (mut exponent, mut base) = (None, None);
        for _ in 0..2 {
            if exponent.is_none() && self.take_sign('^') {
                exponent = Some(self.argument()?);
            } else if base.is_none() && self.take_sign('_') {
                base = Some(self.argument()?);
            }
        }
        let mut arguments = match self.peek() {
            Some(Token::Sign('(')) => self.bracketed_arguments()?,
            Some(Token::Sign('{')) => match self.group()? {
                Expr::Set(items) => items,
                Expr::Interval(interval) => vec![interval.low, interval.high],
                Expr::Tuple(items) => items,
                inner => vec![inner],
            },
            Some(Token::OpenSet)
                if matches!(function, Function::Min | Function::Max | Function::Gcd | Function::Lcm) =>
            {
                match self.nested(Self::atom)? {
                    Expr::Set(items) => items,
                    inner => vec![inner],
                }
            }
            Some(Token::Command(name)) if Function::by_name(name).is_some() => {
                vec![self.nested(Self::power)?]
            }
            Some(_) => {
                vec![self.nested(|parser| parser.product(false)).and_then(|argument| self.operand(argument))?]
            }
            None => return Err(self.expected("an argument")),
        };
        if arguments.is_empty() {
            return Err(self.expected("an argument"));
        }
        arguments.extend(base.filter(|_| function == Function::Log));
        let inverse =
            exponent.as_ref().filter(|exponent| **exponent == Expr::integer(-1)).and_then(|_| function.inverse());
        Ok(match (inverse, exponent) {
            (Some(inverse), _) => Expr::Call(inverse, arguments),
            (None, Some(exponent)) => Expr::Call(function, arguments).raised(exponent),
            (None, None) => Expr::Call(function, arguments),
        })
    }

    fn integral(&mut self) -> Parsed {
        let (low, high) = self.bounds()?;
        let outer = (std::mem::replace(&mut self.integrals, 1), self.differential.take());
        let body = self.nested(Self::sum);
        let variable = std::mem::replace(&mut self.differential, outer.1).unwrap_or_default();
        self.integrals = outer.0;
        let bounds = low.into_iter().chain(high).collect();
        Ok(Expr::Bound(Binder::Integral, Box::new(body?), variable, bounds))
    }

    /// Parses a sum or a product over a variable: `\sum_{k=1}^{n} …`.
    fn series(&mut self, binder: Binder) -> Parsed {
        let (low, high) = self.bounds()?;
        let body = self.nested(|parser| parser.product(true))?;
        let (variable, low) = match low {
            Some(Expr::Relation(mut terms, _)) if terms.len() == 2 => match (terms.remove(0), terms.remove(0)) {
                (Expr::Symbol(variable), low) => (variable, Some(low)),
                _ => return Err(self.expected("a variable that runs")),
            },
            other => (String::new(), other),
        };
        Ok(Expr::Bound(binder, Box::new(body), variable, low.into_iter().chain(high).collect()))
    }

    /// Parses the bounds below and above, in either order; empty braces are none.
    fn bounds(&mut self) -> Result<(Option<Expr>, Option<Expr>), Unreadable> {
        let (mut low, mut high) = (None, None);
        for _ in 0..2 {
            let bound = if self.take_sign('_') {
                &mut low
            } else if self.take_sign('^') {
                &mut high
            } else {
                break;
            };
            // A letter as the upper bound takes no subscript of its own: `\\prod^c_{a=b}`.
            let found = match self.peek() {
                Some(Token::Letter(letter)) => {
                    self.position += 1;
                    Expr::symbol(letter.to_lowercase().to_string())
                }
                _ => self.argument()?,
            };
            *bound = match found {
                Expr::Set(items) if items.is_empty() => None,
                found => Some(found),
            };
        }
        Ok((low, high))
    }

    fn limit(&mut self) -> Parsed {
        self.need('_', "what is approached")?;
        self.need('{', "an opening brace")?;
        let Expr::Symbol(variable) = self.nested(Self::atom)? else { return Err(self.expected("a variable")) };
        if !self.take_command(&["to", "rightarrow"]) {
            return Err(self.expected("an arrow"));
        }
        let target = self.bracketed(Self::sum)?;
        // A limit from one side only.
        let side = if self.take_sign('^') { vec![self.side()?] } else { Vec::new() };
        self.need('}', "a closing brace")?;
        let body = self.nested(|parser| parser.product(true))?;
        Ok(Expr::Bound(Binder::Limit, Box::new(body), variable, [target].into_iter().chain(side).collect()))
    }

    fn side(&mut self) -> Parsed {
        let is_braced = self.take_sign('{');
        let side = if self.take_sign('+') {
            Expr::integer(1)
        } else if self.take_sign('-') {
            Expr::integer(-1)
        } else {
            return Err(self.expected("+ or -"));
        };
        if is_braced {
            self.need('}', "a closing brace")?;
        }
        Ok(side)
    }

    fn matrix(&mut self, environment: &'a str) -> Parsed {
        let is_determinant = environment.starts_with("vmatrix");
        if !environment.trim_end_matches('*').ends_with("matrix") && environment != "array" {
            return Err(self.expected("a matrix"));
        }
        if environment == "array" && self.peek() == Some(Token::Sign('{')) {
            self.subscript()?;
        }
        let mut rows: Vec<Vec<Expr>> = vec![Vec::new()];
        loop {
            match self.peek() {
                Some(Token::End(name)) if name == environment => {
                    self.position += 1;
                    break;
                }
                Some(Token::NewRow) => {
                    self.position += 1;
                    rows.push(Vec::new());
                }
                Some(Token::Sign('&')) => self.position += 1,
                Some(_) => {
                    let cell = self.bracketed(Self::sum)?;
                    if let Some(row) = rows.last_mut() {
                        row.push(cell);
                    }
                }
                None => return Err(self.expected("the end of the matrix")),
            }
        }
        rows.retain(|row| !row.is_empty());
        if rows.is_empty() || rows.iter().any(|row| row.len() != rows[0].len()) {
            return Err(self.expected("rows of one length"));
        }
        let matrix = Expr::Matrix(rows);
        Ok(if is_determinant { Expr::call(Function::Determinant, matrix) } else { matrix })
    }
}

/// Number in a text command, whole or a fraction: `\text{-12}`, `\mathbf{3/4}`.
fn number_as_text(text: &str) -> Option<BigRational> {
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    let whole = |text: &str| text.trim().parse::<i64>().ok().map(BigInt::from);
    let (above, below) = (whole(above)?, whole(below)?);
    (below != BigInt::ZERO).then(|| BigRational::new(above, below))
}
