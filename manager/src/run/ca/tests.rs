//! Authority, service, renewals and the workload API, over real sockets.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};
use tonic::{Code, Request, transport::Endpoint};
use weft_identity::{
    CertificateFacts, Csr, PrivateKeyDer, RevocationReason, Revoked, SpiffeId, Svid,
};
use weft_wire::workload::{
    JwtsvidRequest, X509BundlesRequest, X509svidRequest, X509svidResponse,
    spiffe_workload_api_client::SpiffeWorkloadApiClient,
};

use super::*;

const CART: &str = "spiffe://mesh.a/ns/shop/sa/cart";
const STOCK: &str = "spiffe://mesh.a/ns/shop/sa/stock";
const DAY: Duration = Duration::from_secs(86_400);
const PATIENCE: Duration = Duration::from_secs(20);

fn no_lists() -> Revocations {
    Revocations::open(&[], None).expect("nothing to read")
}

/// A folder with an authority, its root and a token file; removed at the end.
struct Town {
    dir: PathBuf,
}

impl Town {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("weft-ca-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).expect("a folder");
        let town = Self { dir };
        town.office();
        town.write("tokens", &format!("node-token *node\ncart-token {CART}\n"));
        town
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect(name);
    }

    fn office(&self) -> Arc<store::Office> {
        let now = SystemTime::now();
        let office = store::open_or_create(&self.path("ca"), "mesh.a", now).expect("authority");
        Arc::new(office)
    }

    /// The service on `port`, 0 for any.
    async fn serve(&self, port: u16) -> (SocketAddr, JoinHandle<()>) {
        let service = Service::bind(
            SocketAddr::from(([127, 0, 0, 1], port)),
            &[],
            Some(self.path("tokens")),
            self.office(),
            domains(),
            no_lists().subscribe(),
        )
        .await
        .expect("bound");
        (service.address(), tokio::spawn(service.serve()))
    }

    fn remote(&self, address: SocketAddr, token: &str) -> Remote {
        self.write(token, token);
        let root = self.path("ca/root-cert.pem");
        Remote::new(&format!("https://{address}"), root, self.path(token)).expect("a URL")
    }

