//! Whether a peer's certificate is believed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use crate::{CertificateFacts, PeerError, SpiffeId, TrustPolicy};

/// Verifies either side of a connection.
#[derive(Debug)]
pub(super) struct Verifier {
    policy: TrustPolicy,
    /// Who the peer must be; `None` leaves that to the caller.
    expected: Option<Arc<[SpiffeId]>>,
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Clone, Copy)]
enum Purpose {
    Server,
    Client,
}

/// How far the clock may be behind the authority's, beyond what certificates are dated back. Nothing
/// is forgiven at their end.
const SKEW: Duration = Duration::from_secs(600);

impl Verifier {
    pub(super) fn new(policy: TrustPolicy, expected: Option<Arc<[SpiffeId]>>) -> Self {
        Self {
            policy,
            expected,
            mandatory: true,
            algorithms: super::provider().signature_verification_algorithms,
        }
    }

    /// Lets clients without a certificate in.
    pub(super) fn optional(mut self) -> Self {
        self.mandatory = false;
        self
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let id = self.claim(leaf, purpose).map_err(refused)?;
        self.prove(&id, leaf, intermediates, now, purpose)?;
        match &self.expected {
            Some(expected) if !expected.contains(&id) => Err(refused(PeerError::Unexpected(id))),
            _ => Ok(()),
        }
    }

    /// Who the certificate says the peer is; whether that is true is another question.
    fn claim(&self, leaf: &CertificateDer<'_>, purpose: Purpose) -> Result<SpiffeId, PeerError> {
        let facts = CertificateFacts::read(leaf)?;
        if facts.is_authority {
            return Err(PeerError::Authority);
        }
        match purpose {
            Purpose::Server if !facts.for_servers => return Err(PeerError::Usage("servers")),
            Purpose::Client if !facts.for_clients => return Err(PeerError::Usage("clients")),
            _ => {}
        }
        let id = facts.id()?;
        if !self.policy.domains.contains(id.trust_domain()) {
            return Err(PeerError::TrustDomain(id));
        }
        Ok(id)
    }

    /// Whether an authority of that trust domain, and of no other, says so too.
    fn prove(
        &self,
        id: &SpiffeId,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let chain = Chain {
            leaf,
            intermediates,
            id,
            purpose,
        };
        let proved = match chain.prove(&self.policy, now) {
            // Signed by an authority whose clock is ahead of ours, or ours is behind.
            Err(webpki::Error::CertNotValidYet { .. }) => {
                let later = Duration::from_secs(now.as_secs()) + SKEW;
                chain.prove(&self.policy, UnixTime::since_unix_epoch(later))
            }
            proved => proved,
        };
        proved.map_err(unproven)
    }
}

/// What a peer shows, and what for.
struct Chain<'a> {
    leaf: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    id: &'a SpiffeId,
    purpose: Purpose,
}

impl Chain<'_> {
    fn prove(&self, policy: &TrustPolicy, now: UnixTime) -> Result<(), webpki::Error> {
        // One list at a time: of several by one issuer webpki looks at the first alone, and a list
        // signed by another of the same name must not stop everybody.
        let mut is_proved = false;
        for list in &*policy.revoked {
            match self.prove_against(policy, now, &[list.as_list()]) {
                Err(webpki::Error::CertRevoked) => return Err(webpki::Error::CertRevoked),
                verdict => is_proved |= verdict.is_ok(),
            }
        }
        if is_proved {
            return Ok(());
        }
        self.prove_against(policy, now, &[])
    }

    fn prove_against(
        &self,
        policy: &TrustPolicy,
        now: UnixTime,
        lists: &[&CertRevocationList<'_>],
    ) -> Result<(), webpki::Error> {
        let revocation = RevocationOptionsBuilder::new(lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                // Lists are optional, so a certificate that none speaks of is not suspect.
                .with_status_policy(UnknownStatusPolicy::Allow)
                .build()
        });
        let usage = match self.purpose {
            Purpose::Server => KeyUsage::server_auth(),
            Purpose::Client => KeyUsage::client_auth(),
        };
        let anchors = policy
            .bundle
            .anchors(self.id.trust_domain(), &policy.domains);
        EndEntityCert::try_from(self.leaf)?
            .verify_for_usage(
                super::provider().signature_verification_algorithms.all,
                anchors,
                self.intermediates,
                now,
                usage,
                revocation,
                None,
            )
            .map(drop)
    }
}

impl TrustPolicy {
    /// Whether a list takes back a certificate that a peer has shown, leaf first, or one of those
    /// that signed it. That it has ended since makes no difference.
    pub fn is_revoked(&self, shown: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = shown.split_first() else {
            return false;
        };
        let Ok(facts) = CertificateFacts::read(leaf) else {
            return false;
        };
        // When all of it had begun: leaves are dated back, perhaps to before their signer's beginning.
        let starts = intermediates.iter().filter_map(|one| {
            let facts = CertificateFacts::read(one).ok()?;
            Some(facts.not_before)
        });
        let then = starts.fold(facts.not_before, SystemTime::max);
        let (Ok(id), Ok(then)) = (facts.id(), then.duration_since(SystemTime::UNIX_EPOCH)) else {
            return false;
        };
        let chain = Chain {
            leaf,
            intermediates,
            id: &id,
            purpose: if facts.for_servers {
                Purpose::Server
            } else {
                Purpose::Client
            },
        };
        let then = UnixTime::since_unix_epoch(then);
        self.revoked.iter().any(|list| {
            let verdict = chain.prove_against(self, then, &[list.as_list()]);
            matches!(verdict, Err(webpki::Error::CertRevoked))
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now, Purpose::Server)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now, Purpose::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn only_tls13() -> Error {
    Error::PeerIncompatible(rustls::PeerIncompatible::SupportedVersionsExtensionRequired)
}

fn refused(error: PeerError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// What rustls has a word, and TLS an alert, for is said in it.
fn unproven(error: webpki::Error) -> Error {
    let error = match error {
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    };
    Error::InvalidCertificate(error)
}
