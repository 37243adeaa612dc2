//! An authority from and to the files that Istio plugs one in with.

use std::time::{Duration, SystemTime};

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::{Authority, Serial};
use crate::{AuthorityError, CertificateFacts, Csr, PemError, SigningRequest, SpiffeId, pem, tls};

/// The texts of an authority's files, as Istio names them.
#[derive(Clone)]
pub struct PluginFiles {
    /// `ca-cert.pem`: the certificate that signs.
    pub ca_cert: Vec<u8>,
    /// `ca-key.pem`: its key.
    pub ca_key: Vec<u8>,
    /// `root-cert.pem`: the roots peers are to believe; several during a change of root.
    pub root_cert: Vec<u8>,
    /// `cert-chain.pem`: from the certificate that signs to the root; empty when it is the root.
    pub cert_chain: Vec<u8>,
}

impl Authority {
    /// Reads an authority from its files, and proves that they belong together.
    ///
    /// # Errors
    /// When a file is broken, key and certificate are no pair, or the certificate does not lead to
    /// one of the roots; the error names the file.
    pub fn load(files: &PluginFiles, now: SystemTime) -> Result<Self, AuthorityError> {
        let signing = certificates("ca-cert.pem", &files.ca_cert)?;
        let certificate = signing[0].clone();
        let facts = authority_facts("ca-cert.pem", &certificate)?;
        let roots = certificates("root-cert.pem", &files.root_cert)?;
        for root in &roots {
            authority_facts("root-cert.pem", root)?;
        }
        let chain = if files.cert_chain.iter().all(u8::is_ascii_whitespace) {
            Vec::new()
        } else {
            certificates("cert-chain.pem", &files.cert_chain)?
        };
        let mut not_after = facts.not_after;
        let mut intermediates = Vec::new();
        for link in std::iter::once(&certificate)
            .chain(&signing[1..])
            .chain(&chain)
        {
            let facts = authority_facts("cert-chain.pem", link)?;
            if !facts.is_self_issued && !intermediates.contains(link) {
                not_after = not_after.min(facts.not_after);
                intermediates.push(link.clone());
            }
        }
        let key = pem::private_key(&files.ca_key).map_err(|source| AuthorityError::Pem {
            file: "ca-key.pem",
            source,
        })?;
        let key = KeyPair::try_from(&key).map_err(AuthorityError::Key)?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != facts.public_key {
            return Err(AuthorityError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(AuthorityError::Key)?;
        let authority = Self {
            issuer,
            certificate,
            intermediates,
            roots,
            not_before: facts.not_before,
            not_after,
        };
        authority.try_out(now)?;
        Ok(authority)
    }

    /// The files of this authority.
    pub fn files(&self) -> PluginFiles {
        let key = self.issuer.key().serialize_der();
        let mut links = self.intermediates.clone();
        if links.is_empty() {
            links.push(self.certificate.clone());
        }
        PluginFiles {
            ca_cert: pem::write_certificates([&self.certificate]).into_bytes(),
            ca_key: pem::write("PRIVATE KEY", &key).into_bytes(),
            root_cert: pem::write_certificates(&self.roots).into_bytes(),
            cert_chain: pem::write_certificates(&links).into_bytes(),
        }
    }

    /// Signs a certificate for nobody and verifies it as a peer would, so that files which do not
    /// belong together are found at start and not by every peer.
    fn try_out(&self, now: SystemTime) -> Result<(), AuthorityError> {
        let name = SpiffeId::new("probe", "probe", "probe").map_err(|error| {
            AuthorityError::Certificate {
                file: "ca-cert.pem",
                source: error.into(),
            }
        })?;
        let csr = Csr::generate(&name)?;
        let request = SigningRequest::from_der(csr.der())?;
        let serial = Serial::new([0; 16]);
        let chain = self.sign(&request, &name, Duration::from_secs(60), now, serial)?;
        let leaf = EndEntityCert::try_from(&chain[0]).map_err(AuthorityError::Chain)?;
        let anchors = self
            .roots
            .iter()
            .map(webpki::anchor_from_trusted_cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(AuthorityError::Chain)?;
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        leaf.verify_for_usage(
            tls::provider().signature_verification_algorithms.all,
            &anchors,
            &chain[1..],
            UnixTime::since_unix_epoch(since),
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map(drop)
        .map_err(AuthorityError::Chain)
    }
}

fn certificates(
    file: &'static str,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    pem::certificates(text).map_err(|source: PemError| AuthorityError::Pem { file, source })
}

fn authority_facts(
    file: &'static str,
    certificate: &CertificateDer<'_>,
) -> Result<CertificateFacts, AuthorityError> {
    let facts = CertificateFacts::read(certificate)
        .map_err(|source| AuthorityError::Certificate { file, source })?;
    if !facts.is_authority {
        return Err(AuthorityError::NoAuthority { file });
    }
    Ok(facts)
}
