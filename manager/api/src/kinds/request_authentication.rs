//! Istio `RequestAuthentication` (`ValidateRequestAuthentication` of istio/istio).

mod key_set;
mod written;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use self::written::{Rule, Written};
use super::scope;
use crate::{PolicyScope, Resource, decode::Reading, object::Metadata, path::At, syntax};

/// A RequestAuthentication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestAuthentication {
    /// `selector` or `targetRefs`.
    pub scope: PolicyScope,
    /// `jwtRules`.
    pub rules: Vec<JwtRule>,
}

/// One of `jwtRules`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtRule {
    /// `issuer`.
    pub issuer: Option<Arc<str>>,
    /// `audiences`.
    pub audiences: Vec<Arc<str>>,
    /// `jwksUri`.
    pub key_uri: Option<Arc<str>>,
    /// `jwks`, which is a key set.
    pub keys: Option<Arc<str>>,
    /// `fromHeaders`: names in lower case, and prefixes.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// `fromParams`.
    pub params: Vec<Arc<str>>,
    /// `fromCookies`.
    pub cookies: Vec<Arc<str>>,
    /// `forwardOriginalToken`.
    pub forwards_token: bool,
    /// `outputPayloadToHeader`, in lower case.
    pub payload_header: Option<Arc<str>>,
    /// `outputClaimToHeaders`: headers in lower case, and claims.
    pub claim_headers: Vec<(Arc<str>, Arc<str>)>,
    /// `spaceDelimitedClaims`.
    pub spaced_claims: Vec<Arc<str>>,
    /// `timeout`, 5 s when unset.
    pub timeout: Duration,
}

const MOST_RULES: usize = 4096;
const LONGEST_URI: usize = 2048;
const MOST_SPACED: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.own_field(object, "spec")?;
    let at = At::top("spec");
    let (selector, target) = (spec.selector.as_ref(), spec.target_ref.as_ref());
    let scope = scope::scope(selector, target, spec.target_refs.as_deref(), at, cx);
    let list = at.key("jwtRules");
    let written = spec.jwt_rules.as_deref().unwrap_or(&[]);
    let message = format_args!("at most {MOST_RULES} rules are allowed");
    cx.require(written.len() <= MOST_RULES, list, message);
    let mut rules = Vec::new();
    for (index, written) in written.iter().enumerate() {
        if let Some(written) = written {
            rules.push(rule(written, list.index(index), cx));
        }
    }
    let policy = RequestAuthentication { scope, rules };
    Some(Resource::RequestAuthentication(Box::new(policy)))
}

fn rule(written: &Rule, at: At<'_>, cx: &mut Reading<'_>) -> JwtRule {
    let message = "audience must be non-empty string";
    let audiences = texts(&written.audiences, at.key("audiences"), message, cx);
    let issuer = written.issuer.as_deref();
    let uri = written
        .jwks_uri
        .as_deref()
        .or(written.jwks_uri_old.as_deref());
    if issuer.unwrap_or("").is_empty() && uri.unwrap_or("").is_empty() {
        cx.reject(at, "issuer or jwksUri must be non-empty string");
    } else if issuer == Some("") {
        cx.reject(at.key("issuer"), "issuer must be non-empty string");
    }
    let sources = [&written.jwks_uri, &written.jwks_uri_old, &written.jwks];
    if sources.iter().filter(|source| source.is_some()).count() > 1 {
        cx.reject(at, "only one of jwks or jwksUri can be set");
    }
    let (key_uri, keys) = (key_uri(uri, at, cx), keys(written, at, cx));
    let message = "location query must be non-empty string";
    let params = texts(&written.from_params, at.key("fromParams"), message, cx);
    let message = "cookie name must be non-empty string";
    let cookies = texts(&written.from_cookies, at.key("fromCookies"), message, cx);
    let list = at.key("spaceDelimitedClaims");
    let spaced_claims = texts(
        &written.space_delimited_claims,
        list,
        "claim must be non-empty string",
        cx,
    );
    let message = format_args!("at most {MOST_SPACED} claims are allowed");
    cx.require(spaced_claims.len() <= MOST_SPACED, list, message);
    let payload_header = written.output_payload_to_header.as_deref();
    let payload_header = payload_header.filter(|name| !name.is_empty());
    JwtRule {
        issuer: issuer
            .filter(|issuer| !issuer.is_empty())
            .map(|issuer| cx.interner.name(issuer)),
        audiences,
        key_uri,
        keys,
        headers: headers(written, at, cx),
        params,
        cookies,
        forwards_token: written.forward_original_token.unwrap_or(false),
        payload_header: payload_header.map(|name| cx.interner.name(&name.to_ascii_lowercase())),
        claim_headers: claim_headers(written, at, cx),
        spaced_claims,
        timeout: timeout(written, at, cx),
    }
}

