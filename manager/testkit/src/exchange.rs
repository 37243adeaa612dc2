//! Connections of which both ends know every byte, with pauses, half-closes and resets: what a path
//! loses, reorders, repeats or ends otherwise than it was ended shows.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;

use crate::{
    Place, client,
    server::{TcpService, reset_on_close},
};

/// Longest wait for anything on a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of the head that tells the server what will come.
const HEAD: usize = 20;

/// What the server sends when it got everything.
const RECEIPT: &[u8; 8] = b"all here";

/// Failures that are kept word for word.
const KEPT_FAILURES: usize = 10;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The client ends its direction, and reads on to the end of the server's.
    HalfClose = 0,
    /// The server closes when it has all, the client then.
    ServerCloses = 1,
    /// The client resets in the middle.
    ClientResets = 2,
    /// The server resets in the middle.
    ServerResets = 3,
}

/// One connection: how many bytes go up and down, and how it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    seed: u64,
    up: u32,
    down: u32,
    end: End,
    pauses: bool,
}

/// What came of many connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exchanged {
    /// Connections that went as they were meant to.
    pub good: u64,
    /// Connections that did not.
    pub bad: u64,
    /// The first of those, in words.
    pub failures: Vec<String>,
}

impl Exchange {
    /// A connection made by chance, the same for the same seed.
    pub fn random(seed: u64) -> Self {
        let mut chance = Bytes::new(seed ^ 0x9e37_79b9_7f4a_7c15);
        let mut size = || {
            let limit = match chance.next_word() % 20 {
                0 => 1,
                1..15 => 2 * 1024,
                15..19 => 64 * 1024,
                _ => 512 * 1024,
            };
            u32::try_from(chance.next_word() % limit).unwrap_or(0)
        };
        let (up, down) = (size(), size());
        let end = match chance.next_word() % 16 {
            0 => End::ClientResets,
            1 => End::ServerResets,
            2..9 => End::HalfClose,
            _ => End::ServerCloses,
        };
        let pauses = chance.next_word().is_multiple_of(8);
        Self {
            seed,
            up,
            down,
            end,
            pauses,
        }
    }

    /// Makes the connection.
    ///
    /// # Errors
    /// When it did not go as it was meant to.
    pub fn run(&self, to: SocketAddr) -> Result<()> {
        let mut stream = client::connect(to, PATIENCE)?;
        stream.write_all(&self.head())?;
        let mut bytes = Bytes::new(self.seed);
        if self.end == End::ClientResets {
            send(&mut stream, &mut bytes, self.up / 2, self.pauses)?;
            reset_on_close(&stream);
            return Ok(());
        }
        let sent = send(&mut stream, &mut bytes, self.up, self.pauses);
        if self.end == End::ServerResets {
            // Where the reset overtakes the last writes, those tell of it, and nothing later does.
            return match sent.map_err(|error| error.kind()) {
                Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ok(()),
                _ => see_reset(stream),
            };
        }
        sent?;
        if self.end == End::HalfClose {
            stream.shutdown(Shutdown::Write)?;
        }
        expect(&mut stream, &mut Bytes::new(!self.seed), self.down)?;
        let mut receipt = [0; RECEIPT.len()];
        stream.read_exact(&mut receipt)?;
        anyhow::ensure!(receipt == *RECEIPT, "the receipt reads {receipt:?}");
        let rest = stream.read(&mut [0])?;
        anyhow::ensure!(rest == 0, "bytes after the end");
        Ok(())
    }

    fn head(self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&self.seed.to_be_bytes());
        head[8..12].copy_from_slice(&self.up.to_be_bytes());
        head[12..16].copy_from_slice(&self.down.to_be_bytes());
        head[16] = self.end as u8;
        head[17] = u8::from(self.pauses);
        head
    }

    fn read(head: &[u8; HEAD]) -> Self {
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let end = match head[16] {
            0 => End::HalfClose,
            1 => End::ServerCloses,
            2 => End::ClientResets,
            _ => End::ServerResets,
        };
        Self {
            seed: u64::from(word(0)) << 32 | u64::from(word(4)),
            up: word(8),
            down: word(12),
            end,
            pauses: head[17] != 0,
        }
    }
}

