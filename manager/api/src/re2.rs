//! Regular expressions as Istio and the Gateway API have them (RE2), for the `regex` crate.
//!
//! Both take time linear in the text, but they differ in what they take: what RE2 refuses is
//! refused here, and what only means something else there is written so that it means the same.

use std::fmt;

/// The longest expression Istio takes, in bytes.
const MOST_BYTES: usize = 1024;
/// The most repetitions RE2 takes.
const MOST_REPETITIONS: u32 = 1000;
/// Memory a compiled expression may take, in bytes.
const MOST_MEMORY: usize = 4 << 20;

/// Why an expression is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is longer than 1024 bytes.
    TooLong,
    /// It has no text.
    Empty,
    /// RE2 does not know this.
    Syntax(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "regex is too large, max length allowed is {MOST_BYTES}"),
            Self::Empty => f.write_str("regex string match should not be empty"),
            Self::Syntax(why) => write!(
                f,
                "error parsing regexp: {why}; Istio uses RE2 style regex-based match \
                 (https://github.com/google/re2/wiki/Syntax)"
            ),
        }
    }
}

impl std::error::Error for Fault {}

/// The same expression for the `regex` crate, not anchored.
pub fn translate(pattern: &str) -> Result<String, Fault> {
    if pattern.is_empty() {
        return Err(Fault::Empty);
    }
    if pattern.len() > MOST_BYTES {
        return Err(Fault::TooLong);
    }
    let translated = rewrite(pattern)?;
    let built = regex::RegexBuilder::new(&translated)
        .size_limit(MOST_MEMORY)
        .build();
    match built {
        Ok(_) => Ok(translated),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(Fault::Syntax("expression nests repetitions too far".into()))
        }
        Err(error) => Err(Fault::Syntax(last_line(&error.to_string()))),
    }
}

/// The `regex` crate draws where the fault is over several lines; the last one says what it is.
fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or(error);
    line.trim_start_matches("error: ").to_owned()
}

fn rewrite(pattern: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut repeats = Repeats::No;
    while let Some(next) = rest.chars().next() {
        let before = out.len();
        let taken = match next {
            '\\' => escape(rest, &mut out)?,
            '[' => class(rest, &mut out)?,
            '(' => group(rest, &mut out)?,
            '{' => repetition(rest, &mut out)?,
            // Nothing opened it: RE2 takes it as it stands.
            '}' => literal("\\}", &mut out),
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        repeats = repeats.then(&rest[..taken], &out[before..])?;
        rest = &rest[taken..];
    }
    Ok(out)
}

/// Whether something was just repeated, which RE2 does not do twice.
#[derive(Clone, Copy, PartialEq)]
enum Repeats {
    No,
    Once,
    Lazily,
}

impl Repeats {
    fn then(self, token: &str, written: &str) -> Result<Self, Fault> {
        let is_counted = token.starts_with('{') && written.starts_with('{');
        match (self, token) {
            (Self::Once, "?") => Ok(Self::Lazily),
            (Self::No, "*" | "+" | "?") => Ok(Self::Once),
            (Self::No, _) if is_counted => Ok(Self::Once),
            (_, "*" | "+" | "?") => Err(nested(token)),
            _ if is_counted => Err(nested(token)),
            _ => Ok(Self::No),
        }
    }
}

fn nested(token: &str) -> Fault {
    Fault::Syntax(format!("invalid nested repetition operator: `{token}`"))
}

fn literal(text: &str, out: &mut String) -> usize {
    out.push_str(text);
    1
}

/// An escape, outside or inside a class. Bytes taken.
fn escape(rest: &str, out: &mut String) -> Result<usize, Fault> {
    let Some(next) = rest.chars().nth(1) else {
        return Err(Fault::Syntax(
            "trailing backslash at end of expression".into(),
        ));
    };
    match next {
        'Q' => {
            let quoted = &rest[2..];
            let end = quoted.find("\\E").unwrap_or(quoted.len());
            out.push_str(&regex::escape(&quoted[..end]));
            Ok((2 + end + 2).min(rest.len()))
        }
        '0' => Ok(octal(rest, out)),
        'A' | 'B' | 'D' | 'P' | 'S' | 'W' | 'a' | 'b' | 'd' | 'f' | 'n' | 'p' | 'r' | 's' | 't'
        | 'v' | 'w' | 'x' | 'z' => {
            // RE2's classes of this kind are ASCII; the crate's are not unless told.
            let ascii = match next {
                'd' | 's' | 'w' | 'D' | 'S' | 'W' => ascii_class(next),
                _ => &rest[..2],
            };
            out.push_str(ascii);
            if matches!(next, 'b' | 'B') && rest[2..].starts_with('{') {
                return Err(Fault::Syntax(
                    "missing argument to repetition operator".into(),
                ));
            }
            Ok(2)
        }
        other if other.is_ascii_punctuation() => {
            // `\<` and `\>` are words' edges in the crate; in RE2 they are refused as escapes of
            // nothing only when they are letters, so they stand for themselves.
            match other {
                '<' | '>' => out.push(other),
                _ => out.extend(['\\', other]),
            }
            Ok(2)
        }
        other => Err(Fault::Syntax(format!(
            "invalid escape sequence: `\\{other}`"
        ))),
    }
}

fn ascii_class(letter: char) -> &'static str {
    match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        _ => "[^0-9A-Za-z_]",
    }
}