fn texts(
    written: &Option<Vec<String>>,
    at: At<'_>,
    empty: &str,
    cx: &mut Reading<'_>,
) -> Vec<Arc<str>> {
    let mut texts = Vec::new();
    for (index, text) in written.iter().flatten().enumerate() {
        cx.require(!text.is_empty(), at.index(index), empty);
        texts.push(cx.interner.name(text));
    }
    texts
}

fn key_uri(uri: Option<&str>, at: At<'_>, cx: &mut Reading<'_>) -> Option<Arc<str>> {
    let uri = uri?;
    let at = at.key("jwksUri");
    let message = format_args!("a URI has 1 to {LONGEST_URI} characters");
    cx.require(
        (1..=LONGEST_URI).contains(&uri.chars().count()),
        at,
        message,
    );
    let (scheme, rest) = uri.split_once("://").unwrap_or((uri, ""));
    let known = ["http", "https"];
    if !known.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        let scheme = if rest.is_empty() { "" } else { scheme };
        let message = "url must have scheme http:// or https://";
        cx.reject(
            at,
            format_args!("URI scheme {scheme:?} is not supported: {message}"),
        );
    } else if rest.split(['/', '?', '#']).next().is_none_or(str::is_empty) {
        cx.reject(at, format_args!("{uri:?} names no host"));
    }
    Some(cx.interner.name(uri))
}

fn keys(written: &Rule, at: At<'_>, cx: &mut Reading<'_>) -> Option<Arc<str>> {
    let text = written.jwks.as_deref().filter(|text| !text.is_empty())?;
    let at = at.key("jwks");
    match key_set::check(text) {
        Ok(unusable) => {
            for why in unusable {
                cx.warn(at, why);
            }
        }
        Err(why) => cx.reject(at, format_args!("jwks parse error: {why}")),
    }
    Some(text.into())
}

fn headers(written: &Rule, at: At<'_>, cx: &mut Reading<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let list = at.key("fromHeaders");
    let mut headers = Vec::new();
    for (index, header) in written.from_headers.iter().flatten().enumerate() {
        let at = list.index(index);
        let Some(header) = header else {
            cx.reject(at, "location header name must be non-null");
            continue;
        };
        let name = header.name.as_deref().unwrap_or("");
        let message = "location header name must be non-empty string";
        cx.require(!name.is_empty(), at.key("name"), message);
        let prefix = header.prefix.as_deref().unwrap_or("");
        let name = cx.interner.name(&name.to_ascii_lowercase());
        headers.push((name, cx.interner.name(prefix)));
    }
    headers
}

fn claim_headers(written: &Rule, at: At<'_>, cx: &mut Reading<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let list = at.key("outputClaimToHeaders");
    let mut headers = Vec::new();
    for (index, pair) in written.output_claim_to_headers.iter().flatten().enumerate() {
        let at = list.index(index);
        let Some(pair) = pair else {
            cx.reject(at, "outputClaimToHeaders must not be null");
            continue;
        };
        let header = pair.header.as_deref().unwrap_or("");
        let claim = pair.claim.as_deref().unwrap_or("");
        if header.is_empty() || claim.is_empty() {
            let message = "outputClaimToHeaders header and claim value must be non-empty string";
            cx.reject(at, message);
            continue;
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let message = format_args!("header name {header} is not a valid header name");
        cx.require(header.bytes().all(fits), at.key("header"), message);
        let header = cx.interner.name(&header.to_ascii_lowercase());
        headers.push((header, cx.interner.name(claim)));
    }
    headers
}

fn timeout(written: &Rule, at: At<'_>, cx: &mut Reading<'_>) -> Duration {
    let Some(text) = written.timeout.as_deref() else {
        return TIMEOUT;
    };
    let timeout = syntax::duration(text).filter(|timeout| *timeout >= Duration::from_millis(1));
    let message = format_args!("{text:?} must be a valid duration greater than 1ms");
    cx.require(timeout.is_some(), at.key("timeout"), message);
    timeout.unwrap_or(TIMEOUT)
}
