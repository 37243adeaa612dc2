//! The handshake, over a socket that does not block.

use std::sync::Arc;

use rustls::{
    ClientConfig, CommonState, ExtractedSecrets, ServerConfig,
    client::{ClientConnectionData, UnbufferedClientConnection},
    pki_types::{CertificateDer, ServerName},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus},
};

use super::record::{Keys, Opener, Sealer, directions};
use crate::{Error, socket::Socket};

/// What a finished handshake leaves behind.
pub(crate) struct Established {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) keys: Keys,
    /// The peer's certificates, leaf first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Records not yet sent: the last of our flight.
    pub(crate) outgoing: Vec<u8>,
    /// Records already received and not yet opened.
    pub(crate) incoming: Vec<u8>,
    /// What was in records that came with the peer's last flight.
    pub(crate) early: Vec<u8>,
}

/// The client's side.
pub(crate) async fn connect(
    socket: &Socket,
    config: Arc<ClientConfig>,
) -> Result<Established, Error> {
    let config = if config.enable_secret_extraction {
        config
    } else {
        let mut own = ClientConfig::clone(&config);
        own.enable_secret_extraction = true;
        Arc::new(own)
    };
    // The peer is known by its SPIFFE ID, which the configuration's verifier checks; no name is sent.
    let address = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let name = ServerName::IpAddress(address.into());
    drive(socket, UnbufferedClientConnection::new(config, name)?).await
}

/// The server's side.
pub(crate) async fn accept(
    socket: &Socket,
    config: Arc<ServerConfig>,
) -> Result<Established, Error> {
    let config = if config.enable_secret_extraction {
        config
    } else {
        let mut own = ServerConfig::clone(&config);
        own.enable_secret_extraction = true;
        Arc::new(own)
    };
    drive(socket, UnbufferedServerConnection::new(config)?).await
}

trait Side: Sized {
    type Data;
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
    fn finish(self) -> Result<(ExtractedSecrets, Keys), rustls::Error>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn finish(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Keys::Client(Box::new(keys))))
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn finish(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Keys::Server(Box::new(keys))))
    }
}

/// A handshake flight is small; certificates beyond this are refused.
const MAX_FLIGHT: usize = 256 * 1024;

#[derive(Default)]
struct Bytes {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    early: Vec<u8>,
}

async fn drive<S: Side>(socket: &Socket, mut side: S) -> Result<Established, Error> {
    let mut bytes = Bytes::default();
    loop {
        match step(&mut side, &mut bytes) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => {
                // The peer learns why from an alert, which rustls has ready by now. It is asked once:
                // the bytes it objected to are still there.
                let status = side.process(&mut bytes.incoming);
                if let Ok(ConnectionState::EncodeTlsData(alert)) = status.state {
                    encode(alert, &mut bytes.outgoing);
                }
                socket.send(&bytes.outgoing).ok();
                return Err(error.into());
            }
        }
        socket.send_all(&bytes.outgoing).await?;
        bytes.outgoing.clear();
        if bytes.incoming.len() > MAX_FLIGHT {
            return Err(Error::Record);
        }
        let mut piece = [0; 4096];
        match socket.receive(&mut piece).await? {
            0 => return Err(Error::Closed),
            count => bytes.incoming.extend_from_slice(&piece[..count]),
        }
    }
    if side.common().alpn_protocol() != Some(b"h2") {
        return Err(Error::Protocol);
    }
    let certificates = side.common().peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|it| it.clone().into_owned());
    let certificates = certificates.collect();
    let (secrets, keys) = side.finish()?;
    let (sealer, opener) = directions(&secrets)?;
    Ok(Established {
        sealer,
        opener,
        keys,
        certificates,
        outgoing: bytes.outgoing,
        incoming: bytes.incoming,
        early: bytes.early,
    })
}

/// Goes on as far as the bytes at hand allow; true when the handshake is over.
fn step<S: Side>(side: &mut S, bytes: &mut Bytes) -> Result<bool, rustls::Error> {
    loop {
        let UnbufferedStatus { discard, state, .. } = side.process(&mut bytes.incoming);
        let mut done = None;
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                bytes.incoming.drain(..discard);
                return Err(error);
            }
        };
        match state {
            ConnectionState::EncodeTlsData(data) => encode(data, &mut bytes.outgoing),
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    bytes.early.extend_from_slice(record?.payload);
                }
            }
            ConnectionState::WriteTraffic(_) => done = Some(true),
            ConnectionState::BlockedHandshake => done = Some(false),
            _ => return Err(rustls::Error::HandshakeNotComplete),
        }
        bytes.incoming.drain(..discard);
        if let Some(done) = done {
            return Ok(done);
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    let start = out.len();
    let size = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        _ => 0,
    };
    out.resize(start + size, 0);
    let written = data.encode(&mut out[start..]);
    out.truncate(start + written.unwrap_or(0));
}
