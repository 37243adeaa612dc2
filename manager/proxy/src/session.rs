//! One HTTP/2 connection between two proxies, with its tunnels. Everything of a connection lives on
//! one thread: the task that reads the connection writes what it finds straight into applications'
//! sockets, and the task of each tunnel writes what it reads there straight into the connection.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use weft_identity::{CertificateDer, CertificateFacts, SpiffeId};

use crate::{
    Error, Settings,
    buffers::{Buffers, Rest},
    hpack::{Decoder, Encoder},
    http2::{
        Code, Flood, Head, PREFACE, Reader, Setting, kind, put_head, put_headers, put_settings,
        put_u32_frame,
    },
    socket::Socket,
    tls::{Established, Keys, Opener, Sealer, content},
};

mod receive;
mod send;
mod stream;
mod upkeep;

pub(crate) use stream::{End, Stream};

/// What the peer may send in one frame: DATA goes through in pieces, so this costs no memory.
const MAX_FRAME: usize = 1 << 20;
/// What a block of headers may hold, coded and decoded.
const MAX_HEADERS: usize = 16_384;
/// The window of a new stream or connection before SETTINGS.
const DEFAULT_WINDOW: i64 = 65_535;
/// Frames of ours, DATA aside, that may wait for a peer that does not read.
const MAX_WAITING: usize = 1 << 20;

/// What is done with requests; absent on the side that makes them.
pub(crate) type OnRequest = Box<dyn Fn(&Rc<Session>, Rc<Stream>, Head)>;

/// One connection between proxies.
pub(crate) struct Session {
    socket: Socket,
    /// The peer's address.
    pub(crate) peer: SocketAddr,
    /// Who the peer is, from its certificate.
    pub(crate) identity: SpiffeId,
    /// The peer's certificates, leaf first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    limits: Limits,
    buffers: Rc<Buffers>,
    on_request: Option<OnRequest>,
    core: RefCell<Core>,
}

/// What of the settings concerns one connection.
#[derive(Clone, Copy)]
struct Limits {
    streams: usize,
    stream_window: u32,
    connection_window: u32,
    handshake: Duration,
    idle: Duration,
    keepalive: Duration,
}

struct Core {
    sealer: Sealer,
    opener: Opener,
    keys: Keys,
    reader: Reader,
    hpack: Decoder,
    /// Sealed bytes the socket did not take. While there are any, no tunnel sends.
    out: Rest,
    /// Frames to be sealed with the next write.
    control: Vec<u8>,
    /// A record that is not whole yet.
    partial: Vec<u8>,
    /// What came in before this connection took over, opened already.
    early: Vec<u8>,
    /// A message of TLS' handshake that is not whole yet.
    handshake: Vec<u8>,
    /// How much of the client's preface is still to come.
    preface: &'static [u8],
    settled: bool,
    streams: HashMap<u32, Rc<Stream>>,
    next: u32,
    last_of_peer: u32,
    send_window: i64,
    receive_window: i64,
    /// Bytes received, passed on, and not yet credited to the peer.
    uncredited: u32,
    peer_stream_window: i64,
    peer_streams: usize,
    /// Tunnels that wait for room in `out` or in the connection's window.
    blocked: Vec<Rc<Stream>>,
    leaving: bool,
    /// When the peer's certificate ends: from then on it takes no more tunnels.
    proven_until: Instant,
    peer_leaving: bool,
    closed: Option<Arc<Error>>,
    flood: Flood,
    began: Instant,
    heard: Instant,
    idle_since: Instant,
    pinged: Option<Instant>,
    waker: Option<Waker>,
}

