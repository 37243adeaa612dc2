//! When a rule fits: the model's matches with their regular expressions compiled.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use regex::Regex;
use serde_json::Value;
use weft_model::route::{
    ClaimPath, HeaderMatch, HttpMatch, PathMatch, Source, StreamMatch, StringMatch,
};

use crate::request::{Client, Connection, Request};

/// A regular expression that must match the whole text. One that does not compile, which
/// validation refuses, matches nothing.
fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// How a text must be.
#[derive(Debug)]
pub(crate) enum TextMatcher {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Regex(Option<Regex>),
}

impl TextMatcher {
    pub(crate) fn new(matching: &StringMatch) -> Self {
        match matching {
            StringMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            StringMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            StringMatch::Regex(pattern) => Self::Regex(whole(pattern)),
        }
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Regex(regex) => regex.as_ref().is_some_and(|regex| regex.is_match(text)),
        }
    }
}

#[derive(Debug)]
pub(crate) enum PathMatcher {
    Exact(Arc<str>),
    ExactAnyCase(Arc<str>),
    Prefix(Arc<str>),
    PrefixAnyCase(Arc<str>),
    /// Without a slash at the end.
    Segments(Arc<str>),
    Regex(Option<Regex>),
}

impl PathMatcher {
    pub(crate) fn new(path: &PathMatch) -> Self {
        match path {
            PathMatch::Exact { path, ignore_case } => match ignore_case {
                false => Self::Exact(Arc::clone(path)),
                true => Self::ExactAnyCase(Arc::clone(path)),
            },
            PathMatch::Prefix { path, ignore_case } => match ignore_case {
                false => Self::Prefix(Arc::clone(path)),
                true => Self::PrefixAnyCase(Arc::clone(path)),
            },
            PathMatch::Segments(path) => Self::Segments(path.trim_end_matches('/').into()),
            PathMatch::Regex(pattern) => Self::Regex(whole(pattern)),
        }
    }

    pub(crate) fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::ExactAnyCase(exact) => exact.eq_ignore_ascii_case(path),
            Self::Prefix(prefix) => path.starts_with(&**prefix),
            Self::PrefixAnyCase(prefix) => path
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            Self::Segments(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Regex(regex) => regex.as_ref().is_some_and(|regex| regex.is_match(path)),
        }
    }
}

/// What an index can look up of a path.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum PathKey<'a> {
    /// Only this path.
    Exact(&'a str),
    /// Only paths that begin so.
    Prefix(&'a str),
    /// Any path may fit.
    Any,
}

type FieldMatcher = (Arc<str>, Option<TextMatcher>);

type ClaimMatcher = (ClaimPath, Option<TextMatcher>);

/// What a request must be like, ready to ask.
#[derive(Debug)]
pub(crate) struct RequestMatcher {
    path: Option<PathMatcher>,
    scheme: Option<TextMatcher>,
    method: Option<TextMatcher>,
    authority: Option<TextMatcher>,
    headers: Vec<FieldMatcher>,
    without_headers: Vec<FieldMatcher>,
    claims: Vec<ClaimMatcher>,
    without_claims: Vec<ClaimMatcher>,
    query: Vec<FieldMatcher>,
    port: Option<u16>,
    source: Source,
}

impl RequestMatcher {
    pub(crate) fn new(matching: &HttpMatch) -> Self {
        let text = |matching: &Option<StringMatch>| matching.as_ref().map(TextMatcher::new);
        Self {
            path: matching.path.as_ref().map(PathMatcher::new),
            scheme: text(&matching.scheme),
            method: text(&matching.method),
            authority: text(&matching.authority),
            headers: fields(&matching.headers),
            without_headers: fields(&matching.without_headers),
            claims: fields(&matching.claims),
            without_claims: fields(&matching.without_claims),
            query: fields(&matching.query),
            port: matching.port,
            source: matching.source.clone(),
        }
    }

    /// What an index can do for it.
    pub(crate) fn path_key(&self) -> PathKey<'_> {
        match &self.path {
            Some(PathMatcher::Exact(path)) => PathKey::Exact(path),
            Some(PathMatcher::Prefix(path) | PathMatcher::Segments(path)) => PathKey::Prefix(path),
            _ => PathKey::Any,
        }
    }

    /// A header that must have one value, for indexing where paths do not tell routes apart.
    pub(crate) fn header_key(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        self.headers.iter().find_map(|(name, value)| match value {
            Some(TextMatcher::Exact(value)) => Some((name, value)),
            _ => None,
        })
    }

    /// Whether clients like this may come by this way at all.
    pub(crate) fn is_for(&self, client: &Client<'_>) -> bool {
        is_from(&self.source, client)
    }

    pub(crate) fn fits(&self, client: &Client<'_>, request: &Request<'_>, path: &str) -> bool {
        let text = |matcher: &Option<TextMatcher>, text: &str| {
            matcher.as_ref().is_none_or(|matcher| matcher.fits(text))
        };
        self.path.as_ref().is_none_or(|matcher| matcher.fits(path))
            && self.port.is_none_or(|port| port == request.port)
            && text(&self.method, request.method)
            && text(&self.scheme, request.scheme)
            && text(&self.authority, request.authority)
            && self
                .headers
                .iter()
                .all(|field| has(field, header(request, &field.0).as_deref()))
            && !self
                .without_headers
                .iter()
                .any(|field| has(field, header(request, &field.0).as_deref()))
            && self
                .query
                .iter()
                .all(|field| has(field, parameter(request.query(), &field.0)))
            && self
                .claims
                .iter()
                .all(|wanted| has_claim(wanted, request.claims))
            && !self
                .without_claims
                .iter()
                .any(|wanted| has_claim(wanted, request.claims))
            && self.is_for(client)
    }
}

