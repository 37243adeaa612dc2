//! TLS connections as tonic takes them, and who is at their other end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use weft_identity::{CertificateDer, SpiffeId, peer_id};

/// An accepted connection whose handshake is done.
pub(super) struct Connection(pub(super) TlsStream<TcpStream>);

/// Who opened a connection, where a certificate told, and the certificates shown, leaf first.
#[derive(Clone, Debug)]
pub(super) struct Peer(pub(super) Option<(SpiffeId, Vec<CertificateDer<'static>>)>);

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let shown = self.0.get_ref().1.peer_certificates();
        // The handshake has verified them, the id among the rest.
        Peer(shown.and_then(|shown| {
            let shown: Vec<_> = shown
                .iter()
                .cloned()
                .map(CertificateDer::into_owned)
                .collect();
            Some((peer_id(&shown).ok()?, shown))
        }))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
