//! Signing requests: made by who wants a certificate, read by the authority.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::{
    CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _,
};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::{CsrError, PemError, SpiffeId, pem, signature};

/// A new key and the request for its certificate. `Debug` does not show the key.
pub struct Csr {
    key: PrivateKeyDer<'static>,
    der: Vec<u8>,
}

impl Csr {
    /// Makes an ECDSA P-256 key and a request that names `id`.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn generate(id: &SpiffeId) -> Result<Self, CsrError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CsrError::Generate)?;
        let uri = id.to_string().try_into().map_err(CsrError::Generate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(uri)];
        let request = params.serialize_request(&key).map_err(CsrError::Generate)?;
        Ok(Self {
            der: request.der().to_vec(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// The request in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request as PEM.
    pub fn pem(&self) -> String {
        pem::write("CERTIFICATE REQUEST", &self.der)
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// The private key, to go with the certificate.
    pub fn into_key(self) -> PrivateKeyDer<'static> {
        self.key
    }
}

impl fmt::Debug for Csr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csr").finish_non_exhaustive()
    }
}

/// A request that was signed by the key it is for. Nothing else of it is kept: who the certificate
/// is for is not the requester's to say.
#[derive(Debug)]
pub struct SigningRequest {
    pub(crate) public_key: rcgen::SubjectPublicKeyInfo,
}

impl SigningRequest {
    /// Reads a request in DER and checks its signature.
    ///
    /// # Errors
    /// When it is broken, or not signed by its key, or of a kind that is not supported.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|error| CsrError::Malformed(Box::new(error)))?;
        if !rest.is_empty() {
            return Err(CsrError::TrailingBytes);
        }
        let info = &request.certification_request_info;
        let key = rcgen::SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
            .map_err(|_error| CsrError::Algorithm)?;
        let signed = signature::verify(
            &info.subject_pki,
            &request.signature_algorithm,
            info.raw,
            &request.signature_value.data,
        );
        if !signed.ok_or(CsrError::Algorithm)? {
            return Err(CsrError::Signature);
        }
        Ok(Self { public_key: key })
    }

    /// Reads a request as PEM and checks its signature.
    ///
    /// # Errors
    /// As [`Self::from_der`], and when the text is broken.
    pub fn from_pem(text: &[u8]) -> Result<Self, CsrError> {
        let der =
            CertificateSigningRequestDer::from_pem_slice(text).map_err(|error| match error {
                rustls::pki_types::pem::Error::NoItemsFound => {
                    PemError::Missing("certificate request")
                }
                error => PemError::Broken(error),
            })?;
        Self::from_der(&der)
    }
}
