//! What the JSON of `weft why` holds: the one table that `--help` shows and a test compares with
//! what is emitted.

use std::fmt::Write as _;

/// Paths of all keys, with their meaning. `[]` is an item of a list.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("verdict", "allow or deny"),
    ("layer", "l4: the kernel says so, l7: the proxy"),
    ("decided_by", "policy that decided, or null: none did"),
    ("decided_by.kind", "its kind"),
    ("decided_by.namespace", "its namespace"),
    ("decided_by.name", "its name"),
    (
        "decided_by.rule",
        "its rule, from 0; null: the policy as a whole",
    ),
    ("decided_by.file", "file it was read from"),
    ("decided_by.line", "line of the rule, else of the resource"),
    (
        "response",
        "what an HTTP client gets when it is denied, or null",
    ),
    ("response.status", "status code"),
    ("response.body", "body"),
    (
        "considered",
        "all that was looked at: routes, then policies, in order",
    ),
    ("considered[].kind", "kind of the resource"),
    ("considered[].namespace", "its namespace"),
    ("considered[].name", "its name"),
    (
        "considered[].rule",
        "its rule, from 0; null: the resource as a whole",
    ),
    ("considered[].file", "file it was read from"),
    (
        "considered[].line",
        "line of the rule, else of the resource",
    ),
    ("considered[].type", "route, mtls, jwt or authorization"),
    (
        "considered[].action",
        "what a policy does when it fits: ALLOW, DENY, a mode; empty for routes",
    ),
    ("considered[].matched", "whether it fits"),
    (
        "considered[].outcome",
        "matched, not_matched, or not_reached: an earlier one decided",
    ),
    ("considered[].reason", "why, for people"),
    (
        "considered[].checks",
        "what the rule asks; of several matches, of the one that comes closest",
    ),
    (
        "considered[].checks[].field",
        "the field, such as headers[end-user]",
    ),
    (
        "considered[].checks[].asked",
        "what it asks for, such as exact \"jason\"",
    ),
    (
        "considered[].checks[].found",
        "what was there, or null: nothing",
    ),
    (
        "considered[].checks[].fits",
        "whether that is what it asks for",
    ),
    (
        "route",
        "where it goes, or null: none applies (404 at a gateway, else to what was addressed)",
    ),
    ("route.resource", "resource with the rule, or null"),
    ("route.resource.kind", "its kind"),
    ("route.resource.namespace", "its namespace"),
    ("route.resource.name", "its name"),
    (
        "route.resource.rule",
        "its rule, from 0, or null: no rule fits",
    ),
    ("route.resource.file", "file it was read from"),
    (
        "route.resource.line",
        "line of the rule, else of the resource",
    ),
    ("route.rule", "the rule, from 0, or null"),
    ("route.name", "name of the rule, or null"),
    (
        "route.status",
        "what comes of it: 200 arrives; 3xx, 404, 500, 503, or that of a direct response",
    ),
    (
        "route.redirect",
        "the Location, or null; what stays as in the request is null",
    ),
    ("route.redirect.scheme", "scheme"),
    ("route.redirect.host", "host"),
    (
        "route.redirect.port",
        "port, when it is not the scheme's own",
    ),
    ("route.redirect.path", "path"),
    ("route.redirect.status", "301, 302, 303, 307 or 308"),
    (
        "route.direct_response",
        "answer without a destination, or null",
    ),
    ("route.direct_response.status", "status code"),
    ("route.direct_response.body", "body, or null"),
    (
        "route.rewrite",
        "what the destination sees instead, or null",
    ),
    ("route.rewrite.path", "path with query, or null"),
    ("route.rewrite.authority", "host, or null"),
    ("route.destinations", "where to, by weight"),
    ("route.destinations[].host", "host"),
    (
        "route.destinations[].subset",
        "subset of a DestinationRule, or null",
    ),
    ("route.destinations[].port", "port of the service, or null"),
    (
        "route.destinations[].weight",
        "share relative to the others",
    ),
    ("route.destinations[].status", "what comes of this share"),
    (
        "route.destinations[].reason",
        "why this share fails, or null",
    ),
    (
        "route.destinations[].response_flag",
        "NC or UH when this share fails, or null",
    ),
    (
        "route.destinations[].endpoints",
        "addresses with ports that may be used",
    ),
    (
        "route.destinations[].request_headers",
        "changes for this share, after the rule's",
    ),
    (
        "route.destinations[].request_headers.set",
        "replaced, by name",
    ),
    ("route.destinations[].request_headers.add", "added, by name"),
    (
        "route.destinations[].request_headers.remove",
        "names removed",
    ),
    (
        "route.destinations[].response_headers",
        "changes for this share",
    ),
    (
        "route.destinations[].response_headers.set",
        "replaced, by name",
    ),
    (
        "route.destinations[].response_headers.add",
        "added, by name",
    ),
    (
        "route.destinations[].response_headers.remove",
        "names removed",
    ),
    (
        "route.destinations[].hash",
        "what of a request chooses the endpoint, or null",
    ),
    (
        "route.destinations[].hash.header",
        "value of this header, or null",
    ),
    (
        "route.destinations[].hash.query_parameter",
        "value of this query parameter, or null",
    ),
    (
        "route.destinations[].hash.source_ip",
        "whether the client's address",
    ),
    (
        "route.destinations[].hash.cookie",
        "value of a cookie, or null",
    ),
    ("route.destinations[].hash.cookie.name", "its name"),
    (
        "route.destinations[].hash.cookie.path",
        "path of one that is made, or null",
    ),
    (
        "route.destinations[].hash.cookie.ttl",
        "lifetime of one that is made, or null: none is made",
    ),
    ("route.request_headers", "changes to the request"),
    ("route.request_headers.set", "replaced, by name"),
    ("route.request_headers.add", "added, by name"),
    ("route.request_headers.remove", "names removed"),
    ("route.response_headers", "changes to the response"),
    ("route.response_headers.set", "replaced, by name"),
    ("route.response_headers.add", "added, by name"),
    ("route.response_headers.remove", "names removed"),
    (
        "route.timeout",
        "for the whole request, such as 0.5s, or null: none",
    ),
    ("route.retries", "what is tried again, or null: nothing"),
    ("route.retries.attempts", "tries besides the first"),
    ("route.retries.per_try_timeout", "for each try, or null"),
    ("route.retries.retry_on", "conditions, in Envoy's words"),
    ("route.retries.codes", "status codes"),
    (
        "route.retries.backoff",
        "wait before the first retry, or null",
    ),
    (
        "route.retries.remote_localities",
        "whether other localities may be tried",
    ),
    (
        "route.retries.ignore_previous_hosts",
        "whether a host that failed is left out",
    ),
    ("route.fault", "faults for tests, or null"),
    ("route.fault.delay", "wait for some requests, or null"),
    ("route.fault.delay.fixed_delay", "how long"),
    ("route.fault.delay.percentage", "how many of 100"),
    ("route.fault.abort", "answer for some requests, or null"),
    ("route.fault.abort.http_status", "status code, or null"),
    ("route.fault.abort.grpc_status", "gRPC status code, or null"),
    ("route.fault.abort.percentage", "how many of 100"),
    ("route.mirrors", "who gets copies"),
    ("route.mirrors[].host", "host"),
    (
        "route.mirrors[].subset",
        "subset of a DestinationRule, or null",
    ),
    ("route.mirrors[].port", "port of the service, or null"),
    ("route.mirrors[].percentage", "how many of 100"),
    (
        "route.mirrors[].endpoints",
        "addresses with ports that may be used",
    ),
    ("route.cors", "answers to browsers that ask first, or null"),
    (
        "route.cors.allow_origins",
        "origins, such as exact \"https://a.example.com\"",
    ),
    ("route.cors.allow_methods", "methods"),
    ("route.cors.allow_headers", "request headers"),
    (
        "route.cors.expose_headers",
        "response headers that scripts may see",
    ),
    (
        "route.cors.max_age",
        "how long the answer may be kept, or null",
    ),
    (
        "route.cors.allow_credentials",
        "whether credentials may be sent, or null",
    ),
    (
        "route.cors.forward_unmatched_preflights",
        "whether preflights of other origins go on",
    ),
    (
        "route.session_persistence",
        "what keeps a session at one endpoint, or null",
    ),
    ("route.session_persistence.type", "Cookie or Header"),
    (
        "route.session_persistence.name",
        "its name, or null: made up",
    ),
    (
        "route.session_persistence.path",
        "path of the cookie, or null",
    ),
    (
        "route.session_persistence.absolute_timeout",
        "how long a session lasts at most, or null",
    ),
    (
        "route.session_persistence.lifetime_type",
        "Session or Permanent, of a cookie; else null",
    ),
    (
        "route.grpc_status",
        "gRPC status of what a GRPCRoute cannot serve, or null",
    ),
    (
        "mtls",
        "strict, permissive or disable, as the server takes it; none: no server in the mesh",
    ),
    (
        "opposite",
        "what would have to change for the opposite verdict, or another route",
    ),
    ("notes", "what else to know"),
];

/// The table as `--help` shows it.
pub(crate) fn text() -> String {
    let mut text = String::from(
        "Exit codes: 0 allowed, 1 denied, 2 nothing could be asked.\n\n\
         The answer as JSON (-o json). Every key is always there; those below an object are absent \
         where that object is null. Headers set and added are objects from name to value. Keys are \
         added in later versions, never changed.\n\n",
    );
    let width = KEYS.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    for (path, meaning) in KEYS {
        // A string takes all that is written to it.
        let _: std::fmt::Result = writeln!(text, "  {path:width$}  {meaning}");
    }
    text
}
