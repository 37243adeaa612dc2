//! `weft analyze`: what is probably not meant, as `istioctl analyze` says it.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Result;
use serde::Serialize;
use weft_api::Items;
use weft_compiler::{
    Settings,
    analysis::{self, CODES, Code, Coverage, Message},
};
use weft_model::{Origin, Severity};

use super::{documents, output};
use crate::args::{
    OutputFormat,
    offline::{AnalyzeArgs, Level},
};

/// istioctl's exit code when messages reach the threshold.
const FOUND: u8 = 79;

/// istioctl's exit code when a file is no YAML.
const UNREADABLE: u8 = 65;

/// One message, as istioctl writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'m> {
    code: &'m str,
    /// Of Istio's codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation_url: Option<String>,
    level: &'static str,
    message: &'m str,
    origin: String,
    /// File and line.
    reference: String,
}

/// Where Istio explains its codes.
const DOCUMENTATION: &str = "https://istio.io/latest/docs/reference/config/analysis";

/// Says what analyzers find.
pub(crate) fn run(args: &AnalyzeArgs) -> Result<ExitCode> {
    if args.list_codes {
        output::write(&list(CODES))?;
        return Ok(ExitCode::SUCCESS);
    }
    warn_of_unknown_codes(args);
    let (store, texts) = documents::read_with_texts(&args.files)?;
    let unreadable = analysis::unreadable(&store);
    for problem in &unreadable {
        say(&problem.to_string());
    }
    let mut messages = analysis::analyze(&store, &Settings::default());
    messages.retain(|message| is_wanted(args, message));
    let threshold = severity(args.failure_threshold);
    let is_found = messages.iter().any(|message| message.severity >= threshold);
    messages.retain(|message| message.severity >= severity(args.output_threshold));
    let mut files: BTreeMap<&str, Items<'_>> = BTreeMap::new();
    for message in &mut messages {
        if let Some((file, text)) = texts.get_key_value(&*message.origin.file) {
            let items = files.entry(file).or_insert_with(|| Items::new(text));
            message.line = message.line_in(items);
        }
    }
    let is_text = args.output.output == OutputFormat::Table;
    output::write(&if is_text {
        messages.iter().map(line).collect()
    } else {
        let reports: Vec<_> = messages.iter().map(report).collect();
        serde_json::to_string_pretty(&reports)? + "\n"
    })?;
    if is_text {
        closing(args, messages.is_empty(), is_found, unreadable.len());
    }
    Ok(
        match (is_found, unreadable.is_empty() || args.ignore_unknown) {
            (true, _) => ExitCode::from(FOUND),
            (false, false) => ExitCode::from(UNREADABLE),
            (false, true) => ExitCode::SUCCESS,
        },
    )
}

#[expect(clippy::print_stderr, reason = "what is no message goes beside them")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The lines that end a report, as istioctl has them.
fn closing(args: &AnalyzeArgs, is_silent: bool, is_found: bool, unreadable: usize) {
    let files = args
        .files
        .files
        .iter()
        .map(|file| file.display().to_string());
    let files: Vec<String> = files.collect();
    let files = files.join(", ");
    if is_silent && unreadable == 0 {
        say(&format!(
            "\u{2714} No validation issues found when analyzing {files}."
        ));
    } else if is_silent {
        let documents = if unreadable == 1 {
            "document"
        } else {
            "documents"
        };
        say(&format!(
            "No validation issues found when analyzing {files} (but {unreadable} {documents} could \
             not be parsed)."
        ));
    }
    if is_found {
        let target = match &args.namespace {
            Some(namespace) => format!("namespace: {namespace}"),
            None => "all namespaces".to_owned(),
        };
        say(&format!(
            "Error: Analyzers found issues when analyzing {target}.\nSee {DOCUMENTATION} for more \
             information about causes and resolutions."
        ));
    } else if unreadable > 0 && !args.ignore_unknown {
        say("Error: Some files couldn't be parsed.");
    }
}

fn warn_of_unknown_codes(args: &AnalyzeArgs) {
    for (code, _) in &args.suppress {
        if !CODES.iter().any(|known| known.code == code) {
            say(&format!(
                "Warning: Supplied message code '{code}' is an unknown message code and will not \
                 have any effect."
            ));
        }
    }
}

/// All codes, in columns.
fn list(codes: &[Code]) -> String {
    let name = codes.iter().map(|code| code.name.len()).max().unwrap_or(0);
    let lines = codes.iter().map(|code| {
        let what = match code.coverage {
            Coverage::Checked => "checked".to_owned(),
            Coverage::Absent(reason) => format!("not checked: {reason}"),
        };
        let level = level(code.severity);
        format!(
            "{:<8}  {:<name$}  {level:<7}  {what}\n",
            code.code, code.name
        )
    });
    lines.collect()
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
    let origin = &message.origin;
    let is_here = args
        .namespace
        .as_deref()
        .is_none_or(|namespace| *origin.namespace == *namespace);
    let full = origin.to_string();
    let dotted = suppression_name(origin);
    let is_suppressed = args.suppress.iter().any(|(code, object)| {
        code == message.code && (is_like(object, &dotted) || is_like(object, &full))
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
    let code = message.code.to_ascii_lowercase();
    Report {
        code: message.code,
        documentation_url: code
            .starts_with("ist")
            .then(|| format!("{DOCUMENTATION}/{code}/")),
        level: level(message.severity),
        message: &message.text,
        origin: message.origin.to_string(),
        reference: reference(message),
    }
}

fn line(message: &Message) -> String {
    let (level, code) = (level(message.severity), message.code);
    let (origin, place) = (&message.origin, reference(message));
    // One line each, whatever stands in the document.
    let text = message.text.replace(['\n', '\r'], " ");
    format!("{level} [{code}] ({origin} {place}) {text}\n")
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

    #[test]
    fn a_report_has_the_keys_of_istioctl() {
        let message = Message {
            severity: Severity::Error,
            code: "IST0101",
            origin: Origin {
                kind: "VirtualService".into(),
                namespace: "shop".into(),
                name: "cart".into(),
                file: "mesh.yaml".into(),
                line: 3,
            },
            line: 0,
            item: None,
            text: "Referenced host not found: \"gone\"".to_owned(),
        };
        let expected = serde_json::json!({
            "code": "IST0101",
            "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0101/",
            "level": "Error",
            "message": "Referenced host not found: \"gone\"",
            "origin": "VirtualService shop/cart",
            "reference": "mesh.yaml:3",
        });
        let written = serde_json::to_value(report(&message)).expect("JSON");
        assert_eq!(written, expected);
        assert_eq!(
            line(&message),
            "Error [IST0101] (VirtualService shop/cart mesh.yaml:3) Referenced host not found: \
             \"gone\"\n"
        );
    }

    #[test]
    fn every_code_of_the_list_says_what_becomes_of_it() {
        let text = list(CODES);
        assert_eq!(text.lines().count(), CODES.len());
        assert!(text.contains("IST0101   ReferencedResourceNotFound"));
        assert!(text.lines().all(|line| line.contains("checked")));
    }
}
