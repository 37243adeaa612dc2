//! The proxy as its owner sees it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
};

use crate::{
    Credentials, Kernel, Live, Observer, Policy, Settings, Workload,
    namespace::{self, Home, Listeners},
    worker::{Command, Shared, Worker},
};

/// The threads that carry traffic. Dropping it ends all connections.
pub struct Proxy {
    shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
}

/// Where a workload's namespace now listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// For captured connections, on 127.0.0.1 and `::1`.
    pub outbound_port: u16,
    /// For HBONE, on all addresses.
    pub inbound_port: u16,
}

impl Proxy {
    /// Starts the threads. They listen nowhere until a workload is added.
    ///
    /// # Errors
    /// When a thread cannot be started or cannot tell its network namespace.
    pub fn start(
        settings: Settings,
        kernel: Arc<dyn Kernel>,
        policy: Arc<dyn Policy>,
        credentials: Arc<dyn Credentials>,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        let count = settings.threads.max(1);
        let shared = Arc::new(Shared {
            settings,
            kernel,
            policy,
            credentials,
            observer,
            loads: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            workers: OnceLock::new(),
        });
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (sender, receiver) = mpsc::unbounded_channel();
            threads.push(spawn(shared.clone(), index, receiver)?);
            workers.push(sender);
        }
        // Threads hand connections to each other; weakly, so that they end when the owner lets go.
        let weak = workers
            .iter()
            .map(mpsc::UnboundedSender::downgrade)
            .collect();
        shared.workers.set(weak).ok();
        let next = AtomicUsize::new(0);
        Ok(Self {
            shared,
            workers,
            threads,
            next,
        })
    }

    /// Listens in a workload's namespace and carries its connections. A workload that was there under
    /// the same key must have been removed.
    ///
    /// # Errors
    /// When the namespace cannot be entered or its inbound port is taken.
    pub fn add(&self, workload: Workload) -> io::Result<Listening> {
        let settings = &self.shared.settings;
        let ports = (settings.outbound_port, settings.inbound_port);
        let netns = workload.netns.as_fd();
        let listeners = inside(netns, || Listeners::bind(ports.0, ports.1))?;
        let listening = Listening {
            outbound_port: listeners.outbound_port,
            inbound_port: listeners.inbound_port,
        };
        let workload = Arc::new(workload);
        let chosen =
            self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % self.workers.len();
        let mut listeners = Some(listeners);
        // Whoever accepts comes last: by then the others know the workload.
        for offset in 1..=self.workers.len() {
            let index = (chosen + offset) % self.workers.len();
            let listeners = if index == chosen {
                listeners.take()
            } else {
                None
            };
            let command = Command::Add(workload.clone(), listeners);
            self.workers[index].send(command).ok();
        }
        Ok(listening)
    }

    /// Listens on a namespace's loopback for captured connections of a workload that is not known yet,
    /// and lets them wait; answers the port. Ends with [`Self::release`] or [`Self::remove`].
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn hold(&self, key: u64, netns: OwnedFd) -> io::Result<u16> {
        let (listeners, port) = inside(netns.as_fd(), || namespace::loopback(0))?;
        self.workers[self.room(key)]
            .send(Command::Hold(key, netns, listeners))
            .ok();
        Ok(port)
    }

    /// Lets what waits go on: each connection is opened again, as the application opened it. For this
    /// the process must be in a cgroup that the kernel programs serve.
    pub fn release(&self, key: u64) {
        self.workers[self.room(key)]
            .send(Command::Release(key))
            .ok();
    }

    /// The thread that holds the connections of a namespace.
    fn room(&self, key: u64) -> usize {
        (key % self.workers.len() as u64) as usize
    }

    /// Ends a workload's connections and stops listening in its namespace.
    pub fn remove(&self, key: u64) {
        self.tell(|| Command::Remove(key));
    }

    /// Asks policy again about all connections of peers, and resets those it now denies.
    pub fn policy_changed(&self) {
        self.tell(|| Command::PolicyChanged);
    }

    /// Looks again at the certificates of all peers, and resets the connections with those that are
    /// taken back by now.
    pub fn trust_changed(&self) {
        self.tell(|| Command::TrustChanged);
    }

    /// All connections of applications that are under way.
    pub async fn connections(&self) -> Vec<Live> {
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (sender, receiver) = oneshot::channel();
            worker.send(Command::Snapshot(sender)).ok();
            answers.push(receiver);
        }
        let mut live = Vec::new();
        for answer in answers {
            live.extend(answer.await.unwrap_or_default());
        }
        live
    }

    /// How many connections of applications are under way.
    pub fn count(&self) -> usize {
        self.shared.connections()
    }

    /// Takes no more connections, tells peers to go elsewhere, and gives those there are the time
    /// that is set; then ends them. Nothing can be added afterwards.
    pub async fn drain(&self) {
        self.tell(|| Command::Drain);
        let over = async {
            // Threads obey in their own time.
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if self.count() == 0 {
                    break;
                }
            }
        };
        tokio::time::timeout(self.shared.settings.drain_timeout, over)
            .await
            .ok();
        self.tell(|| Command::Cut);
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            worker.send(command()).ok();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.workers.clear();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// Makes something in a namespace, on a thread of its own: a namespace belongs to a thread, and this
/// one is the caller's.
fn inside<T: Send>(
    netns: BorrowedFd<'_>,
    make: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| Home::here()?.inside(netns, make));
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that binds panicked")))
    })
}

fn spawn(
    shared: Arc<Shared>,
    index: usize,
    commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("proxy-{index}"))
        .spawn(move || {
            let worker = match Worker::new(shared, index) {
                Ok(worker) => Rc::new(worker),
                Err(error) => return tracing::error!(%error, "a thread of the proxy cannot start"),
            };
            LocalSet::new().block_on(&runtime, worker.run(commands));
        })
}