    fn here(&self, ttl: Duration) -> Certificates {
        Certificates::new(
            Signer::Here(self.office()),
            domains(),
            ttl,
            None,
            &no_lists(),
        )
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn domains() -> Arc<TrustDomains> {
    Arc::new(TrustDomains::new("mesh.a", []).expect("domains"))
}

fn id(text: &str) -> SpiffeId {
    text.parse().expect(text)
}

fn serial(svid: &Svid) -> Vec<u8> {
    CertificateFacts::read(&svid.chain()[0])
        .expect("facts")
        .serial
}

async fn next(current: &mut tokio::sync::watch::Receiver<Option<Arc<Svid>>>) -> Option<Arc<Svid>> {
    timeout(PATIENCE, current.changed())
        .await
        .expect("in time")
        .expect("kept");
    current.borrow_and_update().clone()
}

#[tokio::test]
async fn a_node_gets_certificates_for_its_workloads_and_others_only_their_own() {
    let town = Town::new("tokens");
    let (address, service) = town.serve(0).await;
    let ask = async |token: &str, whom: &str| {
        let csr = Csr::generate(&id(whom)).expect("csr");
        let remote = town.remote(address, token);
        let answer = remote.sign(&csr, &id(whom), DAY).await;
        answer.map(|signed| Svid::new(signed.chain, csr.into_key()).expect("svid"))
    };
    for whom in [CART, STOCK] {
        let svid = ask("node-token", whom).await.expect("a node may");
        assert_eq!(svid.id(), &id(whom));
    }
    ask("cart-token", CART).await.expect("its own");
    for (token, whom, wanted) in [
        ("cart-token", STOCK, "may not ask for"),
        ("wrong-token", CART, "not known"),
        (
            "node-token",
            "spiffe://mesh.b/ns/shop/sa/cart",
            "another trust domain",
        ),
    ] {
        let error = format!("{:#}", ask(token, whom).await.expect_err(wanted));
        assert!(error.contains(wanted), "{error}");
    }
    service.abort();
}

#[tokio::test]
async fn a_service_with_another_root_is_not_believed() {
    let (town, other) = (Town::new("root"), Town::new("other-root"));
    let (address, service) = town.serve(0).await;
    let csr = Csr::generate(&id(CART)).expect("csr");
    let answer = other
        .remote(address, "node-token")
        .sign(&csr, &id(CART), DAY)
        .await;
    let error = format!("{:#}", answer.err().expect("not believed"));
    assert!(error.contains("is --ca-root its root?"), "{error}");
    service.abort();
}

#[tokio::test]
async fn a_certificate_comes_once_the_service_is_back() {
    let town = Town::new("back");
    // A port that is free, and free again.
    let (address, first) = town.serve(0).await;
    first.abort();
    drop(first.await);
    let signer = Signer::There(town.remote(address, "node-token"));
    let certificates = Certificates::new(signer, domains(), DAY, None, &no_lists());
    let mut current = certificates.subscribe(&id(CART));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(current.borrow().is_none());
    let doubts = certificates.doubts(SystemTime::now());
    assert!(
        doubts[0].contains("has no certificate: cannot connect"),
        "{doubts:?}"
    );
    let (_, service) = town.serve(address.port()).await;
    let svid = next(&mut current).await.expect("a certificate");
    assert_eq!(svid.id(), &id(CART));
    assert!(certificates.doubts(SystemTime::now()).is_empty());
    assert_eq!(certificates.trust().borrow().roots("mesh.a").len(), 1);
    let late = certificates.doubts(svid.not_after() - DAY / 5);
    assert!(late[0].contains("was not renewed"), "{late:?}");
    let over = certificates.doubts(svid.not_after() + DAY);
    assert!(over[0].contains("has ended"), "{over:?}");
    service.abort();
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_of_its_life_and_withdrawn_at_its_end() {
    let town = Town::new("renewal");
    let (address, service) = town.serve(0).await;
    let signer = Signer::There(town.remote(address, "node-token"));
    let certificates =
        Certificates::new(signer, domains(), Duration::from_secs(6), None, &no_lists());
    let mut current = certificates.subscribe(&id(CART));
    let first = next(&mut current).await.expect("the first");
    let second = next(&mut current).await.expect("the second");
    assert!(
        SystemTime::now() < first.not_after(),
        "renewed before its end"
    );
    assert_ne!(serial(&first), serial(&second));
    assert_ne!(first.key().secret_der(), second.key().secret_der());
    // The token is gone, so renewals fail; what there is stays until its end.
    town.write("tokens", "");
    let last = loop {
        let before = current.borrow().clone().expect("still there");
        match next(&mut current).await {
            // A renewal that was under way.
            Some(_) => {}
            None => break before,
        }
    };
    assert!(
        SystemTime::now() >= last.not_after(),
        "withdrawn before its end"
    );
    service.abort();
}

#[tokio::test]
async fn one_who_is_forgotten_gets_no_more() {
    let town = Town::new("forgotten");
    let certificates = town.here(DAY);
    let mut current = certificates.subscribe(&id(CART));
    next(&mut current).await.expect("a certificate");
    certificates.forget(&id(CART));
    let ended = timeout(PATIENCE, current.changed()).await.expect("in time");
    ended.expect_err("no more");
}

async fn workload(path: PathBuf) -> SpiffeWorkloadApiClient<tonic::transport::Channel> {
    let channel = Endpoint::from_static("http://workload.invalid")
        .connect_with_connector(Dial(path))
        .await
        .expect("connected");
    SpiffeWorkloadApiClient::new(channel)
}

/// Connects to a Unix socket.
struct Dial(PathBuf);

impl tonic::codegen::Service<tonic::codegen::http::Uri> for Dial {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tonic::codegen::http::Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = "true".parse().expect("a value");
    request.metadata_mut().insert("workload.spiffe.io", value);
    request
}

/// The certificate in an answer, checked as a workload would.
fn received(answer: &X509svidResponse) -> Svid {
    let [one] = answer.svids.as_slice() else {
        panic!("{} certificates", answer.svids.len());
    };
    let key = PrivateKeyDer::try_from(one.x509_svid_key.clone()).expect("a key");
    let leaf = one.x509_svid.clone().into();
    let svid = Svid::new(vec![leaf], key).expect("a certificate and its key");
    assert_eq!(one.spiffe_id, svid.id().to_string());
    let mut bundle = weft_identity::TrustBundle::new();
    bundle
        .add("mesh.a", one.bundle.clone().into())
        .expect("a root");
    svid
}

#[tokio::test]
async fn a_workload_gets_its_own_certificate_and_each_renewal_over_the_socket() {
    let town = Town::new("workload");
    let certificates = town.here(Duration::from_secs(6));
    let own = i32::try_from(std::process::id()).expect("a pid");
    let attest: workload_api::Attest = Arc::new(move |pid| (pid == own).then(|| id(CART)));
    let path = town.path("workload.sock");
    let serving = workload_api::serve(&path, certificates, attest).expect("a socket");
    let serving = tokio::spawn(serving);
    let mut client = workload(path).await;

    let without = client
        .fetch_x509svid(Request::new(X509svidRequest {}))
        .await;
    assert_eq!(
        without.expect_err("no header").code(),
        Code::InvalidArgument
    );

    let answers = client.fetch_x509svid(with_header(X509svidRequest {})).await;
    let mut answers = answers.expect("attested").into_inner();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answer = timeout(PATIENCE, answers.message()).await.expect("in time");
        seen.push(received(&answer.expect("a message").expect("not the end")));
    }
    assert!(seen.iter().all(|svid| svid.id() == &id(CART)));
    assert_ne!(serial(&seen[0]), serial(&seen[1]));

    let bundles = client
        .fetch_x509_bundles(with_header(X509BundlesRequest {}))
        .await;
    let bundles = bundles.expect("attested").into_inner().message().await;
    let bundles = bundles.expect("a message").expect("not the end").bundles;
    assert_eq!(bundles.keys().collect::<Vec<_>>(), ["spiffe://mesh.a"]);

    let tokens = client
        .fetch_jwtsvid(with_header(JwtsvidRequest::default()))
        .await;
    let refused = tokens.expect_err("no tokens");
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("X.509"), "{refused}");
    serving.abort();
}

#[tokio::test]
async fn workloads_get_the_lists_in_force_and_each_change() {
    let town = Town::new("lists");
    let dir = town.path("ca");
    let office = town.office();
    let revocations = Revocations::open(&[], Some(&dir)).expect("no list yet");
    let signer = Signer::Here(Arc::clone(&office));
    let certificates = Certificates::new(signer, domains(), DAY, None, &revocations);
    let attest: workload_api::Attest = Arc::new(|_| Some(id(CART)));
    let path = town.path("workload.sock");
    let serving = workload_api::serve(&path, certificates.clone(), attest).expect("a socket");
    let tasks = [
        tokio::spawn(serving),
        tokio::spawn(revocations.follow(certificates)),
    ];
    let mut client = workload(path).await;
    let answers = client.fetch_x509svid(with_header(X509svidRequest {})).await;
    let mut answers = answers.expect("attested").into_inner();
    let bundles = client.fetch_x509_bundles(with_header(X509BundlesRequest {}));
    let mut bundles = bundles.await.expect("attested").into_inner();
    let mut lists = async || {
        let answer = timeout(PATIENCE, answers.message()).await.expect("in time");
        let answer = answer.expect("a message").expect("not the end");
        let bundle = timeout(PATIENCE, bundles.message()).await.expect("in time");
        let bundle = bundle.expect("a message").expect("not the end");
        assert_eq!(answer.crl, bundle.crl);
        (received(&answer), answer.crl)
    };
    let (svid, none) = lists().await;
    assert!(none.is_empty());

    let now = SystemTime::now();
    let authority = office.authority();
    let revoke = |serial: &[u8]| {
        let list = own_list::OwnList::open(&dir, &authority).expect("the file");
        let entry = Revoked::new(serial, now, RevocationReason::KeyCompromise);
        let list = list
            .replace(&authority, &[entry], now, DAY)
            .expect("signed");
        list.der().to_vec()
    };
    let first = revoke(&serial(&svid));
    let (same, told) = lists().await;
    assert_eq!((serial(&same), told), (serial(&svid), vec![first]));
    let second = revoke(&[7]);
    let (_, told) = lists().await;
    assert_eq!(told, [second]);
    fs::remove_file(dir.join(own_list::FILE)).expect("removed");
    let (_, told) = lists().await;
    assert!(told.is_empty());
    tasks.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_process_that_is_not_enrolled_gets_nothing() {
    let town = Town::new("stranger");
    let path = town.path("workload.sock");
    let nobody: workload_api::Attest = Arc::new(|_| None);
    let serving = workload_api::serve(&path, town.here(DAY), nobody).expect("a socket");
    let serving = tokio::spawn(serving);
    let mut client = workload(path).await;
    let refused = client.fetch_x509svid(with_header(X509svidRequest {})).await;
    assert_eq!(
        refused.expect_err("a stranger").code(),
        Code::PermissionDenied
    );
    let refused = client
        .fetch_x509_bundles(with_header(X509BundlesRequest {}))
        .await;
    assert_eq!(
        refused.expect_err("a stranger").code(),
        Code::PermissionDenied
    );
    serving.abort();
}
