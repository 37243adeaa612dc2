use crate::{
    virtual_service::{KIND, V, http, rows},
    warnings,
};

#[test]
fn redirects_and_rewrites_are_judged() {
    rows(
        |fields| format!("hosts: [a], http: [{{redirect: {{{fields}}}}}]"),
        &[
            ("", "redirect must specify URI, authority, scheme, or port"),
            (
                "uri: /a, prefixRewrite: /b",
                "redirect may only specify one of uri or prefix_rewrite",
            ),
            (
                "uri: /a, redirectCode: 400",
                "400 is not a valid redirect code, must be 3xx",
            ),
            ("uri: /a, redirectCode: 308", ""),
            (
                "scheme: ftp",
                "invalid redirect scheme, must be \"http\" or \"https\"",
            ),
            (
                "port: 80, derivePort: FROM_REQUEST_PORT",
                "only one of port and derivePort",
            ),
            ("derivePort: FROM_REQUEST_PORT", ""),
            ("port: 70000", "70000 is not between 1 and 65535"),
        ],
    );
    rows(
        |fields| http(&format!("rewrite: {{{fields}}}")),
        &[
            (
                "",
                "rewrite must specify at least one of URI, UriRegexRewrite, or authority",
            ),
            (
                "uri: /a, uriRegexRewrite: {match: a, rewrite: b}",
                "rewrite may only contain one of URI or UriRegexRewrite",
            ),
            (
                "uriRegexRewrite: {match: a}",
                "UriRegexRewrite requires both Rewrite and Match fields to be specified",
            ),
            (
                "uriRegexRewrite: {match: '(', rewrite: b}",
                "Istio uses RE2 style regex-based match",
            ),
            (
                "uriRegexRewrite: {match: '^/a/(.*)$', rewrite: '/b/\\1'}",
                "",
            ),
            ("authority: b", ""),
        ],
    );
    rows(
        http,
        &[
            (
                "rewrite: {authority: b}, headers: {request: {set: {Host: c}}}",
                "authority header cannot be set multiple times: have \"b\", attempting to set \"c\"",
            ),
            ("headers: {request: {set: {':authority': c}}}", ""),
        ],
    );
}

#[test]
fn retries_and_timeouts_are_judged() {
    rows(
        |fields| http(&format!("retries: {{{fields}}}")),
        &[
            ("attempts: 10", ""),
            ("attempts: 0", ""),
            ("attempts: -1", "attempts cannot be negative"),
            (
                "attempts: 0, retryOn: 5xx",
                "http retry policy configured when attempts are set to 0 (disabled)",
            ),
            (
                "perTryTimeout: 2s",
                "http retry policy configured when attempts are set to 0",
            ),
            (
                "attempts: 10, perTryTimeout: 999us",
                "must be a valid duration greater than 1ms",
            ),
            ("attempts: 10, perTryTimeout: 1ms", ""),
            (
                "attempts: 10, backoff: 999us",
                "must be a valid duration greater than 1ms",
            ),
            ("attempts: 10, retryOn: '5xx,gateway-error,503'", ""),
            (
                "attempts: 10, retryOn: '503,reset-before-request,cancelled,unavailable'",
                "",
            ),
            (
                "attempts: 10, retryOn: '5xx,invalid policy'",
                "\"invalid policy\" is not a valid retryOn policy",
            ),
            (
                "attempts: 10, retryOn: '1000'",
                "\"1000\" is not a valid retryOn policy",
            ),
            (
                "attempts: 10, retryOn: '599'",
                "\"599\" is not a valid retryOn policy",
            ),
        ],
    );
    rows(
        http,
        &[
            ("timeout: 10s", ""),
            ("timeout: 0s", "must be a valid duration greater than 1ms"),
            ("timeout: 1d", "is not a duration"),
        ],
    );
}

