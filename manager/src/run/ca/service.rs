//! The certificate service: Istio's protocol, for other nodes.
//!
//! Callers are authenticated by a certificate of the mesh, which is renewed, or by a token. Who has
//! neither gets nothing.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, transport::Server};
use weft_identity::{
    Authority, CertificateDer, SigningRequest, SpiffeId, TrustBundle, TrustDomains, TrustPolicy,
    authority_server_config, pem,
};
use weft_wire::ca::{
    IstioCertificateRequest, IstioCertificateResponse,
    istio_certificate_service_server::{IstioCertificateService, IstioCertificateServiceServer},
};

use super::{
    SystemClock,
    revocations::Lists,
    store::{self, Office},
    tls::{Connection, Peer},
    tokens::{self, Caller},
};
use crate::args::ca::MAX_WORKLOAD_TTL;

/// Where a node says for whom it asks, as in Istio.
pub(super) const IMPERSONATED: &str = "ImpersonatedIdentity";

/// How long a handshake may take, and how many may be under way.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HANDSHAKES: usize = 256;

/// The service's own certificate: how long it is valid, and after what time it is replaced.
const SERVING: Duration = Duration::from_secs(30 * 86_400);
const REPLACE: Duration = Duration::from_secs(86_400);

/// How long a certificate is valid when the request does not say.
const DEFAULT_TTL: Duration = Duration::from_secs(86_400);

/// The largest request; a signing request is some hundred bytes.
const LARGEST: usize = 64 << 10;

/// A bound service.
pub(super) struct Service {
    listener: TcpListener,
    address: SocketAddr,
    names: Vec<String>,
    acceptor: TlsAcceptor,
    /// Who signed the service's own certificate.
    signed_by: Arc<Authority>,
    replace_at: SystemTime,
    desk: Desk,
}

/// What decides about a request.
#[derive(Clone)]
struct Desk {
    office: Arc<Office>,
    domains: Arc<TrustDomains>,
    tokens: Option<PathBuf>,
    revoked: watch::Receiver<Lists>,
}

impl Service {
    /// Binds the port and makes the service's certificate.
    pub(super) async fn bind(
        address: SocketAddr,
        further: &[String],
        tokens: Option<PathBuf>,
        office: Arc<Office>,
        domains: Arc<TrustDomains>,
        revoked: watch::Receiver<Lists>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for --ca-listen"))?;
        let address = listener.local_addr().context("a listener has an address")?;
        let mut names = vec!["localhost".to_owned(), "istiod.istio-system.svc".to_owned()];
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
        names.extend(further.iter().cloned());
        let desk = Desk {
            office,
            domains,
            tokens,
            revoked,
        };
        let signed_by = desk.office.authority();
        let acceptor = acceptor(&desk, &signed_by, &names)?;
        Ok(Self {
            listener,
            address,
            names,
            acceptor,
            signed_by,
            replace_at: SystemTime::now() + REPLACE,
            desk,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever.
    pub(super) async fn serve(mut self) {
        let (ready, connections) = mpsc::channel::<io::Result<Connection>>(HANDSHAKES);
        let service = IstioCertificateServiceServer::new(self.desk.clone())
            .max_decoding_message_size(LARGEST);
        let serving = Server::builder()
            .timeout(Duration::from_secs(30))
            .add_service(service)
            .serve_with_incoming(ReceiverStream::new(connections));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!("the certificate service has ended: {error}");
            }
        });
        let slots = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("the certificate service cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (acceptor, ready) = (self.fresh_acceptor(), ready.clone());
            tokio::spawn(async move {
                // A failed handshake is the peer's affair.
                if let Some(connection) = shake(acceptor, stream).await {
                    drop(ready.send(Ok(connection)).await);
                }
                drop(slot);
            });
        }
    }

    fn fresh_acceptor(&mut self) -> TlsAcceptor {
        let now = SystemTime::now();
        let authority = self.desk.office.authority();
        let revoked = self.desk.revoked.has_changed().unwrap_or(false);
        if now >= self.replace_at || revoked || !Arc::ptr_eq(&authority, &self.signed_by) {
            self.desk.revoked.mark_unchanged();
            match acceptor(&self.desk, &authority, &self.names) {
                Ok(acceptor) => {
                    self.acceptor = acceptor;
                    self.signed_by = authority;
                    self.replace_at = now + REPLACE;
                }
                Err(error) => {
                    tracing::warn!("the certificate service keeps its certificate: {error:#}");
                    if revoked {
                        self.desk.revoked.mark_changed();
                    }
                }
            }
        }
        self.acceptor.clone()
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> Option<Connection> {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection(stream)),
        Ok(Err(error)) => {
            tracing::debug!("no TLS with a client of the certificate service: {error}");
            None
        }
        Err(_) => None,
    }
}

