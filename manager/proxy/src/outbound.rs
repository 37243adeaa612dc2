//! From a workload here to wherever it dialled.

use std::{
    future::poll_fn,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use tokio::time::{Instant, timeout};
use weft_identity::SpiffeId;

use crate::{
    Captured, Connection, Direction, Error, Upstream,
    http2::Code,
    inbound::{dial, identify},
    pool::is_expected,
    pump::{self, Pair},
    session::{Session, Stream},
    socket::Socket,
    tls,
    worker::{Way, Worker},
    workload::Member,
};

/// Carries one captured connection.
pub(crate) async fn client(
    worker: Rc<Worker>,
    member: Rc<Member>,
    fd: OwnedFd,
    client: SocketAddr,
) {
    let began = Instant::now();
    let Ok(app) = Socket::new(fd) else { return };
    let shared = &worker.shared;
    let captured = shared.kernel.captured(member.key(), client);
    let mut connection = connection(&member, client, captured.as_ref());
    let way = Box::pin(async {
        let captured = captured.ok_or(Error::NotCaptured)?;
        let place = worker.place().ok_or(Error::TooMany)?;
        let route = shared.policy.route(member.key(), &captured);
        let upstream = route.ok_or(Error::NoRoute(captured.endpoint))?;
        let way = open(&worker, &member, &captured, &upstream, connection.source).await?;
        Ok((way, place))
    });
    let (opened, _place) = match way.await {
        Ok(opened) => opened,
        Err(error) => {
            app.abort_on_close();
            return worker.refused(connection, began, error);
        }
    };
    match opened {
        Opened::Plain(server) => {
            let pair = Rc::new(Pair::new(app, server));
            let number = worker.opened(connection, began, Way::Plain(pair.clone()));
            let result = pair.carry(&worker.buffers).await;
            worker.closed(number, result);
        }
        Opened::Tunnel(session, stream) => {
            connection.hbone = Some(session.peer);
            connection.destination_identity = Some(session.identity.clone());
            stream.attach(app);
            let number = worker.opened(
                connection,
                began,
                Way::Tunnel(session.clone(), stream.clone()),
            );
            let result = pump::tunnel(&session, &stream).await;
            worker.closed(number, result);
        }
    }
}

enum Opened {
    Plain(Socket),
    Tunnel(Rc<Session>, Rc<Stream>),
}

fn connection(member: &Member, client: SocketAddr, captured: Option<&Captured>) -> Connection {
    let endpoint = captured.map_or(client, |it| it.endpoint);
    // A captured connection comes from the loopback address; the peer knows the workload's.
    let source = member.address(&endpoint).unwrap_or(client.ip());
    Connection {
        direction: Direction::Outbound,
        workload: member.key(),
        source: SocketAddr::new(source, client.port()),
        source_identity: Some(member.workload.identity.clone()),
        destination: endpoint,
        destination_identity: None,
        hbone: None,
        dialled: captured.map(|it| it.dialled),
        service: captured.map_or(0, |it| it.service),
        backend: captured.map_or(0, |it| it.backend),
    }
}

async fn open(
    worker: &Rc<Worker>,
    member: &Rc<Member>,
    captured: &Captured,
    upstream: &Upstream,
    source: SocketAddr,
) -> Result<Opened, Error> {
    let (proxy, expected) = match upstream {
        Upstream::Plain(to) => {
            let fd = member.socket(&worker.home, to)?;
            worker.shared.kernel.own(fd.as_fd())?;
            let socket = dial(worker, fd, *to).await?;
            return Ok(Opened::Plain(socket));
        }
        Upstream::Hbone { proxy, expected } => (*proxy, expected),
    };
    let request = Request {
        authority: captured.endpoint.to_string(),
        forwarded: format!("for=\"{source}\""),
        baggage: member.workload.baggage.clone(),
    };
    /// A peer that is going away refuses; the next connection is to one that is not, or fails.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let connect = async || connect(worker, member, proxy, expected).await;
        let session = worker
            .pool
            .session(member.key(), proxy, expected, connect)
            .await?;
        match request.tunnel(worker, &session).await {
            Err(Error::Refused) => {}
            Ok(stream) => return Ok(Opened::Tunnel(session, stream)),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Refused)
}

struct Request {
    authority: String,
    forwarded: String,
    baggage: Option<String>,
}

impl Request {
    /// Asks for a tunnel and waits for the answer.
    async fn tunnel(&self, worker: &Worker, session: &Session) -> Result<Rc<Stream>, Error> {
        let after = worker.shared.settings.connect_timeout;
        let stream = session.open(&self.authority, &self.forwarded, self.baggage.as_deref())?;
        let asked = Asked(session, &stream);
        let status = timeout(after, poll_fn(|cx| stream.poll_status(cx))).await;
        match status {
            Ok(Ok(200)) => {
                std::mem::forget(asked);
                Ok(stream)
            }
            Ok(Ok(status)) => Err(Error::Status(status)),
            Ok(Err(end)) => Err(end.into()),
            Err(_) => Err(Error::Timeout {
                what: "waiting for the answer to CONNECT",
                after,
            }),
        }
    }
}

/// A tunnel that is given up unless its answer was good.
struct Asked<'a>(&'a Session, &'a Stream);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.reset(self.1, Code::CANCEL);
    }
}

/// Connects to a peer's proxy from the workload's namespace, as the workload.
async fn connect(
    worker: &Rc<Worker>,
    member: &Rc<Member>,
    proxy: SocketAddr,
    expected: &[SpiffeId],
) -> Result<Rc<Session>, Error> {
    let shared = &worker.shared;
    let own = &member.workload.identity;
    let config = worker
        .credentials(own, |from| from.client(own, expected))
        .await;
    let config = config.ok_or_else(|| Error::NoCredentials(own.clone()))?;
    let fd = member.socket(&worker.home, &proxy)?;
    shared.kernel.own(fd.as_fd())?;
    let socket = dial(worker, fd, proxy).await?;
    let after = shared.settings.handshake_timeout;
    let established = timeout(after, tls::connect(&socket, config)).await;
    let what = "shaking hands with the peer's proxy";
    let established = established.map_err(|_error| Error::Timeout { what, after })??;
    let identity = identify(worker, &established)?;
    // The configuration's verifier has seen to it; it is cheap to be sure.
    if !is_expected(&identity, expected) {
        let names: Vec<_> = expected.iter().map(ToString::to_string).collect();
        return Err(Error::Unexpected {
            found: identity,
            expected: names.join(" or ").into(),
        });
    }
    if member.is_gone() {
        return Err(Error::Leaving);
    }
    let (settings, buffers) = (&shared.settings, worker.buffers.clone());
    let session = Session::new(
        socket,
        proxy,
        identity,
        established,
        settings,
        buffers,
        None,
    );
    worker.keep(member.key(), &session);
    Ok(session)
}
