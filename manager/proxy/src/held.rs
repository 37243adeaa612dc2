//! Connections of a workload that nobody knows yet: accepted, and left waiting until somebody does.
//! Then each is opened again from the workload's namespace, by a socket that is not marked as the
//! proxy's own, so that the kernel decides on it as on any that the application opens.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{AbortHandle, spawn_local},
    time::{Instant, timeout},
};

use crate::{
    Captured, Connection, Direction, Error,
    inbound::dial,
    listener, namespace,
    pump::Pair,
    socket::Socket,
    worker::{Way, Worker},
};

/// How long a namespace that is known now is listened in still: a connect that found it unknown may
/// be on its way.
const LATE: Duration = Duration::from_secs(1);

/// Connections that may wait in one namespace: others are not to lack places for a pod that tries
/// again and again.
const WAITING: usize = 1024;

/// The namespaces whose connections wait with one thread.
#[derive(Default)]
pub(crate) struct Rooms(RefCell<HashMap<u64, Rc<Room>>>);

/// Where the connections of one namespace wait.
pub(crate) struct Room {
    key: u64,
    netns: OwnedFd,
    stage: watch::Sender<Stage>,
    waiting: Cell<usize>,
    listening: RefCell<Vec<AbortHandle>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Unknown,
    Known,
    Gone,
}

impl Rooms {
    pub(crate) fn open(worker: &Rc<Worker>, key: u64, netns: OwnedFd, listeners: Vec<OwnedFd>) {
        let room = Rc::new(Room {
            key,
            netns,
            stage: watch::Sender::new(Stage::Unknown),
            waiting: Cell::new(0),
            listening: RefCell::default(),
        });
        for socket in listeners {
            let (worker, room) = (worker.clone(), room.clone());
            let listening = room.clone();
            let task = listener::accept(key, socket, move |fd, peer| {
                spawn_local(client(worker.clone(), room.clone(), fd, peer));
            });
            let task = spawn_local(task).abort_handle();
            listening.listening.borrow_mut().push(task);
        }
        let old = worker.rooms.0.borrow_mut().insert(key, room);
        if let Some(old) = old {
            old.end();
        }
    }

    /// What waits goes on.
    pub(crate) fn release(&self, key: u64) {
        let Some(room) = self.0.borrow_mut().remove(&key) else {
            return;
        };
        room.stage.send_replace(Stage::Known);
        spawn_local(async move {
            tokio::time::sleep(LATE).await;
            room.stop_listening();
        });
    }

    /// What waits is reset.
    pub(crate) fn close(&self, key: u64) {
        if let Some(room) = self.0.borrow_mut().remove(&key) {
            room.end();
        }
    }

    /// All that waits is reset.
    pub(crate) fn close_all(&self) {
        for (_, room) in self.0.take() {
            room.end();
        }
    }
}

impl Room {
    fn stop_listening(&self) {
        for task in self.listening.take() {
            task.abort();
        }
    }

    fn end(&self) {
        self.stage.send_replace(Stage::Gone);
        self.stop_listening();
    }

    async fn wait(&self, after: Duration) -> Result<(), Error> {
        if self.waiting.get() >= WAITING {
            return Err(Error::TooManyWait);
        }
        self.waiting.set(self.waiting.get() + 1);
        let mut stage = self.stage.subscribe();
        let over = stage.wait_for(|stage| *stage != Stage::Unknown);
        let result = match timeout(after, over).await {
            Ok(Ok(stage)) if *stage == Stage::Known => Ok(()),
            Ok(_) => Err(Error::Leaving),
            Err(_) => Err(Error::NotReady { after }),
        };
        self.waiting.set(self.waiting.get() - 1);
        result
    }
}

async fn client(worker: Rc<Worker>, room: Rc<Room>, fd: OwnedFd, client: SocketAddr) {
    let began = Instant::now();
    let Ok(app) = Socket::new(fd) else { return };
    let captured = worker.shared.kernel.captured(room.key, client);
    let connection = connection(room.key, client, captured.as_ref());
    let way = async {
        let captured = captured.ok_or(Error::NotCaptured)?;
        let place = worker.place().ok_or(Error::TooMany)?;
        room.wait(worker.shared.settings.hold_timeout).await?;
        // Who gave up meanwhile needs no connection.
        app.check()?;
        let to = captured.dialled;
        let make = || namespace::socket(to.is_ipv6());
        let fd = worker.home.inside(room.netns.as_fd(), make)?;
        let server = dial(&worker, fd, to).await?;
        Ok((server, place))
    };
    match way.await {
        Ok((server, _place)) => {
            let pair = Rc::new(Pair::new(app, server));
            // Nobody is told: what the kernel sees is this connection's second half.
            let number = worker.note(connection, began, Way::Plain(pair.clone()));
            pair.carry(&worker.buffers).await.ok();
            worker.forget(number);
        }
        Err(error) => {
            app.abort_on_close();
            worker.refused(connection, began, error);
        }
    }
}

fn connection(key: u64, client: SocketAddr, captured: Option<&Captured>) -> Connection {
    Connection {
        direction: Direction::Outbound,
        workload: key,
        source: client,
        source_identity: None,
        destination: captured.map_or(client, |it| it.dialled),
        destination_identity: None,
        hbone: None,
        dialled: captured.map(|it| it.dialled),
        service: 0,
        backend: 0,
    }
}
