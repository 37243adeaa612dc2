//! Rules for requests: what they match and where they lead.

use super::{action, client, destination, header, string_match, weights};
use crate::{
    decode::Reading,
    kinds::virtual_service::http::{HttpMatch, HttpRoute},
    path::At,
    proto::{Percent, StringMatch},
};

pub(super) fn route(route: &HttpRoute, is_delegate: bool, at: At<'_>, cx: &mut Reading<'_>) {
    conflicts(route, is_delegate, at, cx);
    let may_have_regex = !is_delegate && route.delegate.is_none();
    let list = at.key("match");
    for (index, matching) in route.matches.iter().enumerate() {
        request(matching, may_have_regex, list.index(index), cx);
    }
    header::headers(&route.headers, at.key("headers"), cx);
    action::action(route, at, cx);
    mirrors(route, at, cx);
    let list = at.key("route");
    for (index, share) in route.route.iter().enumerate() {
        let at = list.index(index);
        header::headers(&share.headers, at.key("headers"), cx);
        destination(&share.destination, at.key("destination"), cx);
    }
    weights(route.route.iter().map(|share| share.weight), list, cx);
}

fn conflicts(route: &HttpRoute, is_delegate: bool, at: At<'_>, cx: &mut Reading<'_>) {
    if let (Some(delegate), false) = (&route.delegate, is_delegate) {
        let at_delegate = at.key("delegate");
        cx.require(
            !delegate.name.is_empty(),
            at_delegate.key("name"),
            "a delegate needs a name",
        );
        for (is_set, field, text) in [
            (route.redirect.is_some(), "redirect", "redirect"),
            (!route.route.is_empty(), "route", "route"),
            (
                route.direct_response.is_some(),
                "directResponse",
                "direct_response",
            ),
        ] {
            let message = format!("root HTTP route {} must not specify {text}", route.name);
            cx.require(!is_set, at.key(field), message);
        }
        return;
    }
    if route.delegate.is_some() {
        let message = "delegate HTTP route cannot contain delegate";
        cx.reject(at.key("delegate"), message);
    }
    let ends = match (&route.redirect, &route.direct_response) {
        (Some(_), Some(_)) => {
            let message = "HTTP route rule cannot contain both direct_response and redirect";
            cx.reject(at, message);
            return;
        }
        (Some(_), None) => "redirect",
        (None, Some(_)) => "direct_response",
        (None, None) if route.route.is_empty() => {
            let message = "HTTP route, redirect or direct_response is required";
            cx.reject(at, message);
            return;
        }
        (None, None) => return,
    };
    for (is_set, what) in [
        (
            !route.route.is_empty(),
            "HTTP route cannot contain both route",
        ),
        (
            route.fault.is_some(),
            "HTTP route cannot contain both fault",
        ),
        (
            route.rewrite.is_some(),
            "HTTP route rule cannot contain both rewrite",
        ),
    ] {
        cx.require(!is_set, at, format_args!("{what} and {ends}"));
    }
}

fn request(matching: &HttpMatch, may_have_regex: bool, at: At<'_>, cx: &mut Reading<'_>) {
    for (field, name, matching) in [
        ("uri", "url", &matching.uri),
        ("scheme", "scheme", &matching.scheme),
        ("method", "method", &matching.method),
        ("authority", "authority", &matching.authority),
    ] {
        let Some(matching) = matching else { continue };
        if *matching == StringMatch::Present {
            cx.reject(at.key(field), "one of exact, prefix and regex must be set");
        }
        if may_have_regex {
            string_match(matching, field, at.key(field), cx);
        } else {
            no_regex(matching, name, at.key(field), cx);
        }
    }
    for (field, name, texts) in [
        ("headers", "header", &matching.headers),
        (
            "withoutHeaders",
            "withoutHeaders",
            &matching.without_headers,
        ),
        ("queryParams", "query param", &matching.query_params),
    ] {
        let at = at.key(field);
        for (key, matching) in texts {
            if field != "queryParams" {
                header::matched_name(key, at.key(key), cx);
            }
            if may_have_regex {
                string_match(matching, field, at.key(key), cx);
            } else {
                no_regex(matching, &format!("{name} match {key}"), at.key(key), cx);
            }
        }
    }
    let who = (
        matching.port,
        &matching.source_labels,
        &*matching.source_namespace,
    );
    client(who, &matching.gateways, at, cx);
    if !matching.stat_prefix.is_empty() {
        let message = "is not supported; nothing is named after it";
        cx.not_supported(at.key("statPrefix"), message);
    }
}

fn no_regex(matching: &StringMatch, name: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if matches!(matching, StringMatch::Regex(_)) {
        let name = match name.contains(' ') {
            true => name.to_owned(),
            false => format!("{name} match"),
        };
        let message = format!("{name} does not support regex match for delegating");
        cx.reject(at, message);
    }
}

fn mirrors(route: &HttpRoute, at: At<'_>, cx: &mut Reading<'_>) {
    if let Some(mirror) = &route.mirror {
        destination(mirror, at.key("mirror"), cx);
        cx.require(
            route.mirrors.is_empty(),
            at,
            "HTTP route cannot contain both mirror and mirrors",
        );
    }
    if let Some(percent) = route.mirror_percent {
        let at = at.key("mirrorPercent");
        cx.require(
            percent <= 100,
            at,
            format_args!("mirror_percent must have a max value of 100 (it has {percent})"),
        );
        let message =
            "using deprecated setting \"mirrorPercent\", use \"mirrorPercentage\" instead";
        cx.warn(at, message);
    }
    mirror_share(
        route.mirror_percentage,
        "mirror_percentage",
        at.key("mirrorPercentage"),
        cx,
    );
    let list = at.key("mirrors");
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let at = list.index(index);
        destination(&mirror.destination, at.key("destination"), cx);
        mirror_share(
            mirror.percentage,
            "mirror percentage",
            at.key("percentage"),
            cx,
        );
    }
}

fn mirror_share(share: Option<Percent>, name: &str, at: At<'_>, cx: &mut Reading<'_>) {
    let Some(value) = share.and_then(Percent::excess) else {
        return;
    };
    let (side, bound) = if value < 0.0 {
        ("min", 0)
    } else {
        ("max", 100)
    };
    let at = at.key("value");
    let message = format!("{name} must have a {side} value of {bound} (it has {value})");
    cx.reject(at, message);
}
