//! Headers: which connection a packet belongs to, and where its fields are.
//!
//! Ethernet frames with IPv4 (RFC 791) or IPv6 (RFC 8200) carrying TCP, UDP, or an ICMP error
//! (RFC 792, RFC 4443) about either. A fragment that is not the first carries no ports: its
//! identification stands for them.

use weft_abi::{Address, FlowKey, Protocol};

/// Length of an Ethernet header (the VLAN tag is not in the frame when tc sees it).
pub const ETHERNET: u32 = 14;

/// What `protocol` is for a fragment that is not the first: the number of IPv6's fragment header.
pub const FRAGMENT: u8 = 44;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;

/// Extension headers skipped before giving up.
const EXTENSIONS: u32 = 4;

/// Bytes of a packet.
pub trait Bytes {
    /// `N` bytes at an offset; `None` when the packet is shorter.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
}

impl Bytes for [u8] {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let offset = offset as usize;
        self.get(offset..offset.checked_add(N)?)?.try_into().ok()
    }
}

/// What was found in a packet. For an ICMP error, addresses, ports and protocol are those of the
/// packet it quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Packet {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port, host order.
    pub source_port: u16,
    /// Destination port, host order.
    pub destination_port: u16,
    /// See [`Protocol`]; [`FRAGMENT`] for a fragment that is not the first.
    pub protocol: u8,
    /// TCP flags (RFC 9293 3.1), 0 for UDP and quoted packets.
    pub flags: u8,
    /// Whether it is IPv6.
    pub v6: bool,
    /// Offset of the outer IP header.
    pub ip: u32,
    /// Offset of the transport header: the outer packet's own (ICMP's for an error).
    pub transport: u32,
    /// Offset of the payload.
    pub payload: u32,
    /// Offset of what follows the IP packet, 0 when its header does not tell (a jumbogram).
    pub end: u32,
    /// Whether it is a fragment, the first or a later one.
    pub fragmented: bool,
    /// What all fragments of a packet share.
    pub identification: u32,
    /// Offset of the quoted IP header; 0 when this is not an ICMP error.
    pub quoted: u32,
    /// Offset of the quoted transport header.
    pub quoted_transport: u32,
}

/// TCP flag FIN.
pub const FIN: u8 = 1;
/// TCP flag SYN.
pub const SYN: u8 = 2;
/// TCP flag RST.
pub const RST: u8 = 4;
/// TCP flag ACK.
pub const ACK: u8 = 16;

impl Packet {
    /// The packet's key at a hook (see [`FlowKey::INGRESS`]).
    #[inline(always)]
    pub fn key(&self, hook: u8) -> FlowKey {
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol: self.protocol,
            hook,
            reserved: 0,
        }
    }

    /// The key of a packet the other way.
    #[inline(always)]
    pub fn reverse_key(&self, hook: u8) -> FlowKey {
        FlowKey {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            hook,
            reserved: 0,
        }
    }

    /// The key that later fragments of this packet have at a hook.
    #[inline(always)]
    pub fn fragment_key(&self, hook: u8) -> FlowKey {
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: (self.identification >> 16) as u16,
            destination_port: self.identification as u16,
            protocol: FRAGMENT,
            hook,
            reserved: 0,
        }
    }

    /// Whether a packet may begin a connection.
    #[inline(always)]
    pub fn begins(&self) -> bool {
        self.protocol == Protocol::UDP
            || self.protocol == Protocol::TCP && self.flags & (SYN | ACK | RST) == SYN
    }

    /// Bytes of payload in a frame of that length, which may be padded.
    #[inline(always)]
    pub fn payload_bytes(&self, frame: u32) -> u32 {
        let told = self.end != 0 && self.end < frame;
        let end = if told { self.end } else { frame };
        end.saturating_sub(self.payload)
    }
}

/// What follows an IP header.
struct Next {
    protocol: u8,
    transport: u32,
    /// The packet is a fragment that is not the first.
    later: bool,
}

/// Reads the headers of an Ethernet frame whose EtherType (host order) the caller knows.
pub fn parse(bytes: &(impl Bytes + ?Sized), ethertype: u16) -> Option<Packet> {
    let mut packet = Packet::default();
    read(bytes, ethertype, &mut packet)?;
    Some(packet)
}

/// As [`parse`], in place: a kernel program has no stack for a packet and all it is made from.
#[inline(always)]
pub fn read(bytes: &(impl Bytes + ?Sized), ethertype: u16, packet: &mut Packet) -> Option<()> {
    packet.v6 = match ethertype {
        0x0800 => false,
        0x86dd => true,
        _ => return None,
    };
    packet.ip = ETHERNET;
    packet.flags = 0;
    packet.quoted = 0;
    packet.quoted_transport = 0;
    packet.fragmented = false;
    packet.identification = 0;
    let next = addresses(bytes, ETHERNET, packet)?;
    packet.protocol = next.protocol;
    packet.transport = next.transport;
    if next.later {
        return later_fragment(bytes, packet);
    }
    match next.protocol {
        Protocol::TCP => {
            let tcp: [u8; 14] = bytes.load(next.transport)?;
            packet.source_port = u16::from_be_bytes([tcp[0], tcp[1]]);
            packet.destination_port = u16::from_be_bytes([tcp[2], tcp[3]]);
            packet.flags = tcp[13];
            let header = (tcp[12] >> 4) as u32 * 4;
            packet.payload = next.transport + header;
            // Nobody takes a shorter header.
            (header >= 20).then_some(())
        }
        Protocol::UDP => {
            let udp: [u8; 8] = bytes.load(next.transport)?;
            packet.source_port = u16::from_be_bytes([udp[0], udp[1]]);
            packet.destination_port = u16::from_be_bytes([udp[2], udp[3]]);
            packet.payload = next.transport + 8;
            Some(())
        }
        IPPROTO_ICMP if !packet.v6 => quoted(bytes, packet),
        IPPROTO_ICMPV6 if packet.v6 => quoted(bytes, packet),
        _ => None,
    }
}

