//! The surface over real sockets.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use weft_admin::{
    AuthorizationReport, BindError, Client, ClientError, DenialReport, EnrolledReport, Limits,
    Listeners, ProblemReport, Readiness, ServiceReport, ServiceSummary, StateSource, StatusReport,
    TopReport, bind_tcp, bind_unix, routes, serve,
};
use weft_telemetry::Format;

#[derive(Default)]
struct Memory {
    ready: AtomicBool,
}

impl StateSource for Memory {
    fn workloads(&self) -> Vec<EnrolledReport> {
        Vec::new()
    }

    fn policies(&self) -> AuthorizationReport {
        AuthorizationReport::default()
    }

    fn denied(&self) -> Vec<DenialReport> {
        vec![DenialReport {
            cause: "denied".into(),
            ..DenialReport::default()
        }]
    }

    fn why(&self, arguments: &[String]) -> Result<Value, String> {
        match arguments {
            [] => Err("--from is missing".into()),
            _ => Ok(json!({ "asked": arguments })),
        }
    }

    fn metrics(&self, format: Format) -> String {
        format!("{format:?}\n")
    }

    fn readiness(&self) -> Readiness {
        Readiness::unless(if self.ready.load(Ordering::Relaxed) {
            Vec::new()
        } else {
            vec!["the first configuration is not in the maps yet".to_owned()]
        })
    }

    fn status(&self) -> StatusReport {
        StatusReport {
            version: "0.1.0".into(),
            generation: 3,
            ..StatusReport::default()
        }
    }

    fn services(&self) -> Vec<ServiceSummary> {
        vec![ServiceSummary {
            name: "web".into(),
            ready: 2,
            ..ServiceSummary::default()
        }]
    }

    fn service(&self, namespace: &str, name: &str) -> Option<ServiceReport> {
        let found = (namespace, name) == ("shop", "web");
        found.then(|| ServiceReport {
            name: name.into(),
            ..ServiceReport::default()
        })
    }

    fn top(&self) -> TopReport {
        panic!("a source that fails")
    }

    fn problems(&self) -> Vec<ProblemReport> {
        Vec::new()
    }

    fn names(&self) -> Value {
        json!({"pools": {}})
    }
}

