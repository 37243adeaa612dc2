//! Messages of the gRPC services that the mesh speaks, generated from `proto/` into `gen/` by
//! `cargo xtask gen wire`. Clients and servers are there with the feature `service`.

#![forbid(unsafe_code)]

/// Istio's certificate service, package `istio.v1.auth`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod ca {
    include!("../gen/istio.v1.auth.rs");
}

/// The SPIFFE Workload API, which has no package.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod workload {
    include!("../gen/_.rs");
}

/// A message with one text in it.
pub fn text_struct(name: &str, text: &str) -> prost_types::Struct {
    let kind = prost_types::value::Kind::StringValue(text.to_owned());
    prost_types::Struct {
        fields: [(name.to_owned(), prost_types::Value { kind: Some(kind) })].into(),
    }
}

/// The text under a name, when there is one and it is a text.
pub fn text_field<'a>(message: &'a prost_types::Struct, name: &str) -> Option<&'a str> {
    match message.fields.get(name)?.kind.as_ref()? {
        prost_types::value::Kind::StringValue(text) => Some(text),
        _ => None,
    }
}
