//! What passed on the uplink between the nodes of a cluster, read from a packet socket (packet(7)).

mod frame;
mod stream;

use std::{
    num::NonZeroU32,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt,
};

pub use self::{
    frame::{Frame, Transport},
    stream::Stream,
};
use crate::cluster::Node;

/// `ETH_P_ALL` in network order: the socket sees every frame of its namespace, both directions.
const EVERY_PROTOCOL: NonZeroU32 = NonZeroU32::new(0x0003_u16.to_be() as u32).expect("is not 0");

/// Room for frames that the thread has not read yet, in bytes.
const QUEUE: usize = 64 << 20;

/// Most bytes of frames that are kept.
const KEPT: usize = 256 << 20;

/// A capture that goes on.
#[derive(Debug)]
pub struct Capture {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<Recording>>,
}

/// What was captured.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// IP packets, in the order of their passing.
    pub frames: Vec<Frame>,
    /// Bytes of packets that were too many to keep.
    pub left_out: usize,
}

impl Capture {
    /// Begins to capture what passes on a node's uplink.
    ///
    /// # Errors
    /// When not allowed to.
    pub fn uplink(node: &Node) -> Result<Self> {
        let socket = node.outside().run(open).context("open a packet socket")?;
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopped = Arc::clone(&stopped);
            std::thread::spawn(move || record(&socket, &stopped))
        };
        Ok(Self {
            stopped,
            thread: Some(thread),
        })
    }

    /// Ends it, once everything that passed until now is read.
    ///
    /// # Panics
    /// When the capturing thread did.
    pub fn stop(mut self) -> Recording {
        self.stopped.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("taken only here and on drop");
        match thread.join() {
            Ok(recording) => recording,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Recording {
    /// Whether these bytes are in the payload of any packet, or of any stream.
    pub fn contains(&self, marker: &[u8]) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(marker.len()).any(|window| window == marker);
        self.frames.iter().any(|frame| holds(&frame.payload))
            || self.streams().iter().any(|stream| holds(&stream.bytes))
    }

    /// The TCP streams, a direction each, put together.
    pub fn streams(&self) -> Vec<Stream> {
        stream::assemble(&self.frames)
    }

    /// TCP packets that neither come from nor go to this port.
    pub fn tcp_beside(&self, port: u16) -> Vec<&Frame> {
        let beside = |frame: &&Frame| {
            matches!(frame.transport, Transport::Tcp { .. })
                && frame.source.port() != port
                && frame.destination.port() != port
        };
        self.frames.iter().filter(beside).collect()
    }
}

fn open() -> Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(Protocol::from_raw(EVERY_PROTOCOL)),
    )?;
    sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE)?;
    let turn = Some(Duration::from_millis(50));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, turn)?;
    Ok(socket)
}

fn record(socket: &OwnedFd, stopped: &AtomicBool) -> Recording {
    let mut recording = Recording::default();
    let mut kept = 0;
    // As long as the longest frame that segmentation offload makes (BIG TCP is off by default).
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = match recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN) if !stopped.load(Ordering::Relaxed) => continue,
            Err(rustix::io::Errno::INTR) => continue,
            // Stopped and nothing left, or the namespace is gone.
            Err(_) => return recording,
        };
        let Some(frame) = frame::of_uplink(&buffer[..length]) else {
            continue;
        };
        if kept + frame.payload.len() > KEPT {
            recording.left_out += frame.payload.len();
            continue;
        }
        kept += frame.payload.len();
        recording.frames.push(frame);
    }
}
