//! TLS between workloads, and between workloads and their authority.
//!
//! Between workloads it is TLS 1.3 with certificates on both sides, and without resumption: a
//! resumed session would be believed without a look at the certificate's end or the revocation
//! lists. Connections are long-lived and carry many streams, so full handshakes are rare.

mod verify;

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, ClientConfig, OtherError, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
    version::TLS13,
};

use crate::{PeerError, SpiffeId, Svid, TlsError, TrustPolicy};
use verify::Verifier;

/// ALPN of HTTP/2.
pub const ALPN_H2: &[u8] = b"h2";

/// What a workload's side of accepted connections uses: shows `svid`, demands a certificate that
/// `policy` believes. Who may do what is for the caller to decide, by [`crate::peer_id`].
///
/// # Errors
/// When the key cannot be used.
pub fn server_config(svid: &Svid, policy: &TrustPolicy) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = Arc::new(Verifier::new(policy.clone(), None));
    let builder =
        ServerConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&policy.clock))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Config(Box::new(error)))?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver(svid)?);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a workload's side of connections it opens uses: shows `svid`, believes the peer when
/// `policy` does and its identity is one of `expected`. With none expected it believes nobody. The
/// name given to the connection is not sent and means nothing.
///
/// # Errors
/// When the key cannot be used.
pub fn client_config(
    svid: &Svid,
    policy: &TrustPolicy,
    expected: Arc<[SpiffeId]>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = Arc::new(Verifier::new(policy.clone(), Some(expected)));
    let builder =
        ClientConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&policy.clock))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Config(Box::new(error)))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(resolver(svid)?);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// What the authority's service uses: shows `chain`, and asks for a certificate without demanding
/// one, since who has none yet comes with a token. One that is shown must be believed by `policy`.
///
/// # Errors
/// When chain and key do not fit.
pub fn authority_server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    policy: &TrustPolicy,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = Arc::new(Verifier::new(policy.clone(), None).optional());
    let builder =
        ServerConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&policy.clock))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Config(Box::new(error)))?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Config(Box::new(error)))?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a client of an authority's service uses: the server must have a certificate for its host
/// name that leads to one of `roots`; `svid` is shown when there is one.
///
/// # Errors
/// When no root can be used, or the key cannot.
pub fn authority_client_config(
    roots: Vec<CertificateDer<'static>>,
    svid: Option<&Svid>,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(root)
            .map_err(|error| TlsError::Roots(Box::new(error)))?;
    }
    let builder = ClientConfig::builder_with_details(Arc::clone(provider()), clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::Config(Box::new(error)))?
        .with_root_certificates(store);
    let mut config = match svid {
        Some(svid) => builder.with_client_cert_resolver(resolver(svid)?),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Why a handshake ended that failed for who the peer is. rustls shows such errors in code; this one
/// is for people.
pub fn refusal(error: &rustls::Error) -> Option<&PeerError> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            other.downcast_ref()
        }
        _ => None,
    }
}

/// aws-lc with TLS 1.3 only; the hybrid of X25519 and ML-KEM comes first, so that what is recorded
/// today stays secret when elliptic curves fall.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ];
        // Peers take the client's first: the longer key costs a fifth more for each byte.
        provider.cipher_suites = vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        Arc::new(provider)
    })
}

fn resolver(svid: &Svid) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let certified: CertifiedKey = svid.certified_key()?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}
