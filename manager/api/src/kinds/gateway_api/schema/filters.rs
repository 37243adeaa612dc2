//! Filters.

use serde_json::Value;

use super::parts::{BACKEND, HEADER_NAME, HEADER_VALUE, LOCAL_REF, PORT, SUBDOMAIN, at, has};
use crate::schema::{
    Field, Rule, Schema, any_text, boolean, integer, list, may, must, object, one_number_of,
    one_of, pattern, rule, text,
};

pattern!(pub(super) PATH = r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$");
pattern!(
    CORS_ORIGIN =
        r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"
);

const HEADERS: Schema = list(
    0,
    16,
    &object(&[
        must("name", text(1, 256).like(HEADER_NAME)),
        must("value", text(1, 4096).like(HEADER_VALUE)),
    ]),
)
.keyed("name");

const HEADER_MODIFIER: Schema = object(&[
    may("add", HEADERS),
    may("remove", list(0, 16, &any_text()).set()),
    may("set", HEADERS),
]);

const MIRROR: Schema = object(&[
    must("backendRef", BACKEND),
    may(
        "fraction",
        object(&[
            may("denominator", integer(1, None).or("100")),
            must("numerator", integer(0, None)),
        ])
        .with(&[rule(
            "numerator must be less than or equal to denominator",
            |fraction| {
                let number = |key| fraction.get(key).and_then(Value::as_i64);
                number("numerator") <= number("denominator")
            },
        )]),
    ),
    may("percent", integer(0, Some(100))),
])
.with(&[rule(
    "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
    |mirror| !(has(mirror, "percent") && has(mirror, "fraction")),
)]);

const PATH_MODIFIER: Schema = object(&[
    may("replaceFullPath", text(0, 1024)),
    may("replacePrefixMatch", text(0, 1024)),
    must("type", one_of(&["ReplaceFullPath", "ReplacePrefixMatch"])),
])
.with(&[
    rule(
        "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        |path| at(path, "type") != "ReplaceFullPath" || has(path, "replaceFullPath"),
    ),
    rule(
        "type must be 'ReplaceFullPath' when replaceFullPath is set",
        |path| !has(path, "replaceFullPath") || at(path, "type") == "ReplaceFullPath",
    ),
    rule(
        "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
        |path| at(path, "type") != "ReplacePrefixMatch" || has(path, "replacePrefixMatch"),
    ),
    rule(
        "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
        |path| !has(path, "replacePrefixMatch") || at(path, "type") == "ReplacePrefixMatch",
    ),
]);

const REDIRECT: Schema = object(&[
    may("hostname", text(1, 253).like(SUBDOMAIN)),
    may("path", PATH_MODIFIER),
    may("port", PORT),
    may("scheme", one_of(&["http", "https"])),
    may(
        "statusCode",
        one_number_of(&[301, 302, 303, 307, 308]).or("302"),
    ),
]);

const REWRITE: Schema = object(&[
    may("hostname", text(1, 253).like(SUBDOMAIN)),
    may("path", PATH_MODIFIER),
]);

const CORS_HEADERS: Schema = list(0, 64, &text(1, 256).like(HEADER_NAME)).set();

const CORS_METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*",
];

const CORS: Schema = object(&[
    may("allowCredentials", boolean()),
    may(
        "allowHeaders",
        CORS_HEADERS.with(&[rule(
            "AllowHeaders cannot contain '*' alongside other methods",
            star_is_alone,
        )]),
    ),
    may(
        "allowMethods",
        list(0, 9, &one_of(CORS_METHODS)).set().with(&[rule(
            "AllowMethods cannot contain '*' alongside other methods",
            star_is_alone,
        )]),
    ),
    may(
        "allowOrigins",
        list(0, 64, &text(1, 253).like(CORS_ORIGIN))
            .set()
            .with(&[rule(
                "AllowOrigins cannot contain '*' alongside other origins",
                star_is_alone,
            )]),
    ),
    may("exposeHeaders", CORS_HEADERS),
    may("maxAge", integer(1, None).or("5")),
]);

const AUTH_HEADERS: Schema = list(0, 64, &any_text()).set();

const EXTERNAL_AUTH: Schema = object(&[
    must("backendRef", BACKEND),
    may("forwardBody", object(&[may("maxSize", integer(0, None))])),
    may("grpc", object(&[may("allowedHeaders", AUTH_HEADERS)])),
    may(
        "http",
        object(&[
            may("allowedHeaders", AUTH_HEADERS),
            may("allowedResponseHeaders", AUTH_HEADERS),
            may("path", text(0, 1024).like(PATH)),
        ]),
    ),
    must("protocol", one_of(&["HTTP", "GRPC"])),
])
.with(&[
    rule(
        "grpc must be specified when protocol is set to 'GRPC'",
        |auth| at(auth, "protocol") != "GRPC" || has(auth, "grpc"),
    ),
    rule("protocol must be 'GRPC' when grpc is set", |auth| {
        !has(auth, "grpc") || at(auth, "protocol") == "GRPC"
    }),
    rule(
        "http must be specified when protocol is set to 'HTTP'",
        |auth| at(auth, "protocol") != "HTTP" || has(auth, "http"),
    ),
    rule("protocol must be 'HTTP' when http is set", |auth| {
        !has(auth, "http") || at(auth, "protocol") == "HTTP"
    }),
]);

