use std::sync::Arc;

use super::*;

fn request(path: &str) -> Request<'_> {
    Request {
        path,
        scheme: "http",
        port: 80,
        ..Request::default()
    }
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix {
        path: path.into(),
        ignore_case: false,
    }
}

#[test]
fn a_gateway_api_prefix_is_replaced_by_the_documented_table() {
    for (path, matched, new, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/foo?q=1", "/foo", "/xyz", "/xyz?q=1"),
    ] {
        let matched = PathMatch::Segments(matched.into());
        let found = rewrite(
            &request(path),
            Some(&matched),
            &PathRewrite::Segments(new.into()),
        );
        assert_eq!(found, expected, "{path} {matched:?} {new}");
    }
}

#[test]
fn an_istio_prefix_is_replaced_as_text_and_other_matches_as_a_whole() {
    let new = PathRewrite::Prefix("/new".into());
    let found = |path, matched: Option<PathMatch>| rewrite(&request(path), matched.as_ref(), &new);
    assert_eq!(found("/old/x?a=b", Some(prefix("/old"))), "/new/x?a=b");
    assert_eq!(found("/old-x", Some(prefix("/old"))), "/new-x");
    assert_eq!(
        found("/old/x", Some(PathMatch::Regex("/o.*".into()))),
        "/new"
    );
    assert_eq!(found("/x", None), "/newx");
}

#[test]
fn a_regex_rewrite_takes_groups_as_re2_writes_them() {
    let rule = PathRewrite::Regex {
        pattern: r"^/api/(\w+)/v(\d)".into(),
        substitution: r"/$\2/\1".into(),
    };
    assert_eq!(
        rewrite(&request("/api/shop/v3/x?y"), None, &rule),
        "/$3/shop/x?y"
    );
}

#[test]
fn a_gateway_api_redirect_has_the_port_of_its_scheme_or_of_the_listener() {
    let redirect = |scheme: Option<&str>, port| Redirect {
        scheme: scheme.map(Arc::from),
        host: None,
        port,
        path: None,
        status: 302,
    };
    let at = |port: u16, redirect: &Redirect| {
        let request = Request {
            port,
            ..request("/")
        };
        location(&request, None, Dialect::GatewayApi, redirect).port
    };
    let derived = PortRewrite::SchemeOrListener;
    assert_eq!(at(80, &redirect(None, derived)), None);
    assert_eq!(at(8080, &redirect(None, derived)), Some(8080));
    assert_eq!(at(8080, &redirect(Some("https"), derived)), None);
    assert_eq!(
        at(80, &redirect(Some("https"), PortRewrite::Set(8443))),
        Some(8443)
    );
}