fn fields<K: Clone>(written: &[(K, HeaderMatch)]) -> Vec<(K, Option<TextMatcher>)> {
    let field = |(name, matching): &(K, HeaderMatch)| (name.clone(), value_matcher(matching));
    written.iter().map(field).collect()
}

/// None where any value will do.
pub(crate) fn value_matcher(matching: &HeaderMatch) -> Option<TextMatcher> {
    match matching {
        HeaderMatch::Present => None,
        HeaderMatch::Value(text) => Some(TextMatcher::new(text)),
    }
}

/// The claim at a path.
pub(crate) fn claim_at<'c>(claims: Option<&'c Value>, path: &[Arc<str>]) -> Option<&'c Value> {
    let steps = path.iter();
    steps.fold(claims, |found, step| found?.get(&**step))
}

/// A claim is a text, or a list of which one must fit.
fn has_claim((path, matcher): &ClaimMatcher, claims: Option<&Value>) -> bool {
    claim_fits(matcher.as_ref(), claim_at(claims, path))
}

pub(crate) fn claim_fits(matcher: Option<&TextMatcher>, claim: Option<&Value>) -> bool {
    match (matcher, claim) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(matcher), Some(Value::String(text))) => matcher.fits(text),
        (Some(matcher), Some(Value::Array(items))) => {
            let mut texts = items.iter().filter_map(Value::as_str);
            texts.any(|text| matcher.fits(text))
        }
        (Some(_), Some(_)) => false,
    }
}

fn has((_, matcher): &FieldMatcher, value: Option<&str>) -> bool {
    value_fits(matcher.as_ref(), value)
}

pub(crate) fn value_fits(matcher: Option<&TextMatcher>, value: Option<&str>) -> bool {
    match (matcher, value) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(matcher), Some(value)) => matcher.fits(value),
    }
}

/// The value of a header; several values count as one with commas between, as in RFC 9110 5.3.
pub(crate) fn header<'r>(request: &Request<'r>, name: &str) -> Option<Cow<'r, str>> {
    let mut found: Option<Cow<'r, str>> = None;
    for (other, value) in request.headers {
        if *other == name {
            found = Some(match found {
                None => Cow::Borrowed(value),
                Some(first) => Cow::Owned(format!("{first},{value}")),
            });
        }
    }
    found
}

/// The first value of a query parameter, as written.
pub(crate) fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let pairs = query.split('&');
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn is_from(source: &Source, client: &Client<'_>) -> bool {
    let has = |(key, value): &(Arc<str>, Arc<str>)| {
        client
            .labels
            .iter()
            .any(|(k, v)| **key == **k && **value == **v)
    };
    source
        .namespace
        .as_ref()
        .is_none_or(|namespace| **namespace == *client.namespace)
        && source.labels.iter().all(has)
}

/// What a connection must be like, ready to ask.
#[derive(Debug)]
pub(crate) struct ConnectionMatcher {
    matching: StreamMatch,
    /// `None` where a network cannot be read, which validation refuses.
    subnets: Vec<Option<IpNet>>,
}

impl ConnectionMatcher {
    pub(crate) fn new(matching: &StreamMatch) -> Self {
        let subnet = |text: &Arc<str>| {
            let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
            text.parse::<IpNet>().ok().or_else(address)
        };
        Self {
            matching: matching.clone(),
            subnets: matching.destination_subnets.iter().map(subnet).collect(),
        }
    }

    pub(crate) fn fits(&self, client: &Client<'_>, connection: &Connection<'_>) -> bool {
        let StreamMatch {
            sni, port, source, ..
        } = &self.matching;
        let is_named = |name: &str| sni.iter().any(|pattern| pattern.fits(name));
        let is_within = |address: IpAddr| {
            let subnets = self.subnets.iter().flatten();
            subnets.into_iter().any(|subnet| subnet.contains(&address))
        };
        (sni.is_empty() || connection.sni.is_some_and(is_named))
            && port.is_none_or(|port| port == connection.port)
            && (self.subnets.is_empty() || connection.address.is_some_and(is_within))
            && is_from(source, client)
    }
}
