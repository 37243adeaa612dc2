//! What rules ask, and what was there: a pass of its own for those who explain, so that deciding
//! costs nothing for it.

use std::{fmt, sync::Arc};

use serde_json::Value;
use weft_model::route::{
    HeaderMatch, HostPattern, HttpMatch, PathMatch, Source, StreamMatch, StringMatch,
};

use crate::{
    matching::{
        ConnectionMatcher, PathMatcher, TextMatcher, claim_at, claim_fits, header, parameter,
        value_fits, value_matcher,
    },
    request::{Client, Connection, Request},
};

/// One thing that a rule asks, and what was there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// The field as the resource writes it, such as `headers[end-user]`.
    pub field: String,
    /// What it asks for, such as `exact "jason"`.
    pub asked: String,
    /// What was there; none if nothing was.
    pub found: Option<String>,
    /// Whether that is what was asked for.
    pub fits: bool,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, asked, .. } = self;
        write!(f, "{field} {asked}: ")?;
        match &self.found {
            Some(found) => f.write_str(found),
            None => f.write_str("absent"),
        }
    }
}

/// Everything that one way into a rule asks of a request. It fits when all of them do. `path` is
/// what the resource calls the path: `uri`, `path`, or `method` for gRPC.
pub fn request_checks(
    path: &str,
    matching: &HttpMatch,
    client: &Client<'_>,
    request: &Request<'_>,
) -> Vec<Check> {
    let mut checks = Checks::default();
    if let Some(wanted) = &matching.path {
        let found = request.path_only();
        let fits = PathMatcher::new(wanted).fits(found);
        checks.push(path, path_text(wanted), Some(quoted(found)), fits);
    }
    if let Some(port) = matching.port {
        checks.equal("port", port, request.port);
    }
    let texts = [
        ("method", &matching.method, request.method),
        ("scheme", &matching.scheme, request.scheme),
        ("authority", &matching.authority, request.authority),
    ];
    for (field, wanted, found) in texts {
        if let Some(wanted) = wanted {
            let fits = TextMatcher::new(wanted).fits(found);
            checks.push(field, string_text(wanted), Some(quoted(found)), fits);
        }
    }
    let headers = [
        ("headers", &matching.headers, true),
        ("withoutHeaders", &matching.without_headers, false),
    ];
    for (field, wanted, expected) in headers {
        for (name, matching) in wanted {
            let found = header(request, name);
            let fits = value_fits(value_matcher(matching).as_ref(), found.as_deref());
            let found = found.as_deref().map(quoted);
            let field = format!("{field}[{name}]");
            checks.push(&field, header_text(matching), found, fits == expected);
        }
    }
    let claims = [
        ("headers", &matching.claims, true),
        ("withoutHeaders", &matching.without_claims, false),
    ];
    for (field, wanted, expected) in claims {
        for (path, matching) in wanted {
            let found = claim_at(request.claims, path);
            let fits = claim_fits(value_matcher(matching).as_ref(), found);
            let steps: Vec<String> = path.iter().map(|step| format!("[{step}]")).collect();
            let field = format!("{field}[@request.auth.claims{}]", steps.concat());
            let found = found.map(Value::to_string);
            checks.push(&field, header_text(matching), found, fits == expected);
        }
    }
    for (name, matching) in &matching.query {
        let found = parameter(request.query(), name);
        let fits = value_fits(value_matcher(matching).as_ref(), found);
        let field = format!("queryParams[{name}]");
        checks.push(&field, header_text(matching), found.map(quoted), fits);
    }
    checks.source(&matching.source, client);
    checks.0
}

/// Everything that a rule asks of a connection. It fits when all of them do.
pub fn connection_checks(
    matching: &StreamMatch,
    client: &Client<'_>,
    connection: &Connection<'_>,
) -> Vec<Check> {
    let mut checks = Checks::default();
    if !matching.sni.is_empty() {
        let fits = |name: &str| matching.sni.iter().any(|pattern| pattern.fits(name));
        let names = list(matching.sni.iter().map(HostPattern::to_string));
        let found = connection.sni.map(quoted);
        checks.push("sniHosts", names, found, connection.sni.is_some_and(fits));
    }
    if let Some(port) = matching.port {
        checks.equal("port", port, connection.port);
    }
    if !matching.destination_subnets.is_empty() {
        let only = StreamMatch {
            destination_subnets: matching.destination_subnets.clone(),
            ..StreamMatch::default()
        };
        let fits = ConnectionMatcher::new(&only).fits(client, connection);
        let subnets = list(matching.destination_subnets.iter().map(ToString::to_string));
        let found = connection.address.map(|address| address.to_string());
        checks.push("destinationSubnets", subnets, found, fits);
    }
    checks.source(&matching.source, client);
    checks.0
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn push(&mut self, field: &str, asked: String, found: Option<String>, fits: bool) {
        self.0.push(Check {
            field: field.to_owned(),
            asked,
            found,
            fits,
        });
    }

    fn equal(&mut self, field: &str, wanted: u16, found: u16) {
        let fits = wanted == found;
        self.push(field, wanted.to_string(), Some(found.to_string()), fits);
    }

    fn source(&mut self, wanted: &Source, client: &Client<'_>) {
        if let Some(namespace) = &wanted.namespace {
            let fits = **namespace == *client.namespace;
            let found = Some(quoted(client.namespace));
            self.push("sourceNamespace", quoted(namespace), found, fits);
        }
        for (key, value) in &wanted.labels {
            let mut labels = client.labels.iter();
            let found = labels.find(|(other, _)| **other == **key);
            let found = found.map(|(_, found)| *found);
            let fits = found == Some(&**value);
            let field = format!("sourceLabels[{key}]");
            self.push(&field, quoted(value), found.map(quoted), fits);
        }
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

pub(crate) fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("[{}]", items.join(", "))
}

fn string_text(wanted: &StringMatch) -> String {
    let (how, text): (_, &Arc<str>) = match wanted {
        StringMatch::Exact(text) => ("exact", text),
        StringMatch::Prefix(text) => ("prefix", text),
        StringMatch::Regex(text) => ("regex", text),
    };
    format!("{how} {text:?}")
}

fn header_text(wanted: &HeaderMatch) -> String {
    match wanted {
        HeaderMatch::Present => "present".to_owned(),
        HeaderMatch::Value(text) => string_text(text),
    }
}

fn path_text(wanted: &PathMatch) -> String {
    let case = |ignore: &bool| if *ignore { " in any case" } else { "" };
    match wanted {
        PathMatch::Exact { path, ignore_case } => format!("exact {path:?}{}", case(ignore_case)),
        PathMatch::Prefix { path, ignore_case } => format!("prefix {path:?}{}", case(ignore_case)),
        PathMatch::Segments(path) => format!("PathPrefix {path:?}"),
        PathMatch::Regex(pattern) => format!("regex {pattern:?}"),
    }
}
