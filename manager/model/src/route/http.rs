//! Rules for requests.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use crate::{Origin, ServiceName};

/// One way into a rule. Routes stand in order of precedence; several may lead to one rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HttpRoute {
    /// What a request must be like.
    pub matching: HttpMatch,
    /// What happens to it then.
    pub rule: Arc<HttpRule>,
}

/// What a request must be like: all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HttpMatch {
    /// Name of the match, for logs.
    pub name: Option<Arc<str>>,
    /// The path without query.
    pub path: Option<PathMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The Host header or `:authority`.
    pub authority: Option<StringMatch>,
    /// Headers, by name in lower case.
    pub headers: Vec<(Arc<str>, HeaderMatch)>,
    /// Headers that must not be like this, by name in lower case.
    pub without_headers: Vec<(Arc<str>, HeaderMatch)>,
    /// Claims of a token that is believed, by their path from the outside in.
    pub claims: Vec<(ClaimPath, HeaderMatch)>,
    /// Claims that must not be like this.
    pub without_claims: Vec<(ClaimPath, HeaderMatch)>,
    /// Query parameters, by name.
    pub query: Vec<(Arc<str>, HeaderMatch)>,
    /// The port that was dialled.
    pub port: Option<u16>,
    /// The client.
    pub source: Source,
}

/// Where a claim stands in a token, from the outside in.
pub type ClaimPath = Arc<[Arc<str>]>;

/// What a client must be like.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Source {
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// Labels it must have.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// How a path must be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum PathMatch {
    /// Equal.
    Exact {
        /// The path.
        path: Arc<str>,
        /// Whether upper and lower case are the same.
        ignore_case: bool,
    },
    /// Begins so, anywhere in a segment.
    Prefix {
        /// The beginning.
        path: Arc<str>,
        /// Whether upper and lower case are the same.
        ignore_case: bool,
    },
    /// Begins with these whole segments; without a slash at the end, `/` itself is empty.
    Segments(Arc<str>),
    /// The whole path matches a regular expression.
    Regex(Arc<str>),
}

/// How a text must be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum StringMatch {
    /// Equal.
    Exact(Arc<str>),
    /// Begins so.
    Prefix(Arc<str>),
    /// The whole text matches a regular expression.
    Regex(Arc<str>),
}

/// How a header or query parameter must be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum HeaderMatch {
    /// There, whatever its value.
    Present,
    /// There, with a value like this.
    Value(StringMatch),
}

/// What happens to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HttpRule {
    /// The resource.
    pub origin: Origin,
    /// Number of the rule in the resource, from 0.
    pub index: usize,
    /// Name of the rule, empty when it has none.
    pub name: Arc<str>,
    /// Where the request goes.
    pub action: HttpAction,
    /// Changes to the request before it goes there.
    pub request_headers: HeaderEdits,
    /// Changes to the response.
    pub response_headers: HeaderEdits,
    /// Path and authority the destination sees.
    pub rewrite: Option<Rewrite>,
    /// For the whole request, retries included; none is no limit.
    pub timeout: Option<Duration>,
    /// What is tried again.
    pub retries: Option<Retries>,
    /// Faults for tests.
    pub fault: Option<Fault>,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// Answers to browsers that ask first.
    pub cors: Option<Cors>,
    /// What keeps the requests of a session at one endpoint.
    pub session: Option<Session>,
}

/// What keeps the requests of a session at one endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Session {
    /// What carries the session.
    pub carrier: SessionCarrier,
    /// How long a session lasts at most.
    pub absolute_timeout: Option<Duration>,
}

/// What carries a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Name; one that is made up when absent.
        name: Option<Arc<str>>,
        /// Path it is for.
        path: Arc<str>,
        /// Whether it outlives the browser's session.
        is_permanent: bool,
    },
    /// A header with this name.
    Header(Arc<str>),
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum HttpAction {
    /// To one of these, by weight. When all weights are 0 or there is none, the answer is 500 for the
    /// Gateway API and 503 for Istio.
    Forward(Vec<Destination>),
    /// Back, with a Location.
    Redirect(Redirect),
    /// Back, with this answer.
    Respond(DirectResponse),
}

