//! Signatures below requests, certificates and revocation lists, by the algorithms that handshakes
//! know.

use rustls::pki_types::SignatureVerificationAlgorithm;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::tls;

/// Whether `key` has signed `message`; `None` for a kind of key or signature that is not supported.
pub(crate) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let candidates = algorithms(&identifier(algorithm), &identifier(&key.algorithm));
    if candidates.is_empty() {
        return None;
    }
    let public = &key.subject_public_key.data;
    let verified = candidates.iter().any(|candidate| {
        candidate
            .verify_signature(public, message, signature)
            .is_ok()
    });
    Some(verified)
}

fn algorithms(signature: &[u8], key: &[u8]) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let all = tls::provider().signature_verification_algorithms.all;
    let fits = |it: &&&'static dyn SignatureVerificationAlgorithm| {
        it.signature_alg_id().as_ref() == signature && it.public_key_alg_id().as_ref() == key
    };
    all.iter().filter(fits).copied().collect()
}

/// The inside of an `AlgorithmIdentifier`, as rustls names algorithms.
fn identifier(algorithm: &AlgorithmIdentifier<'_>) -> Vec<u8> {
    let oid = algorithm.algorithm.as_bytes();
    let mut der = vec![0x06, u8::try_from(oid.len()).unwrap_or(u8::MAX)];
    der.extend_from_slice(oid);
    if let Some(parameters) = &algorithm.parameters {
        use x509_parser::asn1_rs::ToDer as _;
        der.extend(parameters.to_der_vec().unwrap_or_default());
    }
    der
}
