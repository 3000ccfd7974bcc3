//! Parser of formulas: from tokens to an expression.
//!
//! Recursive descent over tokens, a function per level of precedence; the atoms are in `atom.rs`.
//! Depth and length are bounded, so any text is read in linear time and no stack overflows.

use super::build::{
    MINUS_PLUS, PLUS_MINUS, both_signs, mixed, one_or, only_symbols, operand, primed, quotient, set_of,
};
use super::expr::{Expr, Function, Number, Relation};
use super::names::{GREEK, accent};
use super::token::{Place, Syntax, Token, tokens};
use super::{Fuel, Unreadable, exact};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Pow;

/// Maximum nesting of an expression.
pub(crate) const MAX_DEPTH: usize = 48;
/// Maximum length of a text that is read as a formula, bytes.
pub const MAX_LENGTH: usize = 4096;
/// Maximum number of digits, and maximum power of ten, of a number.
const MAX_DIGITS: usize = 2000;

/// Parses a text: an expression, or a set of expressions where the text lists several.
///
/// # Errors
/// If the text is too long, nested too deeply or no formula, or the fuel is used up.
pub fn parse(text: &str, syntax: Syntax, fuel: &mut Fuel) -> Result<Expr, Unreadable> {
    if text.len() > MAX_LENGTH {
        return Err(Unreadable::TooLong);
    }
    if let Some(value) = separated(text) {
        return Ok(Expr::Number(value));
    }
    let tokens = tokens(text, syntax)?;
    fuel.burn(20 * tokens.len())?;
    for (_, token) in &tokens {
        if let Token::Number(digits) = token {
            // Digits behind the point are searched for common factors.
            fuel.burn(exact::cost_of_bits(4 * digits.len()))?;
        }
    }
    let mut parser = Parser {
        tokens,
        position: 0,
        depth: 0,
        bars: 0,
        integrals: 0,
        differential: None,
        end: text.len(),
        fuel: *fuel,
    };
    let elements = parser.elements(&|_| false);
    *fuel = parser.fuel;
    let elements = elements?;
    match parser.peek() {
        None => Ok(elements),
        Some(_) => Err(parser.expected("an operator or the end")),
    }
}

/// Parses a number with separated thousands, if the text has nothing else: `-1,234,567.8`.
fn separated(text: &str) -> Option<Number> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut n_groups = 0;
    let fits = (1..=3).contains(&first.len())
        && is_digits(first)
        && is_digits(places)
        && groups.all(|group| {
            n_groups += 1;
            group.len() == 3 && is_digits(group)
        });
    let number = number(&digits.replace(',', "")).filter(|_| fits && n_groups > 0)?;
    Some(Number { value: number.value * BigInt::from(sign), ..number })
}

/// Value of a number token.
pub(super) fn number(text: &str) -> Option<Number> {
    let text: String =
        text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')).collect();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (&*text, 0),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let shift = exponent.checked_sub(places.len() as i64)?;
    if whole.len() + places.len() > MAX_DIGITS || shift.unsigned_abs() > MAX_DIGITS as u64 {
        return None;
    }
    let mantissa: BigInt =
        if whole.is_empty() && places.is_empty() { return None } else { format!("{whole}{places}").parse().ok()? };
    let power = BigInt::from(10).pow(shift.unsigned_abs() as u32);
    let value = if shift < 0 { BigRational::new(mantissa, power) } else { BigRational::from_integer(mantissa * power) };
    Some(Number { value, is_decimal: digits.contains('.') && exponent == 0 })
}

/// Parser over tokens.
pub(super) struct Parser<'a> {
    tokens: Vec<(Place, Token<'a>)>,
    pub(super) position: usize,
    depth: usize,
    /// Number of open bars of absolute values: another bar closes the last.
    pub(super) bars: usize,
    /// Number of integrals whose differential is still to come.
    pub(super) integrals: usize,
    pub(super) differential: Option<String>,
    /// Length of the text, bytes.
    end: Place,
    pub(super) fuel: Fuel,
}

