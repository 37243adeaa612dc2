//! Every map. Sizes here are what `bpftool prog loadall` makes; the manager sets its own.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{
        Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SkStorage, SockMap,
        lpm_trie::Key,
    },
    macros::btf_map,
};
use weft_abi::{
    Address, Affinity, AffinityKey, Attested, Backend, BackendState, Captured, ClientKey,
    ClientLimit, ClientState, ConnectionKey, Counter, EdgeKey, EdgeValue, EndKey, Enrolment, Event,
    FlowKey, FlowValue, HitKey, Origin, Peer, PortModeKey, RuleBits, RuleSet, Service, ServiceKey,
    ServiceState, SetIdentityKey, SetPortKey, Slot, SocketInfo, UdpFlows,
};

use crate::atomic;

const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
pub(crate) static SERVICES: HashMap<ServiceKey, Service, 65536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static SLOTS: Array<Slot, 262144> = Array::new();

#[btf_map]
pub(crate) static BACKENDS: Array<Backend, 65536> = Array::new();

#[btf_map]
pub(crate) static BACKEND_STATE: Array<BackendState, 65536> = Array::new();

#[btf_map]
pub(crate) static SERVICE_STATE: Array<ServiceState, 65536> = Array::new();

#[btf_map]
pub(crate) static AFFINITY: LruHashMap<AffinityKey, Affinity, 65536> = LruHashMap::new();

#[btf_map]
pub(crate) static WORKLOADS: HashMap<Address, u32, 65536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static SOCKETS: SkStorage<SocketInfo> = SkStorage::new();

#[btf_map]
pub(crate) static UDP_FLOWS: SkStorage<UdpFlows> = SkStorage::new();

#[btf_map]
pub(crate) static FLOWS: LruHashMap<FlowKey, FlowValue, 65536> = LruHashMap::new();

/// What this node masquerades as: IPv4, IPv6.
#[btf_map]
pub(crate) static NODE_ADDRESS: Array<Address, 2> = Array::new();

#[btf_map]
pub(crate) static EDGES: HashMap<EdgeKey, EdgeValue, 16384, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static EVENTS: RingBuf<(), 262144> = RingBuf::new();

#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, { Counter::COUNT as usize }> = PerCpuArray::new();

#[btf_map]
pub(crate) static ENROLLED: HashMap<u64, Enrolment, 4096> = HashMap::new();

#[btf_map]
pub(crate) static PEERS: HashMap<Address, Peer, 65536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static PORT_MODES: HashMap<PortModeKey, u32, 65536, NO_PREALLOC> = HashMap::new();

/// The key without its prefix length, which the map's type adds.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Place {
    /// As in `weft_abi::ExcludedKey`.
    pub(crate) port: u16,
    /// As there.
    pub(crate) reserved: u16,
    /// As there; halves, since a whole would be aligned.
    pub(crate) netns: [u32; 2],
    /// As there.
    pub(crate) address: Address,
}

const _: () = assert!(size_of::<Key<Place>>() == size_of::<weft_abi::ExcludedKey>());

#[btf_map]
pub(crate) static EXCLUDED: LpmTrie<Place, u32, 65536> = LpmTrie::new();

#[btf_map]
pub(crate) static HOLD: SockMap<1> = SockMap::new();

#[btf_map]
pub(crate) static CAPTURED: LruHashMap<EndKey, Captured, 16384> = LruHashMap::new();

#[btf_map]
pub(crate) static ORIGINS: HashMap<EndKey, Origin, 131072, NO_PREALLOC> = HashMap::new();

/// Preallocated: an entry comes and goes with every connection, and that takes a third off its cost.
#[btf_map]
pub(crate) static ATTESTED: HashMap<ConnectionKey, Attested, 65536> = HashMap::new();

#[btf_map]
pub(crate) static AUTHZ_SETS: HashMap<u32, RuleSet, 4096, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static AUTHZ_IDENTITY: HashMap<SetIdentityKey, RuleBits, 262144, NO_PREALLOC> =
    HashMap::new();

/// The key without its prefix length, which the map's type adds.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct SourceKey {
    /// As in `weft_abi::SetSourceKey`.
    pub(crate) set: u32,
    /// As there.
    pub(crate) address: Address,
    /// As there.
    pub(crate) reserved: u32,
}

const _: () = assert!(size_of::<Key<SourceKey>>() == size_of::<weft_abi::SetSourceKey>());

#[btf_map]
pub(crate) static AUTHZ_SOURCE: LpmTrie<SourceKey, RuleBits, 262144> = LpmTrie::new();

#[btf_map]
pub(crate) static AUTHZ_PORT: HashMap<SetPortKey, RuleBits, 65536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static AUTHZ_HITS: LruHashMap<HitKey, u64, 16384> = LruHashMap::new();

#[btf_map]
pub(crate) static CLIENT_LIMITS: HashMap<u32, ClientLimit, 65536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub(crate) static CLIENT_STATE: LruHashMap<ClientKey, ClientState, 32768> = LruHashMap::new();

/// Counts one of `weft_abi::Counter`.
#[inline(always)]
pub(crate) fn count(counter: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter) {
        // SAFETY: this CPU's own slot; a program is not preempted by another on the same slot
        // but for interrupts, where losing one count is harmless.
        unsafe { *value += 1 };
    }
}

/// Takes a connection of a backend up (`1`) or down (`u32::MAX`), if the index is still its own.
#[inline(always)]
pub(crate) fn count_connection(backend: u32, generation: u32, step: u32) -> bool {
    let Some(state) = BACKEND_STATE.get_ptr_mut(backend) else {
        return false;
    };
    // SAFETY: a valid map value; fields are words written atomically or by the manager.
    unsafe {
        if (*state).generation != generation {
            return false;
        }
        atomic::add32(&raw mut (*state).active, step);
        if step == 1 {
            atomic::add(&raw mut (*state).connections, 1);
        }
    }
    true
}

/// Tells the manager; a full ring is counted.
#[inline(always)]
pub(crate) fn emit(event: Event) {
    if let Some(mut entry) = EVENTS.reserve_untyped::<Event>(0) {
        entry.write(event);
        entry.submit(0);
    } else {
        count(Counter::EVENTS_DROPPED);
    }
}

/// As [`emit`], of what policy refused or wants written down, or of a connection that has ended.
#[inline(always)]
pub(crate) fn tell<T: 'static>(event: T) {
    if let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) {
        entry.write(event);
        entry.submit(0);
    } else {
        count(Counter::EVENTS_DROPPED);
    }
}
