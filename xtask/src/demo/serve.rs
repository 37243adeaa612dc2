//! Servers of the demo and of benchmarks, each a process of its own: `xtask serve` (hidden).

use std::{
    io::Write,
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
    /// Accept here, write a byte, and keep every connection open.
    #[arg(long)]
    hold: Vec<SocketAddr>,
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
    for address in &args.hold {
        let listener =
            TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        threads.push(std::thread::spawn(move || hold(&listener)));
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

fn hold(listener: &TcpListener) {
    let mut held = Vec::new();
    for stream in listener.incoming() {
        match stream.and_then(|mut stream| stream.write_all(b".").map(|()| stream)) {
            Ok(stream) => held.push(stream),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
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
