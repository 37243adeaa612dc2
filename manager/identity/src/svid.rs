//! A workload's certificate with its key.

use std::{fmt, time::SystemTime};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

use crate::{CertificateFacts, SpiffeId, SvidError, tls};

/// An X.509 SVID: a chain and the private key of its leaf. `Debug` does not show the key.
pub struct Svid {
    id: SpiffeId,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Svid {
    /// Takes a chain, leaf first, and the leaf's key. Self-signed roots at the end are dropped:
    /// peers have their own.
    ///
    /// # Errors
    /// When the leaf is not for exactly one SPIFFE id or not for the key.
    pub fn new(
        mut chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, SvidError> {
        let leaf = chain.first().ok_or(SvidError::Empty)?;
        let facts = CertificateFacts::read(leaf).map_err(SvidError::Leaf)?;
        let id = facts.id().map_err(SvidError::Leaf)?;
        if facts.is_authority {
            return Err(SvidError::Authority);
        }
        let mut not_after = facts.not_after;
        let mut kept = 1;
        for issuer in &chain[1..] {
            let issuer = CertificateFacts::read(issuer).map_err(SvidError::Intermediate)?;
            if issuer.is_self_issued {
                break;
            }
            // A leaf is worth nothing once what signed it has ended.
            not_after = not_after.min(issuer.not_after);
            kept += 1;
        }
        chain.truncate(kept);
        let svid = Self {
            id,
            chain,
            key,
            not_before: facts.not_before,
            not_after,
        };
        svid.certified_key()?
            .keys_match()
            .map_err(|error| SvidError::Key(Box::new(error)))?;
        Ok(svid)
    }

    /// Whose it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The chain, leaf first, without the root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// Valid from; the authority dates it back, so this lies before the moment of signing.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Valid until: the first end in the chain.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, SvidError> {
        let key = tls::provider()
            .key_provider
            .load_private_key(self.key.clone_key())
            .map_err(|error| SvidError::Key(Box::new(error)))?;
        Ok(CertifiedKey::new(self.chain.clone(), key))
    }
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid")
            .field("id", &self.id)
            .field("certificates", &self.chain.len())
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
