//! From a peer's proxy to a workload here.

use std::{
    future::poll_fn,
    io::ErrorKind::{AddrNotAvailable, AlreadyExists},
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::Arc,
};

use rustix::{io::Errno, net::sockopt};
use tokio::{
    task::spawn_local,
    time::{Instant, timeout},
};

use crate::{
    Connection, Direction, Error, Kernel, Verdict,
    http2::{Code, Head},
    pump,
    session::{Session, Stream},
    socket::{Socket, address},
    tls,
    worker::{Way, Worker},
    workload::Member,
};

/// Carries one connection of a peer's proxy.
pub(crate) async fn peer(worker: Rc<Worker>, member: Rc<Member>, fd: OwnedFd, peer: SocketAddr) {
    let began = Instant::now();
    let local = rustix::net::getsockname(&fd)
        .map_err(Into::into)
        .and_then(address);
    let made = Box::pin(session(&worker, &member, fd, peer)).await;
    match made {
        Ok(session) if !member.is_gone() => worker.keep(member.key(), &session),
        // Health checks and scanners.
        Ok(_) | Err(Error::Closed) => {}
        Err(error) => {
            let local = local.unwrap_or(peer);
            worker.refused(connection(&member, peer, local), began, error);
        }
    }
}

async fn session(
    worker: &Rc<Worker>,
    member: &Rc<Member>,
    fd: OwnedFd,
    peer: SocketAddr,
) -> Result<Rc<Session>, Error> {
    let shared = &worker.shared;
    let identity = &member.workload.identity;
    let config = worker
        .credentials(identity, |from| from.server(identity))
        .await;
    let config = config.ok_or_else(|| Error::NoCredentials(identity.clone()))?;
    let socket = Socket::new(fd)?;
    let after = shared.settings.handshake_timeout;
    let established = timeout(after, tls::accept(&socket, config)).await;
    let what = "shaking hands with a client";
    let established = established.map_err(|_error| Error::Timeout { what, after })??;
    let identity = identify(worker, &established)?;
    let on_request = {
        let (worker, member) = (Rc::downgrade(worker), member.clone());
        move |session: &Rc<Session>, stream, head| {
            if let Some(worker) = worker.upgrade() {
                spawn_local(serve(worker, member.clone(), session.clone(), stream, head));
            }
        }
    };
    Ok(Session::new(
        socket,
        peer,
        identity,
        established,
        &shared.settings,
        worker.buffers.clone(),
        Some(Box::new(on_request)),
    ))
}

/// Who the peer is.
pub(crate) fn identify(
    worker: &Worker,
    established: &tls::Established,
) -> Result<weft_identity::SpiffeId, Error> {
    let shown = &established.certificates;
    let identity =
        weft_identity::peer_id(shown).map_err(|error| Error::Identity(error.to_string().into()))?;
    // The handshake may have begun under older lists, and nobody looks at this peer again before the
    // next ones.
    if worker.shared.credentials.is_revoked(shown) {
        return Err(Error::Revoked(identity));
    }
    Ok(identity)
}

/// Acts on one CONNECT.
async fn serve(
    worker: Rc<Worker>,
    member: Rc<Member>,
    session: Rc<Session>,
    stream: Rc<Stream>,
    head: Head,
) {
    let began = Instant::now();
    let client = session.peer.ip();
    let port = head.client_port(client).unwrap_or(session.peer.port());
    let destination = head.destination();
    let source = SocketAddr::new(client, port);
    let mut connection = connection(&member, source, destination.unwrap_or(session.peer));
    connection.source_identity = Some(session.identity.clone());
    let Some(_place) = worker.place() else {
        return refuse(
            &worker,
            &session,
            &stream,
            connection,
            began,
            (503, Error::TooMany),
        );
    };
    // The set-up's state is large and soon over: the task that stays is small.
    let admitted = Box::pin(admit(&worker, &member, &stream, &head, &connection)).await;
    let (app, shown) = match admitted {
        Ok(admitted) => admitted,
        Err(why) => return refuse(&worker, &session, &stream, connection, began, why),
    };
    drop(head);
    stream.attach(app);
    session.respond(&stream, 200);
    let number = worker.opened(
        connection,
        began,
        Way::Tunnel(session.clone(), stream.clone()),
    );
    let result = pump::tunnel(&session, &stream).await;
    drop(shown);
    worker.closed(number, result);
}

