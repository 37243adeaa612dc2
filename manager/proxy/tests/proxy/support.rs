//! A mesh of two workloads in one namespace, and servers behind it.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use rustls::{ClientConfig, ServerConfig, time_provider::DefaultTimeProvider};
use weft_identity::{
    Authority, CertificateDer, CertificateFacts, Csr, RevocationList, Serial, SigningRequest,
    SpiffeId, Svid, TrustBundle, TrustDomains, TrustPolicy,
};
use weft_proxy::{
    Captured, Connection, Credentials, Kernel, Listening, Observer, Policy, Proxy, Record,
    Settings, Upstream, Verdict, Workload,
};

pub(crate) const CLIENT: u64 = 1;
pub(crate) const SERVER: u64 = 2;

pub(crate) fn id(name: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/default/sa/{name}")
        .parse()
        .unwrap()
}

pub(crate) struct Ca {
    authority: Authority,
    trust: Mutex<TrustPolicy>,
    servers: Mutex<HashMap<SpiffeId, Arc<ServerConfig>>>,
    svids: Mutex<HashMap<SpiffeId, Arc<Svid>>>,
    missing: Mutex<HashSet<SpiffeId>>,
    /// Whether those missing are on their way.
    pub(crate) pending: AtomicBool,
}

fn serial() -> Serial {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Serial::new(u128::from(NEXT.fetch_add(1, Relaxed)).to_be_bytes())
}

impl Ca {
    pub(crate) fn new() -> Self {
        let day = Duration::from_secs(86_400);
        let authority =
            Authority::create("cluster.local", day, SystemTime::now(), serial()).unwrap();
        let mut bundle = TrustBundle::new();
        bundle
            .add("cluster.local", authority.roots()[0].clone())
            .unwrap();
        let domains = TrustDomains::new("cluster.local", []).unwrap();
        let trust = TrustPolicy::new(bundle.into(), domains.into(), Arc::new(DefaultTimeProvider));
        Self {
            authority,
            trust: Mutex::new(trust),
            servers: Mutex::default(),
            svids: Mutex::default(),
            missing: Mutex::default(),
            pending: AtomicBool::new(false),
        }
    }

    fn svid(&self, identity: &SpiffeId) -> Arc<Svid> {
        let mut svids = self.svids.lock().unwrap();
        let made = svids.entry(identity.clone()).or_insert_with(|| {
            let csr = Csr::generate(identity).unwrap();
            let request = SigningRequest::from_der(csr.der()).unwrap();
            let (ttl, now) = (Duration::from_secs(3600), SystemTime::now());
            let chain = self
                .authority
                .sign(&request, identity, ttl, now, serial())
                .unwrap();
            Arc::new(Svid::new(chain, csr.into_key()).unwrap())
        });
        made.clone()
    }

    /// Takes the certificate of a workload back.
    pub(crate) fn revoke(&self, identity: &SpiffeId) {
        let leaf = self.svid(identity).chain()[0].clone();
        let serial = CertificateFacts::read(&leaf).unwrap().serial;
        let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
        let list = self
            .authority
            .revocation_list(&[(serial, now)], 1, now, now + day);
        let list = RevocationList::read(&list.unwrap()).unwrap();
        self.trust.lock().unwrap().revoked = [list].into();
        self.servers.lock().unwrap().clear();
    }

    pub(crate) fn lose(&self, identity: SpiffeId) {
        self.missing.lock().unwrap().insert(identity);
    }

    /// Those that were lost are there again.
    pub(crate) fn find(&self) {
        self.missing.lock().unwrap().clear();
    }
}

impl Credentials for Ca {
    fn server(&self, identity: &SpiffeId) -> Option<Arc<ServerConfig>> {
        let svid = self.svid(identity);
        let mut servers = self.servers.lock().unwrap();
        let made = servers.entry(identity.clone()).or_insert_with(|| {
            let mut config = ServerConfig::clone(
                &weft_identity::server_config(&svid, &self.trust.lock().unwrap()).unwrap(),
            );
            config.enable_secret_extraction = true;
            Arc::new(config)
        });
        (!self.missing.lock().unwrap().contains(identity)).then(|| made.clone())
    }

    fn client(&self, identity: &SpiffeId, expected: &[SpiffeId]) -> Option<Arc<ClientConfig>> {
        if self.missing.lock().unwrap().contains(identity) {
            return None;
        }
        let trust = self.trust.lock().unwrap();
        let config = weft_identity::client_config(&self.svid(identity), &trust, expected.into());
        Some(config.unwrap())
    }

    fn is_pending(&self, _identity: &SpiffeId) -> bool {
        self.pending.load(Relaxed)
    }