#[test]
fn faults_are_judged() {
    rows(
        |fields| http(&format!("fault: {{{fields}}}")),
        &[
            ("", "HTTP fault injection must have an abort and/or a delay"),
            ("delay: {fixedDelay: 7s, percentage: {value: 100}}", ""),
            (
                "delay: {fixedDelay: 7s, percentage: {value: 101}}",
                "percentage 101 is not in range [0.0, 100.0]",
            ),
            (
                "delay: {fixedDelay: 7s, percentage: {value: -0.1}}",
                "is not in range [0.0, 100.0]",
            ),
            (
                "delay: {fixedDelay: 7s, percent: 101}",
                "percentage 101 is not in range 0..100",
            ),
            (
                "delay: {fixedDelay: 0s}",
                "must be a valid duration greater than 1ms",
            ),
            (
                "delay: {exponentialDelay: 1s}",
                "exponentialDelay not supported yet",
            ),
            ("abort: {httpStatus: 503, percentage: {value: 0.01}}", ""),
            (
                "abort: {httpStatus: 9000}",
                "HTTP status 9000 is not in range 200-599",
            ),
            ("abort: {grpcStatus: UNAVAILABLE}", ""),
            (
                "abort: {grpcStatus: BROKEN}",
                "gRPC status \"BROKEN\" is not supported",
            ),
            (
                "abort: {http2Error: x}",
                "HTTP/2 abort fault injection not supported yet",
            ),
            (
                "abort: {httpStatus: 500, grpcStatus: ABORTED}",
                "only one of httpStatus, grpcStatus and http2Error",
            ),
        ],
    );
}

#[test]
fn mirrors_headers_and_cors_are_judged() {
    rows(
        http,
        &[
            ("mirror: {host: b}, mirrorPercentage: {value: 50}", ""),
            (
                "mirror: {host: b}, mirrorPercentage: {value: 100.5}",
                "mirror_percentage must have a max value of 100 (it has 100.5)",
            ),
            (
                "mirror: {host: b}, mirrorPercentage: {value: -1}",
                "mirror_percentage must have a min value of 0",
            ),
            (
                "mirror: {host: b}, mirrorPercent: 101",
                "mirror_percent must have a max value of 100 (it has 101)",
            ),
            (
                "mirror: {host: b}, mirrors: [{destination: {host: c}}]",
                "HTTP route cannot contain both mirror and mirrors",
            ),
            (
                "mirrors: [{percentage: {value: 1}}]",
                "destination is required",
            ),
            (
                "mirrors: [{destination: {host: c}, percentage: {value: 101}}]",
                "mirror percentage must have a max value of 100",
            ),
            ("headers: {request: {set: {x-a: '%START_TIME%'}}}", ""),
            (
                "headers: {request: {add: {':path': a}}}",
                "invalid header \":path\"",
            ),
            (
                "headers: {response: {set: {host: a}}}",
                "invalid header \"host\"",
            ),
            (
                "headers: {response: {remove: ['']}}",
                "header name cannot be empty",
            ),
            (
                "headers: {request: {set: {x-a: '50%'}}}",
                "header value configuration 50% is invalid",
            ),
            (
                "corsPolicy: {allowOrigins: [{exact: 'https://a.b'}], allowMethods: [GET], maxAge: 24h}",
                "",
            ),
            (
                "corsPolicy: {allowOrigins: [{}]}",
                "is not a valid match type for CORS allow origins",
            ),
            (
                "corsPolicy: {allowOrigins: [{regex: '('}]}",
                "\"corsPolicy.allowOrigins\": error parsing regexp",
            ),
            (
                "corsPolicy: {allowMethods: [PUSH]}",
                "\"PUSH\" is not a supported HTTP method",
            ),
            (
                "corsPolicy: {allowHeaders: ['a b']}",
                "is not a valid header name",
            ),
            (
                "corsPolicy: {maxAge: 1500ms}",
                "max_age duration is accurate only to seconds precision",
            ),
            (
                "corsPolicy: {unmatchedPreflights: MAYBE}",
                "unknown variant `MAYBE`",
            ),
        ],
    );
    warnings(
        V,
        KIND,
        &[(
            &http("mirror: {host: b}, mirrorPercent: 10"),
            "use \"mirrorPercentage\" instead",
        )],
    );
}
