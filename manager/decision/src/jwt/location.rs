//! Where a token may stand.

use std::borrow::Cow;

use weft_model::policy::JwtRule;

use super::TokenRequest;

/// Where a token stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenPlace {
    /// In this header, in lower case.
    Header(String),
    /// In this query parameter.
    Param(String),
    /// In this cookie.
    Cookie(String),
}

/// Every token where a rule looks for one, in Envoy's order: headers, parameters, cookies.
pub(super) fn tokens<'r>(
    rule: &JwtRule,
    request: &TokenRequest<'r>,
) -> Vec<(Cow<'r, str>, TokenPlace)> {
    let mut found = Vec::new();
    if rule.uses_default_locations() {
        header(request, "authorization", "Bearer ", &mut found);
        param(request, "access_token", &mut found);
        return found;
    }
    for place in &rule.headers {
        header(request, &place.name, &place.prefix, &mut found);
    }
    for name in &rule.params {
        param(request, name, &mut found);
    }
    for name in &rule.cookies {
        cookie(request, name, &mut found);
    }
    found
}

type Found<'r> = Vec<(Cow<'r, str>, TokenPlace)>;

fn header<'r>(request: &TokenRequest<'r>, name: &str, prefix: &str, found: &mut Found<'r>) {
    for (_, value) in request.headers.iter().filter(|(other, _)| *other == name) {
        if let Some(token) = value.trim().strip_prefix(prefix) {
            found.push((token.trim().into(), TokenPlace::Header(name.to_owned())));
        }
    }
}

fn param<'r>(request: &TokenRequest<'r>, name: &str, found: &mut Found<'r>) {
    let query = request.query;
    for pair in query.split('&') {
        if let Some((key, value)) = pair.split_once('=')
            && key == name
            && !value.is_empty()
        {
            found.push((value.into(), TokenPlace::Param(name.to_owned())));
        }
    }
}

fn cookie<'r>(request: &TokenRequest<'r>, name: &str, found: &mut Found<'r>) {
    for (_, value) in request
        .headers
        .iter()
        .filter(|(other, _)| *other == "cookie")
    {
        for pair in value.split(';') {
            if let Some((key, value)) = pair.trim().split_once('=')
                && key == name
            {
                let value = value.strip_prefix('"').unwrap_or(value);
                let value = value.strip_suffix('"').unwrap_or(value);
                found.push((value.into(), TokenPlace::Cookie(name.to_owned())));
            }
        }
    }
}
