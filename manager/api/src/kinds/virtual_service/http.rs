//! Rules for requests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;

use super::stream::Destination;
use crate::{
    Labels,
    proto::{self, Percent, StringMatch},
};

/// A rule for requests (`HTTPRoute` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    /// `name`, for logs; may be empty.
    pub name: Arc<str>,
    /// `match`: one of these fits; empty fits every request.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// `route`: where the request goes, by weight.
    pub route: Vec<HttpDestination>,
    /// `redirect`.
    pub redirect: Option<Redirect>,
    /// `directResponse`.
    pub direct_response: Option<DirectResponse>,
    /// `delegate`: the rules of another VirtualService apply.
    pub delegate: Option<Delegate>,
    /// `rewrite`.
    pub rewrite: Option<Rewrite>,
    /// `timeout` of the whole request; none is no limit.
    #[serde(deserialize_with = "proto::duration")]
    pub timeout: Option<Duration>,
    /// `retries`; none means the default of the mesh.
    pub retries: Option<Retries>,
    /// `fault`.
    pub fault: Option<Fault>,
    /// `mirror`.
    pub mirror: Option<Destination>,
    /// `mirrorPercentage`, of `mirror`; none means every request.
    pub mirror_percentage: Option<Percent>,
    /// `mirrorPercent`, superseded by `mirrorPercentage`.
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    /// `mirrors`.
    pub mirrors: Vec<Mirror>,
    /// `corsPolicy`.
    pub cors_policy: Option<CorsPolicy>,
    /// `headers`: changes for every destination.
    pub headers: Headers,
}

impl HttpRoute {
    /// Who gets copies and of how many requests: `mirror` or `mirrors`.
    pub fn copies(&self) -> impl Iterator<Item = (&Destination, Percent)> {
        let share = match (self.mirror_percentage, self.mirror_percent) {
            (Some(share), _) => share,
            (None, Some(percent)) => Percent::whole(percent),
            (None, None) => Percent::ALL,
        };
        let single = self.mirror.iter().map(move |to| (to, share));
        single.chain(self.mirrors.iter().map(|mirror| {
            let share = mirror.percentage.unwrap_or(Percent::ALL);
            (&mirror.destination, share)
        }))
    }
}

/// What a request must be like: all of it (`HTTPMatchRequest`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    /// `name`, for logs; may be empty.
    pub name: Arc<str>,
    /// `uri`: the path without query.
    pub uri: Option<StringMatch>,
    /// `scheme`.
    pub scheme: Option<StringMatch>,
    /// `method`.
    pub method: Option<StringMatch>,
    /// `authority`.
    pub authority: Option<StringMatch>,
    /// `headers`, names as written.
    pub headers: BTreeMap<Arc<str>, StringMatch>,
    /// `withoutHeaders`: none may be like this.
    pub without_headers: BTreeMap<Arc<str>, StringMatch>,
    /// `queryParams`.
    pub query_params: BTreeMap<Arc<str>, StringMatch>,
    /// `ignoreUriCase`: for exact and prefix matches of `uri`.
    pub ignore_uri_case: bool,
    /// `port` that was dialled; 0 when unset.
    pub port: u32,
    /// `sourceLabels` of the client; empty asks nothing.
    #[serde(deserialize_with = "proto::labels")]
    pub source_labels: Labels,
    /// `sourceNamespace` of the client; may be empty.
    pub source_namespace: Arc<str>,
    /// `gateways`: instead of those of the VirtualService.
    pub gateways: Vec<Arc<str>>,
    /// `statPrefix`: nothing is named after it.
    pub stat_prefix: Arc<str>,
}

impl HttpMatch {
    /// Whether a prefix of the path is all that is asked.
    pub(crate) fn is_prefix_alone(&self) -> bool {
        let rest = Self {
            name: "".into(),
            stat_prefix: "".into(),
            uri: None,
            ..self.clone()
        };
        matches!(self.uri, Some(StringMatch::Prefix(_))) && rest == Self::default()
    }
}

/// A destination with its share (`HTTPRouteDestination`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpDestination {
    /// `destination`.
    pub destination: Destination,
    /// `weight`; a single destination gets everything even with 0.
    #[serde(deserialize_with = "proto::weight")]
    pub weight: u32,
    /// `headers`: changes for this destination, after those of the rule.
    pub headers: Headers,
}

/// Header changes (`Headers`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// Of the request.
    pub request: HeaderOperations,
    /// Of the response.
    pub response: HeaderOperations,
}

/// Header changes in one direction (`HeaderOperations`), names as written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeaderOperations {
    /// Replaced or added.
    pub set: BTreeMap<Arc<str>, Arc<str>>,
    /// Added beside what is there.
    pub add: BTreeMap<Arc<str>, Arc<str>>,
    /// Removed.
    pub remove: Vec<Arc<str>>,
}

/// `redirect` (`HTTPRedirect`). Empty texts stay as in the request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Redirect {
    /// `uri`: the whole path.
    pub uri: Arc<str>,
    /// `prefixRewrite`: instead of the part that matched.
    pub prefix_rewrite: Arc<str>,
    /// `authority`.
    pub authority: Arc<str>,
    /// `port`.
    pub port: Option<u32>,
    /// `derivePort`.
    pub derive_port: Option<DerivePort>,
    /// `scheme`.
    pub scheme: Arc<str>,
    /// `redirectCode`; 0 means 301.
    pub redirect_code: u32,
}