fn see_reset(mut stream: TcpStream) -> Result<()> {
    match see_end(&mut stream) {
        Ok(()) => anyhow::bail!("an orderly end where the server reset"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes `count` connections from `threads` threads in `place`, by chance from `seed` on.
pub fn storm(place: &Place, to: SocketAddr, threads: u32, count: u32, seed: u64) -> Exchanged {
    let each = count / threads;
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            place.spawn(move || {
                let mut sum = Exchanged::default();
                for number in 0..each {
                    let seed = seed << 32 | u64::from(thread * each + number);
                    let exchange = Exchange::random(seed);
                    sum.note(exchange, exchange.run(to));
                }
                sum
            })
        })
        .collect();
    let mut sum = Exchanged::default();
    for worker in workers {
        match worker.join() {
            Ok(part) => sum.add(part),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    sum
}

impl Exchanged {
    fn note(&mut self, exchange: Exchange, result: Result<()>) {
        match result {
            Ok(()) => self.good += 1,
            Err(error) => {
                self.bad += 1;
                if self.failures.len() < KEPT_FAILURES {
                    self.failures.push(format!("{exchange:?}: {error:#}"));
                }
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
        let room = KEPT_FAILURES.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
    }
}

/// The other end.
#[derive(Debug)]
pub struct Exchanger {
    service: TcpService,
    tally: Arc<Tally>,
}

/// What the server saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections of which every byte came as it should.
    pub whole: AtomicU64,
    /// Connections the client reset, and that ended so.
    pub resets: AtomicU64,
    /// Connections the client reset, and that ended in order.
    pub blunted: AtomicU64,
    /// Connections that brought wrong bytes, or ended early.
    pub broken: AtomicU64,
}

impl Exchanger {
    /// Listens on `address` in `place`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(place: &Place, address: SocketAddr) -> Result<Self> {
        let tally = Arc::new(Tally::default());
        let counted = Arc::clone(&tally);
        let service = TcpService::start(place, address, move |stream| {
            if serve(stream, &counted).is_err() {
                counted.broken.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(Self { service, tally })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Its listener and connections.
    pub fn service(&self) -> &TcpService {
        &self.service
    }

    /// What it saw so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

fn serve(mut stream: TcpStream, tally: &Tally) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = [0; HEAD];
    match stream.read_exact(&mut head) {
        // A reset right behind the head may take the head with it.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            tally.resets.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        read => read?,
    }
    let exchange = Exchange::read(&head);
    let mut bytes = Bytes::new(exchange.seed);
    match exchange.end {
        End::ClientResets => {
            let counted = match see_end(&mut stream) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => &tally.resets,
                _ => &tally.blunted,
            };
            counted.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        End::ServerResets => {
            expect(&mut stream, &mut bytes, exchange.up / 2)?;
            reset_on_close(&stream);
            tally.whole.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        End::HalfClose | End::ServerCloses => {}
    }
    let mut writing = stream.try_clone()?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut bytes = Bytes::new(!exchange.seed);
            send(&mut writing, &mut bytes, exchange.down, exchange.pauses)
        });
        expect(&mut stream, &mut bytes, exchange.up)?;
        if exchange.end == End::HalfClose && stream.read(&mut [0])? != 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        writer.join().map_err(|_panic| ErrorKind::Other)?
    })?;
    stream.write_all(RECEIPT)?;
    stream.shutdown(Shutdown::Write)?;
    tally.whole.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn see_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn send(stream: &mut TcpStream, bytes: &mut Bytes, count: u32, pauses: bool) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut rest = count as usize;
    let mut chance = Bytes::new(bytes.state ^ u64::from(count));
    while rest > 0 {
        let word = chance.next_word();
        let length = (word as usize % buffer.len() + 1).min(rest);
        bytes.fill(&mut buffer[..length]);
        stream.write_all(&buffer[..length])?;
        rest -= length;
        if pauses && (word >> 40).is_multiple_of(4) {
            std::thread::sleep(Duration::from_millis(word >> 32 & 3));
        }
    }
    Ok(())
}

/// Reads `count` bytes and compares each.
fn expect(stream: &mut TcpStream, bytes: &mut Bytes, count: u32) -> io::Result<()> {
    let (mut buffer, mut wanted) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut rest = count as usize;
    while rest > 0 {
        let room = rest.min(buffer.len());
        let length = stream.read(&mut buffer[..room])?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.fill(&mut wanted[..length]);
        if buffer[..length] != wanted[..length] {
            return Err(ErrorKind::InvalidData.into());
        }
        rest -= length;
    }
    Ok(())
}

/// An endless sequence of bytes (SplitMix64), cut anywhere.
struct Bytes {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Bytes {
    fn new(seed: u64) -> Self {
        Self {
            state: seed,
            word: [0; 8],
            used: 8,
        }
    }

    fn next_word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.used == 8 {
                self.word = self.next_word().to_le_bytes();
                self.used = 0;
            }
            *byte = self.word[self.used];
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_the_exchange() {
        for seed in 0..200 {
            let exchange = Exchange::random(seed << 32 | 7);
            assert_eq!(Exchange::read(&exchange.head()), exchange);
        }
    }

    #[test]
    fn bytes_do_not_depend_on_how_they_are_cut() {
        let (mut whole, mut cut) = ([0; 100], [0; 100]);
        Bytes::new(5).fill(&mut whole);
        let mut bytes = Bytes::new(5);
        bytes.fill(&mut cut[..13]);
        bytes.fill(&mut cut[13..]);
        assert_eq!(whole, cut);
    }

    #[test]
    fn every_end_occurs() {
        for end in [
            End::HalfClose,
            End::ServerCloses,
            End::ClientResets,
            End::ServerResets,
        ] {
            assert!((0..1000).any(|seed| Exchange::random(seed).end == end));
        }
    }
}