/// A destination with its share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Destination {
    /// Host as it resolves, for display.
    pub host: Arc<str>,
    /// What it is.
    pub target: Target,
    /// Subset of a DestinationRule.
    pub subset: Option<Arc<str>>,
    /// Port of the service; none if it has only one or the dialled one is meant.
    pub port: Option<u16>,
    /// Share relative to its siblings.
    pub weight: u32,
    /// Changes to requests that go here, after those of the rule.
    pub request_headers: HeaderEdits,
    /// Changes to responses that come from here.
    pub response_headers: HeaderEdits,
}

/// What a destination names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Target {
    /// A service.
    Service(ServiceName),
    /// Nothing that may be used; why, and the share's answer (500 or 503).
    Invalid {
        /// Why.
        reason: Arc<str>,
        /// Status of the share.
        status: u16,
    },
}

/// Header changes; set before add before remove. Names as written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HeaderEdits {
    /// Replaced or added.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Added beside what is there.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Removed.
    pub remove: Vec<Arc<str>>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A redirect; what is not given stays as in the request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Redirect {
    /// Scheme of the Location.
    pub scheme: Option<Arc<str>>,
    /// Host of the Location.
    pub host: Option<Arc<str>>,
    /// Port of the Location.
    pub port: PortRewrite,
    /// Path of the Location.
    pub path: Option<PathRewrite>,
    /// Status, 3xx.
    pub status: u16,
}

/// Port of a Location.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum PortRewrite {
    /// As the Host header of the request has it; with another scheme or host, none.
    Keep,
    /// This one; left out of the Location when it is the scheme's own.
    Set(u16),
    /// The one the request came in at.
    FromRequest,
    /// The scheme's own when a scheme is given, else the listener's (Gateway API).
    SchemeOrListener,
}

/// How a path changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum PathRewrite {
    /// The whole path (Istio's `redirect.uri` may hold a query).
    Full(Arc<str>),
    /// The part that a prefix matched. With another kind of match, the whole path.
    Prefix(Arc<str>),
    /// The part that whole segments matched, with slashes joined as the Gateway API says.
    Segments(Arc<str>),
    /// What a regular expression finds.
    Regex {
        /// RE2.
        pattern: Arc<str>,
        /// With `\1` for groups.
        substitution: Arc<str>,
    },
}

/// An answer without a destination.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DirectResponse {
    /// Status, 200 to 599.
    pub status: u16,
    /// Body.
    pub body: Option<Arc<[u8]>>,
}

/// What a destination sees instead.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Rewrite {
    /// Path.
    pub path: Option<PathRewrite>,
    /// Host.
    pub authority: Option<Arc<str>>,
}

/// What is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Retries {
    /// Retries besides the first try; 0 is none.
    pub attempts: u32,
    /// For each try.
    pub per_try_timeout: Option<Duration>,
    /// Envoy's conditions.
    pub retry_on: Vec<Arc<str>>,
    /// Status codes that are tried again.
    pub codes: Vec<u16>,
    /// Wait before the first retry; grows, with jitter.
    pub backoff: Option<Duration>,
    /// Whether other localities may be tried.
    pub remote_localities: bool,
    /// Whether a host that failed is not tried again.
    pub ignore_previous_hosts: bool,
}

/// Faults for tests. Shares are in millionths.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// Wait before the request goes on.
    pub delay: Option<Delay>,
    /// Answer instead.
    pub abort: Option<Abort>,
}

/// A wait for some requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// How many of a million requests.
    pub millionths: u32,
}

/// An answer for some requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Abort {
    /// HTTP status, if it is one.
    pub http_status: Option<u16>,
    /// gRPC status code, if it is one.
    pub grpc_status: Option<u8>,
    /// How many of a million requests.
    pub millionths: u32,
}

/// Who gets a copy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mirror {
    /// To whom; its weight means nothing.
    pub destination: Destination,
    /// How many of a million requests.
    pub millionths: u32,
}

/// Answers to browsers that ask first (CORS).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cors {
    /// Origins allowed.
    pub origins: Vec<StringMatch>,
    /// Methods allowed.
    pub methods: Vec<Arc<str>>,
    /// Request headers allowed.
    pub headers: Vec<Arc<str>>,
    /// Response headers scripts may see.
    pub expose: Vec<Arc<str>>,
    /// How long the answer may be kept.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent.
    pub credentials: Option<bool>,
    /// Whether a preflight that fits no origin goes on to the destination.
    pub forward_unmatched_preflights: bool,
}

/// What happens when no rule fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Fallback {
    /// The addressed service, as if there were no rules.
    Service,
    /// 404.
    NotFound,
}