fn acceptor(desk: &Desk, authority: &Authority, names: &[String]) -> Result<TlsAcceptor> {
    let id = SpiffeId::new(desk.domains.own(), "istio-system", "istiod")?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let now = SystemTime::now();
    let (chain, key) = authority
        .serving(&names, &id, SERVING, now, store::serial()?)
        .context("the certificate service gets no certificate; is a --ca-name wrong?")?;
    Ok(authority_server_config(chain, key, &desk.policy(authority)?)?.into())
}

#[tonic::async_trait]
impl IstioCertificateService for Desk {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let caller = self.authenticate(&request)?;
        let message = request.into_inner();
        let id = self.authorize(caller, &message)?;
        let csr = SigningRequest::from_pem(message.csr.as_bytes())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let ttl = match u64::try_from(message.validity_duration) {
            Ok(0) | Err(_) => DEFAULT_TTL,
            Ok(seconds) => Duration::from_secs(seconds).min(MAX_WORKLOAD_TTL),
        };
        let serial = store::serial().map_err(|error| Status::internal(error.to_string()))?;
        let authority = self.office.authority();
        let chain = authority
            .sign(&csr, &id, ttl, SystemTime::now(), serial)
            .map_err(|error| Status::unavailable(error.to_string()))?;
        tracing::info!("signed a certificate for {id}, serial {serial}");
        let certificates = chain.iter().chain(authority.roots());
        Ok(Response::new(IstioCertificateResponse {
            cert_chain: certificates
                .map(|certificate| pem::write_certificates([certificate]))
                .collect(),
        }))
    }
}

impl Desk {
    /// What is believed of callers.
    fn policy(&self, authority: &Authority) -> Result<TrustPolicy> {
        let mut bundle = TrustBundle::new();
        for root in authority.roots() {
            bundle.add(self.domains.own(), root.clone())?;
        }
        let domains = Arc::clone(&self.domains);
        let mut policy = TrustPolicy::new(Arc::new(bundle), domains, Arc::new(SystemClock));
        policy.revoked = Arc::clone(&self.revoked.borrow());
        Ok(policy)
    }

    /// Connections outlive lists: what the handshake knew is not enough.
    fn is_revoked(&self, shown: &[CertificateDer<'_>]) -> Result<bool> {
        Ok(self.policy(&self.office.authority())?.is_revoked(shown))
    }

    fn authenticate<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let bearer = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if let (Some(file), Some(token)) = (&self.tokens, bearer) {
            return match tokens::find(file, token) {
                Ok(Some(caller)) => Ok(caller),
                Ok(None) => Err(Status::unauthenticated("the token is not known")),
                Err(error) => {
                    tracing::error!("the certificate service cannot check tokens: {error:#}");
                    Err(Status::unavailable(
                        "tokens cannot be checked; the service's log says why",
                    ))
                }
            };
        }
        match request.extensions().get::<Peer>() {
            Some(Peer(Some((id, shown)))) => match self.is_revoked(shown) {
                Ok(false) => Ok(Caller::One(id.clone())),
                Ok(true) => Err(Status::unauthenticated("the certificate was taken back")),
                Err(error) => Err(Status::unavailable(error.to_string())),
            },
            _ => Err(Status::unauthenticated(
                "show a certificate of the mesh or a token (authorization: Bearer TOKEN)",
            )),
        }
    }

    /// For whom a caller gets a certificate.
    fn authorize(
        &self,
        caller: Caller,
        message: &IstioCertificateRequest,
    ) -> Result<SpiffeId, Status> {
        let named = message
            .metadata
            .as_ref()
            .and_then(|metadata| weft_wire::text_field(metadata, IMPERSONATED))
            .map(|text| text.parse::<SpiffeId>())
            .transpose()
            .map_err(|error| Status::invalid_argument(format!("{IMPERSONATED}: {error}")))?;
        let id = match (caller, named) {
            (Caller::One(id), None) => id,
            (Caller::One(id), Some(named)) if id == named => id,
            (Caller::One(id), Some(named)) => {
                return Err(Status::permission_denied(format!(
                    "{id} may not ask for {named}"
                )));
            }
            (Caller::Node, Some(named)) => named,
            (Caller::Node, None) => {
                return Err(Status::invalid_argument(format!(
                    "a node says for whom it asks in the metadata, under {IMPERSONATED}"
                )));
            }
        };
        if !self.domains.contains(id.trust_domain()) {
            return Err(Status::permission_denied(format!(
                "{id} is of another trust domain than {}",
                self.domains.own()
            )));
        }
        Ok(id)
    }
}
