//! `Gateway`.

use serde_json::Value;

use super::parts::{
    ANY_GROUP, ANY_KIND, ANY_NAME, HOST, HOSTNAME, LOCAL_REF, OBJECT_REF, OPTIONS, PORT,
    SECRET_REF, SECTION, SELECTOR, at, has, items, pairs, same,
};
use crate::schema::{
    Field, Rule, Schema, list, map, may, must, object, one_of, pattern, rule, text,
};

pattern!(
    ADDRESS_TYPE = r"^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
);
pattern!(
    PROTOCOL = r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$"
);
pattern!(
    LABEL_KEY = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"
);
pattern!(LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$");

pub(in super::super) static SPEC: Schema = object(&[
    may("addresses", ADDRESSES),
    may(
        "allowedListeners",
        object(&[may(
            "namespaces",
            object(&[
                may(
                    "from",
                    one_of(&["All", "Selector", "Same", "None"]).or(r#""None""#),
                ),
                may("selector", SELECTOR),
            ])
            .or(r#"{"from":"None"}"#),
        )]),
    ),
    may("defaultScope", one_of(&["All", "None"])),
    must("gatewayClassName", ANY_NAME),
    may("infrastructure", INFRASTRUCTURE),
    must("listeners", LISTENERS),
    may("tls", TLS),
]);

const ADDRESSES: Schema = list(
    0,
    16,
    &object(&[
        may(
            "type",
            text(1, 253).like(ADDRESS_TYPE).or(r#""IPAddress""#),
        ),
        may("value", text(0, 253)),
    ])
    .with(&[rule(
        r"Hostname value must be empty or contain only valid characters (matching ^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)",
        |address| {
            at(address, "type") != "Hostname"
                || !has(address, "value")
                || (HOSTNAME.fits)(at(address, "value"))
        },
    )]),
)
.with(&[
    rule("IPAddress values must be unique", |addresses| {
        are_unique(addresses, "IPAddress")
    }),
    rule("Hostname values must be unique", |addresses| {
        are_unique(addresses, "Hostname")
    }),
]);

fn are_unique(addresses: &Value, kind: &str) -> bool {
    pairs(addresses)
        .all(|(a, b)| at(a, "type") != kind || !has(a, "value") || !same(a, b, &["type", "value"]))
}

const INFRASTRUCTURE: Schema = object(&[
    may(
        "annotations",
        map(Some(16), &text(0, 4096)).with(&[
            rule(
                "Annotation keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up to 63 characters.",
                keys_are_qualified,
            ),
            rule(
                "If specified, the annotation key's prefix must be a DNS subdomain not longer than 253 characters in total.",
                prefixes_are_short,
            ),
        ]),
    ),
    may(
        "labels",
        map(Some(8), &text(0, 63).like(LABEL_VALUE)).with(&[
            rule(
                "Label keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up to 63 characters.",
                keys_are_qualified,
            ),
            rule(
                "If specified, the label key's prefix must be a DNS subdomain not longer than 253 characters in total.",
                prefixes_are_short,
            ),
        ]),
    ),
    may("parametersRef", LOCAL_REF),
]);

fn keys_are_qualified(map: &Value) -> bool {
    map.as_object()
        .is_none_or(|map| map.keys().all(|key| (LABEL_KEY.fits)(key)))
}

fn prefixes_are_short(map: &Value) -> bool {
    let length = |key: &String| key.split('/').next().unwrap_or("").chars().count();
    map.as_object()
        .is_none_or(|map| map.keys().all(|key| length(key) < 253))
}

const LISTENERS: Schema = list(1, 64, &LISTENER).keyed("name").with(&[
    rule(
        "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        |listeners| {
            all(listeners, |listener| {
                !matches!(at(listener, "protocol"), "HTTP" | "TCP" | "UDP") || !has(listener, "tls")
            })
        },
    ),
    rule(
        "tls mode must be Terminate for protocol HTTPS",
        |listeners| {
            all(listeners, |listener| {
                let tls = listener.get("tls");
                at(listener, "protocol") != "HTTPS"
                    || tls.is_none_or(|tls| at(tls, "mode") == "Terminate")
            })
        },
    ),
    rule("tls mode must be set for protocol TLS", |listeners| {
        all(listeners, |listener| {
            at(listener, "protocol") != "TLS" || has(listener, "tls")
        })
    }),
    rule(
        "hostname must not be specified for protocols ['TCP', 'UDP']",
        |listeners| {
            all(listeners, |listener| {
                !matches!(at(listener, "protocol"), "TCP" | "UDP") || !has(listener, "hostname")
            })
        },
    ),
    NAMES_ARE_UNIQUE,
    rule(
        "Combination of port, protocol and hostname must be unique for each listener",
        |listeners| pairs(listeners).all(|(a, b)| !same(a, b, &["port", "protocol", "hostname"])),
    ),
]);

const NAMES_ARE_UNIQUE: Rule = rule(
    "Listener name must be unique within the Gateway",
    |listeners| pairs(listeners).all(|(a, b)| !same(a, b, &["name"])),
);

fn all(listeners: &Value, holds: fn(&Value) -> bool) -> bool {
    listeners
        .as_array()
        .is_none_or(|listeners| listeners.iter().all(holds))
}

const LISTENER: Schema = object(&[
    may(
        "allowedRoutes",
        object(&[
            may(
                "kinds",
                list(
                    0,
                    8,
                    &object(&[
                        may("group", ANY_GROUP.or(r#""gateway.networking.k8s.io""#)),
                        must("kind", ANY_KIND),
                    ]),
                ),
            ),
            may(
                "namespaces",
                object(&[
                    may("from", one_of(&["All", "Selector", "Same"]).or(r#""Same""#)),
                    may("selector", SELECTOR),
                ])
                .or(r#"{"from":"Same"}"#),
            ),
        ])
        .or(r#"{"namespaces":{"from":"Same"}}"#),
    ),
    may("hostname", HOST),
    must("name", SECTION),
    must("port", PORT),
    must("protocol", text(1, 255).like(PROTOCOL)),
    may("tls", LISTENER_TLS),
]);

const LISTENER_TLS: Schema = object(&[
    may("certificateRefs", list(0, 64, &SECRET_REF)),
    may(
        "mode",
        one_of(&["Terminate", "Passthrough"]).or(r#""Terminate""#),
    ),
    may("options", OPTIONS),
])
.with(&[rule(
    "certificateRefs or options must be specified when mode is Terminate",
    |tls| {
        let options = tls.get("options").and_then(Value::as_object);
        at(tls, "mode") != "Terminate"
            || !items(tls, "certificateRefs").is_empty()
            || options.is_some_and(|options| !options.is_empty())
    },
)]);

const FRONTEND: &[Field] = &[may(
    "validation",
    object(&[
        must("caCertificateRefs", list(1, 16, &OBJECT_REF)),
        may(
            "mode",
            one_of(&["AllowValidOnly", "AllowInsecureFallback"]).or(r#""AllowValidOnly""#),
        ),
    ]),
)];

const TLS: Schema = object(&[
    may(
        "backend",
        object(&[may("clientCertificateRef", SECRET_REF)]),
    ),
    may(
        "frontend",
        object(&[
            must("default", object(FRONTEND)),
            may(
                "perPort",
                list(
                    0,
                    64,
                    &object(&[must("port", PORT), must("tls", object(FRONTEND))]),
                )
                .keyed("port")
                .with(&[rule(
                    "Port for TLS configuration must be unique within the Gateway",
                    |settings| pairs(settings).all(|(a, b)| !same(a, b, &["port"])),
                )]),
            ),
        ]),
    ),
]);
