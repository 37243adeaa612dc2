//! `weft explain`: what a field means, and what becomes of it.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use serde::Serialize;
use weft_api::fields::{Field, KindFields, State, fields};

use super::{NEGATIVE, output};
use crate::args::{OutputFormat, offline::ExplainArgs};

/// A kind, or a field of one with those inside it, for programs.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    group: &'static str,
    versions: Vec<&'static str>,
    reach: &'static str,
    /// The same for people.
    #[serde(skip)]
    words: &'static str,
    fields: Vec<FieldReport>,
}

/// A field, for programs.
#[derive(Serialize)]
struct FieldReport {
    path: String,
    #[serde(rename = "type")]
    shape: String,
    default: Option<String>,
    meaning: Option<&'static str>,
    state: &'static str,
    reason: Option<String>,
}

/// Prints what is asked for, of every kind that has it.
pub(crate) fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let found = match &args.field {
        None => fields().into_iter().map(whole).collect(),
        Some(asked) => chosen(fields(), asked, args.api_version.as_deref(), args.recursive),
    };
    if found.is_empty() {
        let asked = args.field.as_deref().unwrap_or_default();
        complain(asked);
        return Ok(ExitCode::from(NEGATIVE));
    }
    output::write(&match args.output.output {
        OutputFormat::Json => serde_json::to_string_pretty(&found)? + "\n",
        OutputFormat::Table if args.field.is_none() => kinds(&found),
        OutputFormat::Table => found.iter().map(text).collect::<Vec<_>>().join("\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "there is no answer to print")]
fn complain(asked: &str) {
    eprintln!("{asked}: no such kind or field; weft explain lists the kinds");
}

/// Tables of the kind that is named, cut down to the field that is named.
fn chosen(
    tables: Vec<KindFields>,
    asked: &str,
    api_version: Option<&str>,
    recursive: bool,
) -> Vec<Report> {
    let (kind, path) = asked.split_once('.').unwrap_or((asked, ""));
    let (kind, path) = (kind.to_ascii_lowercase(), plain(path.trim_matches('.')));
    let is_meant = |table: &KindFields| {
        let name = table.kind.name().to_ascii_lowercase();
        let plural = match name.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None if name.ends_with('s') => format!("{name}es"),
            None => format!("{name}s"),
        };
        let (group, version) = match api_version {
            None => (None, None),
            Some("v1") => (Some(""), None),
            Some(text) => match text.split_once('/') {
                Some((group, version)) => (Some(group), Some(version)),
                None => (Some(text), None),
            },
        };
        (kind == name || kind == plural)
            && group.is_none_or(|group| group == table.kind.group())
            && version.is_none_or(|version| table.versions.contains(&version))
    };
    let cut = |table: KindFields| {
        let mut report = whole(table);
        report.fields.retain(|field| {
            let depth = below(&plain(&field.path), &path);
            depth.is_some_and(|depth| recursive || depth <= 1)
        });
        (!report.fields.is_empty()).then_some(report)
    };
    let tables = tables.into_iter().filter(is_meant);
    tables.filter_map(cut).collect()
}

/// A path as people ask for it, without marks of lists.
fn plain(path: &str) -> String {
    path.replace("[]", "").replace("[*]", "")
}

/// How many steps a path is below another, 0 for the same.
fn below(path: &str, parent: &str) -> Option<usize> {
    if parent.is_empty() {
        return Some(path.matches('.').count());
    }
    let rest = path.strip_prefix(parent)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(1 + rest.matches('.').count()),
        None => rest.is_empty().then_some(0),
    }
}

fn whole(table: KindFields) -> Report {
    Report {
        kind: table.kind.name(),
        group: table.kind.group(),
        versions: table.versions,
        reach: table.reach.as_str(),
        words: table.reach.in_words(),
        fields: table.fields.into_iter().map(report).collect(),
    }
}

fn report(field: Field) -> FieldReport {
    let (state, reason) = match field.state {
        State::Used => ("used", None),
        State::Reported(why) => ("reported", Some(why)),
        State::Refused(why) => ("refused", Some(why)),
    };
    FieldReport {
        path: field.path,
        shape: field.shape,
        default: field.default,
        meaning: field.meaning,
        state,
        reason,
    }
}

fn kinds(found: &[Report]) -> String {
    let mut out = String::new();
    for report in found {
        let group = match report.group {
            "" => "core",
            group => group,
        };
        let name = format!("{} ({group} {})", report.kind, report.versions.join(", "));
        _ = writeln!(out, "{name}\n    {}", report.words);
    }
    out
}

fn text(report: &Report) -> String {
    let mut out = kinds(std::slice::from_ref(report));
    for field in &report.fields {
        _ = write!(out, "\n{} <{}>", field.path, field.shape);
        if let Some(default) = &field.default {
            _ = write!(out, ", default {default}");
        }
        out.push('\n');
        if let Some(meaning) = field.meaning {
            _ = writeln!(out, "    {meaning}");
        }
        if let Some(reason) = &field.reason {
            _ = writeln!(out, "    {}: {reason}", field.state);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(asked: &str, api_version: Option<&str>) -> String {
        let found = chosen(fields(), asked, api_version, false);
        found.iter().map(text).collect()
    }

    #[test]
    fn a_field_is_found_without_the_marks_of_lists() {
        let found = explain("virtualservice.spec.http.retries", None);
        assert!(found.contains("spec.http[].retries <object>"), "{found}");
        assert!(found.contains("spec.http[].retries.attempts <integer>, default 2"));
        assert!(!found.contains("spec.http[].timeout"), "{found}");
        assert_eq!(found, explain("VirtualServices.spec.http[].retries", None));
    }

    #[test]
    fn what_nothing_acts_on_is_said_with_its_reason() {
        let found = explain("destinationrule.spec.trafficPolicy.tls", None);
        assert!(found.contains("reported: is not supported yet"), "{found}");
    }

    #[test]
    fn a_group_tells_the_gateways_apart() {
        assert!(explain("gateway.spec.servers", None).contains("networking.istio.io"));
        let other = Some("gateway.networking.k8s.io/v1");
        assert_eq!(explain("gateway.spec.servers", other), "");
        assert!(explain("gateway.spec.listeners", other).contains("spec.listeners[].port"));
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        assert_eq!(explain("virtualservice.spec.nothing", None), "");
        assert_eq!(explain("nothing", None), "");
    }
}