/// A fragment without ports.
#[inline(always)]
fn later_fragment(bytes: &(impl Bytes + ?Sized), packet: &mut Packet) -> Option<()> {
    // All of the headers before it is there.
    let _: [u8; 1] = bytes.load(packet.transport - 1)?;
    packet.protocol = FRAGMENT;
    packet.source_port = (packet.identification >> 16) as u16;
    packet.destination_port = packet.identification as u16;
    packet.payload = packet.transport;
    Some(())
}

/// The packet quoted by an ICMP error.
#[inline(always)]
fn quoted(bytes: &(impl Bytes + ?Sized), packet: &mut Packet) -> Option<()> {
    let [kind]: [u8; 1] = bytes.load(packet.transport)?;
    // Unreachable, (too big,) time exceeded, parameter problem.
    let is_error = if packet.v6 {
        matches!(kind, 1..=4)
    } else {
        matches!(kind, 3 | 11 | 12)
    };
    if !is_error {
        return None;
    }
    packet.quoted = packet.transport + 8;
    let next = addresses(bytes, packet.quoted, packet)?;
    if next.later || next.protocol != Protocol::TCP && next.protocol != Protocol::UDP {
        return None;
    }
    let ports: [u8; 4] = bytes.load(next.transport)?;
    packet.source_port = u16::from_be_bytes([ports[0], ports[1]]);
    packet.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
    packet.protocol = next.protocol;
    packet.quoted_transport = next.transport;
    Some(())
}

/// Reads the IP header at an offset, of the packet's family.
#[inline(always)]
fn addresses(bytes: &(impl Bytes + ?Sized), at: u32, packet: &mut Packet) -> Option<Next> {
    if packet.v6 {
        ipv6(bytes, at, packet)
    } else {
        ipv4(bytes, at, packet)
    }
}

#[inline(always)]
fn ipv4(bytes: &(impl Bytes + ?Sized), at: u32, packet: &mut Packet) -> Option<Next> {
    let header: [u8; 20] = bytes.load(at)?;
    let length = (header[0] & 0x0f) as u32 * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return None;
    }
    let total = u16::from_be_bytes([header[2], header[3]]) as u32;
    packet.end = if total == 0 { 0 } else { at + total };
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    let later = fragment & 0x1fff != 0;
    // More fragments, or an offset.
    if fragment & 0x3fff != 0 {
        packet.fragmented = true;
        packet.identification = u16::from_be_bytes([header[4], header[5]]) as u32;
    }
    packet.source = Address::v4([header[12], header[13], header[14], header[15]]);
    packet.destination = Address::v4([header[16], header[17], header[18], header[19]]);
    Some(Next {
        protocol: header[9],
        transport: at + length,
        later,
    })
}

#[inline(always)]
fn ipv6(bytes: &(impl Bytes + ?Sized), at: u32, packet: &mut Packet) -> Option<Next> {
    let [first]: [u8; 1] = bytes.load(at)?;
    if first >> 4 != 6 {
        return None;
    }
    let [high, low, mut protocol]: [u8; 3] = bytes.load(at + 4)?;
    let length = u16::from_be_bytes([high, low]) as u32;
    packet.end = if length == 0 { 0 } else { at + 40 + length };
    packet.source.bytes = bytes.load(at + 8)?;
    packet.destination.bytes = bytes.load(at + 24)?;
    let mut transport = at + 40;
    let mut later = false;
    let mut skipped = 0;
    while skipped < EXTENSIONS {
        match protocol {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => {
                let extension: [u8; 2] = bytes.load(transport)?;
                protocol = extension[0];
                transport += (extension[1] as u32 + 1) * 8;
            }
            FRAGMENT => {
                let fragment: [u8; 8] = bytes.load(transport)?;
                let [next, _, high, low, identification @ ..] = fragment;
                let offset = u16::from_be_bytes([high, low]);
                transport += 8;
                // An atomic fragment (RFC 6946) is a whole packet.
                if offset & 0xfff9 != 0 {
                    packet.fragmented = true;
                    packet.identification = u32::from_be_bytes(identification);
                }
                protocol = next;
                if offset & 0xfff8 != 0 {
                    later = true;
                    break;
                }
            }
            _ => break,
        }
        skipped += 1;
    }
    Some(Next {
        protocol,
        transport,
        later,
    })
}

#[cfg(test)]
mod tests;
