//! A thread that stays in one place on one CPU and runs what it is given.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::{
    process::setpriority_process,
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use weft_testkit::Place;

/// CPU of clients.
pub(super) const CLIENT_CPU: usize = 0;

/// CPU of servers.
pub(super) const SERVER_CPU: usize = 1;

type Job = Box<dyn FnOnce() + Send>;

/// A pinned thread in a place.
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts it.
    pub(super) fn start(place: &Place, cpu: usize) -> Self {
        let (jobs, queue): (Sender<Job>, Receiver<Job>) = channel();
        let thread = place.spawn(move || {
            pin(cpu);
            for job in queue {
                job();
            }
        });
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// Runs `f` there and waits for its result.
    pub(super) fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = channel();
        let job: Job = Box::new(move || drop(answer.send(f())));
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.send(job).ok().context("a client thread has ended")?;
        result.recv().context("a client thread has ended")?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The nice value that other processes on the machine disturb least.
const HIGHEST: i32 = -20;

/// Binds the calling thread to a CPU, before others on it; without that CPU it stays where it is.
pub(super) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _pinned = sched_setaffinity(None, &set);
    // Both sides alike; without the right to it, the figures only spread more.
    let _preferred = setpriority_process(None, HIGHEST);
}

/// CPU time of the calling thread so far, system calls included.
pub(super) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
