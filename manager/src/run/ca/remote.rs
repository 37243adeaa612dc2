//! Asking a certificate service elsewhere: ours, or Istio's.

use std::{
    future::{Ready, ready},
    io,
    path::PathBuf,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use tonic::{
    Request,
    codegen::{Service, http::Uri},
    metadata::AsciiMetadataValue,
    transport::Endpoint,
};
use weft_identity::{
    CertificateDer, CertificateFacts, Csr, SpiffeId, authority_client_config, pem,
};
use weft_wire::ca::{
    IstioCertificateRequest, istio_certificate_service_client::IstioCertificateServiceClient,
};

use super::{SystemClock, service::IMPERSONATED, signer::Signed};

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The service, and what it is told and must show.
pub(crate) struct Remote {
    host: String,
    port: u16,
    root: PathBuf,
    token: PathBuf,
}

impl Remote {
    /// A service at `https://HOST:PORT`.
    pub(crate) fn new(address: &str, root: PathBuf, token: PathBuf) -> Result<Self> {
        let uri: Uri = address
            .parse()
            .with_context(|| format!("{address} is no URL"))?;
        let plain = uri.path().is_empty() || uri.path() == "/";
        let (Some("https"), Some(host), Some(port), true) =
            (uri.scheme_str(), uri.host(), uri.port_u16(), plain)
        else {
            bail!("{address} is not https://HOST:PORT");
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            root,
            token,
        })
    }

    /// Has a request signed for `id`. Root and token are read anew, since both are replaced under a
    /// running manager.
    pub(crate) async fn sign(&self, csr: &Csr, id: &SpiffeId, ttl: Duration) -> Result<Signed> {
        match tokio::time::timeout(PATIENCE, self.attempt(csr, id, ttl)).await {
            Ok(answer) => answer,
            Err(_) => bail!("{}:{} has not answered in 10 s", self.host, self.port),
        }
    }

    async fn attempt(&self, csr: &Csr, id: &SpiffeId, ttl: Duration) -> Result<Signed> {
        let mut roots = self.roots()?;
        let token = std::fs::read_to_string(&self.token)
            .with_context(|| format!("cannot read {}", self.token.display()))?;
        let bearer = AsciiMetadataValue::try_from(format!("Bearer {}", token.trim()))
            .with_context(|| format!("{} holds no token", self.token.display()))?;
        let stream = self.connect(roots.clone()).await?;
        // TLS is done; what goes through it is HTTP/2 without further ado.
        let channel = Endpoint::from_shared(format!("http://{}", self.authority()))?
            .connect_with_connector(Given(Some(TokioIo::new(stream))))
            .await
            .context("no HTTP/2 with the certificate service")?;
        let mut client = IstioCertificateServiceClient::new(channel);
        let mut request = Request::new(IstioCertificateRequest {
            csr: csr.pem(),
            validity_duration: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
            metadata: Some(weft_wire::text_struct(IMPERSONATED, &id.to_string())),
        });
        request.metadata_mut().insert("authorization", bearer);
        let answer = client
            .create_certificate(request)
            .await
            .map_err(|status| anyhow::anyhow!("{}: {}", status.code(), status.message()))
            .context("the certificate service refuses")?;
        let mut chain = Vec::new();
        for text in answer.into_inner().cert_chain {
            chain.extend(pem::certificates(text.as_bytes()).context("the answer is broken")?);
        }
        for certificate in &chain {
            let facts = CertificateFacts::read(certificate).context("the answer is broken")?;
            if facts.is_authority && facts.is_self_issued && !roots.contains(certificate) {
                roots.push(certificate.clone());
            }
        }
        Ok(Signed { chain, roots })
    }

    fn roots(&self) -> Result<Vec<CertificateDer<'static>>> {
        let text = std::fs::read(&self.root)
            .with_context(|| format!("cannot read {}", self.root.display()))?;
        pem::certificates(&text).with_context(|| format!("{} is no root", self.root.display()))
    }

    async fn connect(&self, roots: Vec<CertificateDer<'static>>) -> Result<TlsStream<TcpStream>> {
        let config = authority_client_config(roots, None, Arc::new(SystemClock))?;
        let name = ServerName::try_from(self.host.clone())
            .with_context(|| format!("{} is no host", self.host))?;
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .with_context(|| format!("cannot connect to {}", self.authority()))?;
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .with_context(|| format!("no TLS with {}; is --ca-root its root?", self.authority()))
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A connector that has the one connection already.
struct Given<T>(Option<T>);

impl<T> Service<Uri> for Given<T> {
    type Response = T;
    type Error = io::Error;
    type Future = Ready<io::Result<T>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(
            self.0.take().ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotConnected, "the connection has ended")
            }),
        )
    }
}
