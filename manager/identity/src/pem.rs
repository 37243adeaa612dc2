//! Texts with certificates, keys and requests.

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _,
};

use crate::PemError;

/// All certificates of a text, at least one, in their order.
///
/// # Errors
/// When the text is broken or has none.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(PemError::Broken)?;
    if found.is_empty() {
        return Err(PemError::Missing("certificate"));
    }
    Ok(found)
}

/// The first private key of a text: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// When the text is broken or has none.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => PemError::Missing("private key"),
        error => PemError::Broken(error),
    })
}

/// All revocation lists of a text, at least one.
///
/// # Errors
/// When the text is broken or has none.
pub fn revocation_lists(
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(PemError::Broken)?;
    if found.is_empty() {
        return Err(PemError::Missing("revocation list"));
    }
    Ok(found)
}

/// Certificates as a text.
pub fn write_certificates<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> String {
    certificates
        .into_iter()
        .map(|certificate| write("CERTIFICATE", certificate))
        .collect()
}

/// A PKCS#8 private key as a text.
pub fn write_private_key(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    write(label, key.secret_der())
}

/// A revocation list as a text.
pub fn write_revocation_list(list: &CertificateRevocationListDer<'_>) -> String {
    write("X509 CRL", list)
}

pub(crate) fn write(label: &str, der: &[u8]) -> String {
    let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_config(&::pem::Pem::new(label, der), config)
}