/// The two rules that tie a filter's field to its type.
macro_rules! belongs {
    ($field:literal, $kind:literal) => {
        [
            rule(
                concat!(
                    "filter.",
                    $field,
                    " must be nil if the filter.type is not ",
                    $kind
                ),
                |filter| !has(filter, $field) || at(filter, "type") == $kind,
            ),
            rule(
                concat!(
                    "filter.",
                    $field,
                    " must be specified for ",
                    $kind,
                    " filter.type"
                ),
                |filter| has(filter, $field) || at(filter, "type") != $kind,
            ),
        ]
    };
}

const fn all<const N: usize>(parts: [[Rule; 2]; N]) -> [[Rule; 2]; N] {
    parts
}

const REQUEST_HEADERS: [Rule; 2] = belongs!("requestHeaderModifier", "RequestHeaderModifier");
const RESPONSE_HEADERS: [Rule; 2] = belongs!("responseHeaderModifier", "ResponseHeaderModifier");
const MIRRORS: [Rule; 2] = belongs!("requestMirror", "RequestMirror");
const REDIRECTS: [Rule; 2] = belongs!("requestRedirect", "RequestRedirect");
const REWRITES: [Rule; 2] = belongs!("urlRewrite", "URLRewrite");
const CORS_RULES: [Rule; 2] = belongs!("cors", "CORS");
const AUTH_RULES: [Rule; 2] = belongs!("externalAuth", "ExternalAuth");
const EXTENSIONS: [Rule; 2] = belongs!("extensionRef", "ExtensionRef");

const HTTP_FILTER: Schema = object(&[
    may("cors", CORS),
    may("extensionRef", LOCAL_REF),
    may("externalAuth", EXTERNAL_AUTH),
    may("requestHeaderModifier", HEADER_MODIFIER),
    may("requestMirror", MIRROR),
    may("requestRedirect", REDIRECT),
    may("responseHeaderModifier", HEADER_MODIFIER),
    must(
        "type",
        one_of(&[
            "RequestHeaderModifier",
            "ResponseHeaderModifier",
            "RequestMirror",
            "RequestRedirect",
            "URLRewrite",
            "ExtensionRef",
            "CORS",
            "ExternalAuth",
        ]),
    ),
    may("urlRewrite", REWRITE),
])
.with(
    all([
        REQUEST_HEADERS,
        RESPONSE_HEADERS,
        MIRRORS,
        REDIRECTS,
        REWRITES,
        CORS_RULES,
        AUTH_RULES,
        EXTENSIONS,
    ])
    .as_flattened(),
);

const GRPC_FILTER: Schema = object(&[
    may("extensionRef", LOCAL_REF),
    may("requestHeaderModifier", HEADER_MODIFIER),
    may("requestMirror", MIRROR),
    may("responseHeaderModifier", HEADER_MODIFIER),
    must(
        "type",
        one_of(&[
            "ResponseHeaderModifier",
            "RequestHeaderModifier",
            "RequestMirror",
            "ExtensionRef",
        ]),
    ),
])
.with(all([REQUEST_HEADERS, RESPONSE_HEADERS, MIRRORS, EXTENSIONS]).as_flattened());

macro_rules! not_repeated {
    ($kind:literal) => {
        rule(concat!($kind, " filter cannot be repeated"), |filters| {
            count(filters, $kind) <= 1
        })
    };
}

/// `filters` of an HTTPRoute's rule or backend.
pub(super) const HTTP_FILTERS: Field = may(
    "filters",
    list(0, 16, &HTTP_FILTER).with(&[
        rule(
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
            |filters| count(filters, "RequestRedirect") == 0 || count(filters, "URLRewrite") == 0,
        ),
        not_repeated!("CORS"),
        not_repeated!("RequestHeaderModifier"),
        not_repeated!("ResponseHeaderModifier"),
        not_repeated!("RequestRedirect"),
        not_repeated!("URLRewrite"),
    ]),
);

/// `filters` of a GRPCRoute's rule or backend.
pub(super) const GRPC_FILTERS: Field = may(
    "filters",
    list(0, 16, &GRPC_FILTER).with(&[
        not_repeated!("RequestHeaderModifier"),
        not_repeated!("ResponseHeaderModifier"),
    ]),
);

fn count(filters: &Value, kind: &str) -> usize {
    let filters = filters.as_array().into_iter().flatten();
    filters.filter(|filter| at(filter, "type") == kind).count()
}

fn star_is_alone(list: &Value) -> bool {
    list.as_array()
        .is_none_or(|list| list.len() < 2 || !list.iter().any(|item| item == "*"))
}
