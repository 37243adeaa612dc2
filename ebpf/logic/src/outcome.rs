//! How a connection ended, and in which histogram bucket a time falls.

use weft_abi::HISTOGRAM_BUCKETS;

/// TCP states as sockops reports them (`include/net/tcp_states.h`).
#[expect(missing_docs, reason = "the names are the kernel's")]
pub mod state {
    pub const ESTABLISHED: u32 = 1;
    pub const SYN_SENT: u32 = 2;
    pub const FIN_WAIT1: u32 = 4;
    pub const FIN_WAIT2: u32 = 5;
    pub const TIME_WAIT: u32 = 6;
    pub const CLOSE: u32 = 7;
    pub const CLOSE_WAIT: u32 = 8;
    pub const LAST_ACK: u32 = 9;
    pub const CLOSING: u32 = 11;
}

const EPIPE: i32 = 32;
const ECONNRESET: i32 = 104;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Never established, because the peer or the network would not: errno (0 when unknown).
    Failed(i32),
    /// Never established, because the application gave up.
    Abandoned,
    /// Established, then reset by the peer.
    Reset,
    /// Established, and ended otherwise.
    Closed,
}

/// Tells how a connection ended that went from `old` to `CLOSE`. `error` is the socket's pending
/// error (`sk_err`), `None` when it cannot be read; without it every unfinished connect counts as
/// failed and no reset is seen.
#[inline(always)]
pub fn outcome(established: bool, old: u32, error: Option<i32>) -> Outcome {
    if established {
        return match error {
            Some(ECONNRESET | EPIPE) => Outcome::Reset,
            _ => Outcome::Closed,
        };
    }
    match error {
        Some(0) => Outcome::Abandoned,
        Some(errno) => Outcome::Failed(errno),
        None if old == state::SYN_SENT => Outcome::Failed(0),
        None => Outcome::Abandoned,
    }
}

/// Payload bytes of a connection: the kernel counts the SYN and the FINs as a byte each
/// (`bytes_acked` and `bytes_received` of `struct tcp_sock`), but not the SYN of a socket that was
/// accepted. `old` is the state before `CLOSE`, or the present one of a live connection.
#[inline(always)]
pub fn payload(acked: u64, received: u64, old: u32, is_accepted: bool) -> (u64, u64) {
    let fin_acked = matches!(
        old,
        state::FIN_WAIT2 | state::TIME_WAIT | state::LAST_ACK | state::CLOSING
    );
    let fin_received = matches!(
        old,
        state::FIN_WAIT2 | state::TIME_WAIT | state::LAST_ACK | state::CLOSING | state::CLOSE_WAIT
    );
    (
        acked.saturating_sub(!is_accepted as u64 + fin_acked as u64),
        received.saturating_sub(fin_received as u64),
    )
}

/// Bucket of a time in microseconds: see [`HISTOGRAM_BUCKETS`].
#[inline(always)]
pub fn bucket(microseconds: u64) -> usize {
    let mut bound = 32;
    let mut bucket = 0;
    while bucket < HISTOGRAM_BUCKETS - 1 && microseconds > bound {
        bound <<= 1;
        bucket += 1;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_failure_from_the_application_giving_up() {
        assert_eq!(
            outcome(false, state::SYN_SENT, Some(111)),
            Outcome::Failed(111)
        );
        assert_eq!(outcome(false, state::SYN_SENT, Some(0)), Outcome::Abandoned);
        assert_eq!(outcome(false, state::SYN_SENT, None), Outcome::Failed(0));
        assert_eq!(outcome(true, state::ESTABLISHED, Some(104)), Outcome::Reset);
        assert_eq!(outcome(true, state::CLOSE_WAIT, Some(32)), Outcome::Reset);
        assert_eq!(outcome(true, state::LAST_ACK, Some(0)), Outcome::Closed);
        assert_eq!(outcome(true, state::ESTABLISHED, None), Outcome::Closed);
    }

    #[test]
    fn bytes_leave_out_syn_and_fin() {
        assert_eq!(payload(102, 51, state::LAST_ACK, false), (100, 50));
        assert_eq!(payload(101, 50, state::ESTABLISHED, false), (100, 50));
        assert_eq!(payload(101, 51, state::LAST_ACK, true), (100, 50));
        assert_eq!(payload(0, 0, state::ESTABLISHED, false), (0, 0));
    }

    #[test]
    fn buckets_double_from_32_microseconds() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(32), 0);
        assert_eq!(bucket(33), 1);
        assert_eq!(bucket(64), 1);
        assert_eq!(bucket(32 << 14), 14);
        assert_eq!(bucket((32 << 14) + 1), 15);
        assert_eq!(bucket(u64::MAX), 15);
    }
}
