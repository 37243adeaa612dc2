//! Where signatures come from.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use weft_identity::{CertificateDer, Csr, SigningRequest, SpiffeId};

use super::{
    remote::Remote,
    store::{self, Office},
};

/// An authority of this process, or a service elsewhere.
pub(crate) enum Signer {
    /// In this process.
    Here(Arc<Office>),
    /// Elsewhere.
    There(Remote),
}

/// What came back.
pub(crate) struct Signed {
    /// Leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Whom to believe from now on.
    pub(crate) roots: Vec<CertificateDer<'static>>,
}

impl Signer {
    /// Has a request signed for `id`.
    pub(crate) async fn sign(&self, csr: &Csr, id: &SpiffeId, ttl: Duration) -> Result<Signed> {
        match self {
            Self::Here(office) => {
                let authority = office.authority();
                let request = SigningRequest::from_der(csr.der())?;
                let now = SystemTime::now();
                Ok(Signed {
                    chain: authority.sign(&request, id, ttl, now, store::serial()?)?,
                    roots: authority.roots().to_vec(),
                })
            }
            Self::There(remote) => remote.sign(csr, id, ttl).await,
        }
    }
}
