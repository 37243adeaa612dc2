//! `weft analyze`: what is probably not meant, as `istioctl analyze` says it.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use weft_compiler::{
    Settings,
    analysis::{self, Message},
};
use weft_model::{Origin, Severity};

use super::{documents, output};
use crate::args::{
    OutputFormat,
    offline::{AnalyzeArgs, Level},
};

/// istioctl's exit code when messages reach the threshold.
const FOUND: u8 = 79;

/// One message, as istioctl writes it.
#[derive(Serialize)]
struct Report<'m> {
    code: &'m str,
    level: &'static str,
    message: &'m str,
    origin: String,
    /// File and line.
    reference: String,
}

/// Says what analyzers find.
pub(crate) fn run(args: &AnalyzeArgs) -> Result<ExitCode> {
    let store = documents::read(&args.files)?;
    let mut messages = analysis::analyze(&store, &Settings::default());
    messages.retain(|message| is_wanted(args, message));
    match args.output.output {
        OutputFormat::Json => {
            let reports: Vec<_> = messages.iter().map(report).collect();
            output::write(&(serde_json::to_string_pretty(&reports)? + "\n"))?;
        }
        OutputFormat::Table => output::write(&render(args, &messages))?,
    }
    let threshold = severity(args.failure_threshold);
    let is_found = messages.iter().any(|message| message.severity >= threshold);
    Ok(if is_found {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    })
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Info => Severity::Info,
        Level::Warning => Severity::Warning,
        Level::Error => Severity::Error,
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Info",
        Severity::Warning => "Warning",
        Severity::Error => "Error",
    }
}

fn is_wanted(args: &AnalyzeArgs, message: &Message) -> bool {
    let of = &message.origin.namespace;
    let is_here = args
        .namespace
        .as_deref()
        .is_none_or(|namespace| **of == *namespace);
    let name = suppression_name(&message.origin);
    let is_suppressed = args.suppress.iter().any(|written| {
        let (code, object) = written.split_once('=').unwrap_or((written, "*"));
        code == message.code && is_like(object, &name)
    });
    is_here && !is_suppressed
}

/// `Kind name.namespace`, as istioctl's `--suppress` has it.
fn suppression_name(origin: &Origin) -> String {
    match &*origin.namespace {
        "" => format!("{} {}", origin.kind, origin.name),
        namespace => format!("{} {}.{namespace}", origin.kind, origin.name),
    }
}

/// Whether a text is like a pattern in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

fn reference(message: &Message) -> String {
    let line = message.line.max(message.origin.line);
    format!("{}:{line}", message.origin.file)
}

fn report(message: &Message) -> Report<'_> {
    Report {
        code: message.code,
        level: level(message.severity),
        message: &message.text,
        origin: message.origin.to_string(),
        reference: reference(message),
    }
}

fn render(args: &AnalyzeArgs, messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let (level, code) = (level(message.severity), message.code);
        let (origin, place) = (&message.origin, reference(message));
        text += &format!("{level} [{code}] ({origin} {place}) {}\n", message.text);
    }
    if messages.is_empty() {
        let files: Vec<String> = args
            .files
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        text += &format!("no issues found when analyzing {}\n", files.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(is_like("*", "Pod a.b"));
        assert!(is_like("VirtualService *.shop", "VirtualService a.shop"));
        assert!(is_like("V*a*b", "V--a--b"));
        assert!(!is_like("V*.shop", "VirtualService a.team"));
        assert!(!is_like("Pod a", "Pod ab"));
    }
}
