//! What the proxy costs, both its roles together, beside the same without it. In release mode:
//! `cargo test --release -p weft-proxy --test proxy measure -- --ignored --nocapture`

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::{Mesh, echo, eventually, serve, settings};
use tokio::time::Instant;

/// Seconds that the proxy's threads have run.
fn cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let ticks = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let run: f64 = stat.split(' ').next()?.parse().ok()?;
        name.starts_with("proxy-").then_some(run)
    });
    ticks.sum::<f64>() / 1e9
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

fn dial(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn round_trips(to: SocketAddr, count: usize) -> (f64, f64) {
    let mut stream = dial(to);
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            stream.write_all(&[7; 100]).unwrap();
            stream.read_exact(&mut [0; 100]).unwrap();
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[count / 2], times[count * 99 / 100])
}

fn bulk(to: SocketAddr, gigabytes: usize) -> f64 {
    let begun = Instant::now();
    let mut stream = dial(to);
    let piece = vec![1; 256 * 1024];
    for _ in 0..gigabytes * 4096 {
        stream.write_all(&piece).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    begun.elapsed().as_secs_f64()
}

fn connections(to: SocketAddr, count: usize) -> f64 {
    let begun = Instant::now();
    let one = || {
        let mut stream = dial(to);
        stream.write_all(&[7; 100]).unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..count / 8).for_each(|_| one()));
        }
    });
    begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures; wants a quiet machine and release mode"]
fn measure() {
    let sink = serve(|mut stream| {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(1..) = stream.read(&mut buffer) {}
        stream.write_all(b"x").ok();
    });
    let address = echo();
    for threads in [1, 2] {
        println!("threads: {threads}");
        let mesh = Mesh::new(settings(threads)).to(address);
        let through: SocketAddr = ([127, 0, 0, 1], mesh.client.outbound_port).into();
        for (name, to) in [("direct", address), ("proxied", through)] {
            round_trips(to, 2000);
            let before = cpu();
            let (p50, p99) = round_trips(to, 20_000);
            println!(
                "{name}: round trip p50 {p50:.0} µs, p99 {p99:.0} µs, {:.2} CPU s",
                cpu() - before
            );
            let before = cpu();
            let took = connections(to, 10_000);
            println!(
                "{name}: 10k connections in {took:.2} s, {:.2} CPU s",
                cpu() - before
            );
        }
        let _mesh = mesh.to(sink);
        for (name, to) in [("direct", sink), ("proxied", through)] {
            let before = cpu();
            let took = bulk(to, 4);
            println!(
                "{name}: {:.2} GB/s, {:.2} CPU s per GB",
                4.0 / took,
                (cpu() - before) / 4.0
            );
        }
    }
}

/// The applications' threads would drown the proxy's memory, so there are none: clients and an
/// application that only accepts.
#[test]
#[ignore = "measures; wants release mode and ulimit -n 65536"]
fn measure_idle() {
    const COUNT: usize = 10_000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = std::thread::spawn(move || {
        let accepted: Vec<_> = listener.incoming().take(COUNT).flatten().collect();
        accepted
    });
    let mesh = Mesh::new(settings(1)).to(address);
    drop(mesh.dial());
    eventually("it closed", || mesh.proxy.count() == 0);
    let before = resident();
    let clients: Vec<_> = (0..COUNT - 1).map(|_| mesh.dial()).collect();
    let accepted = accepting.join().unwrap();
    eventually("all are open", || mesh.proxy.count() == 2 * (COUNT - 1));
    std::thread::sleep(Duration::from_secs(1));
    let (memory, busy) = (resident() - before, cpu());
    std::thread::sleep(Duration::from_secs(5));
    println!(
        "{COUNT} idle: {memory:.1} MB for both sides, {:.5} CPU s per s",
        (cpu() - busy) / 5.0
    );
    drop((clients, accepted));
    eventually("all are closed", || mesh.proxy.count() == 0);
    println!("after: {:.1} MB more than before", resident() - before);
}