fn connection(member: &Member, source: SocketAddr, destination: SocketAddr) -> Connection {
    Connection {
        direction: Direction::Inbound,
        workload: member.key(),
        source,
        source_identity: None,
        destination,
        destination_identity: Some(member.workload.identity.clone()),
        hbone: None,
        dialled: None,
        service: 0,
        backend: 0,
    }
}

fn refuse(
    worker: &Worker,
    session: &Session,
    stream: &Stream,
    connection: Connection,
    began: Instant,
    (status, error): (u16, Error),
) {
    session.respond(stream, status);
    // What the client has still to say is of no use.
    session.reset(stream, Code::NO_ERROR);
    worker.refused(connection, began, error);
}

/// Asks policy, then dials the application; answers the connection and our end of it.
async fn admit(
    worker: &Worker,
    member: &Member,
    stream: &Stream,
    head: &Head,
    connection: &Connection,
) -> Result<(Socket, Shown), (u16, Error)> {
    let shared = &worker.shared;
    let key = member.key();
    let destination = head
        .destination()
        .filter(|_| !head.malformed && head.method == b"CONNECT");
    let owned = destination.filter(|it| shared.policy.owns(key, it.ip()));
    let destination = owned.ok_or((400, Error::BadRequest))?;
    let client = connection.source_identity.as_ref();
    let client = client.ok_or((400, Error::BadRequest))?;
    let verdict = shared
        .policy
        .authorize(key, client, connection.source, destination);
    if let Verdict::Deny(reason) = verdict {
        return Err((401, Error::Denied(Arc::clone(&reason))));
    }
    let dialled = tokio::select! {
        dialled = application(worker, member, destination, connection.source) => dialled,
        end = poll_fn(|cx| stream.poll_end(cx)) => Err(end.into()),
    };
    dialled.map_err(|error| (503, error))
}

/// Connects to the application, which sees the client.
async fn application(
    worker: &Worker,
    member: &Member,
    destination: SocketAddr,
    client: SocketAddr,
) -> Result<(Socket, Shown), Error> {
    /// An address may still belong to a long connection.
    const TRIES: usize = 16;
    let mut tries = 0;
    loop {
        let local = worker.source(destination.is_ipv6());
        let fd = member.socket(&worker.home, &destination)?;
        worker.shared.kernel.own(fd.as_fd())?;
        // One in TIME_WAIT does not keep its address from us.
        sockopt::set_socket_reuseaddr(&fd, true).map_err(std::io::Error::from)?;
        tries += 1;
        match rustix::net::bind(&fd, &local) {
            Err(Errno::ADDRINUSE) if tries < TRIES => continue,
            bound => bound.map_err(std::io::Error::from)?,
        }
        // The application must be found under the client's address before it can ask. One that saw
        // ours would take a stranger for a neighbour.
        let shown = match Shown::new(worker, member, local, client) {
            Err(error) if error.kind() == AlreadyExists && tries < TRIES => continue,
            shown => shown?,
        };
        match dial(worker, fd, destination).await {
            Err(Error::Unreachable { source, .. })
                if source.kind() == AddrNotAvailable && tries < TRIES => {}
            dialled => return Ok((dialled?, shown)),
        }
    }
}

/// A client's address that an application sees in place of ours, as long as this lives.
struct Shown {
    kernel: Arc<dyn Kernel>,
    workload: u64,
    local: SocketAddr,
}

impl Shown {
    fn new(
        worker: &Worker,
        member: &Member,
        local: SocketAddr,
        client: SocketAddr,
    ) -> std::io::Result<Self> {
        let (kernel, workload) = (worker.shared.kernel.clone(), member.key());
        kernel.show(workload, local, client)?;
        Ok(Self {
            kernel,
            workload,
            local,
        })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.kernel.hide(self.workload, self.local);
    }
}

/// Connects, within the time that is set.
pub(crate) async fn dial(worker: &Worker, fd: OwnedFd, to: SocketAddr) -> Result<Socket, Error> {
    let after = worker.shared.settings.connect_timeout;
    match timeout(after, Socket::connect(fd, to)).await {
        Ok(connected) => connected.map_err(|source| Error::Unreachable { to, source }),
        Err(_) => Err(Error::Timeout {
            what: "connecting",
            after,
        }),
    }
}
