use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

fn answer(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn a_request_is_laid_out_as_the_kernel_reads_it() {
    let bytes = message(SOCK_DESTROY, NLM_F_ACK, 2, 6, 5, &[9; SOCKET_ID]);
    assert_eq!(bytes[..4], 72u32.to_ne_bytes());
    assert_eq!(bytes[4..6], 21u16.to_ne_bytes());
    assert_eq!(bytes[6..8], 5u16.to_ne_bytes());
    assert_eq!(bytes[16..18], [2, 6]);
    assert_eq!(bytes[20..24], 5u32.to_ne_bytes());
    assert_eq!(bytes[24..], [9; SOCKET_ID]);
}

#[test]
fn answers_are_read_in_order_with_their_cookies() {
    let mut body = [0; 72];
    body[ANSWER_SOCKET_ID + COOKIE..][..4].copy_from_slice(&7u32.to_ne_bytes());
    body[ANSWER_SOCKET_ID + COOKIE + 4..][..4].copy_from_slice(&1u32.to_ne_bytes());
    let mut datagram = answer(SOCK_DIAG_BY_FAMILY, &body);
    datagram.extend(answer(NLMSG_ERROR, &(-libc::ENOENT).to_ne_bytes()));
    datagram.extend(answer(NLMSG_DONE, &[0; 4]));
    let read: Vec<_> = messages(&datagram).map(Result::unwrap).collect();
    let Message::Socket(id) = &read[0] else {
        panic!("{read:?}")
    };
    assert_eq!(cookie(id), 7 | 1 << 32);
    assert_eq!(read[1..], [Message::Error(libc::ENOENT), Message::Done]);
}

#[test]
fn a_cut_or_unknown_answer_is_an_error_and_the_last_one() {
    let mut cut = answer(SOCK_DIAG_BY_FAMILY, &[0; 72]);
    cut.truncate(60);
    let mut short = answer(NLMSG_DONE, &[]);
    short[0] = 3;
    for datagram in [cut, short, answer(99, &[0; 8]), vec![1]] {
        let read: Vec<_> = messages(&datagram).collect();
        assert_eq!(read.len(), 1);
        assert!(read[0].is_err());
    }
}

/// Lists sockets of the test itself on loopback; needs no privilege.
#[test]
fn lists_exactly_the_sockets_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let datagram = UdpSocket::bind("[::1]:0").unwrap();
    let netlink = Netlink::open().unwrap();
    let tcp = BTreeSet::from([socket_cookie(&stream), socket_cookie(&listener)]);
    let among = |family, protocol, cookies: &BTreeSet<u64>| {
        list(&netlink, family, protocol, states(protocol), |id| {
            cookies.contains(&cookie(id))
        })
    };
    let found = among(2, Protocol::TCP, &tcp).unwrap();
    assert_eq!(found.len(), 1, "the connection, and not the listener");
    assert_eq!(cookie(&found[0]), socket_cookie(&stream));
    let udp = BTreeSet::from([socket_cookie(&datagram)]);
    assert_eq!(among(10, Protocol::UDP, &udp).unwrap().len(), 1);
    assert_eq!(among(2, Protocol::UDP, &udp).unwrap().len(), 0);
}

fn socket_cookie(socket: &impl std::os::fd::AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

#[test]
fn connections_are_listed_with_both_ends_and_listeners_are_not() {
    let netlink = Netlink::open().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let from = client.local_addr().unwrap();
        let (_served, _) = listener.accept().unwrap();
        let all = connections(&netlink).unwrap();
        let ours = |one: &&TcpConnection| one.local == at || one.remote == at;
        let mut ends: Vec<_> = all
            .iter()
            .filter(ours)
            .map(|one| (one.local, one.remote))
            .collect();
        ends.sort_unstable();
        let mut expected = [(at, from), (from, at)];
        expected.sort_unstable();
        assert_eq!(ends, expected);
    }
}
