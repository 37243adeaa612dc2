//! Filters of HTTPRoutes and GRPCRoutes.

use std::sync::Arc;

use serde::Deserialize;

use super::{BackendRef, LocalRef};

/// What happens to a request or its response besides being routed.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub enum Filter {
    /// Changes headers of requests.
    RequestHeaderModifier(HeaderModifier),
    /// Changes headers of responses.
    ResponseHeaderModifier(HeaderModifier),
    /// Sends copies elsewhere.
    RequestMirror(RequestMirror),
    /// Answers with a redirect.
    RequestRedirect(RequestRedirect),
    /// Changes what the backend sees.
    UrlRewrite(UrlRewrite),
    /// Answers browsers that ask first.
    Cors(Cors),
    /// Asks an authorization service.
    ExternalAuth(ExternalAuth),
    /// Something that an implementation defines.
    ExtensionRef(LocalRef),
}

/// Header changes; set before add before remove.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Replaced.
    pub set: Vec<Header>,
    /// Added beside what is there.
    pub add: Vec<Header>,
    /// Removed, by name.
    pub remove: Vec<Arc<str>>,
}

/// A header.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Header {
    /// Name as written.
    pub name: Arc<str>,
    /// Value.
    pub value: Arc<str>,
}

/// Sends copies elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestMirror {
    /// To whom; its weight means nothing.
    pub backend: BackendRef,
    /// How many of a million requests, rounded down.
    pub millionths: u32,
}

/// Answers with a redirect; what is absent stays as in the request.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// Host of the Location.
    pub hostname: Option<Arc<str>>,
    /// Path of the Location.
    pub path: Option<PathModifier>,
    /// Port of the Location.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status_code: u16,
}

/// How a path changes.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum PathModifier {
    /// The whole path.
    ReplaceFullPath {
        /// Instead.
        replace_full_path: Arc<str>,
    },
    /// The segments that matched.
    ReplacePrefixMatch {
        /// Instead.
        replace_prefix_match: Arc<str>,
    },
}

/// Changes what the backend sees.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct UrlRewrite {
    /// Host header.
    pub hostname: Option<Arc<str>>,
    /// Path.
    pub path: Option<PathModifier>,
}

/// Answers browsers that ask first.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// `*`, or `scheme://host[:port]` where the host may begin with `*`.
    #[serde(default)]
    pub allow_origins: Vec<Arc<str>>,
    /// Methods, or `*`.
    #[serde(default)]
    pub allow_methods: Vec<Arc<str>>,
    /// Request headers, or `*`.
    #[serde(default)]
    pub allow_headers: Vec<Arc<str>>,
    /// Response headers scripts may see.
    #[serde(default)]
    pub expose_headers: Vec<Arc<str>>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
    /// Seconds the answer may be kept.
    pub max_age: u32,
}

/// Asks an authorization service.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// `HTTP` or `GRPC`.
    pub protocol: Arc<str>,
    /// The service; its weight means nothing.
    pub backend_ref: BackendRef,
    /// Settings for HTTP.
    pub http: Option<ExternalAuthHttp>,
    /// Settings for gRPC.
    pub grpc: Option<ExternalAuthGrpc>,
    /// Whether the request's body goes along.
    pub forward_body: Option<ForwardBody>,
}

/// Settings for an authorization service that speaks HTTP.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExternalAuthHttp {
    /// Prefix of the path.
    pub path: Option<Arc<str>>,
    /// Headers that are sent besides the standard ones.
    pub allowed_headers: Vec<Arc<str>>,
    /// Headers of its response that go on to the backend.
    pub allowed_response_headers: Vec<Arc<str>>,
}

/// Settings for an authorization service that speaks Envoy's protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExternalAuthGrpc {
    /// Headers that are sent; all when empty.
    pub allowed_headers: Vec<Arc<str>>,
}

/// How much of a request's body goes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ForwardBody {
    /// Bytes at most; 0 is none.
    pub max_size: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    r#type: Arc<str>,
    request_header_modifier: Option<HeaderModifier>,
    response_header_modifier: Option<HeaderModifier>,
    request_mirror: Option<WrittenMirror>,
    request_redirect: Option<RequestRedirect>,
    url_rewrite: Option<UrlRewrite>,
    cors: Option<Cors>,
    external_auth: Option<ExternalAuth>,
    extension_ref: Option<LocalRef>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMirror {
    backend_ref: BackendRef,
    percent: Option<u32>,
    fraction: Option<WrittenFraction>,
}

#[derive(Deserialize)]
struct WrittenFraction {
    numerator: u32,
    denominator: u32,
}

impl TryFrom<Written> for Filter {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let filter = match &*written.r#type {
            "RequestHeaderModifier" => written
                .request_header_modifier
                .map(Self::RequestHeaderModifier),
            "ResponseHeaderModifier" => written
                .response_header_modifier
                .map(Self::ResponseHeaderModifier),
            "RequestMirror" => written.request_mirror.map(mirror),
            "RequestRedirect" => written.request_redirect.map(Self::RequestRedirect),
            "URLRewrite" => written.url_rewrite.map(Self::UrlRewrite),
            "CORS" => written.cors.map(Self::Cors),
            "ExternalAuth" => written.external_auth.map(Self::ExternalAuth),
            "ExtensionRef" => written.extension_ref.map(Self::ExtensionRef),
            _ => return Err("the filter's type is not known"),
        };
        filter.ok_or("the field of the filter's type must be specified")
    }
}

fn mirror(written: WrittenMirror) -> Filter {
    let share = |part: u64, whole: u64| part * 1_000_000 / whole.max(1);
    let millionths = match (written.percent, written.fraction) {
        (Some(percent), _) => share(percent.into(), 100),
        (None, Some(fraction)) => share(fraction.numerator.into(), fraction.denominator.into()),
        (None, None) => 1_000_000,
    };
    Filter::RequestMirror(RequestMirror {
        backend: written.backend_ref,
        millionths: u32::try_from(millionths.min(1_000_000)).unwrap_or(1_000_000),
    })
}