/// Where the port of a redirect comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DerivePort {
    /// The scheme's own.
    FromProtocolDefault,
    /// The one of the request.
    FromRequestPort,
}

/// `directResponse` (`HTTPDirectResponse`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DirectResponse {
    /// `status`, 200 to 599.
    pub status: u32,
    /// `body`.
    pub body: Option<Body>,
}

/// A body (`HTTPBody`).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "WrittenBody")]
pub enum Body {
    /// `string`.
    Text(Arc<str>),
    /// `bytes`, decoded.
    Bytes(Arc<[u8]>),
}

impl Body {
    /// What is sent.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[derive(Deserialize)]
struct WrittenBody {
    string: Option<Arc<str>>,
    bytes: Option<String>,
}

impl TryFrom<WrittenBody> for Body {
    type Error = &'static str;

    fn try_from(written: WrittenBody) -> Result<Self, Self::Error> {
        match (written.string, written.bytes) {
            (Some(text), None) => Ok(Self::Text(text)),
            (None, Some(base64)) => match crate::base64::decode(&base64) {
                Some(bytes) => Ok(Self::Bytes(bytes.into())),
                None => Err("bytes must be base64"),
            },
            (None, None) => Ok(Self::Text("".into())),
            (Some(_), Some(_)) => Err("only one of string and bytes may be set"),
        }
    }
}

/// `delegate`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delegate {
    /// `name` of a VirtualService without hosts.
    pub name: Arc<str>,
    /// `namespace`; empty means that of the VirtualService that delegates.
    pub namespace: Arc<str>,
}

/// `rewrite` (`HTTPRewrite`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rewrite {
    /// `uri`: instead of the prefix that matched, or of the whole path; may be empty.
    pub uri: Arc<str>,
    /// `authority`; may be empty.
    pub authority: Arc<str>,
    /// `uriRegexRewrite`.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// `uriRegexRewrite`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RegexRewrite {
    /// `match`: a regular expression in RE2's syntax.
    #[serde(rename = "match")]
    pub pattern: Arc<str>,
    /// `rewrite`, with `\1` for groups.
    pub rewrite: Arc<str>,
}

/// `retries` (`HTTPRetry`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Retries {
    /// `attempts` after the first try, at least 0.
    pub attempts: i32,
    /// `perTryTimeout`; none means that of the rule.
    #[serde(deserialize_with = "proto::duration")]
    pub per_try_timeout: Option<Duration>,
    /// `retryOn` as written: conditions and status codes with commas; empty means the default.
    pub retry_on: Arc<str>,
    /// `retryRemoteLocalities`.
    pub retry_remote_localities: Option<bool>,
    /// `retryIgnorePreviousHosts`; none means true.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// `backoff`; none means 25 ms.
    #[serde(deserialize_with = "proto::duration")]
    pub backoff: Option<Duration>,
}

/// `fault` (`HTTPFaultInjection`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// `delay`.
    pub delay: Option<Delay>,
    /// `abort`.
    pub abort: Option<Abort>,
}

/// A wait for a share of the requests.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Delay {
    /// `fixedDelay`.
    #[serde(deserialize_with = "proto::duration")]
    pub fixed_delay: Option<Duration>,
    /// `exponentialDelay`, which Istio refuses.
    pub(super) exponential_delay: Option<String>,
    /// `percentage`; none means no request.
    pub percentage: Option<Percent>,
    /// `percent`, superseded by `percentage`.
    pub percent: i32,
}

impl Delay {
    /// Which share waits.
    pub fn share(&self) -> Percent {
        let old = u32::try_from(self.percent).unwrap_or(0);
        self.percentage.unwrap_or(Percent::whole(old))
    }
}

/// An answer in the destination's place for a share of the requests.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Abort {
    /// `httpStatus`, 200 to 599.
    pub http_status: Option<i32>,
    /// `grpcStatus`: a name such as `UNAVAILABLE`.
    pub grpc_status: Option<Arc<str>>,
    /// `http2Error`, which Istio refuses.
    pub(super) http2_error: Option<String>,
    /// `percentage`; none means no request.
    pub percentage: Option<Percent>,
}

/// Who gets a copy of a share of the requests (`HTTPMirrorPolicy`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mirror {
    /// `destination`.
    pub destination: Destination,
    /// `percentage`; none means every request.
    pub percentage: Option<Percent>,
}

/// `corsPolicy`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicy {
    /// `allowOrigins`.
    pub allow_origins: Vec<StringMatch>,
    /// `allowOrigin`, superseded by `allowOrigins`: exact origins.
    pub allow_origin: Vec<Arc<str>>,
    /// `allowMethods`.
    pub allow_methods: Vec<Arc<str>>,
    /// `allowHeaders`.
    pub allow_headers: Vec<Arc<str>>,
    /// `exposeHeaders`.
    pub expose_headers: Vec<Arc<str>>,
    /// `maxAge`, whole seconds.
    #[serde(deserialize_with = "proto::duration")]
    pub max_age: Option<Duration>,
    /// `allowCredentials`.
    pub allow_credentials: Option<bool>,
    /// `unmatchedPreflights`.
    pub unmatched_preflights: UnmatchedPreflights,
}

/// What becomes of a preflight from an origin that is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// As `Forward`.
    #[default]
    Unspecified,
    /// It goes on to the destination.
    Forward,
    /// It is answered, without saying that the origin is allowed.
    Ignore,
}