pub(super) type Parsed = Result<Expr, Unreadable>;

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.position + ahead).map(|(_, token)| *token)
    }

    pub(super) fn token(&self, position: usize) -> Option<Token<'a>> {
        self.tokens.get(position).map(|(_, token)| *token)
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.position += usize::from(token.is_some());
        token
    }

    /// Takes the next token if it is `wanted`.
    pub(super) fn take(&mut self, wanted: Token<'_>) -> bool {
        let found = self.peek() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    pub(super) fn take_sign(&mut self, sign: char) -> bool {
        self.take(Token::Sign(sign))
    }

    pub(super) fn take_command(&mut self, names: &[&str]) -> bool {
        let found = matches!(self.peek(), Some(Token::Command(name)) if names.contains(&name));
        self.position += usize::from(found);
        found
    }

    pub(super) fn need(&mut self, sign: char, expected: &'static str) -> Result<(), Unreadable> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.expected(expected)) }
    }

    pub(super) fn expected(&self, expected: &'static str) -> Unreadable {
        let at = self.tokens.get(self.position).map_or(self.end, |(at, _)| *at);
        Unreadable::Syntax { at, expected }
    }

    /// Parses one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        if self.depth >= MAX_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Parses inside brackets, where bars and differentials of the outside do not count.
    pub(super) fn bracketed<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        let bars = std::mem::take(&mut self.bars);
        let result = self.nested(inner);
        self.bars = bars;
        result
    }

    /// Parses a list, up to a token for which `stop` holds, as a set; a single element is returned
    /// as it is.
    pub(super) fn elements(&mut self, stop: &dyn Fn(Token<'_>) -> bool) -> Parsed {
        let rows = self.rows(stop)?;
        Ok(set_of(rows))
    }

    /// Parses elements between commas, in rows between semicolons.
    pub(super) fn rows(&mut self, stop: &dyn Fn(Token<'_>) -> bool) -> Result<Vec<Vec<Expr>>, Unreadable> {
        let mut rows = vec![Vec::new()];
        let mut is_joined = false;
        loop {
            if self.peek().is_none_or(stop) {
                if is_joined {
                    return Err(self.expected("what is joined"));
                }
                break;
            }
            let element = self.relation()?;
            let row = match rows.last_mut() {
                Some(row) => row,
                None => return Err(self.expected("an element")),
            };
            row.extend(both_signs(element));
            let comma = self.take_sign(',');
            is_joined = self.take_conjunction();
            if self.take_sign(';') {
                rows.push(Vec::new());
            } else if !comma && !is_joined {
                break;
            }
            // Ellipses and trailing commas: "1, 2, …, and 9".
            while self.take_command(&["ldots", "dots", "cdots", "dotsc"]) || self.take_sign(',') {}
            is_joined |= self.take_conjunction();
        }
        rows.retain(|row| !row.is_empty());
        Ok(rows)
    }

    /// Takes a conjunction: *and* or *or*.
    fn take_conjunction(&mut self) -> bool {
        self.take_command(&["and", "or", "land", "lor"])
    }

    pub(super) fn relation(&mut self) -> Parsed {
        let mut terms = vec![self.set_expression()?];
        let mut relations = Vec::new();
        while let Some(relation) = self.relation_sign() {
            match relation {
                Sign::Relation(relation) => {
                    // "k ∈ 1, 2, 3" and "x = 1, 2" apply to all of the numbers.
                    terms.push(self.set_expression()?);
                    relations.push(relation);
                    if let [Expr::Call(..), Expr::Tuple(_) | Expr::Set(_) | Expr::Interval(_)] = terms[..] {
                        return Err(self.expected("a value of the function"));
                    }
                }
                Sign::Approximately => {
                    let right = self.set_expression()?;
                    let left = terms.last_mut();
                    if let Some(left) = left
                        && only_symbols(left)
                        && (right.is_scalar() || !matches!(left, Expr::Call(..)))
                    {
                        *left = right;
                    }
                }
            }
        }
        Ok(match terms.pop() {
            Some(only) if terms.is_empty() => only,
            Some(last) => {
                terms.push(last);
                Expr::Relation(terms, relations)
            }
            None => return Err(self.expected("a term")),
        })
    }

    fn relation_sign(&mut self) -> Option<Sign> {
        let (relation, n) = match (self.peek()?, self.peek_at(1)) {
            (Token::Sign('<'), Some(Token::Sign('='))) => (Relation::LessEqual, 2),
            (Token::Sign('>'), Some(Token::Sign('='))) => (Relation::GreaterEqual, 2),
            (Token::Sign('!'), Some(Token::Sign('='))) => (Relation::Unequal, 2),
            (Token::Sign('='), Some(Token::Sign('='))) => (Relation::Equal, 2),
            (Token::Sign(':'), Some(Token::Sign('='))) => (Relation::Equal, 2),
            (Token::Sign('='), _) => (Relation::Equal, 1),
            (Token::Sign('<'), _) => (Relation::Less, 1),
            (Token::Sign('>'), _) => (Relation::Greater, 1),
            (Token::Command(name), _) => match name {
                "le" | "leq" | "leqslant" => (Relation::LessEqual, 1),
                "ge" | "geq" | "geqslant" => (Relation::GreaterEqual, 1),
                "lt" => (Relation::Less, 1),
                "gt" => (Relation::Greater, 1),
                "ne" | "neq" => (Relation::Unequal, 1),
                "in" | "equiv" => (Relation::Equal, 1),
                "notin" => (Relation::Unequal, 1),
                "subset" | "subseteq" => (Relation::Subset, 1),
                "approx" => {
                    self.position += 1;
                    return Some(Sign::Approximately);
                }
                _ => return None,
            },
            _ => return None,
        };
        self.position += n;
        Some(Sign::Relation(relation))
    }

    /// Parses unions, intersections and differences, from left to right.
    fn set_expression(&mut self) -> Parsed {
        let start = self.position;
        let mut left = self.sum()?;
        loop {
            left = if self.take_command(&["cup"]) {
                Expr::Union(vec![self.set_operand(start, left)?, self.next_set()?])
            } else if self.take_command(&["cap"]) {
                Expr::Intersection(vec![self.set_operand(start, left)?, self.next_set()?])
            } else if self.take_command(&["setminus", "backslash"]) {
                Expr::Difference(Box::new(self.set_operand(start, left)?), Box::new(self.next_set()?))
            } else {
                return Ok(left);
            };
            // Chains make the tree deeper.
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(Unreadable::TooDeep);
            }
        }
    }

    /// Parses the set after the sign of a union, an intersection or a difference.
    fn next_set(&mut self) -> Parsed {
        let start = self.position;
        self.sum().and_then(|set| self.set_operand(start, set))
    }

    /// Operand of a union whose first token is at `start`: a set, a name that may stand for one, or
    /// a number in braces.
    fn set_operand(&self, start: usize, expr: Expr) -> Parsed {
        let is_one = matches!(expr, Expr::Symbol(_)) || self.token(start) == Some(Token::Sign('{'));
        match expr.is_scalar() {
            true if is_one => Ok(Expr::Set(vec![expr])),
            true => Err(self.expected("a set")),
            false => Ok(expr),
        }
    }

    pub(super) fn sum(&mut self) -> Parsed {
        self.nested(|parser| {
            let mut terms = vec![parser.product(true)?];
            while !parser.integral_is_over() {
                let sign: fn(Expr) -> Expr = match parser.peek() {
                    Some(Token::Sign('+')) => |term| term,
                    Some(Token::Sign('-')) => Expr::negated,
                    Some(Token::Command("pm")) => |term| Expr::call(Function::Named(PLUS_MINUS.into()), term),
                    Some(Token::Command("mp")) => |term| Expr::call(Function::Named(MINUS_PLUS.into()), term),
                    _ => break,
                };
                parser.position += 1;
                terms.push(parser.product(true).and_then(|term| parser.operand(term)).map(sign)?);
            }
            parser.operands(terms, Expr::Sum)
        })
    }

    /// Term or factor beside others; the braces of a set of one group.
    pub(super) fn operand(&self, expr: Expr) -> Parsed {
        operand(expr).map_err(|_| self.expected("a term that is no set"))
    }

    /// Returns the only operand, or combines several by `together`.
    fn operands(&self, items: Vec<Expr>, together: fn(Vec<Expr>) -> Expr) -> Parsed {
        if items.len() < 2 {
            return Ok(one_or(items, together));
        }
        items.into_iter().map(|item| self.operand(item)).collect::<Result<_, _>>().map(together)
    }

    fn integral_is_over(&self) -> bool {
        self.integrals > 0 && self.differential.is_some()
    }

    /// Parses factors; with `with_functions` off, those before the next function, as the argument
    /// of a function without brackets.
    pub(super) fn product(&mut self, with_functions: bool) -> Parsed {
        let mut factors = vec![self.signed()?];
        let mut n_remainders = 0;
        loop {
            if self.integral_is_over() {
                break;
            }
            let Some(token) = self.peek() else { break };
            match token {
                Token::Sign('*') | Token::Command("cdot" | "times" | "ast" | "star") => {
                    self.position += 1;
                    factors.push(self.signed()?);
                }
                Token::Sign('/' | ':') | Token::Command("div") => {
                    self.position += 1;
                    let below = self.signed().and_then(|below| self.operand(below))?;
                    match factors.pop() {
                        // A fraction of numbers is a number.
                        Some(above) if factors.is_empty() => {
                            factors = factors_of(quotient(self.operand(above)?, below));
                        }
                        above => factors.extend(above.into_iter().chain([below.inverse()])),
                    }
                }
                Token::Command("mod" | "bmod") => {
                    self.position += 1;
                    n_remainders += 1;
                    if n_remainders > MAX_DEPTH / 4 {
                        return Err(Unreadable::TooDeep);
                    }
                    let below = self.signed().and_then(|below| self.operand(below))?;
                    let above = self.operands(factors, Expr::Product).and_then(|above| self.operand(above))?;
                    factors = vec![Expr::Call(Function::Mod, vec![above, below])];
                }
                _ if self.begins_factor(token, with_functions) => {
                    let had_differential = self.differential.is_some();
                    let factor = self.power()?;
                    let is_differential = self.integrals > 0 && self.differential.is_some() && !had_differential;
                    let mixed = match (factors.last(), &factor) {
                        (Some(Expr::Number(whole)), Expr::Number(part)) if !is_differential => mixed(whole, part),
                        _ => None,
                    };
                    match mixed {
                        Some(number) => {
                            factors.pop();
                            factors.push(Expr::Number(number));
                        }
                        None => factors.push(factor),
                    }
                }
                _ => break,
            }
        }
        let is_tuple = |factor: &Expr| matches!(factor, Expr::Tuple(_) | Expr::Interval(_));
        if factors.windows(2).any(|pair| pair.iter().all(is_tuple)) {
            return Err(self.expected("a factor that is no tuple"));
        }
        self.operands(factors, Expr::Product)
    }

    pub(super) fn begins_factor(&self, token: Token<'_>, with_functions: bool) -> bool {
        match token {
            Token::Number(_) | Token::Letter(_) | Token::Text(_) | Token::OpenSet | Token::Begin(_) => true,
            Token::Sign('(' | '[' | '{') => true,
            Token::Sign('|') | Token::Command("vert" | "mid" | "Vert") => self.bars == 0,
            Token::Command(name) => match name {
                "frac" | "dfrac" | "tfrac" | "cfrac" | "sqrt" | "binom" | "dbinom" | "tbinom" | "pi" | "infty"
                | "oo" | "emptyset" | "varnothing" | "mathbb" | "Bbb" | "operatorname" | "boxed" | "fbox" | "lvert"
                | "lVert" | "lfloor" | "lceil" | "llcorner" | "ulcorner" | "lbrace" | "lbrack" | "langle" | "imath"
                | "angle" | "triangle" | "variable" | "partial" => true,
                "int" | "sum" | "prod" | "lim" => with_functions,
                name if GREEK.contains(name) || accent(name).is_some() => true,
                name => with_functions && Function::by_name(name).is_some(),
            },
            _ => false,
        }
    }

    fn signed(&mut self) -> Parsed {
        let mut is_negative = false;
        let start = self.position;
        loop {
            if self.take_sign('-') {
                is_negative = !is_negative;
            } else if self.take_command(&["pm"]) {
                let inner = self.nested(Self::signed)?;
                return Ok(Expr::call(Function::Named(PLUS_MINUS.into()), self.operand(inner)?));
            } else if self.take_command(&["mp"]) {
                let inner = self.nested(Self::signed)?;
                return Ok(Expr::call(Function::Named(MINUS_PLUS.into()), self.operand(inner)?));
            } else if !self.take_sign('+') {
                break;
            }
        }
        let has_sign = self.position > start;
        let factor = self.power()?;
        let factor = if has_sign { self.operand(factor)? } else { factor };
        if has_sign && matches!(factor, Expr::Tuple(_) | Expr::Interval(_)) {
            return Err(self.expected("a term that has a sign"));
        }
        Ok(if is_negative { factor.negated() } else { factor })
    }

    pub(super) fn power(&mut self) -> Parsed {
        self.nested(|parser| {
            let base = parser.atom()?;
            parser.postfix(base)
        })
    }

    /// Parses exponents, factorials, percent signs, degrees and primes after an atom.
    fn postfix(&mut self, mut base: Expr) -> Parsed {
        for _ in 0..MAX_DEPTH / 4 {
            base = match self.peek() {
                Some(Token::Sign('^')) => {
                    self.position += 1;
                    if base.is_scalar() && self.take_degree() {
                        base
                    } else {
                        let exponent = self.nested(Self::exponent)?;
                        base = self.operand(base)?;
                        match (&base, &exponent) {
                            (_, Expr::Symbol(name)) if name == "'" => primed(base),
                            (Expr::Matrix(_) | Expr::Symbol(_), Expr::Symbol(name))
                                if name == "⊤" || (name == "t" && matches!(base, Expr::Matrix(_))) =>
                            {
                                Expr::call(Function::Transpose, base)
                            }
                            _ => base.raised(exponent),
                        }
                    }
                }
                Some(Token::Sign('!')) if self.peek_at(1) != Some(Token::Sign('=')) => {
                    self.position += 1;
                    Expr::call(Function::Factorial, self.operand(base)?)
                }
                Some(Token::Sign('%') | Token::Command("percent")) if has_digits(&base) => {
                    self.position += 1;
                    Expr::Percent(Box::new(base))
                }
                Some(Token::Sign('\'') | Token::Command("prime")) => {
                    self.position += 1;
                    primed(base)
                }
                Some(Token::Command("degree" | "circ")) if base.is_scalar() => {
                    self.position += 1;
                    base
                }
                Some(Token::Sign('_')) => {
                    // The subscript of an operand that is no name: the base of digits, or of a
                    // bracket.
                    self.position += 1;
                    let index = self.subscript()?;
                    Expr::Call(Function::Named(format!("_{index}")), vec![base])
                }
                _ => return Ok(base),
            };
        }
        Err(Unreadable::TooDeep)
    }

    /// Takes a sign of degrees as an exponent, which changes nothing.
    fn take_degree(&mut self) -> bool {
        if self.take_command(&["circ", "degree"]) {
            return true;
        }
        let braced = matches!(
            (self.peek(), self.peek_at(1), self.peek_at(2)),
            (Some(Token::Sign('{')), Some(Token::Command("circ" | "degree")), Some(Token::Sign('}')))
        );
        self.position += if braced { 3 } else { 0 };
        braced
    }

    /// Parses an exponent after `^`: a group, a signed number in plain text, or a single token.
    fn exponent(&mut self) -> Parsed {
        match self.peek() {
            Some(Token::Sign('-' | '+')) => {
                let is_negative = self.next() == Some(Token::Sign('-'));
                let inner = self.nested(Self::exponent)?;
                Ok(if is_negative { inner.negated() } else { inner })
            }
            Some(Token::Command("prime")) => {
                self.position += 1;
                Ok(Expr::symbol("'"))
            }
            Some(Token::Command("top")) => {
                self.position += 1;
                Ok(Expr::symbol("⊤"))
            }
            Some(Token::Sign('\'')) => {
                self.position += 1;
                Ok(Expr::symbol("'"))
            }
            // LaTeX takes one digit, writers mean the whole number.
            Some(Token::Sign('{'))
                if self.peek_at(1) == Some(Token::Command("prime")) && self.peek_at(2) == Some(Token::Sign('}')) =>
            {
                self.position += 3;
                Ok(Expr::symbol("'"))
            }
            _ => self.argument(),
        }
    }

    /// Parses the argument of a command: a group or a single token.
    pub(super) fn argument(&mut self) -> Parsed {
        match self.peek() {
            Some(Token::Sign('{')) => Ok(operand(self.group()?).unwrap_or_else(|set| set)),
            Some(Token::Number(_) | Token::Letter(_) | Token::Command(_) | Token::Text(_) | Token::Sign('(')) => {
                self.nested(Self::atom)
            }
            _ => Err(self.expected("an argument")),
        }
    }

    /// Parses a group in braces.
    pub(super) fn group(&mut self) -> Parsed {
        self.need('{', "an opening brace")?;
        self.bracketed(|parser| {
            let inner = parser.elements(&|token| token == Token::Sign('}'))?;
            parser.need('}', "a closing brace")?;
            Ok(inner)
        })
    }

    /// Parses the two arguments of a fraction: groups, or digits one by one.
    pub(super) fn two_arguments(&mut self) -> Result<(Expr, Expr), Unreadable> {
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() >= 2
            && digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            let digit = |text: &str| number(text).map(Expr::Number);
            self.position += 1;
            let (above, below) = (digit(&digits[..1]), digit(&digits[1..]));
            return above.zip(below).ok_or_else(|| self.expected("a number"));
        }
        Ok((self.argument()?, self.argument()?))
    }
}

enum Sign {
    Relation(Relation),
    Approximately,
}

/// Returns whether an expression is a number that is not written as a fraction.
fn has_digits(expr: &Expr) -> bool {
    matches!(expr, Expr::Number(number) if number.is_decimal || number.value.is_integer())
}

/// Factors of a product, so that long products do not nest.
fn factors_of(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::Product(factors) => factors,
        other => vec![other],
    }
}
