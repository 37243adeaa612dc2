//! One thread's share of the proxy.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    rc::{Rc, Weak},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
    time::Instant,
};
use weft_identity::SpiffeId;

use crate::{
    Connection, Credentials, Direction, Error, Kernel, Live, Observer, Policy, Record, Settings,
    Verdict, Workload,
    buffers::Buffers,
    held::Rooms,
    inbound, listener,
    namespace::{Home, Listeners},
    outbound,
    pool::Pool,
    pump::Pair,
    session::{End, Session, Stream},
    workload::Member,
};

/// What all threads have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Connections of applications, per thread.
    pub(crate) loads: Vec<AtomicUsize>,
    pub(crate) workers: OnceLock<Vec<mpsc::WeakUnboundedSender<Command>>>,
}

impl Shared {
    pub(crate) fn connections(&self) -> usize {
        self.loads.iter().map(|it| it.load(Relaxed)).sum()
    }
}

/// What a thread is told.
pub(crate) enum Command {
    Add(Arc<Workload>, Option<Listeners>),
    Remove(u64),
    /// Connections from this namespace wait.
    Hold(u64, OwnedFd, Vec<OwnedFd>),
    /// They go on.
    Release(u64),
    /// A connection that another thread accepted.
    Accepted(u64, Direction, OwnedFd, SocketAddr),
    PolicyChanged,
    TrustChanged,
    Snapshot(oneshot::Sender<Vec<Live>>),
    Drain,
    Cut,
}

/// One thread's share of the proxy.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) home: Home,
    pub(crate) pool: Pool,
    pub(crate) rooms: Rooms,
    index: usize,
    members: RefCell<HashMap<u64, Rc<Member>>>,
    sessions: RefCell<Vec<(u64, Weak<Session>)>>,
    carried: RefCell<HashMap<u64, Rc<Carried>>>,
    next: Cell<u64>,
    sources: Cell<u32>,
    draining: Cell<bool>,
}

/// A connection of an application, under way.
pub(crate) struct Carried {
    connection: Connection,
    began: Instant,
    way: Way,
    /// Why we ended it.
    forbidden: RefCell<Option<Error>>,
}

/// How it is carried.
pub(crate) enum Way {
    Tunnel(Rc<Session>, Rc<Stream>),
    Plain(Rc<Pair>),
}

