//! YAML and JSON into [`serde_json::Value`], one document at a time, with lines on demand.
//!
//! Lines are not kept while reading, since they are only needed for what is wrong: [`lines`] reads
//! the document again, once, for all the paths in question.

mod block;
mod build;
mod json;
pub(crate) mod lines;
mod scalar;

use serde_json::Value;

/// Nesting deeper than this is refused.
const MAX_DEPTH: usize = 100;
/// Nodes that anchors and aliases may copy in one document.
const MAX_COPIES: usize = 1_000_000;

/// One document of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    /// Its text, from its `---` line on.
    text: &'a str,
    /// Line of the file where `text` starts, from 1.
    line: u32,
}

/// Why a document cannot be read.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Line of the file, from 1.
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Splits a file at `---` and `...` lines, which no YAML scalar may contain (YAML 1.2.2, 9.1.2).
pub(crate) fn documents(text: &str) -> impl Iterator<Item = Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at, mut line) = (0, 1, 0, 1);
    for row in text.split_inclusive('\n') {
        let end = at + row.len();
        if is_marker(row, "---") && at > start {
            documents.push(Document {
                text: &text[start..at],
                line: start_line,
            });
            (start, start_line) = (at, line);
        } else if is_marker(row, "...") {
            documents.push(Document {
                text: &text[start..at],
                line: start_line,
            });
            (start, start_line) = (end, line + 1);
        }
        at = end;
        line += 1;
    }
    documents.push(Document {
        text: &text[start..],
        line: start_line,
    });
    documents
        .into_iter()
        .filter(|document| !document.is_blank())
}

fn is_marker(row: &str, marker: &str) -> bool {
    row.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

impl<'a> Document<'a> {
    /// Line of the first key, from 1.
    pub(crate) fn first_line(&self) -> u32 {
        let blank = self.text.lines().take_while(|row| is_blank(row)).count();
        self.line + u32::try_from(blank).unwrap_or(0)
    }

    fn is_blank(&self) -> bool {
        self.text.lines().all(is_blank)
    }

    /// Reads the document. Comments alone are `Value::Null`.
    pub(crate) fn parse(&self) -> Result<Value, Fault> {
        let body = self.text.trim_start();
        if body.starts_with('{') {
            match json::parse(body) {
                Ok(value) => return Ok(value),
                Err(json::Refusal::Duplicate { line, key }) => {
                    let skipped = self.text[..self.text.len() - body.len()]
                        .matches('\n')
                        .count();
                    let message = format!("key {key:?} is written twice");
                    return Err(Fault {
                        line: self.file_line(skipped + line),
                        message,
                    });
                }
                // YAML's flow mappings look alike; let its parser say what is wrong.
                Err(json::Refusal::NotJson) => {}
            }
        }
        if let Some(value) = block::parse(self.text) {
            return Ok(value);
        }
        build::build(self.text).map_err(|refusal| Fault {
            line: self.file_line(refusal.line),
            message: refusal.message,
        })
    }

    /// From a line of `text`, from 1, to a line of the file.
    fn file_line(&self, line: usize) -> u32 {
        self.line + u32::try_from(line.saturating_sub(1)).unwrap_or(0)
    }
}

fn is_blank(row: &str) -> bool {
    let row = row.trim();
    row.is_empty() || row.starts_with('#') || row.starts_with('%') || is_bare_marker(row)
}

fn is_bare_marker(row: &str) -> bool {
    row.strip_prefix("---").is_some_and(|rest| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with('#')
    })
}
