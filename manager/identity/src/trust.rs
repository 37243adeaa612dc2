//! Whom to believe: root certificates by trust domain, and the policy that uses them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rustls::{
    pki_types::{CertificateDer, TrustAnchor},
    time_provider::TimeProvider,
};

use crate::{BundleError, RevocationList, TrustDomains, certificate::CertificateFacts, pem};

/// Root certificates by trust domain. During a change of root a domain has the old and the new one.
#[derive(Clone, Default)]
pub struct TrustBundle {
    domains: BTreeMap<Arc<str>, Roots>,
}

#[derive(Clone, Default)]
struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl TrustBundle {
    /// A bundle that believes nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes `root` for members of `trust_domain`, beside the roots already believed. One that
    /// is already there is not added twice.
    ///
    /// # Errors
    /// When `root` is no certificate of an authority.
    pub fn add(
        &mut self,
        trust_domain: &str,
        root: CertificateDer<'static>,
    ) -> Result<(), BundleError> {
        let facts = CertificateFacts::read(&root).map_err(BundleError::Certificate)?;
        if !facts.is_authority {
            return Err(BundleError::NoAuthority(facts.subject));
        }
        let anchor = webpki::anchor_from_trusted_cert(&root)
            .map_err(BundleError::Anchor)?
            .to_owned();
        let roots = self.domains.entry(trust_domain.into()).or_default();
        if !roots.certificates.contains(&root) {
            roots.certificates.push(root);
            roots.anchors.push(anchor);
        }
        Ok(())
    }

    /// Believes every certificate in a PEM text for members of `trust_domain`.
    ///
    /// # Errors
    /// When the text is broken, has no certificate, or one of another kind; nothing is added then.
    pub fn add_pem(&mut self, trust_domain: &str, text: &[u8]) -> Result<(), BundleError> {
        let mut next = self.clone();
        for root in pem::certificates(text)? {
            next.add(trust_domain, root)?;
        }
        *self = next;
        Ok(())
    }

    /// The roots of a trust domain, in the order they were added.
    pub fn roots(&self, trust_domain: &str) -> &[CertificateDer<'static>] {
        self.domains
            .get(trust_domain)
            .map_or(&[], |roots| &roots.certificates)
    }

    /// The trust domains with a root.
    pub fn domains(&self) -> impl Iterator<Item = &Arc<str>> {
        self.domains.keys()
    }

    /// What signatures of a peer of `domain` may end in: the roots of that domain; for an alias
    /// without roots of its own, those of the mesh, whose other name it is.
    pub(crate) fn anchors(&self, domain: &str, domains: &TrustDomains) -> &[TrustAnchor<'static>] {
        let own = || self.domains.get(domains.own());
        match self.domains.get(domain) {
            Some(roots) => &roots.anchors,
            None if domains.contains(domain) => own().map_or(&[], |roots| &roots.anchors),
            None => &[],
        }
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self
            .domains
            .iter()
            .map(|(domain, roots)| (domain, roots.certificates.len()));
        f.debug_map().entries(counts).finish()
    }
}

/// What a handshake believes, and when it takes place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    /// The roots.
    pub bundle: Arc<TrustBundle>,
    /// Whose members may take part at all.
    pub domains: Arc<TrustDomains>,
    /// Certificates that were taken back.
    pub revoked: Arc<[RevocationList]>,
    /// The clock of the handshake.
    pub clock: Arc<dyn TimeProvider>,
}

impl TrustPolicy {
    /// A policy without revocation lists.
    pub fn new(
        bundle: Arc<TrustBundle>,
        domains: Arc<TrustDomains>,
        clock: Arc<dyn TimeProvider>,
    ) -> Self {
        Self {
            bundle,
            domains,
            revoked: Arc::new([]),
            clock,
        }
    }
}
