//! Names and values of headers.

use crate::{
    decode::Reading,
    kinds::virtual_service::http::{HeaderOperations, Headers},
    path::At,
};

/// Judges the changes to requests and responses.
pub(super) fn headers(headers: &Headers, at: At<'_>, cx: &mut Reading<'_>) {
    operations(&headers.request, true, at.key("request"), cx);
    operations(&headers.response, false, at.key("response"), cx);
}

fn operations(changes: &HeaderOperations, is_request: bool, at: At<'_>, cx: &mut Reading<'_>) {
    for (field, headers) in [("add", &changes.add), ("set", &changes.set)] {
        for (name, value) in headers {
            let at = at.key(field);
            let is_authority = is_request && is_authority(name);
            if !is_authority {
                changed_name(name, at.key(name), cx);
            }
            cx.require(
                is_value(value),
                at.key(name),
                format_args!("header value configuration {value} is invalid: write %% for %"),
            );
        }
    }
    let at = at.key("remove");
    for (index, name) in changes.remove.iter().enumerate() {
        changed_name(name, at.index(index), cx);
    }
}

/// Whether a header is the authority, under either name.
pub(super) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

fn changed_name(name: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if name.is_empty() {
        cx.reject(at, "header name cannot be empty");
    } else if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        let message = "header cannot have ':' prefix and cannot be host";
        cx.reject(at, format_args!("invalid header {name:?}: {message}"));
    } else {
        let message = format_args!("header name {name:?} is not a valid header name");
        cx.require(is_token(name), at, message);
    }
}

/// Judges a name that is matched, which may stand for a claim of a token too.
pub(super) fn matched_name(name: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if name.is_empty() {
        cx.reject(at, "header name cannot be empty");
        return;
    }
    let is_pseudo = name.strip_prefix(':').is_some_and(is_token);
    let fits = is_pseudo || name.starts_with('@') || is_token(name);
    let message = format_args!("header name {name:?} is not a valid header name");
    cx.require(fits, at, message);
    if matches!(name, "uri" | "scheme" | "method" | "authority") {
        let message =
            format!("the keys uri, scheme, method, and authority are ignored; use {name}");
        cx.warn(at, message);
    }
}

/// A token of HTTP (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether every `%` of a value is doubled or begins a command such as `%REQ(x)%` or
/// `%START_TIME%`, and no line ends in it.
fn is_value(value: &str) -> bool {
    if value.contains(['\r', '\n', '\0']) {
        return false;
    }
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let name = rest
            .bytes()
            .take_while(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'0'..=b'9'));
        let name = name.count();
        let mut after = &rest[name..];
        if after.starts_with('(') {
            let Some(end) = after.find(')') else {
                return false;
            };
            after = &after[end + 1..];
        }
        if let Some(length) = after.strip_prefix(':') {
            after = length.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        match after.strip_prefix('%') {
            Some(after) if name > 0 => rest = after,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_in_values_are_doubled_or_commands() {
        for good in [
            "a",
            "100%%",
            "%REQ(x-y?z)%",
            "%START_TIME%",
            "%REQ(x):10%",
            "",
        ] {
            assert!(is_value(good), "{good}");
        }
        for bad in ["100%", "%req%", "%REQ(x%", "a\nb", "%%%"] {
            assert!(!is_value(bad), "{bad}");
        }
    }
}
