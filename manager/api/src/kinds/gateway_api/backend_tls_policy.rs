//! `BackendTLSPolicy`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{LocalRef, PolicyTargetRef};

/// A BackendTLSPolicy: TLS from a Gateway to a Service.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicy {
    /// Services.
    #[serde(rename = "targetRefs")]
    pub targets: Vec<PolicyTargetRef>,
    /// How the backend's certificate is checked.
    pub validation: BackendValidation,
    /// Settings an implementation defines.
    #[serde(default)]
    pub options: BTreeMap<Arc<str>, Arc<str>>,
}

/// How a backend's certificate is checked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendValidation {
    /// Trusted certificates: ConfigMaps with `ca.crt`.
    #[serde(default)]
    pub ca_certificate_refs: Vec<LocalRef>,
    /// `System`, or one that an implementation defines.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<Arc<str>>,
    /// Server name; also the certificate's, without `alternative_names`.
    pub hostname: Arc<str>,
    /// One of them must be in the certificate.
    #[serde(default, rename = "subjectAltNames")]
    pub alternative_names: Vec<AlternativeName>,
}

/// A name in a certificate.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct AlternativeName {
    /// Which of the two is set.
    #[serde(rename = "type")]
    pub name_type: AlternativeNameType,
    /// A host, which may begin with `*.`.
    pub hostname: Option<Arc<str>>,
    /// A URI such as a SPIFFE id.
    pub uri: Option<Arc<str>>,
}

/// What kind of name it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum AlternativeNameType {
    /// A host.
    Hostname,
    /// A URI.
    #[serde(rename = "URI")]
    Uri,
}
