//! No bytes make the readers of certificates, requests and revocation lists panic, in DER or as PEM,
//! and no request is taken that nobody signed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_identity::{
    CertificateDer, CertificateFacts, CertificateRevocationListDer, RevocationList, SigningRequest,
    SpiffeId, pem,
};

fn facts(certificate: &CertificateDer<'_>) {
    let Ok(facts) = CertificateFacts::read(certificate) else {
        return;
    };
    if let Ok(id) = facts.id() {
        assert_eq!(id.to_string().parse::<SpiffeId>().ok(), Some(id));
    }
}

fuzz_target!(|bytes: &[u8]| {
    facts(&CertificateDer::from(bytes));
    let _ = RevocationList::read(&CertificateRevocationListDer::from(bytes)).map(|it| it.revoked());
    let _ = SigningRequest::from_der(bytes);
    let _ = SigningRequest::from_pem(bytes);
    let _ = pem::private_key(bytes);
    for list in pem::revocation_lists(bytes).iter().flatten() {
        let _ = RevocationList::read(list).map(|it| it.revoked());
    }
    if let Ok(certificates) = pem::certificates(bytes) {
        certificates.iter().for_each(facts);
        let written = pem::write_certificates(&certificates);
        assert_eq!(
            pem::certificates(written.as_bytes()).ok(),
            Some(certificates)
        );
    }
});
