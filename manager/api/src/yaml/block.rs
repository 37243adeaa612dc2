//! A fast way through the YAML that tools write: block style, ASCII, one line per scalar, no
//! anchors, tags, comments after values or multi-line scalars.
//!
//! It gives up (`None`) at anything else, valid or not, and the general parser decides. Whatever it
//! does accept it reads as the general parser would; a property test holds that.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::scalar;

/// Deeper documents are left to the general parser, which counts properly.
const MAX_DEPTH: usize = 50;

/// Reads a document, or gives up.
pub(super) fn parse(text: &str) -> Option<Value> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    if !text.bytes().all(is_plain) {
        return None;
    }
    let text = text.strip_prefix("---\n").unwrap_or(text);
    let mut lines = Lines {
        rest: text,
        next: None,
    };
    lines.advance();
    let value = lines.block(0, 0)?;
    lines.next.is_none().then_some(value)
}

/// A line that is neither blank nor a comment.
#[derive(Clone, Copy)]
struct Line<'a> {
    indent: usize,
    /// Without the indentation and without trailing spaces; not empty.
    text: &'a str,
}

impl<'a> Line<'a> {
    /// What follows a dash, if the line is an item: how far it is indented after it, and the text.
    fn item(self) -> Option<(usize, &'a str)> {
        let rest = self.text.strip_prefix('-')?;
        let text = rest.trim_start_matches(' ');
        (rest.is_empty() || text.len() < rest.len()).then(|| (1 + rest.len() - text.len(), text))
    }
}

struct Lines<'a> {
    rest: &'a str,
    next: Option<Line<'a>>,
}

impl<'a> Lines<'a> {
    fn advance(&mut self) {
        self.next = None;
        while !self.rest.is_empty() && self.next.is_none() {
            let (row, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            let text = row.trim_start_matches(' ');
            if !text.is_empty() && !text.starts_with('#') {
                let indent = row.len() - text.len();
                self.next = Some(Line {
                    indent,
                    text: text.trim_end_matches(' '),
                });
            }
        }
    }

    /// The node that starts at the next line, which must be indented so.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let line = self
            .next
            .filter(|line| line.indent == indent && depth < MAX_DEPTH)?;
        let value = match line.item() {
            Some(_) => self.sequence(indent, depth),
            None => self.mapping(indent, depth),
        }?;
        // A line further in belongs to nothing here.
        self.next
            .is_none_or(|next| next.indent < indent || next.item().is_some())
            .then_some(value)
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some(line) = self.next.filter(|line| line.indent == indent) {
            let Some((inner, text)) = line.item() else {
                break;
            };
            let item = if text.is_empty() {
                self.advance();
                match self.next {
                    Some(next) if next.indent > indent => self.block(next.indent, depth + 1)?,
                    _ => Value::Null,
                }
            } else if text.starts_with("- ") || text == "-" || split_key(text).is_some() {
                let indent = indent + inner;
                self.next = Some(Line { indent, text });
                self.block(indent, depth + 1)?
            } else {
                self.advance();
                inline(text)?
            };
            items.push(item);
            if self.next.is_some_and(|next| next.indent > indent) {
                return None;
            }
        }
        Some(Value::Array(items))
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut map = Map::new();
        while let Some(line) = self.next.filter(|line| line.indent == indent) {
            let (key, text) = split_key(line.text)?;
            self.advance();
            let value = if !text.is_empty() {
                inline(text)?
            } else {
                match self.next {
                    Some(next) if next.indent > indent => self.block(next.indent, depth + 1)?,
                    // The items of a key may stand as far out as the key.
                    Some(next) if next.indent == indent && next.item().is_some() => {
                        self.sequence(indent, depth + 1)?
                    }
                    _ => Value::Null,
                }
            };
            if map.insert(key.to_owned(), value).is_some()
                || self.next.is_some_and(|next| next.indent > indent)
            {
                return None;
            }
        }
        Some(Value::Object(map))
    }
}

/// `key: rest`, for keys of unremarkable characters.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !is_word(byte))?;
    let (key, rest) = text.split_at(end);
    let rest = rest.strip_prefix(':')?;
    let fits = key.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (rest.is_empty() || rest.starts_with(' '));
    fits.then(|| (key, rest.trim_start_matches(' ')))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

/// A value that stands on one line.
fn inline(text: &str) -> Option<Value> {
    match text.as_bytes()[0] {
        quote @ (b'"' | b'\'') => {
            let (inner, rest) = quoted(text, quote)?;
            rest.is_empty().then(|| Value::String(inner.to_owned()))
        }
        b'[' | b'{' => {
            let (value, rest) = flow(text, 0)?;
            rest.is_empty().then_some(value)
        }
        _ => plain(text),
    }
}

/// The inside of a quoted scalar without escapes, and what follows it.
fn quoted(text: &str, quote: u8) -> Option<(&str, &str)> {
    let (inner, rest) = text[1..].split_once(char::from(quote))?;
    (!inner.contains('\\') && !rest.starts_with(['"', '\''])).then_some((inner, rest))
}

fn plain(text: &str) -> Option<Value> {
    let mut bytes = text.bytes();
    let fits = match bytes.next()? {
        b'-' => bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric()),
        first => is_word(first),
    };
    let is_one_scalar = !text.contains(": ") && !text.contains('#') && !text.ends_with(':');
    (fits && is_one_scalar)
        .then(|| scalar::plain(Cow::Borrowed(text)).ok())
        .flatten()
}

/// A flow collection of words, quoted scalars and flow collections, and what follows it.
fn flow(text: &str, depth: usize) -> Option<(Value, &str)> {
    if depth > 8 {
        return None;
    }
    match text.as_bytes().first()? {
        b'[' => flow_sequence(&text[1..], depth),
        b'{' => flow_mapping(&text[1..], depth),
        quote @ (b'"' | b'\'') => {
            let (inner, rest) = quoted(text, *quote)?;
            Some((Value::String(inner.to_owned()), rest))
        }
        _ => {
            let end = text.bytes().position(|byte| !is_word(byte))?;
            let (word, rest) = text.split_at(end);
            let ends = rest.trim_start_matches(' ').starts_with([',', ']', '}']);
            Some((ends.then(|| plain(word)).flatten()?, rest))
        }
    }
}

fn flow_sequence(text: &str, depth: usize) -> Option<(Value, &str)> {
    let mut items = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    if let Some(rest) = rest.strip_prefix(']') {
        return Some((Value::Array(items), rest));
    }
    loop {
        let (item, after) = flow(rest, depth + 1)?;
        items.push(item);
        let after = after.trim_start_matches(' ');
        if let Some(after) = after.strip_prefix(']') {
            return Some((Value::Array(items), after));
        }
        rest = after.strip_prefix(", ")?.trim_start_matches(' ');
    }
}

fn flow_mapping(text: &str, depth: usize) -> Option<(Value, &str)> {
    let mut map = Map::new();
    let mut rest = text.trim_start_matches(' ');
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((Value::Object(map), rest));
    }
    loop {
        let (key, after) = split_key(rest).filter(|(_, after)| !after.is_empty())?;
        let (value, after) = flow(after, depth + 1)?;
        if map.insert(key.to_owned(), value).is_some() {
            return None;
        }
        let after = after.trim_start_matches(' ');
        if let Some(after) = after.strip_prefix('}') {
            return Some((Value::Object(map), after));
        }
        rest = after.strip_prefix(", ")?.trim_start_matches(' ');
    }
}

#[cfg(test)]
mod tests;