    fn is_revoked(&self, shown: &[CertificateDer<'static>]) -> bool {
        self.trust.lock().unwrap().is_revoked(shown)
    }
}

/// What the kernel and policy would say.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) captured: Mutex<HashMap<u64, Captured>>,
    pub(crate) upstream: Mutex<Option<Upstream>>,
    pub(crate) denied: Mutex<Option<Arc<str>>>,
    pub(crate) foreign: Mutex<HashSet<IpAddr>>,
    pub(crate) shown: Mutex<HashMap<SocketAddr, SocketAddr>>,
    pub(crate) owned: AtomicUsize,
    pub(crate) records: Mutex<Vec<Record>>,
    pub(crate) opened: AtomicUsize,
}

impl Kernel for World {
    fn captured(&self, workload: u64, _client: SocketAddr) -> Option<Captured> {
        self.captured.lock().unwrap().get(&workload).copied()
    }

    fn own(&self, _socket: BorrowedFd<'_>) -> io::Result<()> {
        self.owned.fetch_add(1, Relaxed);
        Ok(())
    }

    fn show(&self, _workload: u64, local: SocketAddr, client: SocketAddr) -> io::Result<()> {
        match self.shown.lock().unwrap().entry(local) {
            Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Entry::Vacant(free) => {
                free.insert(client);
                Ok(())
            }
        }
    }

    fn hide(&self, _workload: u64, local: SocketAddr) {
        self.shown.lock().unwrap().remove(&local);
    }
}

impl Policy for World {
    fn authorize(&self, _: u64, _: &SpiffeId, _: SocketAddr, _: SocketAddr) -> Verdict {
        self.denied
            .lock()
            .unwrap()
            .clone()
            .map_or(Verdict::Allow, Verdict::Deny)
    }

    fn reauthorize(&self, key: u64, who: &SpiffeId, from: SocketAddr, to: SocketAddr) -> Verdict {
        self.authorize(key, who, from, to)
    }

    fn route(&self, _: u64, _: &Captured) -> Option<Upstream> {
        self.upstream.lock().unwrap().clone()
    }

    fn owns(&self, _: u64, address: IpAddr) -> bool {
        !self.foreign.lock().unwrap().contains(&address)
    }
}

impl Observer for World {
    fn opened(&self, _: &Connection) {
        self.opened.fetch_add(1, Relaxed);
    }

    fn closed(&self, record: &Record) {
        self.records.lock().unwrap().push(record.clone());
    }
}

pub(crate) struct Mesh {
    pub(crate) proxy: Proxy,
    pub(crate) world: Arc<World>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) client: Listening,
    pub(crate) server: Listening,
}

pub(crate) fn netns() -> OwnedFd {
    std::fs::File::open("/proc/self/ns/net").unwrap().into()
}

pub(crate) fn workload(key: u64, name: &str) -> Workload {
    Workload {
        key,
        identity: id(name),
        netns: netns(),
        addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        name: format!("default/{name}"),
        baggage: Some("k8s.namespace.name=default".to_owned()),
    }
}

pub(crate) fn settings(threads: usize) -> Settings {
    Settings {
        threads,
        outbound_port: 0,
        inbound_port: 0,
        connect_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

impl Mesh {
    pub(crate) fn new(settings: Settings) -> Self {
        let (world, ca) = (Arc::new(World::default()), Arc::new(Ca::new()));
        let proxy = Proxy::start(
            settings,
            world.clone(),
            world.clone(),
            ca.clone(),
            world.clone(),
        )
        .unwrap();
        let client = proxy.add(workload(CLIENT, "client")).unwrap();
        let server = proxy.add(workload(SERVER, "server")).unwrap();
        let mesh = Self {
            proxy,
            world,
            ca,
            client,
            server,
        };
        mesh.reach(mesh.hbone(), &["server"]);
        mesh
    }

    /// Everything the client dials goes to this application.
    pub(crate) fn to(self, application: SocketAddr) -> Self {
        let captured = Captured {
            dialled: "10.96.0.1:80".parse().unwrap(),
            endpoint: application,
            service: 7,
            backend: 9,
        };
        self.world.captured.lock().unwrap().insert(CLIENT, captured);
        self
    }

    pub(crate) fn reach(&self, proxy: SocketAddr, expected: &[&str]) {
        let expected = expected.iter().map(|it| id(it)).collect();
        *self.world.upstream.lock().unwrap() = Some(Upstream::Hbone { proxy, expected });
    }

    pub(crate) fn hbone(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.server.inbound_port).into()
    }

    pub(crate) fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.client.outbound_port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Waits until so many records are there.
    pub(crate) fn records(&self, count: usize) -> Vec<Record> {
        eventually("records", || {
            self.world.records.lock().unwrap().len() >= count
        });
        self.world.records.lock().unwrap().clone()
    }
}

pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within ten seconds: {what}");
}

/// A server with a thread per connection, for as long as the test runs.
pub(crate) fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || handle(stream))
                .unwrap();
        }
    });
    address
}

pub(crate) fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}