/// `\0` with up to two more octal digits.
fn octal(rest: &str, out: &mut String) -> usize {
    let digits = rest[1..].bytes().take(3);
    let digits = digits.take_while(|b| (b'0'..=b'7').contains(b)).count();
    let value = u32::from_str_radix(&rest[1..=digits], 8).unwrap_or(0);
    out.push_str(&format!("\\x{{{value:x}}}"));
    1 + digits
}

/// A class in brackets, whose inner brackets and doubled signs mean themselves in RE2. Bytes taken.
fn class(rest: &str, out: &mut String) -> Result<usize, Fault> {
    out.push('[');
    let mut at = 1;
    if rest[at..].starts_with('^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    while let Some(next) = rest[at..].chars().next() {
        at += match next {
            ']' if at > first => {
                out.push(']');
                return Ok(at + 1);
            }
            ']' => literal("\\]", out),
            '[' if rest[at..].starts_with("[:") && rest[at..].contains(":]") => {
                let end = rest[at..].find(":]").unwrap_or(0) + 2;
                out.push_str(&rest[at..at + end]);
                end
            }
            '[' => literal("\\[", out),
            '&' => literal("\\&", out),
            '~' => literal("\\~", out),
            '-' if rest[at + 1..].starts_with('-') => literal("\\-", out),
            '\\' => escape(&rest[at..], out)?,
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
    }
    Err(Fault::Syntax("missing closing ]".into()))
}

/// The beginning of a group. Bytes taken.
fn group(rest: &str, out: &mut String) -> Result<usize, Fault> {
    let Some(flags) = rest.strip_prefix("(?") else {
        out.push('(');
        return Ok(1);
    };
    if flags.starts_with("P<") || flags.starts_with('<') {
        let is_look = flags.starts_with("<=") || flags.starts_with("<!");
        if !is_look {
            out.push_str("(?");
            return Ok(2);
        }
    }
    let end = flags.find([':', ')']).unwrap_or(flags.len());
    let is_known = flags[..end]
        .bytes()
        .all(|b| matches!(b, b'i' | b'm' | b's' | b'U' | b'-'));
    if !is_known || end == flags.len() {
        let shown: String = rest.chars().take(4).collect();
        return Err(Fault::Syntax(format!(
            "invalid or unsupported Perl syntax: `{shown}`"
        )));
    }
    out.push_str("(?");
    Ok(2)
}

/// `{`, which counts only in front of numbers. Bytes taken.
fn repetition(rest: &str, out: &mut String) -> Result<usize, Fault> {
    let Some(end) = rest.find('}') else {
        return Ok(literal("\\{", out));
    };
    let inside = &rest[1..end];
    let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(least) || !(most.is_empty() || is_number(most)) {
        return Ok(literal("\\{", out));
    }
    let fits =
        |text: &str| text.is_empty() || text.parse().is_ok_and(|n: u32| n <= MOST_REPETITIONS);
    if !fits(least) || !fits(most) {
        return Err(Fault::Syntax(format!(
            "invalid repeat count: `{{{inside}}}`"
        )));
    }
    out.push_str(&rest[..=end]);
    Ok(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let pattern = translate(pattern).expect(pattern);
        regex::Regex::new(&format!("^(?:{pattern})$"))
            .expect("it was built before")
            .is_match(text)
    }

    #[test]
    fn what_re2_takes_means_the_same() {
        for (pattern, yes, no) in [
            (
                r"^(.*?;)?(user=jason)(;.*)?$",
                "a;user=jason;b",
                "user=jasonx",
            ),
            (r"\d+", "123", "٣"),
            (r"\w\s\S", "a b", "é b"),
            (r"[[a]+", "[a", "b"),
            (r"[a&&b]+", "a&b", "c"),
            (r"[]a]+", "]a", "b"),
            (r"[^\d]", "x", "1"),
            (r"\Qa.b\E", "a.b", "axb"),
            (r"a{,2}", "a{,2}", "aa"),
            (r"a{2}", "aa", "a"),
            (r"(?i)abc", "ABC", "abd"),
            (r"(?P<name>a)", "a", "b"),
            (r"[[:alpha:]]+", "ab", "1"),
            (r"/api/v[0-9]+(/.*)?", "/api/v1/x", "/api/vx"),
            (r"a\<b", "a<b", "ab"),
            (r"[+--]", "-", "a"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for bad in [
            "(", "[", "*a", "(?=a)", "(?!a)", "(?<=a)", r"\1", r"(a)\1", "a{1001}", "(?x)a",
            r"\u0041", r"\Z", r"\k<a>", "(?>a)", r"\", "a**", "[z-a]", "(a",
        ] {
            let fault = translate(bad).expect_err(bad);
            assert!(matches!(fault, Fault::Syntax(_)), "{bad}: {fault}");
            assert!(
                fault
                    .to_string()
                    .contains("Istio uses RE2 style regex-based match")
            );
        }
        assert_eq!(translate(""), Err(Fault::Empty));
        assert_eq!(translate(&"a".repeat(1025)), Err(Fault::TooLong));
        assert!(translate(&"a".repeat(1024)).is_ok());
    }
}
