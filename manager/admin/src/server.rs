//! HTTP/1 on a TCP address and on a Unix socket, bounded in connections and in time.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixStream as BlockingUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::ACCEPT,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinSet,
};

use crate::{StateSource, routes};

/// What a client may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once per listener; further ones wait in the backlog.
    pub connections: usize,
    /// Time to send a request's headers, and to stay idle between requests.
    pub headers: Duration,
    /// Age at which a connection is closed, whatever it does.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            headers: Duration::from_secs(10),
            age: Duration::from_secs(300),
        }
    }
}

/// Where to serve.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For scrapers and probes, see [`bind_tcp`].
    pub tcp: Option<TcpListener>,
    /// For operator commands, see [`bind_unix`].
    pub unix: Option<UnixListener>,
}

/// A listener that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The TCP address.
    #[error("cannot listen on {address}; choose another --admin address or port")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The socket of another manager that is alive.
    #[error("{} is in use by another manager; stop it or choose another --state", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The Unix socket.
    #[error("cannot make the socket {}", path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens on a TCP address.
///
/// # Errors
/// When the address is not ours or in use.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError::Tcp { address, source })
}

/// Listens on a Unix socket that only its owner may use. The socket of a manager that died is
/// replaced; the caller's lock on the state directory keeps two from doing so at once.
///
/// # Errors
/// When another manager listens there, or the directory cannot be written.
pub fn bind_unix(path: &Path) -> Result<UnixListener, BindError> {
    let unix = |source| BindError::Unix {
        path: path.to_owned(),
        source,
    };
    if BlockingUnixStream::connect(path).is_ok() {
        return Err(BindError::InUse {
            path: path.to_owned(),
        });
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unix(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(unix)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(unix)?;
    Ok(listener)
}

/// Serves for ever. Whoever drops this future (or aborts its task) closes all connections.
pub async fn serve(listeners: Listeners, source: Arc<dyn StateSource>, limits: Limits) {
    let Listeners { tcp, unix } = listeners;
    tokio::join!(
        accept(tcp, Arc::clone(&source), limits),
        accept(unix, source, limits)
    );
}

/// What the two kinds of listener have in common.
trait Listener: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// Accepts until it is dropped, and its connections with it.
async fn accept<L: Listener>(listener: Option<L>, source: Arc<dyn StateSource>, limits: Limits) {
    let Some(listener) = listener else { return };
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= limits.connections.max(1) {
            connections.join_next().await;
        }
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.next() => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, Arc::clone(&source), limits));
                }
                Err(error) => {
                    // Out of descriptors, most likely: waiting is all that may help.
                    tracing::warn!(%error, "the admin surface cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection<S>(stream: S, source: Arc<dyn StateSource>, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| respond(Arc::clone(&source), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(limits.age, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended early"),
        Err(_) => tracing::debug!("an admin connection reached its age limit"),
    }
}

async fn respond(
    source: Arc<dyn StateSource>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = tokio::task::spawn_blocking(move || {
        let accept = request
            .headers()
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        routes::answer(
            &*source,
            request.method(),
            request
                .uri()
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            accept,
        )
    });
    Ok(answer.await.unwrap_or_else(|error| {
        tracing::error!(%error, "answering an admin request ended early");
        let mut response = Response::new(Full::from("an internal error, see the log\n"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
}