impl Session {
    /// Takes over after the handshake. A server gives what to do with requests.
    pub(crate) fn new(
        socket: Socket,
        peer: SocketAddr,
        identity: SpiffeId,
        established: Established,
        settings: &Settings,
        buffers: Rc<Buffers>,
        on_request: Option<OnRequest>,
    ) -> Rc<Self> {
        let now = buffers.now();
        let server = on_request.is_some();
        let limits = Limits {
            streams: if server {
                settings.max_peer_streams as usize
            } else {
                settings.streams_per_connection
            },
            stream_window: settings.stream_window.max(DEFAULT_WINDOW as u32),
            connection_window: settings.connection_window.max(DEFAULT_WINDOW as u32),
            handshake: settings.handshake_timeout,
            idle: settings.idle_timeout,
            keepalive: settings.keepalive,
        };
        let mut control = Vec::new();
        if !server {
            control.extend_from_slice(PREFACE);
        }
        let mut ours = vec![
            (Setting::INITIAL_WINDOW_SIZE, limits.stream_window),
            (Setting::MAX_FRAME_SIZE, MAX_FRAME as u32),
            (Setting::MAX_HEADER_LIST_SIZE, MAX_HEADERS as u32),
        ];
        ours.push(match server {
            true => (Setting::MAX_CONCURRENT_STREAMS, settings.max_peer_streams),
            false => (Setting::ENABLE_PUSH, 0),
        });
        put_settings(&mut control, &ours);
        let grown = limits.connection_window - DEFAULT_WINDOW as u32;
        if grown > 0 {
            put_u32_frame(&mut control, kind::WINDOW_UPDATE, 0, grown);
        }
        let core = Core {
            sealer: established.sealer,
            opener: established.opener,
            keys: established.keys,
            reader: Reader::new(MAX_FRAME, MAX_HEADERS),
            hpack: Decoder::new(MAX_HEADERS),
            out: Rest::from(established.outgoing),
            control,
            partial: established.incoming,
            early: established.early,
            handshake: Vec::new(),
            preface: if server { PREFACE } else { &[] },
            settled: false,
            streams: HashMap::new(),
            next: 1,
            last_of_peer: 0,
            send_window: DEFAULT_WINDOW,
            receive_window: i64::from(limits.connection_window),
            uncredited: 0,
            peer_stream_window: DEFAULT_WINDOW,
            peer_streams: usize::MAX,
            blocked: Vec::new(),
            leaving: false,
            proven_until: now + proven_for(&established.certificates),
            peer_leaving: false,
            closed: None,
            flood: Flood::new(now),
            began: now,
            heard: now,
            idle_since: now,
            pinged: None,
            waker: None,
        };
        Rc::new(Self {
            socket,
            peer,
            identity,
            certificates: established.certificates,
            limits,
            buffers,
            on_request,
            core: RefCell::new(core),
        })
    }

    /// Carries the connection until it ends; its own task.
    pub(crate) async fn drive(self: Rc<Self>) {
        let begun = self.begin();
        if let Err(error) = begun {
            return self.fail(error);
        }
        let _driver = Driver(&self);
        std::future::poll_fn(|cx| self.poll_drive(cx)).await;
    }

