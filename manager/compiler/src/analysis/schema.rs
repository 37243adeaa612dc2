//! What validation says, as messages: IST0002, IST0106, IST0133, WEFT0001, WEFT0002.

use weft_api::Store;
use weft_model::{Problem, Severity};

use super::{Analysis, Message};
use crate::{Compiler, problems};

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    for problem in analysis.store.problems() {
        let problem = problems::from_api(problem);
        let path = match problem.path.as_str() {
            "" => String::new(),
            path => format!("{path}: "),
        };
        let text = format!("{path}{}", problem.message);
        let (severity, code, text) = match (problem.severity, problem.code) {
            // Other people's kinds are none of Istio's analyzers' business. What is no YAML is no
            // object: [`unreadable`] has it.
            (_, "unknown-kind" | "syntax") => continue,
            // Clusters allocate addresses; files that are to be applied have none. IST0131 is about
            // matches that are covered.
            (_, "no-address" | "covered-match") => continue,
            (Severity::Error, _) => (
                Severity::Error,
                "IST0106",
                format!("Schema validation error: {text}"),
            ),
            (severity, "not-supported") => (severity, "WEFT0001", format!("Not supported: {text}")),
            (_, _) if problem.message.contains("deprecated") => {
                (Severity::Warning, "IST0002", format!("Deprecated: {text}"))
            }
            (Severity::Warning, _) => (
                Severity::Warning,
                "IST0133",
                format!("Schema validation warning: {text}"),
            ),
            (Severity::Info, _) => continue,
        };
        analysis.messages.push(Message {
            severity,
            code,
            origin: problem.origin,
            line: problem.line,
            item: None,
            text,
        });
    }
    not_accepted(analysis);
}

/// Documents that could not be read, which may have held any object.
pub fn unreadable(store: &Store) -> Vec<Problem> {
    let syntax = store.problems().filter(|problem| problem.code == "syntax");
    syntax.map(problems::from_api).collect()
}

/// What the compiler does not take as written, where no analyzer of Istio says so.
fn not_accepted(analysis: &mut Analysis<'_>) {
    let mut compiler = Compiler::new(analysis.settings.clone());
    let keys: Vec<_> = analysis.store.keys().cloned().collect();
    compiler.update(analysis.store, &keys);
    let known: Vec<_> = analysis.store.problems().map(problems::from_api).collect();
    for problem in compiler.problems(analysis.store) {
        let is_said = known.contains(&problem);
        let has_code = matches!(&*problem.origin.kind, "VirtualService" | "DestinationRule");
        if is_said || has_code || problem.severity == Severity::Info {
            continue;
        }
        // Of the Gateway API's kinds, the reason of the condition stands at the end.
        let reason = problem
            .message
            .rsplit_once(" (")
            .map_or("", |(_, reason)| reason);
        let (code, text) = match reason.trim_end_matches(')') {
            "BackendNotFound"
            | "RefNotPermitted"
            | "NoMatchingParent"
            | "InvalidCertificateRef"
            | "InvalidCACertificateRef" => (
                "IST0101",
                format!("Referenced resource not found: {}", problem.message),
            ),
            _ => ("WEFT0002", format!("Not accepted: {}", problem.message)),
        };
        analysis.messages.push(Message {
            severity: problem.severity,
            code,
            line: problem.line,
            item: None,
            origin: problem.origin,
            text,
        });
    }
}
