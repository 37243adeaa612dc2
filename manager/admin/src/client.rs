//! The client of the Unix socket, for operator commands.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// The largest answer taken: a list of 100,000 services is half of it.
const LARGEST: usize = 64 << 20;

/// Asks one manager. Each question is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no manager answers at {}; is `weft run` running?", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket is not ours to use.
    #[error("not allowed to use {}; try as root", socket.display())]
    NotAllowed {
        /// The socket.
        socket: PathBuf,
    },
    /// It takes too long.
    #[error("the manager did not answer within {seconds} s; it may be overloaded or stopped")]
    Late {
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke.
    #[error("the manager ended the connection early")]
    Broken(#[from] hyper::Error),
    /// Something else than expected listens, or it sent too much.
    #[error("the answer to {path} is not what a manager sends")]
    Strange {
        /// The path asked.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such thing.
    #[error("{}", message.trim_end())]
    NotFound {
        /// What the manager said.
        message: String,
    },
    /// An error answer.
    #[error("the manager answered {path} with {status}: {}", message.trim_end())]
    Refused {
        /// The path asked.
        path: String,
        /// The status.
        status: StatusCode,
        /// What the manager said.
        message: String,
    },
}

impl Client {
    /// A client for the socket of a state directory.
    pub fn new(state: &Path) -> Self {
        Self {
            socket: state.join("admin.sock"),
            patience: Duration::from_secs(10),
        }
    }

    /// Asks for a report, such as [`crate::routes::STATUS`].
    ///
    /// # Errors
    /// When no manager answers, or what it answers is not a `T`.
    pub async fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (status, body) = self.request(path).await?;
        if !status.is_success() {
            let message = String::from_utf8_lossy(&body).into_owned();
            return Err(match status {
                StatusCode::NOT_FOUND => ClientError::NotFound { message },
                status => ClientError::Refused {
                    path: path.to_owned(),
                    status,
                    message,
                },
            });
        }
        serde_json::from_slice(&body).map_err(|source| ClientError::Strange {
            path: path.to_owned(),
            source: source.into(),
        })
    }

    /// Status and body of any path.
    ///
    /// # Errors
    /// When no manager answers.
    pub async fn request(&self, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
        match tokio::time::timeout(self.patience, self.exchange(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Late {
                seconds: self.patience.as_secs(),
            }),
        }
    }

    async fn exchange(&self, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
        let strange = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Strange {
            path: path.to_owned(),
            source,
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::NotAllowed { socket },
                _ => ClientError::NotRunning { socket, source },
            }
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(path)
            .header(HOST, "weft")
            .body(Empty::<Bytes>::new())
            .map_err(|error| strange(error.into()))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            Ok((status, body.map_err(strange)?.to_bytes()))
        };
        // Driven here rather than on a task of its own, so that nothing outlives the question.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        let early = tokio::select! {
            answer = &mut answer => return answer,
            ended = &mut connection => ended,
        };
        early?;
        answer.await
    }
}
