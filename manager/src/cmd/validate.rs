//! `weft validate`: whether documents are valid.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use weft_api::{Problem, Severity, Store};

use super::{NEGATIVE, documents, output};
use crate::args::{OutputFormat, offline::ValidateArgs};

/// One problem, for programs.
#[derive(Serialize)]
struct Report<'p> {
    severity: &'static str,
    code: &'static str,
    kind: &'p str,
    namespace: &'p str,
    name: &'p str,
    path: &'p str,
    message: &'p str,
    file: &'p str,
    line: u32,
}

/// Says what is wrong, each on a line of standard error.
pub(crate) fn run(args: &ValidateArgs) -> Result<ExitCode> {
    let store = documents::read(&args.files)?;
    let problems: Vec<&Problem> = store.problems().collect();
    match args.output.output {
        OutputFormat::Json => {
            let reports: Vec<_> = problems.iter().map(|problem| report(problem)).collect();
            output::write(&(serde_json::to_string_pretty(&reports)? + "\n"))?;
        }
        OutputFormat::Table => {
            for problem in &problems {
                say(&line(problem));
            }
            output::write(&summary(&store, &problems))?;
        }
    }
    let is_valid = problems.iter().all(|p| p.severity != Severity::Error);
    Ok(if is_valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NEGATIVE)
    })
}

#[expect(clippy::print_stderr, reason = "problems go beside the answer")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn report(problem: &Problem) -> Report<'_> {
    Report {
        severity: severity(problem.severity),
        code: problem.code,
        kind: &problem.origin.kind,
        namespace: &problem.origin.namespace,
        name: &problem.origin.name,
        path: &problem.path,
        message: &problem.message,
        file: &problem.origin.file,
        line: problem.line,
    }
}

fn line(problem: &Problem) -> String {
    let origin = &problem.origin;
    let object = match (origin.kind.is_empty(), origin.namespace.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!("{} {}: ", origin.kind, origin.name),
        (false, false) => format!("{} {}/{}: ", origin.kind, origin.namespace, origin.name),
    };
    let path = match problem.path.as_str() {
        "" => String::new(),
        path => format!("{path}: "),
    };
    let (severity, message) = (severity(problem.severity), &problem.message);
    let (file, line) = (&origin.file, problem.line);
    // One line each, whatever stands in the document.
    format!("{severity}: {object}{path}{message} ({file}:{line})").replace(['\n', '\r'], " ")
}

fn summary(store: &Store, problems: &[&Problem]) -> String {
    let errors = problems.iter().filter(|p| p.severity == Severity::Error);
    let errors = errors.count();
    let objects = store.keys().count();
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    match errors {
        0 => format!("valid: {}\n", count(objects, "object")),
        _ => format!(
            "not valid: {}; {} valid\n",
            count(errors, "error"),
            count(objects, "object")
        ),
    }
}