/// A place among the connections that may be.
pub(crate) struct Place(Arc<Shared>, usize);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.loads[self.1].fetch_sub(1, Relaxed);
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> io::Result<Self> {
        Ok(Self {
            buffers: Rc::new(Buffers::new(shared.settings.burst, Instant::now())),
            home: Home::here()?,
            pool: Pool::default(),
            rooms: Rooms::default(),
            index,
            members: RefCell::default(),
            sessions: RefCell::default(),
            carried: RefCell::default(),
            next: Cell::new(0),
            // Threads begin far apart.
            sources: Cell::new((index as u32).wrapping_mul(0x9e37_79b9)),
            draining: Cell::new(false),
            shared,
        })
    }

    /// Until nobody can tell it anything any more.
    pub(crate) async fn run(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                now = seconds.tick() => self.tick(now),
            }
        }
        self.cut();
        // Tasks see the end and tell the observer.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Add(workload, listeners) => self.add(workload, listeners),
            Command::Remove(key) => self.remove(key),
            Command::Hold(key, netns, listeners) => Rooms::open(self, key, netns, listeners),
            Command::Release(key) => self.rooms.release(key),
            Command::Accepted(key, direction, fd, peer) => self.carry(key, direction, fd, peer),
            Command::PolicyChanged => self.check_again(),
            Command::TrustChanged => self.verify_again(),
            Command::Snapshot(answer) => drop(answer.send(self.snapshot())),
            Command::Drain => self.drain(),
            Command::Cut => self.cut(),
        }
    }

    fn add(self: &Rc<Self>, workload: Arc<Workload>, listeners: Option<Listeners>) {
        let member = Rc::new(Member::new(workload));
        if let Some(listeners) = listeners {
            let key = member.key();
            let accept = |direction, socket| {
                let worker = self.clone();
                let take = move |fd, peer| worker.dispatch(key, direction, fd, peer);
                spawn_local(listener::accept(key, socket, take)).abort_handle()
            };
            for socket in listeners.outbound {
                member.listens(accept(Direction::Outbound, socket));
            }
            member.listens(accept(Direction::Inbound, listeners.inbound));
        }
        let old = self.members.borrow_mut().insert(member.key(), member);
        if let Some(old) = old {
            old.leave();
        }
    }

    fn remove(&self, key: u64) {
        if let Some(member) = self.members.borrow_mut().remove(&key) {
            member.leave();
        }
        self.rooms.close(key);
        self.pool.forget(key);
        let sessions = self.living(|it| *it == key);
        sessions.iter().for_each(|it| it.cut());
        for carried in self.carried.borrow().values() {
            if carried.connection.workload == key {
                carried.cut();
            }
        }
    }

    /// Takes an accepted connection, here or on the thread that has least to do.
    pub(crate) fn dispatch(
        self: &Rc<Self>,
        key: u64,
        direction: Direction,
        fd: OwnedFd,
        peer: SocketAddr,
    ) {
        let loads = &self.shared.loads;
        let own = loads[self.index].load(Relaxed);
        let least = loads
            .iter()
            .enumerate()
            .map(|(at, load)| (load.load(Relaxed), at))
            .min();
        if let Some((load, at)) = least
            && load + 1 < own
            && let Some(workers) = self.shared.workers.get()
            && let Some(worker) = workers[at].upgrade()
        {
            worker
                .send(Command::Accepted(key, direction, fd, peer))
                .ok();
            return;
        }
        self.carry(key, direction, fd, peer);
    }

    fn carry(self: &Rc<Self>, key: u64, direction: Direction, fd: OwnedFd, peer: SocketAddr) {
        let member = self.members.borrow().get(&key).cloned();
        let Some(member) = member.filter(|_| !self.draining.get()) else {
            return;
        };
        match direction {
            Direction::Inbound => drop(spawn_local(inbound::peer(self.clone(), member, fd, peer))),
            Direction::Outbound => drop(spawn_local(outbound::client(
                self.clone(),
                member,
                fd,
                peer,
            ))),
        }
    }

    /// What is made from a workload's certificate; while its first is being asked for, in a moment.
    pub(crate) async fn credentials<T>(
        &self,
        identity: &SpiffeId,
        get: impl Fn(&dyn Credentials) -> Option<T>,
    ) -> Option<T> {
        const AGAIN: Duration = Duration::from_millis(10);
        let credentials = &*self.shared.credentials;
        let until = Instant::now() + self.shared.settings.connect_timeout;
        loop {
            // Asked first: it may come between the two questions.
            let is_pending = credentials.is_pending(identity);
            let got = get(credentials);
            if got.is_some() || !is_pending || Instant::now() > until {
                return got;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A place for one more connection; `None` when there are too many.
    pub(crate) fn place(&self) -> Option<Place> {
        if self.shared.connections() >= self.shared.settings.max_connections {
            return None;
        }
        self.shared.loads[self.index].fetch_add(1, Relaxed);
        Some(Place(self.shared.clone(), self.index))
    }

    /// Where the next connection to an application comes from: another address of 127.128.0.0/10 for
    /// each, so that none waits for a port which an earlier connection leaves in TIME_WAIT. IPv6 has
    /// one loopback address only; there the port changes. A port that was bound is no longer free for
    /// connections the application makes, so none is of those Linux takes for them by itself
    /// (net.ipv4.ip_local_port_range).
    pub(crate) fn source(&self, ipv6: bool) -> SocketAddr {
        /// Among the ports that Istio reserves.
        const IPV4: u16 = 15_007;
        const IPV6: u16 = 16_384;
        let number = self.sources.get();
        self.sources.set(number.wrapping_add(1));
        if ipv6 {
            let port = IPV6 + (number % u32::from(IPV6)) as u16;
            return (Ipv6Addr::LOCALHOST, port).into();
        }
        let address = Ipv4Addr::from(0x7f80_0000 | number & 0x003f_ffff);
        (address, IPV4).into()
    }

    /// Carries a connection between proxies.
    pub(crate) fn keep(&self, key: u64, session: &Rc<Session>) {
        self.sessions
            .borrow_mut()
            .push((key, Rc::downgrade(session)));
        spawn_local(session.clone().drive());
        if self.draining.get() {
            session.leave();
        }
    }

    /// Notes a connection of an application, and tells of it.
    pub(crate) fn opened(&self, connection: Connection, began: Instant, way: Way) -> u64 {
        self.shared.observer.opened(&connection);
        self.note(connection, began, way)
    }

    /// Notes a connection that nobody is told of.
    pub(crate) fn note(&self, connection: Connection, began: Instant, way: Way) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        let carried = Carried {
            connection,
            began,
            way,
            forbidden: RefCell::new(None),
        };
        self.carried.borrow_mut().insert(number, Rc::new(carried));
        number
    }

    /// It is over; nobody is told.
    pub(crate) fn forget(&self, number: u64) -> Option<Rc<Carried>> {
        self.carried.borrow_mut().remove(&number)
    }

    /// Tells that it is over.
    pub(crate) fn closed(&self, number: u64, result: Result<(), Error>) {
        let Some(carried) = self.forget(number) else {
            return;
        };
        let error = carried.forbidden.take().or(result.err());
        let counts = carried.counts();
        let connection = carried.connection.clone();
        self.tell(connection, carried.began, counts, error);
    }

    /// Tells of a connection that did not come about.
    pub(crate) fn refused(&self, connection: Connection, began: Instant, error: Error) {
        self.tell(connection, began, (0, 0), Some(error));
    }

    fn tell(
        &self,
        connection: Connection,
        began: Instant,
        counts: (u64, u64),
        error: Option<Error>,
    ) {
        self.shared.observer.closed(&Record {
            connection,
            sent: counts.0,
            received: counts.1,
            duration: began.elapsed(),
            flag: error
                .as_ref()
                .map_or(crate::Flag::None, |it| it.cause().into()),
            error: error.map(|it| it.to_string().into()),
        });
    }

    fn tick(&self, now: Instant) {
        self.buffers.set_now(now);
        self.pool.tidy();
        for session in self.living(|_| true) {
            session.tick();
        }
    }

    /// Connections between proxies that have not ended; others are dropped from the list.
    fn living(&self, mut which: impl FnMut(&u64) -> bool) -> Vec<Rc<Session>> {
        let mut living = Vec::new();
        self.sessions.borrow_mut().retain(|(key, session)| {
            let session = session.upgrade().filter(|it| !it.is_closed());
            let keep = session.is_some();
            living.extend(session.filter(|_| which(key)));
            keep
        });
        living
    }

    /// Asks policy again about every connection that peers have to workloads here.
    fn check_again(&self) {
        for carried in self.carried.borrow().values() {
            let connection = &carried.connection;
            let (Direction::Inbound, Some(client)) =
                (connection.direction, &connection.source_identity)
            else {
                continue;
            };
            let (source, destination) = (connection.source, connection.destination);
            let policy = &self.shared.policy;
            if let Verdict::Deny(reason) =
                policy.reauthorize(connection.workload, client, source, destination)
            {
                carried.forbid(Error::Denied(reason));
            }
        }
    }

    /// Ends connections to peers whose certificates are taken back by now.
    fn verify_again(&self) {
        let credentials = &self.shared.credentials;
        let revoked = self.living(|_| true).into_iter();
        let revoked: Vec<_> = revoked
            .filter(|session| credentials.is_revoked(&session.certificates))
            .collect();
        for session in revoked {
            for carried in self.carried.borrow().values() {
                if let Way::Tunnel(over, _) = &carried.way
                    && Rc::ptr_eq(over, &session)
                {
                    carried.forbid(Error::Revoked(session.identity.clone()));
                }
            }
            session.cut();
        }
    }

    fn snapshot(&self) -> Vec<Live> {
        let carried = self.carried.borrow();
        let live = carried.values().map(|it| {
            let (sent, received) = it.counts();
            let connection = it.connection.clone();
            let age = it.began.elapsed();
            Live {
                connection,
                sent,
                received,
                age,
            }
        });
        live.collect()
    }

    fn drain(&self) {
        self.draining.set(true);
        for member in self.members.borrow().values() {
            member.stop_listening();
        }
        self.rooms.close_all();
        for session in self.living(|_| true) {
            session.leave();
        }
    }

    fn cut(&self) {
        self.drain();
        for session in self.living(|_| true) {
            session.cut();
        }
        for carried in self.carried.borrow().values() {
            carried.cut();
        }
    }
}

impl Carried {
    /// Bytes from source to destination, and back.
    fn counts(&self) -> (u64, u64) {
        let (up, down) = match &self.way {
            Way::Tunnel(_, stream) => (stream.up.get(), stream.down.get()),
            Way::Plain(pair) => pair.counts(),
        };
        match self.connection.direction {
            Direction::Outbound => (up, down),
            Direction::Inbound => (down, up),
        }
    }

    fn forbid(&self, why: Error) {
        *self.forbidden.borrow_mut() = Some(why);
        self.cut();
    }

    fn cut(&self) {
        match &self.way {
            Way::Tunnel(_, stream) => stream.finish(End::Cut),
            Way::Plain(pair) => pair.cut(),
        }
    }
}
