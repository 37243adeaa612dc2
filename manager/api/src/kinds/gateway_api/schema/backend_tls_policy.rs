//! `BackendTLSPolicy`.

use super::parts::{
    ANY_GROUP, ANY_KIND, ANY_NAME, HOST, LOCAL_REF, OPTIONS, SECTION, SUBDOMAIN, at, has, items,
    pairs, same,
};
use crate::schema::{Schema, list, may, must, object, one_of, pattern, rule, text};

pattern!(URI = r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?");
pattern!(
    WELL_KNOWN = r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$"
);

const TARGET: &[&str] = &["group", "kind", "name"];

pub(in super::super) static SPEC: Schema = object(&[
    may("options", OPTIONS),
    must(
        "targetRefs",
        list(
            1,
            16,
            &object(&[
                must("group", ANY_GROUP),
                must("kind", ANY_KIND),
                must("name", ANY_NAME),
                may("sectionName", SECTION),
            ]),
        )
        .with(&[
            rule(
                "sectionName must be specified when targetRefs includes 2 or more references to the same target",
                |targets| {
                    pairs(targets).all(|(a, b)| {
                        !same(a, b, TARGET) || has(a, "sectionName") == has(b, "sectionName")
                    })
                },
            ),
            rule(
                "sectionName must be unique when targetRefs includes 2 or more references to the same target",
                |targets| {
                    pairs(targets).all(|(a, b)| !same(a, b, TARGET) || !same(a, b, &["sectionName"]))
                },
            ),
        ]),
    ),
    must("validation", VALIDATION),
]);

const VALIDATION: Schema = object(&[
    may("caCertificateRefs", list(0, 8, &LOCAL_REF)),
    must("hostname", text(1, 253).like(SUBDOMAIN)),
    may("subjectAltNames", list(0, 5, &ALTERNATIVE_NAME)),
    may("wellKnownCACertificates", text(1, 253).like(WELL_KNOWN)),
])
.with(&[
    rule(
        "must not contain both CACertificateRefs and WellKnownCACertificates",
        |validation| {
            items(validation, "caCertificateRefs").is_empty()
                || !has(validation, "wellKnownCACertificates")
        },
    ),
    rule(
        "must specify either CACertificateRefs or WellKnownCACertificates",
        |validation| {
            !items(validation, "caCertificateRefs").is_empty()
                || has(validation, "wellKnownCACertificates")
        },
    ),
]);

const ALTERNATIVE_NAME: Schema = object(&[
    may("hostname", HOST),
    must("type", one_of(&["Hostname", "URI"])),
    may("uri", text(1, 253).like(URI)),
])
.with(&[
    rule(
        "SubjectAltName element must contain Hostname, if Type is set to Hostname",
        |name| at(name, "type") != "Hostname" || has(name, "hostname"),
    ),
    rule(
        "SubjectAltName element must not contain Hostname, if Type is not set to Hostname",
        |name| at(name, "type") == "Hostname" || !has(name, "hostname"),
    ),
    rule(
        "SubjectAltName element must contain URI, if Type is set to URI",
        |name| at(name, "type") != "URI" || has(name, "uri"),
    ),
    rule(
        "SubjectAltName element must not contain URI, if Type is not set to URI",
        |name| at(name, "type") == "URI" || !has(name, "uri"),
    ),
]);
