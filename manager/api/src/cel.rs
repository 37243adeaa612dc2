//! Whether a text is an expression of CEL (the grammar of google/cel-spec). It is not evaluated.

use std::fmt;

/// The deepest nesting that is followed.
const MOST_DEPTH: u32 = 64;

/// Where a text stops being an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// In characters, from 0.
    at: usize,
    what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.what, self.at + 1)
    }
}

/// Reads an expression to its end.
pub(crate) fn check(text: &str) -> Result<(), Fault> {
    let mut reader = Reader { text, at: 0 };
    reader.expression(0)?;
    match reader.next() {
        None => Ok(()),
        Some(_) => Err(reader.fault("an operator is missing")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Operators between two operands, longer ones before their beginnings.
const OPERATORS: &[&str] = &[
    "||", "&&", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%",
];

impl Reader<'_> {
    fn fault(&self, what: &'static str) -> Fault {
        let at = self.text[..self.at].chars().count();
        Fault { at, what }
    }

    /// The next character that is not space or comment.
    fn next(&mut self) -> Option<char> {
        loop {
            let rest = &self.text[self.at..];
            let next = rest.chars().next()?;
            if next.is_ascii_whitespace() {
                self.at += 1;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                return Some(next);
            }
        }
    }

    fn take(&mut self, token: &str) -> bool {
        let is_there = self.next().is_some() && self.text[self.at..].starts_with(token);
        if is_there {
            self.at += token.len();
        }
        is_there
    }

    fn expect(&mut self, token: &'static str, what: &'static str) -> Result<(), Fault> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.fault(what))
        }
    }

    fn expression(&mut self, depth: u32) -> Result<(), Fault> {
        if depth > MOST_DEPTH {
            return Err(self.fault("the nesting is too deep"));
        }
        loop {
            self.unary(depth)?;
            if self.take("?") {
                self.expression(depth + 1)?;
                self.expect(":", "':' is missing")?;
                return self.expression(depth + 1);
            }
            let is_operator = OPERATORS.iter().any(|operator| self.take(operator));
            if !is_operator && !self.take_word("in") {
                return Ok(());
            }
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let before = self.at;
        if self.take(word) && !self.text[self.at..].starts_with(is_word) {
            return true;
        }
        self.at = before;
        false
    }

    fn unary(&mut self, depth: u32) -> Result<(), Fault> {
        while self.take("!") || self.take("-") {}
        self.primary(depth)?;
        loop {
            if self.take(".") {
                self.take("?");
                self.word()?;
                continue;
            }
            if self.take("[") {
                self.take("?");
                self.expression(depth + 1)?;
                self.expect("]", "']' is missing")?;
            } else if self.take("(") {
                self.list(depth, ")", false)?;
            } else if self.take("{") {
                self.list(depth, "}", true)?;
            } else {
                return Ok(());
            }
        }
    }

    fn primary(&mut self, depth: u32) -> Result<(), Fault> {
        let Some(next) = self.next() else {
            return Err(self.fault("an operand is missing"));
        };
        match next {
            '(' => {
                self.at += 1;
                self.expression(depth + 1)?;
                self.expect(")", "')' is missing")
            }
            '[' => {
                self.at += 1;
                self.list(depth, "]", false)
            }
            '{' => {
                self.at += 1;
                self.list(depth, "}", true)
            }
            '"' | '\'' => self.string(false),
            '0'..='9' => self.number(),
            '.' => {
                self.at += 1;
                self.word()
            }
            _ if is_word(next) => {
                let rest = &self.text[self.at..];
                let prefix = rest.bytes().take_while(|b| b"rRbB".contains(b)).count();
                if prefix <= 2 && rest[prefix..].starts_with(['"', '\'']) && prefix > 0 {
                    let is_raw = rest[..prefix].contains(['r', 'R']);
                    self.at += prefix;
                    return self.string(is_raw);
                }
                self.word()
            }
            _ => Err(self.fault("an operand is missing")),
        }
    }

    fn word(&mut self) -> Result<(), Fault> {
        self.next();
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.fault("a name is missing"));
        }
        self.at += length;
        Ok(())
    }

    /// Items, or pairs, up to a closing bracket.
    fn list(&mut self, depth: u32, close: &'static str, has_keys: bool) -> Result<(), Fault> {
        loop {
            if self.take(close) {
                return Ok(());
            }
            self.take("?");
            self.expression(depth + 1)?;
            if has_keys {
                self.expect(":", "':' is missing")?;
                self.expression(depth + 1)?;
            }
            if !self.take(",") {
                return self.expect(close, "a closing bracket is missing");
            }
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        let length = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
            .unwrap_or(rest.len());
        let mut number = &rest[..length];
        if let Some(exponent) = number.strip_suffix(['e', 'E'])
            && rest[length..].starts_with(['+', '-'])
        {
            let digits = rest[length + 1..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            self.at += length + 1 + digits;
            let fits = digits > 0 && exponent.parse::<f64>().is_ok();
            return if fits {
                Ok(())
            } else {
                Err(self.fault("a number is not one"))
            };
        }
        number = number.strip_suffix(['u', 'U']).unwrap_or(number);
        let hex = number
            .strip_prefix("0x")
            .or_else(|| number.strip_prefix("0X"));
        let fits = match hex {
            Some(hex) => u64::from_str_radix(hex, 16).is_ok(),
            None => number.parse::<f64>().is_ok() && !number.ends_with('.'),
        };
        if !fits {
            return Err(self.fault("a number is not one"));
        }
        self.at += length;
        Ok(())
    }

    fn string(&mut self, is_raw: bool) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        let quote = &rest[..1];
        let tripled = quote.repeat(3);
        let is_long = rest.starts_with(&tripled);
        let close = if is_long { tripled.as_str() } else { quote };
        let mut at = close.len();
        while at < rest.len() {
            let here = &rest[at..];
            if here.starts_with(close) {
                self.at += at + close.len();
                return Ok(());
            }
            let Some(next) = here.chars().next() else {
                break;
            };
            if next == '\n' && !is_long {
                break;
            }
            at += next.len_utf8();
            if next == '\\' && !is_raw {
                at += rest[at..].chars().next().map_or(0, char::len_utf8);
            }
        }
        Err(self.fault("a text is not closed"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_told_from_other_texts() {
        for good in [
            "response.code >= 400",
            "response.code == 404 || !has(request.headers['x-a'])",
            "'a' in ['a', \"b\"] ? 1.5e-3 : -0x1Fu",
            "request.headers[\"user-agent\"].startsWith(r'\\d')",
            "x.exists(i, i > 2) && {'a': 1}.a == 1",
            "string(destination.port)",
            "connection.mtls == false",
            "a\n// why\n&& b",
            "duration('1s').getSeconds()",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "response.code >=",
            "a b",
            "(a",
            "a)",
            "a ? b",
            "'a",
            "1.2.3",
            "a..b",
            "&& a",
            "a[",
            "f(a,,b)",
            "{'a'}",
            "=a",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"(".repeat(10_000)).is_err());
    }

    #[test]
    fn places_are_counted_in_characters() {
        let fault = check("'\u{e9}' a").unwrap_err();
        assert_eq!(fault.to_string(), "an operator is missing at character 5");
    }
}