struct Running {
    address: SocketAddr,
    state: PathBuf,
    source: Arc<Memory>,
    serving: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
        drop(std::fs::remove_dir_all(&self.state));
    }
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("weft-admin-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

async fn start(name: &str, limits: Limits) -> Running {
    let state = directory(name);
    let tcp = bind_tcp("127.0.0.1:0".parse().expect("an address"))
        .await
        .expect("a TCP listener");
    let unix = bind_unix(&state.join("admin.sock")).expect("a Unix listener");
    let address = tcp.local_addr().expect("an address");
    let source = Arc::new(Memory::default());
    let listeners = Listeners {
        tcp: Some(tcp),
        unix: Some(unix),
    };
    let shared: Arc<dyn StateSource> = Arc::clone(&source) as _;
    let serving = tokio::spawn(serve(listeners, shared, limits));
    Running {
        address,
        state,
        source,
        serving,
    }
}

/// One request as bytes, the whole answer as text.
async fn raw(address: SocketAddr, request: &str) -> String {
    let request = request.to_owned();
    let exchange = move || {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        answer
    };
    tokio::task::spawn_blocking(exchange)
        .await
        .expect("no panic")
}

async fn request(address: SocketAddr, line: &str) -> String {
    raw(
        address,
        &format!("{line} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_arrive_over_the_unix_socket_as_they_were() {
    let running = start("reports", Limits::default()).await;
    let client = Client::new(&running.state);
    let status: StatusReport = client.fetch(routes::STATUS).await.expect("status");
    assert_eq!(status, running.source.status());
    let services: Vec<ServiceSummary> = client.fetch(routes::SERVICES).await.expect("services");
    assert_eq!(services, running.source.services());
    let service: ServiceReport = client.fetch("/state/services/shop/web").await.expect("web");
    assert_eq!(service.name, "web");
    let names: Value = client.fetch(routes::NAMES).await.expect("names");
    assert_eq!(names, json!({"pools": {}}));
    let problems: Vec<ProblemReport> = client.fetch(routes::PROBLEMS).await.expect("problems");
    assert!(problems.is_empty());
    let missing = client
        .fetch::<ServiceReport>("/state/services/shop/nope")
        .await;
    assert!(
        matches!(missing, Err(ClientError::NotFound { .. })),
        "{missing:?}"
    );
    let strange = client.fetch::<StatusReport>(routes::SERVICES).await;
    assert!(
        matches!(strange, Err(ClientError::Strange { .. })),
        "{strange:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_503_with_reasons_until_ready() {
    let running = start("ready", Limits::default()).await;
    let before = request(running.address, "GET /healthz/ready").await;
    assert!(before.starts_with("HTTP/1.1 503 "), "{before}");
    assert!(before.contains("not in the maps yet"), "{before}");
    assert!(
        request(running.address, "GET /healthz/live")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    running.source.ready.store(true, Ordering::Relaxed);
    let after = request(running.address, "GET /healthz/ready").await;
    assert!(after.starts_with("HTTP/1.1 200 "), "{after}");
    assert!(after.ends_with(r#"{"ready":true,"reasons":[]}"#), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_in_the_format_asked_for() {
    let running = start("metrics", Limits::default()).await;
    let plain = request(running.address, "GET /metrics").await;
    assert!(
        plain.contains("content-type: text/plain; version=0.0.4"),
        "{plain}"
    );
    assert!(plain.ends_with("Prometheus\n"), "{plain}");
    let open = "GET /metrics HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\
        accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1\r\n\r\n";
    let open = raw(running.address, open).await;
    assert!(
        open.contains("content-type: application/openmetrics-text"),
        "{open}"
    );
    assert!(open.ends_with("OpenMetrics\n"), "{open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_is_allowed_and_unknown_paths_are_404() {
    let running = start("paths", Limits::default()).await;
    let post = request(running.address, "POST /state/status").await;
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"),
        "{post}"
    );
    for path in [
        "/nope",
        "/state/services/",
        "/state/services/shop",
        "/state/services/a/b/c",
    ] {
        let answer = request(running.address, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let head = request(running.address, "HEAD /state/status").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let index = request(running.address, "GET /").await;
    for path in [
        routes::METRICS,
        routes::READY,
        routes::TOP,
        routes::NAMES,
        routes::PROBLEMS,
        routes::POLICIES,
    ] {
        assert!(index.contains(path), "{path} is not in the index");
    }
    let garbage = raw(running.address, "\0\0\0 what\r\n\r\n").await;
    assert!(
        garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "),
        "{garbage}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_panics_is_a_500_and_the_next_request_is_answered() {
    let running = start("panics", Limits::default()).await;
    let answer = request(running.address, "GET /state/top").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(
        request(running.address, "GET /healthz/live")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_nothing_are_closed_and_make_room() {
    let limits = Limits {
        connections: 2,
        headers: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = start("slow", limits).await;
    let idle: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(running.address).expect("connects"))
        .collect();
    let began = tokio::time::Instant::now();
    let answer = request(running.address, "GET /healthz/live").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "waited for room"
    );
    // The socket of operators has room of its own.
    let client = Client::new(&running.state);
    client
        .fetch::<StatusReport>(routes::STATUS)
        .await
        .expect("status");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_closed() {
    let limits = Limits {
        age: Duration::from_millis(200),
        ..Limits::default()
    };
    let running = start("age", limits).await;
    let mut stream = TcpStream::connect(running.address).expect("connects");
    stream
        .write_all(b"GET /healthz/live HTTP/1.1\r\nhost: weft\r\n\r\n")
        .expect("writes");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the server closes");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_dead_manager_is_replaced_and_that_of_a_live_one_is_not() {
    let running = start("replace", Limits::default()).await;
    let path = running.state.join("admin.sock");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(matches!(bind_unix(&path), Err(BindError::InUse { .. })));
    let stale = running.state.join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("binds"));
    assert!(stale.exists());
    bind_unix(&stale).expect("replaces it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_manager_is_said_to_be_missing() {
    let state = directory("missing");
    let answer = Client::new(&state)
        .fetch::<StatusReport>(routes::STATUS)
        .await;
    let error = answer.expect_err("nobody listens");
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(
        error.to_string().contains("is `weft run` running?"),
        "{error}"
    );
    std::fs::remove_dir_all(state).expect("removed");
}
