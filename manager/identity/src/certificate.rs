//! What a certificate says.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

use crate::{PeerError, SpiffeId};

/// What of a certificate matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFacts {
    /// Serial number, big-endian, as encoded.
    pub serial: Vec<u8>,
    /// Subject as text; often empty for workloads.
    pub subject: String,
    /// Issuer as text.
    pub issuer: String,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until, inclusive.
    pub not_after: SystemTime,
    /// Whether it may sign certificates.
    pub is_authority: bool,
    /// Whether issuer and subject are the same.
    pub is_self_issued: bool,
    /// URIs among its alternative names.
    pub uris: Vec<String>,
    /// Whether it is for TLS servers.
    pub for_servers: bool,
    /// Whether it is for TLS clients.
    pub for_clients: bool,
    /// The public key, as `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
}

impl CertificateFacts {
    /// Reads a certificate in DER. Signatures are not checked here.
    ///
    /// # Errors
    /// When the bytes are no certificate, or are followed by others.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let (rest, x509) = X509Certificate::from_der(certificate)
            .map_err(|error| PeerError::Malformed(Box::new(error)))?;
        if !rest.is_empty() {
            return Err(PeerError::TrailingBytes);
        }
        let mut uris = Vec::new();
        if let Some(names) = x509
            .subject_alternative_name()
            .map_err(|_error| PeerError::Extensions)?
        {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    // Unread names could hide another URI.
                    GeneralName::Invalid(..) => return Err(PeerError::Extensions),
                    _ => {}
                }
            }
        }
        let usage = x509
            .extended_key_usage()
            .map_err(|_error| PeerError::Extensions)?;
        let constraints = x509
            .basic_constraints()
            .map_err(|_error| PeerError::Extensions)?;
        Ok(Self {
            serial: x509.raw_serial().to_vec(),
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            not_before: system_time(x509.validity().not_before),
            not_after: system_time(x509.validity().not_after),
            is_authority: constraints.is_some_and(|it| it.value.ca),
            is_self_issued: x509.subject().as_raw() == x509.issuer().as_raw(),
            uris,
            for_servers: usage.as_ref().is_some_and(|it| it.value.server_auth),
            for_clients: usage.as_ref().is_some_and(|it| it.value.client_auth),
            public_key: x509.public_key().raw.to_vec(),
        })
    }

    /// The identity it is for: its one and only URI.
    ///
    /// # Errors
    /// When there is none, or several, or it is no SPIFFE id of a service account.
    pub fn id(&self) -> Result<SpiffeId, PeerError> {
        match self.uris.as_slice() {
            [] => Err(PeerError::NoUri),
            [uri] => Ok(uri.parse()?),
            uris => Err(PeerError::SeveralUris(uris.len())),
        }
    }
}

/// The identity that a chain, leaf first, is for. The chain must have been verified.
///
/// # Errors
/// When the chain is empty or its leaf has not exactly one SPIFFE id.
pub fn peer_id(chain: &[CertificateDer<'_>]) -> Result<SpiffeId, PeerError> {
    let leaf = chain.first().ok_or(PeerError::NoCertificate)?;
    CertificateFacts::read(leaf)?.id()
}

pub(crate) fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds >= 0 {
        SystemTime::UNIX_EPOCH + distance
    } else {
        SystemTime::UNIX_EPOCH - distance
    }
}
