//! The demo's servers, each a process of its own: `xtask serve` (hidden).

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use weft_testkit::server::{echo, http};

/// What to serve.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Who answers.
    #[arg(long)]
    name: String,
    /// Answer HTTP/1.1 here.
    #[arg(long)]
    http: Vec<SocketAddr>,
    /// Answer datagrams here.
    #[arg(long)]
    udp: Vec<SocketAddr>,
}

/// Serves until killed, or until the demo is.
pub(crate) fn run(args: &Args) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("follow the demo")?;
    let mut threads = Vec::new();
    for address in &args.http {
        let listener =
            TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let name = args.name.clone();
        threads.push(std::thread::spawn(move || accept(&listener, &name)));
    }
    for address in &args.udp {
        let socket = UdpSocket::bind(address).with_context(|| format!("bind {address}"))?;
        let name = args.name.clone();
        threads.push(std::thread::spawn(move || {
            let (answered, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
            echo::answer_all(&socket, &name, &answered, &stopped);
        }));
    }
    for thread in threads {
        drop(thread.join());
    }
    Ok(())
}

/// The demo's clients are few and their loads bounded, so a thread for each will do.
fn accept(listener: &TcpListener, name: &str) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let name = name.to_owned();
        std::thread::spawn(move || drop(http::serve(stream, &name)));
    }
}
