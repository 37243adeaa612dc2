//! Workloads with certificates, and handshakes between them over memory.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig,
    ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    time_provider::TimeProvider,
};
use weft_identity::{
    Authority, Csr, Serial, SigningRequest, SpiffeId, Svid, TrustBundle, TrustDomains, TrustPolicy,
    client_config, peer_id, refusal, server_config,
};

/// When every certificate is signed.
pub(crate) fn t0() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A clock that stands.
#[derive(Debug)]
pub(crate) struct Clock(pub(crate) SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// A workload.
pub(crate) struct Party {
    pub(crate) svid: Svid,
    pub(crate) policy: TrustPolicy,
}

impl Party {
    pub(crate) fn new(svid: Svid, policy: TrustPolicy) -> Self {
        Self { svid, policy }
    }
}

pub(crate) fn id(text: &str) -> SpiffeId {
    text.parse().expect(text)
}

/// Another number each time.
pub(crate) fn serial() -> Serial {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Serial::new(bytes)
}

pub(crate) fn authority(trust_domain: &str) -> Authority {
    Authority::create(trust_domain, DAY * 365, t0(), serial()).expect("authority")
}

/// A certificate for a day.
pub(crate) fn svid(authority: &Authority, name: &str) -> Svid {
    let csr = Csr::generate(&id(name)).expect("csr");
    let request = SigningRequest::from_der(csr.der()).expect("request");
    let chain = authority
        .sign(&request, &id(name), DAY, t0(), serial())
        .expect("chain");
    Svid::new(chain, csr.into_key()).expect("svid")
}

/// What a member of mesh.a believes, `after` T0.
pub(crate) fn policy(
    roots: &[(&str, &Authority)],
    aliases: &[&str],
    after: Duration,
) -> TrustPolicy {
    let mut bundle = TrustBundle::new();
    for (domain, authority) in roots {
        for root in authority.roots() {
            bundle.add(domain, root.clone()).expect("root");
        }
    }
    let domains = TrustDomains::new("mesh.a", aliases.iter().copied()).expect("domains");
    TrustPolicy::new(bundle.into(), domains.into(), Arc::new(Clock(t0() + after)))
}

/// What came of a handshake.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) server: SpiffeId,
    pub(crate) client: SpiffeId,
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) group: Option<NamedGroup>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) kind: Option<HandshakeKind>,
}

/// Who each side takes the other for: the server as the client sees it, then the client.
pub(crate) fn handshake(
    client: &Party,
    server: &Party,
    expected: &[&str],
) -> Result<(SpiffeId, SpiffeId), String> {
    connection(client, server, expected).map(|facts| (facts.server, facts.client))
}

pub(crate) fn connection(
    client: &Party,
    server: &Party,
    expected: &[&str],
) -> Result<Facts, String> {
    let expected = expected.iter().map(|name| id(name)).collect();
    let client = client_config(&client.svid, &client.policy, expected).expect("client config");
    let server = server_config(&server.svid, &server.policy).expect("server config");
    connect_with(&client, &server)
}

pub(crate) fn connect_with(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<Facts, String> {
    let name = ServerName::try_from("peer.invalid").expect("name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("server");
    while client.is_handshaking() || server.is_handshaking() {
        carry(|to| client.write_tls(to), |from| server.read_tls(from));
        let said = server.process_new_packets().map(drop);
        carry(|to| server.write_tls(to), |from| client.read_tls(from));
        let heard = client.process_new_packets().map(drop);
        // The side that refuses knows why; the other hears only an alert.
        said.and(heard).map_err(|error| match refusal(&error) {
            Some(reason) => reason.to_string(),
            None => format!("{error:?}"),
        })?;
    }
    let (by_client, by_server) = (client.peer_certificates(), server.peer_certificates());
    let peer = |chain: Option<&[CertificateDer<'static>]>| {
        peer_id(chain.unwrap_or_default()).map_err(|error| error.to_string())
    };
    Ok(Facts {
        server: peer(by_client)?,
        client: peer(by_server)?,
        version: client.protocol_version(),
        group: client
            .negotiated_key_exchange_group()
            .map(|group| group.name()),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        kind: client.handshake_kind(),
    })
}

fn carry(
    mut out: impl FnMut(&mut dyn io::Write) -> io::Result<usize>,
    mut into: impl FnMut(&mut dyn io::Read) -> io::Result<usize>,
) {
    let mut bytes = Vec::new();
    while out(&mut bytes).expect("memory") > 0 {}
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        into(&mut rest).expect("memory");
        // More than one buffer full is for the next round in a real connection; none comes here.
        if rest.len() > 60_000 {
            break;
        }
    }
}

/// An authority that signs what a good one would not.
pub(crate) struct Forge {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Forge {
    pub(crate) fn new(trust_domain: &str) -> Self {
        let key = KeyPair::generate().expect("key");
        let mut params = params();
        params
            .distinguished_name
            .push(DnType::OrganizationName, trust_domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).expect("root").der().clone();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    pub(crate) fn leaf(
        &self,
        uris: &[&str],
        purposes: bool,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("key");
        let mut params = params();
        for &uri in uris {
            params
                .subject_alt_names
                .push(SanType::URI(uri.try_into().expect("uri")));
        }
        if purposes {
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
        }
        let leaf = params.signed_by(&key, &self.issuer).expect("leaf");
        (
            leaf.der().clone(),
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

pub(crate) fn forged_svid(forge: &Forge, name: &str) -> Svid {
    let (leaf, key) = forge.leaf(&[name], true);
    Svid::new(vec![leaf], key).expect("svid")
}

/// A client that shows any certificate and believes any server: an attacker's.
pub(crate) fn bare_client(
    (leaf, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    policy: TrustPolicy,
) -> Arc<ClientConfig> {
    let anyone = anonymous(&policy);
    let verifier = Arc::new(Anyone(
        anyone.crypto_provider().signature_verification_algorithms,
    ));
    let config = ClientConfig::builder_with_details(
        Arc::clone(anyone.crypto_provider()),
        Arc::clone(&policy.clock),
    )
    .with_protocol_versions(&[&rustls::version::TLS13])
    .expect("versions")
    .dangerous()
    .with_custom_certificate_verifier(verifier)
    .with_client_auth_cert(vec![leaf], key)
    .expect("pair");
    with_h2(config)
}

/// A client without a certificate.
pub(crate) fn anonymous(policy: &TrustPolicy) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anyone(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_details(provider, Arc::clone(&policy.clock))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    with_h2(config)
}

fn with_h2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone(rustls::crypto::WebPkiSupportedAlgorithms);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}
