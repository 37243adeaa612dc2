//! Every field that is known, with what becomes of it: one table for the reference and for
//! `weft explain`.
//!
//! Nothing is listed by hand that the readers know: paths, types and values of enums come from the
//! very types and schemas that resources are read with, and whether a field is acted on is asked
//! of the reader itself. Only meanings and defaults that no schema has are written down, in
//! `meanings`.

mod meanings;
mod sample;
mod walk;

use serde_json::{Value, json};

use crate::{
    Kind, Severity,
    decode::Reading,
    intern::Interner,
    kinds::{KINDS, Registration},
    object::Metadata,
};
pub(crate) use walk::{Found, of_schema, of_type};

/// A kind with its fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KindFields {
    /// The kind.
    pub kind: Kind,
    /// Served versions in which the fields are these.
    pub versions: Vec<&'static str>,
    /// How far the kind reaches.
    pub reach: Reach,
    /// In the order of the types; a field stands before those inside it.
    pub fields: Vec<Field>,
}

/// How far Weft goes with a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// `weft run` acts on it.
    Served,
    /// `weft run` acts on it at layer 4; what only a request can answer is taken as on an Istio
    /// workload without a waypoint (ALLOW rules with it are left out, DENY rules are stricter).
    Connections,
    /// Read, validated, compiled and explained; `weft run` does not act on it yet.
    Explained,
    /// Recognised and validated; it has no effect, and each object is reported.
    Reported,
    /// Kubernetes' own: only the fields listed count, the others are nothing to a mesh.
    Kubernetes,
}

impl Reach {
    /// Its name, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Connections => "connections",
            Self::Explained => "explained",
            Self::Reported => "reported",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// What it means, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Served => "`weft run` acts on it.",
            Self::Connections => {
                "`weft run` acts on it at layer 4: ALLOW rules that need a request are left out, DENY \
                 rules are held without what needs one."
            }
            Self::Explained => {
                "Validated, compiled and explained; `weft run` does not act on it yet."
            }
            Self::Reported => "Validated; it has no effect yet, and every object is reported.",
            Self::Kubernetes => "Only these fields count.",
        }
    }
}

/// A field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Path such as `spec.http[].retries`; `[]` stands for each item, `*` for any key.
    pub path: String,
    /// Type, such as `string`, `list`, `one of A, B`.
    pub shape: String,
    /// What holds when it is absent: as it would be written, or in words.
    pub default: Option<String>,
    /// What it means, in a line.
    pub meaning: Option<&'static str>,
    /// What becomes of it.
    pub state: State,
}

/// What becomes of a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It counts.
    Used,
    /// It is read and checked; when it is set, a warning says why nothing acts on it.
    Reported(String),
    /// An object that sets it is refused.
    Refused(String),
}

/// All kinds that are read, with their fields.
pub fn fields() -> Vec<KindFields> {
    KINDS.iter().flat_map(of_kind).collect()
}

/// The fields of a kind; versions with other fields apart.
fn of_kind(registration: &'static Registration) -> Vec<KindFields> {
    let mut tables: Vec<KindFields> = Vec::new();
    for version in registration.versions {
        let fields = of_version(registration, version);
        match tables.iter_mut().find(|table| table.fields == fields) {
            Some(table) => table.versions.push(version),
            None => tables.push(KindFields {
                kind: registration.kind,
                versions: vec![version],
                reach: reach(registration.kind),
                fields,
            }),
        }
    }
    tables
}

fn reach(kind: Kind) -> Reach {
    match kind {
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ServiceAccount
        | Kind::Secret
        | Kind::ConfigMap => Reach::Kubernetes,
        Kind::ServiceEntry
        | Kind::DestinationRule
        | Kind::PeerAuthentication
        | Kind::RateLimitPolicy
        | Kind::WorkloadEntry => Reach::Served,
        Kind::AuthorizationPolicy => Reach::Connections,
        Kind::Sidecar
        | Kind::EnvoyFilter
        | Kind::ProxyConfig
        | Kind::Telemetry
        | Kind::WasmPlugin
        | Kind::TrafficExtension
        | Kind::WorkloadGroup => Reach::Reported,
        Kind::VirtualService
        | Kind::IstioGateway
        | Kind::RequestAuthentication
        | Kind::GatewayClass
        | Kind::Gateway
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TcpRoute
        | Kind::TlsRoute
        | Kind::UdpRoute
        | Kind::ReferenceGrant
        | Kind::BackendTlsPolicy => Reach::Explained,
    }
}

fn of_version(registration: &Registration, version: &str) -> Vec<Field> {
    let envelope = json!({
        "apiVersion": match registration.group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        },
        "kind": registration.name,
        "metadata": {"name": "a", "namespace": "a"},
        "spec": {},
    });
    let known = walked(registration, &envelope);
    let known = if known.is_empty() {
        meanings::by_hand(registration.kind)
    } else {
        known
    };
    let field = |found: Found| {
        let said = meanings::of(registration.kind, &found.path);
        Field {
            state: state(registration, &envelope, &found),
            default: found
                .default
                .or_else(|| said.and_then(|said| said.default.map(str::to_owned))),
            meaning: said.map(|said| said.meaning),
            path: found.path,
            shape: found.shape,
        }
    };
    let mut fields: Vec<Field> = known.into_iter().map(field).collect();
    // A list is what its items are; an empty one asks for nothing.
    for index in (1..fields.len()).rev() {
        let (lists, items) = fields.split_at_mut(index);
        let list = lists.last_mut().expect("there is one before the second");
        if items[0].path == format!("{}[]", list.path) {
            list.state = items[0].state.clone();
        }
    }
    fields
}

/// What the reader of a kind knows.
fn walked(registration: &Registration, object: &Value) -> Vec<Found> {
    let mut interner = Interner::default();
    let mut cx = Reading::new(&mut interner);
    let Some(metadata) = Metadata::read(object, registration, &mut cx) else {
        return Vec::new();
    };
    cx.walked = Some(Vec::new());
    (registration.read)(object, &metadata, &mut cx);
    cx.walked.unwrap_or_default()
}

/// Asks the reader what it says of an object that sets the field.
fn state(registration: &Registration, envelope: &Value, field: &Found) -> State {
    let mut interner = Interner::default();
    let mut cx = Reading::new(&mut interner);
    let object = sample::object(envelope, field);
    let Some(metadata) = Metadata::read(&object, registration, &mut cx) else {
        return State::Used;
    };
    (registration.read)(&object, &metadata, &mut cx);
    for finding in &cx.findings {
        let path = sample::pattern(&finding.path);
        let is_inside = field
            .path
            .strip_prefix(&path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("[]"));
        let is_whole = path == "spec" || path == "kind";
        if finding.code == "not-supported" && (is_inside || is_whole) {
            return State::Reported(finding.message.clone());
        }
        let is_refusal = finding.severity == Severity::Error
            && path == field.path
            && (finding.message.contains("not supported yet")
                || finding.message.contains("must not be set"));
        if is_refusal {
            return State::Refused(finding.message.clone());
        }
    }
    State::Used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meaning_is_of_a_field_that_is_known() {
        let tables = fields();
        let is_known = |kind: Kind, path: &str| {
            let tables = tables.iter().filter(|table| table.kind == kind);
            let mut fields = tables.flat_map(|table| &table.fields);
            fields.any(|field| field.path == path)
        };
        let mut lost: Vec<_> = meanings::all().collect();
        lost.retain(|(kind, path)| !is_known(*kind, path));
        assert!(lost.is_empty(), "no such fields: {lost:?}");
    }
}
