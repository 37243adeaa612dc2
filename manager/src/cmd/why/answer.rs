//! The answer of `weft why` as JSON. Fields are added, never changed.

use serde::Serialize;
use serde_json::{Map, Value};
use weft_model::{Origin, route::HeaderEdits};

/// What happens, and because of what.
#[derive(Serialize)]
pub(crate) struct Answer {
    /// `allow` or `deny`.
    pub(crate) verdict: &'static str,
    /// Who says so: `l4` is the kernel, `l7` the proxy.
    pub(crate) layer: &'static str,
    /// The policy that decided; null when none did.
    pub(crate) decided_by: Option<Reference>,
    /// What the client gets when it is denied over HTTP.
    pub(crate) response: Option<Response>,
    /// Routes, then policies, in the order asked.
    pub(crate) considered: Vec<Considered>,
    /// The route; null when none applies: 404 at a gateway, the addressed service in the mesh.
    pub(crate) route: Option<Route>,
    /// `strict`, `permissive` or `disable` as the server takes it, `none` without a server in the
    /// mesh.
    pub(crate) mtls: &'static str,
    /// What would have to change for the opposite verdict.
    pub(crate) opposite: Vec<String>,
    /// What else to know.
    pub(crate) notes: Vec<String>,
}

impl Answer {
    /// Whether it may pass.
    pub(crate) fn is_allowed(&self) -> bool {
        self.verdict == "allow"
    }
}

/// A resource, and a rule in it.
#[derive(Clone, Serialize)]
pub(crate) struct Reference {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Position of the rule, from 0.
    pub(crate) rule: Option<usize>,
    pub(crate) file: String,
    /// Of the rule, when there is one.
    pub(crate) line: u32,
    /// The list in `spec` that the rule stands in.
    #[serde(skip)]
    pub(crate) list: &'static str,
}

impl Reference {
    /// Whether its rules are about connections, which have no status.
    pub(crate) fn is_of_streams(&self) -> bool {
        matches!(self.list, "tcp" | "tls")
            || matches!(self.kind.as_str(), "TCPRoute" | "TLSRoute" | "UDPRoute")
    }

    /// A rule of the resource at `origin`.
    pub(crate) fn new(origin: &Origin, rule: Option<usize>) -> Self {
        Self {
            kind: origin.kind.to_string(),
            namespace: origin.namespace.to_string(),
            name: origin.name.to_string(),
            rule,
            file: origin.file.to_string(),
            line: origin.line,
            list: match &*origin.kind {
                "VirtualService" => "http",
                "RequestAuthentication" => "jwtRules",
                _ => "rules",
            },
        }
    }

    /// The same with its rule in another list of `spec`.
    pub(crate) fn in_list(self, list: &'static str) -> Self {
        Self { list, ..self }
    }

    /// Without the place.
    pub(crate) fn title(&self) -> String {
        let Self {
            kind,
            namespace,
            name,
            ..
        } = self;
        let rule = self
            .rule
            .map_or(String::new(), |rule| format!(" rule {rule}"));
        format!("{kind} {namespace}/{name}{rule}")
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}:{})", self.title(), self.file, self.line)
    }
}

/// Something that was asked.
#[derive(Serialize)]
pub(crate) struct Considered {
    #[serde(flatten)]
    pub(crate) resource: Reference,
    /// `route`, `authorization`, `mtls` or `jwt`.
    pub(crate) r#type: &'static str,
    /// What it does when it fits: `ALLOW`, `DENY`, a mode; empty for routes.
    pub(crate) action: String,
    /// Whether it fits.
    pub(crate) matched: bool,
    /// Whether it fits, does not, or was not asked.
    pub(crate) outcome: Outcome,
    /// Why not, or what else to say of it.
    pub(crate) reason: String,
    /// Everything it asks, and what was there: of several ways into a rule, that of the one that
    /// fits or comes closest.
    pub(crate) checks: Vec<Asking>,
}

impl Considered {
    /// One without checks.
    pub(crate) fn new(
        resource: Reference,
        r#type: &'static str,
        outcome: Outcome,
        reason: String,
    ) -> Self {
        Self {
            resource,
            r#type,
            action: String::new(),
            matched: outcome == Outcome::Matched,
            outcome,
            reason,
            checks: Vec::new(),
        }
    }
}

/// What came of something that was considered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It fits.
    Matched,
    /// It was asked and does not fit.
    NotMatched,
    /// It was not asked, since another one had decided.
    NotReached,
}

/// One thing that a rule asks.
#[derive(Clone, Serialize)]
pub(crate) struct Asking {
    pub(crate) field: String,
    pub(crate) asked: String,
    pub(crate) found: Option<String>,
    pub(crate) fits: bool,
}

impl From<&weft_decision::Check> for Asking {
    fn from(check: &weft_decision::Check) -> Self {
        Self {
            field: check.field.clone(),
            asked: check.asked.clone(),
            found: check.found.clone(),
            fits: check.fits,
        }
    }
}

