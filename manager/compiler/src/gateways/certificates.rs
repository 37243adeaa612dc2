//! Certificates of listeners.

use weft_api::{
    Object,
    gateway_api::{GROUP, Listener, ObjectRef, TlsMode},
};

use super::{Gateways, Refusal, backends::Referrer};

impl Gateways<'_> {
    /// Why a listener's certificates cannot be used.
    pub(super) fn certificates(&self, gateway: &Object, listener: &Listener) -> Option<Refusal> {
        let tls = listener.tls.as_ref()?;
        if tls.mode == TlsMode::Passthrough {
            return None;
        }
        if tls.certificate_refs.is_empty() {
            let message = "TLS cannot be ended without a certificate; name one in certificateRefs";
            return Some(Refusal::new("InvalidCertificateRef", message));
        }
        let refs = tls.certificate_refs.iter();
        let mut faults = refs.filter_map(|reference| self.certificate(gateway, reference));
        faults.next()
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
        None
    }
}
