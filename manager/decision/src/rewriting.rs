//! Paths and Locations as rules change them.

use regex::Regex;
use weft_model::route::{Dialect, PathMatch, PathRewrite, PortRewrite, Redirect};

use crate::request::Request;

/// Parts of a Location; what is none stays as in the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// Scheme.
    pub scheme: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Port, when it is not the scheme's own.
    pub port: Option<u16>,
    /// Path, without the query, which stays.
    pub path: Option<String>,
    /// Status.
    pub status: u16,
}

/// The path with query that a destination sees, or that a Location has.
pub fn rewrite(
    request: &Request<'_>,
    matched: Option<&PathMatch>,
    rewrite: &PathRewrite,
) -> String {
    let path = request.path_only();
    let query = &request.path[path.len()..];
    let new = match rewrite {
        // A query of its own replaces the request's.
        PathRewrite::Full(new) if new.contains('?') => return (**new).to_owned(),
        PathRewrite::Full(new) => (**new).to_owned(),
        PathRewrite::Prefix(new) => format!("{new}{}", &path[matched_length(path, matched)..]),
        PathRewrite::Segments(new) => segments(path, matched, new),
        PathRewrite::Regex {
            pattern,
            substitution,
        } => substitute(path, pattern, substitution),
    };
    format!("{new}{query}")
}

/// How much of a path an Istio match stands for: Envoy replaces the prefix, or the whole path when
/// the match was of another kind.
fn matched_length(path: &str, matched: Option<&PathMatch>) -> usize {
    match matched {
        // Without a match, Istio's route is the prefix "/".
        None => path.len().min(1),
        Some(PathMatch::Prefix { path: prefix, .. }) => prefix.len().min(path.len()),
        Some(PathMatch::Segments(prefix)) => prefix.trim_end_matches('/').len().min(path.len()),
        Some(PathMatch::Exact { .. } | PathMatch::Regex(_)) => path.len(),
    }
}

/// `ReplacePrefixMatch` of the Gateway API, by the table in its documentation.
fn segments(path: &str, matched: Option<&PathMatch>, new: &str) -> String {
    let length = match matched {
        None => 0,
        other => matched_length(path, other),
    };
    let joined = format!("{}{}", new.trim_end_matches('/'), &path[length..]);
    if joined.starts_with('/') {
        joined
    } else {
        format!("/{joined}")
    }
}

fn substitute(path: &str, pattern: &str, substitution: &str) -> String {
    // Rare enough to compile each time; validation has compiled it before.
    let Ok(regex) = Regex::new(pattern) else {
        return path.to_owned();
    };
    regex
        .replace_all(path, replacement(substitution))
        .into_owned()
}

/// From RE2's `\1` to what the `regex` crate reads.
fn replacement(substitution: &str) -> String {
    let mut replacement = String::with_capacity(substitution.len() + 4);
    let mut characters = substitution.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            ('$', _) => replacement.push_str("$$"),
            (_, true) => match characters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    replacement.push_str("${");
                    replacement.push(digit);
                    replacement.push('}');
                }
                Some(other) => replacement.push(other),
                None => replacement.push('\\'),
            },
            (other, false) => replacement.push(other),
        }
    }
    replacement
}

/// The Location of a redirect.
pub fn location(
    request: &Request<'_>,
    matched: Option<&PathMatch>,
    dialect: Dialect,
    redirect: &Redirect,
) -> Location {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let own = |port: u16| matches!((scheme, port), ("http", 80) | ("https", 443));
    let port = match redirect.port {
        // The Gateway API leaves out a scheme's own port; Istio's rule writes what it says.
        PortRewrite::Set(port) if dialect == Dialect::GatewayApi => Some(port).filter(|p| !own(*p)),
        PortRewrite::Set(port) => Some(port),
        PortRewrite::Keep => None,
        PortRewrite::FromRequest => Some(request.port).filter(|port| !own(*port)),
        PortRewrite::SchemeOrListener if redirect.scheme.is_some() => None,
        PortRewrite::SchemeOrListener => Some(request.port).filter(|port| !own(*port)),
    };
    let path = redirect.path.as_ref().map(|path| {
        let whole = rewrite(request, matched, path);
        // What Istio's `uri` says stands in the Location as it is, with a query of its own.
        match (dialect, path) {
            (Dialect::Istio, PathRewrite::Full(new)) => (**new).to_owned(),
            _ => whole.split('?').next().unwrap_or_default().to_owned(),
        }
    });
    Location {
        scheme: redirect.scheme.as_deref().map(str::to_owned),
        host: redirect.host.as_deref().map(str::to_owned),
        port,
        path,
        status: redirect.status,
    }
}

#[cfg(test)]
mod tests;