/// What a client gets.
#[derive(Clone, Serialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Where a request or connection goes.
#[derive(Serialize)]
pub(crate) struct Route {
    pub(crate) resource: Option<Reference>,
    /// Position of the rule, from 0; null when no rule fits.
    pub(crate) rule: Option<usize>,
    pub(crate) name: Option<String>,
    /// What comes of it: 200 for what arrives.
    pub(crate) status: u16,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) direct_response: Option<DirectResponse>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) request_headers: Headers,
    pub(crate) response_headers: Headers,
    pub(crate) timeout: Option<String>,
    pub(crate) retries: Option<Retries>,
    pub(crate) fault: Option<Fault>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) cors: Option<Cors>,
    pub(crate) session_persistence: Option<Session>,
    /// What a gRPC client sees when it is not served.
    pub(crate) grpc_status: Option<u8>,
}

impl Route {
    /// One that does nothing.
    pub(crate) fn bare(resource: Option<Reference>, status: u16) -> Self {
        Self {
            rule: resource.as_ref().and_then(|resource| resource.rule),
            resource,
            name: None,
            status,
            redirect: None,
            direct_response: None,
            rewrite: None,
            destinations: Vec::new(),
            request_headers: Headers::default(),
            response_headers: Headers::default(),
            timeout: None,
            retries: None,
            fault: None,
            mirrors: Vec::new(),
            cors: None,
            session_persistence: None,
            grpc_status: None,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Redirect {
    pub(crate) scheme: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    pub(crate) status: u16,
}

#[derive(Serialize)]
pub(crate) struct DirectResponse {
    pub(crate) status: u16,
    pub(crate) body: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Rewrite {
    pub(crate) path: Option<String>,
    pub(crate) authority: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) subset: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) weight: u32,
    /// What comes of this share.
    pub(crate) status: u16,
    /// Why nothing behind it may be used.
    pub(crate) reason: Option<String>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) request_headers: Headers,
    pub(crate) response_headers: Headers,
    /// What of a request chooses the endpoint.
    pub(crate) hash: Option<Hash>,
    /// The flag that access logs show for a share that fails: `NC` or `UH`.
    pub(crate) response_flag: Option<&'static str>,
}

/// What of a request is hashed: one of these.
#[derive(Default, Serialize)]
pub(crate) struct Hash {
    pub(crate) header: Option<String>,
    pub(crate) query_parameter: Option<String>,
    pub(crate) source_ip: bool,
    pub(crate) cookie: Option<HashCookie>,
}

#[derive(Serialize)]
pub(crate) struct HashCookie {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    pub(crate) ttl: Option<String>,
}

/// What keeps the requests of a session at one endpoint.
#[derive(Serialize)]
pub(crate) struct Session {
    /// `Cookie` or `Header`.
    pub(crate) r#type: &'static str,
    pub(crate) name: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) absolute_timeout: Option<String>,
    pub(crate) lifetime_type: Option<&'static str>,
}

#[derive(Serialize)]
pub(crate) struct Cors {
    pub(crate) allow_origins: Vec<String>,
    pub(crate) allow_methods: Vec<String>,
    pub(crate) allow_headers: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    pub(crate) max_age: Option<String>,
    pub(crate) allow_credentials: Option<bool>,
    pub(crate) forward_unmatched_preflights: bool,
}

#[derive(Default, Serialize)]
pub(crate) struct Headers {
    pub(crate) set: Map<String, Value>,
    pub(crate) add: Map<String, Value>,
    pub(crate) remove: Vec<String>,
}

impl Headers {
    pub(crate) fn new(edits: &HeaderEdits) -> Self {
        let map = |pairs: &[(std::sync::Arc<str>, std::sync::Arc<str>)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (name.to_string(), Value::from(&**value)))
                .collect()
        };
        Self {
            set: map(&edits.set),
            add: map(&edits.add),
            remove: edits.remove.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Retries {
    pub(crate) attempts: u32,
    pub(crate) per_try_timeout: Option<String>,
    pub(crate) retry_on: Vec<String>,
    pub(crate) codes: Vec<u16>,
    pub(crate) backoff: Option<String>,
    pub(crate) remote_localities: bool,
    pub(crate) ignore_previous_hosts: bool,
}

#[derive(Serialize)]
pub(crate) struct Fault {
    pub(crate) delay: Option<Delay>,
    pub(crate) abort: Option<Abort>,
}

#[derive(Serialize)]
pub(crate) struct Delay {
    pub(crate) fixed_delay: String,
    pub(crate) percentage: f64,
}

#[derive(Serialize)]
pub(crate) struct Abort {
    pub(crate) http_status: Option<u16>,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) percentage: f64,
}

#[derive(Serialize)]
pub(crate) struct Mirror {
    pub(crate) host: String,
    pub(crate) subset: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) percentage: f64,
    pub(crate) endpoints: Vec<String>,
}

/// Seconds with as many digits as needed, such as `2s` and `0.025s`.
pub(crate) fn seconds(duration: std::time::Duration) -> String {
    let nanoseconds = format!("{:09}", duration.subsec_nanos());
    match nanoseconds.trim_end_matches('0') {
        "" => format!("{}s", duration.as_secs()),
        digits => format!("{}.{digits}s", duration.as_secs()),
    }
}

/// From millionths.
pub(crate) fn percentage(millionths: u32) -> f64 {
    f64::from(millionths) / 10_000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_have_the_digits_they_need() {
        assert_eq!(seconds(Duration::from_secs(2)), "2s");
        assert_eq!(seconds(Duration::from_millis(25)), "0.025s");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5s");
        assert!((percentage(125_000) - 12.5).abs() < 1e-9);
    }
}