    fn poll_drive(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        /// Reads before other tasks get their turn.
        const TURNS: usize = 4;
        for _ in 0..TURNS {
            {
                let mut core = self.core.borrow_mut();
                core.waker = Some(cx.waker().clone());
                if core.closed.is_some() {
                    return Poll::Ready(());
                }
            }
            let worked = self.flush(Some(cx)).and_then(|()| self.poll_receive(cx));
            match worked {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => return Poll::Pending,
                Err(error) => {
                    self.fail(error);
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether another tunnel may be opened.
    pub(crate) fn has_room(&self) -> bool {
        let core = self.core.borrow();
        let most = self.limits.streams.min(core.peer_streams);
        self.buffers.now() < core.proven_until
            && core.is_open()
            && core.streams.len() < most
            && core.next < 1 << 30
    }

    /// Whether it takes new tunnels, now or when others have ended.
    pub(crate) fn is_open(&self) -> bool {
        self.core.borrow().is_open()
    }

    /// Whether it is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.core.borrow().closed.is_some()
    }

    /// Asks for a tunnel.
    pub(crate) fn open(
        &self,
        authority: &str,
        forwarded: &str,
        baggage: Option<&str>,
    ) -> Result<Rc<Stream>, Error> {
        let stream = {
            let mut core = self.core.borrow_mut();
            if !core.is_open() {
                return Err(Error::Refused);
            }
            let mut block = Encoder::default()
                .field(":method", "CONNECT")
                .field(":authority", authority)
                .field("forwarded", forwarded);
            if let Some(baggage) = baggage {
                block = block.field("baggage", baggage);
            }
            let id = core.next;
            core.next += 2;
            put_headers(&mut core.control, id, &block.finish(), false);
            self.insert(&mut core, id)
        };
        self.flush_soon();
        Ok(stream)
    }

    /// Answers a request: with 200 the tunnel is open, with anything else it is over.
    pub(crate) fn respond(&self, stream: &Stream, status: u16) {
        {
            let core = &mut *self.core.borrow_mut();
            if core.closed.is_some() || stream.has_ended() {
                return;
            }
            let mut text = [0; 3];
            for (digit, unit) in text.iter_mut().zip([100, 10, 1]) {
                *digit = b'0' + (status / unit % 10) as u8;
            }
            let text = std::str::from_utf8(&text).unwrap_or("500");
            let block = Encoder::default().field(":status", text).finish();
            put_headers(&mut core.control, stream.id, &block, status != 200);
            stream.answered(status);
        }
        self.flush_soon();
    }

    /// Sends no more in this direction.
    pub(crate) fn end(&self, stream: &Stream) {
        {
            let core = &mut *self.core.borrow_mut();
            // END_STREAM.
            put_head(&mut core.control, 0, kind::DATA, 1, stream.id);
            stream.end_local();
        }
        self.flush_soon();
    }

    /// Ends a tunnel in both directions, if it has not ended.
    pub(crate) fn reset(&self, stream: &Stream, code: Code) {
        {
            let core = &mut *self.core.borrow_mut();
            // What the application never took has its part of the connection's window all the same.
            self.credit_in(core, None, stream.discard());
            if core.streams.remove(&stream.id).is_some() {
                put_u32_frame(&mut core.control, kind::RST_STREAM, stream.id, code.0);
                self.gone(core);
            }
        }
        self.flush_soon();
    }

    /// Forgets a tunnel that has ended in both directions.
    pub(crate) fn forget(&self, stream: &Stream) {
        let mut core = self.core.borrow_mut();
        core.streams.remove(&stream.id);
        self.gone(&mut core);
    }

    /// Notes that bytes of a tunnel have been passed on, so that the peer may send more.
    pub(crate) fn credit(&self, stream: &Stream, count: usize) {
        self.credit_in(&mut self.core.borrow_mut(), Some(stream), count);
    }

    /// After a tunnel has gone: the last one of a connection that is leaving closes it.
    fn gone(&self, core: &mut Core) {
        if core.streams.is_empty() {
            core.idle_since = self.buffers.now();
            core.wake();
        }
    }

    fn insert(&self, core: &mut Core, id: u32) -> Rc<Stream> {
        let window = i64::from(self.limits.stream_window);
        let stream = Rc::new(Stream::new(id, core.peer_stream_window, window));
        core.streams.insert(id, stream.clone());
        stream
    }

    fn credit_in(&self, core: &mut Core, stream: Option<&Stream>, count: usize) {
        let count = count as u32;
        core.uncredited += count;
        if core.uncredited >= self.limits.connection_window / 4 {
            let grown = std::mem::take(&mut core.uncredited);
            core.receive_window += i64::from(grown);
            put_u32_frame(&mut core.control, kind::WINDOW_UPDATE, 0, grown);
        }
        if let Some(stream) = stream
            && let Some(grown) = stream.credit(count, self.limits.stream_window / 4)
        {
            put_u32_frame(&mut core.control, kind::WINDOW_UPDATE, stream.id, grown);
        }
    }

    /// Why the connection ended.
    pub(crate) fn reason(&self) -> Error {
        let core = self.core.borrow();
        let shared = core.closed.as_ref().map(|it| Error::Shared(Arc::clone(it)));
        shared.unwrap_or(Error::Closed)
    }

    /// Ends the connection and all its tunnels; the peer learns why.
    pub(crate) fn fail(&self, error: Error) {
        let code = match error.cause() {
            Error::Http2(breach) => breach.code,
            Error::Hpack(crate::HpackError::Malformed) => Code::COMPRESSION,
            Error::Hpack(crate::HpackError::TooLarge) => Code::ENHANCE_YOUR_CALM,
            Error::Closed | Error::Leaving => Code::NO_ERROR,
            Error::Timeout { .. } => Code::CANCEL,
            _ => Code::INTERNAL,
        };
        let mut core = self.core.borrow_mut();
        if core.closed.is_some() {
            return;
        }
        tracing::debug!(peer = %self.peer, identity = %self.identity, %error, "connection between proxies ends");
        core.put_goaway(code);
        // close_notify, when the socket takes it.
        let (mut bytes, control) = (Vec::new(), std::mem::take(&mut core.control));
        let sealed = core.sealer.append(content::DATA, &control, &mut bytes);
        let sealed = sealed.and_then(|()| core.sealer.append(content::ALERT, &[1, 0], &mut bytes));
        if core.out.is_empty() && sealed.is_ok() {
            self.socket.send(&bytes).ok();
        }
        self.socket.finish();
        core.closed = Some(Arc::new(error));
        core.partial = Vec::new();
        let rest = std::mem::take(&mut core.out);
        self.buffers.take_back(rest);
        for (_, stream) in core.streams.drain() {
            stream.finish(End::Closed);
        }
        core.blocked.clear();
        core.wake();
    }
}

/// A connection that nobody carries any more has ended, also when its task ends by a panic.
struct Driver<'a>(&'a Session);

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.0.fail(Error::Closed);
    }
}

/// How long the peer's certificate is still good; what is open then may go on, since who opened it
/// was known.
fn proven_for(certificates: &[CertificateDer<'_>]) -> Duration {
    let facts = certificates.first().map(CertificateFacts::read);
    let Some(Ok(facts)) = facts else {
        return Duration::ZERO;
    };
    let left = facts.not_after.duration_since(SystemTime::now());
    left.unwrap_or_default()
}

impl Core {
    fn is_open(&self) -> bool {
        self.closed.is_none() && !self.leaving && !self.peer_leaving
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Lets tunnels go on that waited.
    fn unblock(&mut self) {
        for stream in self.blocked.drain(..) {
            stream.unblock();
        }
    }

    fn put_goaway(&mut self, code: Code) {
        put_head(&mut self.control, 8, kind::GOAWAY, 0, 0);
        self.control
            .extend_from_slice(&self.last_of_peer.to_be_bytes());
        self.control.extend_from_slice(&code.0.to_be_bytes());
    }
}
