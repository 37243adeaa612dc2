//! A bounded load of HTTP requests, each on a connection of its own, that notes every failure.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{Place, client::fetch};

/// Failures that are kept word for word.
const KEPT_FAILURES: usize = 20;

/// Requests going on in the background.
#[derive(Debug)]
pub struct Load {
    stopped: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Outcome>>,
}

/// What came of a load.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Requests answered 200, by the server that answered.
    pub answered: BTreeMap<String, u64>,
    /// Requests that failed.
    pub failed: u64,
    /// The first failures, each with the time since the load began.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `threads` clients in `place`, each asking `target` and then waiting `pause`.
    pub fn start(place: &Place, target: SocketAddr, threads: usize, pause: Duration) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let threads = (0..threads)
            .map(|_| {
                let stopped = Arc::clone(&stopped);
                let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
                place.spawn(move || {
                    let (mut outcome, since) = (Outcome::default(), Instant::now());
                    while !stopped.load(Ordering::Relaxed) {
                        let before = outcome.failed;
                        ask(&mut outcome, since, target);
                        failed.fetch_add(outcome.failed - before, Ordering::Relaxed);
                        done.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(pause);
                    }
                    outcome
                })
            })
            .collect();
        Self {
            stopped,
            done,
            failed,
            threads,
        }
    }

    /// Requests finished so far, failed ones too.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Requests failed so far.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until that many more requests are finished; false when `timeout` passed first.
    pub fn wait_for(&self, more: u64, timeout: Duration) -> bool {
        let (want, deadline) = (self.done() + more, Instant::now() + timeout);
        while self.done() < want {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Stops and sums up.
    ///
    /// # Panics
    /// When a client thread did.
    pub fn stop(mut self) -> Outcome {
        self.stopped.store(true, Ordering::Relaxed);
        let mut sum = Outcome::default();
        for thread in std::mem::take(&mut self.threads) {
            match thread.join() {
                Ok(outcome) => sum.add(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sum
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Outcome {
    /// All requests answered.
    pub fn total(&self) -> u64 {
        self.answered.values().sum()
    }

    /// Share of the answers that a server gave, 0 to 1.
    pub fn share(&self, server: &str) -> f64 {
        let answered = self.answered.get(server).copied().unwrap_or(0);
        answered as f64 / self.total().max(1) as f64
    }

    fn add(&mut self, other: Self) {
        for (server, count) in other.answered {
            *self.answered.entry(server).or_default() += count;
        }
        self.failed += other.failed;
        let room = KEPT_FAILURES.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
    }

    fn note(&mut self, since: Instant, failure: &str) {
        self.failed += 1;
        if self.failures.len() < KEPT_FAILURES {
            let at = since.elapsed();
            self.failures.push(format!("after {at:.3?}: {failure}"));
        }
    }
}

/// Asks `count` times in `place`, one after the other.
pub fn ask_times(place: &Place, target: SocketAddr, count: u32) -> Outcome {
    place.run(|| {
        let (mut outcome, since) = (Outcome::default(), Instant::now());
        for _ in 0..count {
            ask(&mut outcome, since, target);
        }
        outcome
    })
}

fn ask(outcome: &mut Outcome, since: Instant, target: SocketAddr) {
    match fetch(target, "/", Duration::from_secs(2)) {
        Ok(response) if response.status == 200 => {
            *outcome.answered.entry(response.server).or_default() += 1;
        }
        Ok(response) => outcome.note(since, &format!("status {}", response.status)),
        Err(error) => outcome.note(since, &error.to_string()),
    }
}
