//! Changing addresses and ports of a packet with all checksums over them.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::generated::{
        bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_load_bytes,
        bpf_skb_store_bytes,
    },
};
use weft_abi::{Address, Protocol};
use weft_logic::packet::{Bytes, Packet};

/// `BPF_F_IPV6` (include/uapi/linux/bpf.h, 6.16 and stable kernels since): what the network card
/// summed up is not to be adjusted, since IPv6 addresses have no second checksum over them.
const BPF_F_IPV6: u64 = 1 << 7;
const EINVAL: i64 = 22;

/// Offsets of the addresses in an IP header.
pub(super) struct Fields {
    pub(super) source: u32,
    pub(super) destination: u32,
}

impl Fields {
    #[inline(always)]
    pub(super) fn of(v6: bool) -> Self {
        if v6 {
            Self {
                source: 8,
                destination: 24,
            }
        } else {
            Self {
                source: 12,
                destination: 16,
            }
        }
    }
}

/// What a packet is to become.
pub(super) struct Change<'a> {
    /// The source is replaced, else the destination.
    pub(super) source: bool,
    pub(super) address: &'a Address,
    /// Host order.
    pub(super) port: u16,
}

impl Change<'_> {
    #[inline(always)]
    fn replaced<'p>(&self, packet: &'p Packet) -> &'p Address {
        if self.source {
            &packet.source
        } else {
            &packet.destination
        }
    }

    #[inline(always)]
    fn offset(&self, packet: &Packet) -> u32 {
        let fields = Fields::of(packet.v6);
        packet.ip
            + if self.source {
                fields.source
            } else {
                fields.destination
            }
    }
}

/// Replaces the address of a fragment that is not the first: the checksum over the whole packet is
/// in the first one.
#[inline(always)]
pub(super) fn addresses(skb: *mut __sk_buff, packet: &Packet, change: &Change<'_>) {
    if !packet.v6 {
        let before = change.replaced(packet);
        update_v4_header(skb, packet.ip + 10, before, change.address);
    }
    store_address(skb, change.offset(packet), packet.v6, change.address);
}

/// Replaces address and port, with all checksums.
#[inline(always)]
pub(super) fn rewrite(skb: *mut __sk_buff, packet: &Packet, change: &Change<'_>) {
    let before = change.replaced(packet);
    let (port_before, port_at) = if change.source {
        (packet.source_port, packet.transport)
    } else {
        (packet.destination_port, packet.transport + 2)
    };
    let udp = packet.protocol == Protocol::UDP;
    let checksum = packet.transport + if udp { 6 } else { 16 };
    // A UDP checksum of zero means none (RFC 768) and stays so.
    let mangled = if udp {
        u64::from(BPF_F_MARK_MANGLED_0)
    } else {
        0
    };
    let pseudo = u64::from(BPF_F_PSEUDO_HDR) | mangled;
    if packet.v6 {
        update_v6(skb, checksum, before, change.address, pseudo);
    } else {
        // SAFETY: helpers take the context and check offsets.
        unsafe {
            bpf_l4_csum_replace(
                skb,
                checksum,
                u64::from(before.words()[3]),
                u64::from(change.address.words()[3]),
                pseudo | 4,
            );
        }
    }
    // SAFETY: as above.
    unsafe {
        bpf_l4_csum_replace(
            skb,
            checksum,
            u64::from(port_before.to_be()),
            u64::from(change.port.to_be()),
            mangled | 2,
        );
    }
    addresses(skb, packet, change);
    store_port(skb, port_at, change.port);
}

#[inline(always)]
pub(super) fn update_v4_header(
    skb: *mut __sk_buff,
    checksum: u32,
    before: &Address,
    after: &Address,
) {
    // SAFETY: the helper takes the context and checks the offset.
    unsafe {
        bpf_l3_csum_replace(
            skb,
            checksum,
            u64::from(before.words()[3]),
            u64::from(after.words()[3]),
            4,
        );
    }
}

#[inline(always)]
pub(super) fn update_v6(
    skb: *mut __sk_buff,
    checksum: u32,
    before: &Address,
    after: &Address,
    flags: u64,
) {
    let (mut before, mut after) = (before.words(), after.words());
    // SAFETY: 16 bytes on the stack each; helpers take the context and check offsets.
    unsafe {
        let difference = bpf_csum_diff(before.as_mut_ptr(), 16, after.as_mut_ptr(), 16, 0);
        if flags & u64::from(BPF_F_PSEUDO_HDR) != 0 {
            let known =
                bpf_l4_csum_replace(skb, checksum, 0, difference as u64, flags | BPF_F_IPV6);
            if known as i64 != -EINVAL {
                return;
            }
        }
        bpf_l4_csum_replace(skb, checksum, 0, difference as u64, flags);
    }
}

#[inline(always)]
pub(super) fn store_address(skb: *mut __sk_buff, at: u32, v6: bool, address: &Address) {
    let words = address.words();
    // SAFETY: as above.
    unsafe {
        if v6 {
            bpf_skb_store_bytes(skb, at, words.as_ptr().cast(), 16, 0);
        } else {
            let word = words[3];
            bpf_skb_store_bytes(skb, at, (&raw const word).cast(), 4, 0);
        }
    }
}

#[inline(always)]
pub(super) fn store_port(skb: *mut __sk_buff, at: u32, port: u16) {
    let port = port.to_be();
    // SAFETY: as above.
    unsafe { bpf_skb_store_bytes(skb, at, (&raw const port).cast(), 2, 0) };
}

/// Bytes of a packet by helper: works on fragments of an skb alike.
pub(super) struct Skb(pub(super) *mut __sk_buff);

impl Bytes for Skb {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = core::mem::MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes all N bytes or fails.
        unsafe {
            let result =
                bpf_skb_load_bytes(self.0.cast(), offset, bytes.as_mut_ptr().cast(), N as u32);
            (result == 0).then(|| bytes.assume_init())
        }
    }
}
