//! Certificates of listeners.

use std::sync::Arc;

use weft_api::{
    Kind, Object, ObjectKey, Resource, Secret,
    gateway_api::{GROUP, Listener, ObjectRef, TlsMode},
};

use super::{Gateways, Refusal, backends::Referrer};

impl Gateways<'_> {
    /// Why a listener's certificates cannot be used.
    pub(super) fn certificates(&self, gateway: &Object, listener: &Listener) -> Option<Refusal> {
        if !matches!(&*listener.protocol, "HTTPS" | "TLS") {
            return None;
        }
        let tls = listener.tls.as_ref();
        if tls.is_some_and(|tls| tls.mode == TlsMode::Passthrough) {
            return None;
        }
        let refs = tls.map_or(&[][..], |tls| &tls.certificate_refs);
        if refs.is_empty() {
            let message = "TLS cannot be ended without a certificate; name one in certificateRefs";
            return Some(Refusal::new("InvalidCertificateRef", message));
        }
        refs.iter()
            .find_map(|reference| self.certificate(gateway, reference))
    }

    fn certificate(&self, gateway: &Object, reference: &ObjectRef) -> Option<Refusal> {
        let namespace = reference
            .namespace
            .as_ref()
            .unwrap_or(&gateway.key.namespace);
        let name = format!("{} {namespace}/{}", reference.kind, reference.name);
        if !(reference.group.is_empty() && *reference.kind == *"Secret") {
            let message = format!("{name} cannot hold a certificate; use a Secret");
            return Some(Refusal::new("InvalidCertificateRef", message));
        }
        let referrer = Referrer {
            group: GROUP,
            kind: "Gateway",
            namespace: &gateway.key.namespace,
        };
        if !self.may_refer(referrer, "", "Secret", namespace, &reference.name) {
            let message = format!(
                "{name}: no ReferenceGrant in namespace {namespace} lets a Gateway of namespace {} refer to it",
                gateway.key.namespace
            );
            return Some(Refusal::new("RefNotPermitted", message));
        }
        let key = ObjectKey {
            kind: Kind::Secret,
            namespace: Arc::clone(namespace),
            name: Arc::clone(&reference.name),
        };
        let fault = match self.keyed(&key).map(|object| &object.resource) {
            Some(Resource::Secret(secret)) => secret_fault(secret)?,
            _ => "was not found",
        };
        let message = format!("{name} {fault}");
        Some(Refusal::new("InvalidCertificateRef", message))
    }
}

/// Why a Secret cannot serve as a certificate. Whether certificate and key can be read, and belong
/// together, is for those who use them to find out.
fn secret_fault(secret: &Secret) -> Option<&'static str> {
    if *secret.secret_type != *"kubernetes.io/tls" {
        return Some("is not of type kubernetes.io/tls");
    }
    let has = |key| secret.pem.contains(key);
    if !has("tls.crt") {
        return Some("has no certificate in PEM under tls.crt");
    }
    (!has("tls.key")).then_some("has no key in PEM under tls.key")
}
