//! The SPIFFE Workload API: certificates for the workloads of this node, over a Unix socket.
//!
//! Who calls is told by the kernel (`SO_PEERCRED`) and judged by a callback; nothing that a caller
//! says about itself counts. The process is looked at anew for each call, and not between the
//! messages of a stream.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::UdsConnectInfo},
};
use weft_identity::{RevocationList, SpiffeId, Svid, TrustBundle};
use weft_wire::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svid, X509svidRequest,
    X509svidResponse,
    spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer},
};

use super::certificates::Certificates;

/// Tells whose workload a process is, by its id: `None` for one that is not enrolled.
pub(crate) type Attest = Arc<dyn Fn(i32) -> Option<SpiffeId> + Send + Sync>;

/// Header that every call must have: a request forged through somebody's HTTP client has it not.
const HEADER: &str = "workload.spiffe.io";

/// Binds the socket, which everybody may open, and returns what serves it for ever.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn serve(
    path: &Path,
    certificates: Certificates,
    attest: Attest,
) -> Result<impl Future<Output = ()> + Send + use<>> {
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
        .with_context(|| format!("cannot open {} to workloads", path.display()))?;
    let (ready, connections) = mpsc::channel::<io::Result<UnixStream>>(16);
    let service = SpiffeWorkloadApiServer::new(Desk {
        certificates,
        attest,
    })
    .max_decoding_message_size(64 << 10);
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming(ReceiverStream::new(connections));
    Ok(async move {
        let accepting = async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(ready.send(Ok(stream)).await),
                    Err(error) => {
                        tracing::warn!("the workload API cannot accept: {error}");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            ended = serving => if let Err(error) = ended {
                tracing::error!("the workload API has ended: {error}");
            },
        }
    })
}

struct Desk {
    certificates: Certificates,
    attest: Attest,
}

impl Desk {
    fn caller<T>(&self, request: &Request<T>) -> Result<SpiffeId, Status> {
        let header = request.metadata().get(HEADER);
        if header.is_none_or(|value| value != "true") {
            return Err(Status::invalid_argument(format!(
                "the header {HEADER}: true is missing"
            )));
        }
        let pid = request
            .extensions()
            .get::<UdsConnectInfo>()
            .and_then(|info| info.peer_cred)
            .and_then(|credentials| credentials.pid())
            .filter(|&pid| pid > 0)
            .ok_or_else(|| Status::permission_denied("the caller's process cannot be seen"))?;
        (self.attest)(pid).ok_or_else(|| {
            Status::permission_denied(format!("process {pid} belongs to no enrolled workload"))
        })
    }
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for Desk {
    type FetchJWTBundlesStream = Answers<JwtBundlesResponse>;
    type FetchX509SVIDStream = Answers<X509svidResponse>;
    type FetchX509BundlesStream = Answers<X509BundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let id = self.caller(&request)?;
        let mut current = self.certificates.subscribe(&id);
        let mut trust = self.certificates.trust();
        let mut lists = self.certificates.sound_lists();
        let own = Arc::clone(self.certificates.domains().own());
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let svid = current.borrow_and_update().clone();
                let bundle = trust.borrow_and_update().clone();
                let crl = in_der(&lists.borrow_and_update());
                if let Some(svid) = svid
                    && answers
                        .send(Ok(answer(&svid, &bundle, crl, &own)))
                        .await
                        .is_err()
                {
                    return;
                }
                let changed = tokio::select! {
                    changed = current.changed() => changed,
                    changed = trust.changed() => changed,
                    Ok(()) = lists.changed() => Ok(()),
                    () = answers.closed() => return,
                };
                if changed.is_err() {
                    let gone = Status::permission_denied("the workload is no longer enrolled");
                    drop(answers.send(Err(gone)).await);
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.caller(&request)?;
        let mut trust = self.certificates.trust();
        let mut lists = self.certificates.sound_lists();
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let bundle = trust.borrow_and_update().clone();
                let bundles = bundle
                    .domains()
                    .map(|domain| (format!("spiffe://{domain}"), roots(&bundle, domain)))
                    .collect();
                let answer = X509BundlesResponse {
                    crl: in_der(&lists.borrow_and_update()),
                    bundles,
                };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
                tokio::select! {
                    changed = trust.changed() => if changed.is_err() { return },
                    Ok(()) = lists.changed() => {}
                    () = answers.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_jwtsvid(
        &self,
        _: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        Err(no_tokens())
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        Err(no_tokens())
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        Err(no_tokens())
    }
}

fn no_tokens() -> Status {
    Status::unimplemented("weft gives no JWT-SVIDs; use X.509 certificates (FetchX509SVID)")
}

fn answer(svid: &Svid, bundle: &TrustBundle, crl: Vec<Vec<u8>>, own: &str) -> X509svidResponse {
    let domain = svid.id().trust_domain();
    // An alias without roots of its own is believed by those of the mesh.
    let home: &str = if bundle.roots(domain).is_empty() {
        own
    } else {
        domain
    };
    X509svidResponse {
        svids: vec![X509svid {
            spiffe_id: svid.id().to_string(),
            x509_svid: concatenated(svid.chain()),
            x509_svid_key: svid.key().secret_der().to_vec(),
            bundle: roots(bundle, home),
            hint: String::new(),
        }],
        crl,
        federated_bundles: bundle
            .domains()
            .filter(|domain| ***domain != *home)
            .map(|domain| (format!("spiffe://{domain}"), roots(bundle, domain)))
            .collect(),
    }
}

fn in_der(lists: &[RevocationList]) -> Vec<Vec<u8>> {
    lists.iter().map(|list| list.der().to_vec()).collect()
}

fn roots(bundle: &TrustBundle, domain: &str) -> Vec<u8> {
    concatenated(bundle.roots(domain))
}

fn concatenated(certificates: &[weft_identity::CertificateDer<'static>]) -> Vec<u8> {
    certificates
        .iter()
        .flat_map(|it| it.iter().copied())
        .collect()
}
