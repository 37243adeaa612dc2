//! Certificates that were taken back before their end.

use std::{fmt, sync::Arc};

use rustls::pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};

/// A certificate revocation list (RFC 5280, section 5). Its signature is checked in each handshake
/// against the issuer of the certificate it speaks of. One past its next update still counts: what
/// was taken back stays so. Cheap to clone.
#[derive(Clone)]
pub struct RevocationList(Arc<CertRevocationList<'static>>);

/// Why a revocation list is not taken.
#[derive(thiserror::Error, Clone, Debug)]
#[error("the revocation list cannot be read")]
pub struct RevocationError(#[source] webpki::Error);

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// When it is broken or of a kind that is not supported (delta and indirect lists).
    pub fn read(der: &CertificateRevocationListDer<'_>) -> Result<Self, RevocationError> {
        let list = OwnedCertRevocationList::from_der(der).map_err(RevocationError)?;
        Ok(Self(Arc::new(list.into())))
    }

    pub(crate) fn as_list(&self) -> &CertRevocationList<'static> {
        &self.0
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList").finish_non_exhaustive()
    }
}
