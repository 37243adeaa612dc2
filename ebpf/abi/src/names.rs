//! Names of maps, programs and settings, as `bpftool` shows them (at most 15 bytes).

/// Names of maps.
pub mod maps {
    /// Hash of `ServiceKey` to `Service`.
    pub const SERVICES: &str = "SERVICES";
    /// Array of `Slot`.
    pub const SLOTS: &str = "SLOTS";
    /// Array of `Backend`.
    pub const BACKENDS: &str = "BACKENDS";
    /// Array of `BackendState`, beside `BACKENDS`.
    pub const BACKEND_STATE: &str = "BACKEND_STATE";
    /// Array of `ServiceState`, indexed by pool id.
    pub const SERVICE_STATE: &str = "SERVICE_STATE";
    /// LRU hash of `AffinityKey` to `Affinity`.
    pub const AFFINITY: &str = "AFFINITY";
    /// Hash of `Address` to workload index (`u32`).
    pub const WORKLOADS: &str = "WORKLOADS";
    /// Socket storage `SocketInfo`.
    pub const SOCKETS: &str = "SOCKETS";
    /// Socket storage `UdpFlows`.
    pub const UDP_FLOWS: &str = "UDP_FLOWS";
    /// LRU hash of `FlowKey` to `FlowValue`.
    pub const FLOWS: &str = "FLOWS";
    /// Array of two `Address`es: what this node masquerades as, IPv4 and IPv6 (zero: cannot).
    pub const NODE_ADDRESS: &str = "NODE_ADDRESS";
    /// Hash of `EdgeKey` to `EdgeValue`.
    pub const EDGES: &str = "EDGES";
    /// Ring buffer of `Event` and `PolicyEvent`.
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array of `u64`, indexed by `Counter`.
    pub const COUNTERS: &str = "COUNTERS";
    /// Hash of network namespace cookie (`u64`) to `Enrolment`.
    pub const ENROLLED: &str = "ENROLLED";
    /// Hash of `Address` to `Peer`.
    pub const PEERS: &str = "PEERS";
    /// Hash of `PortModeKey` to an `MtlsMode` (`u32`).
    pub const PORT_MODES: &str = "PORT_MODES";
    /// LPM trie of `ExcludedKey` to whether it is (`u32`, 1 or 0).
    pub const EXCLUDED: &str = "EXCLUDED";
    /// Sock map of one: a listener that drops all it gets, so that clients try again.
    pub const HOLD: &str = "HOLD";
    /// LRU hash of `EndKey` to `Captured`.
    pub const CAPTURED: &str = "CAPTURED";
    /// Hash of `EndKey` to `Origin`.
    pub const ORIGINS: &str = "ORIGINS";
    /// Hash of `ConnectionKey` to `Attested`.
    pub const ATTESTED: &str = "ATTESTED";
    /// Hash of set id (`u32`) to `RuleSet`.
    pub const AUTHZ_SETS: &str = "AUTHZ_SETS";
    /// Hash of `SetIdentityKey` to `RuleBits`.
    pub const AUTHZ_IDENTITY: &str = "AUTHZ_IDENTITY";
    /// LPM trie of `SetSourceKey` to `RuleBits`.
    pub const AUTHZ_SOURCE: &str = "AUTHZ_SOURCE";
    /// Hash of `SetPortKey` to `RuleBits`.
    pub const AUTHZ_PORT: &str = "AUTHZ_PORT";
    /// LRU hash of `HitKey` to `u64`.
    pub const AUTHZ_HITS: &str = "AUTHZ_HITS";
    /// Hash of pool id (`u32`) to `ClientLimit`.
    pub const CLIENT_LIMITS: &str = "CLIENT_LIMITS";
    /// LRU hash of `ClientKey` to `ClientState`.
    pub const CLIENT_STATE: &str = "CLIENT_STATE";

    /// All of the above.
    pub const ALL: [&str; 29] = [
        SERVICES,
        SLOTS,
        BACKENDS,
        BACKEND_STATE,
        SERVICE_STATE,
        AFFINITY,
        WORKLOADS,
        SOCKETS,
        UDP_FLOWS,
        FLOWS,
        NODE_ADDRESS,
        EDGES,
        EVENTS,
        COUNTERS,
        ENROLLED,
        PEERS,
        PORT_MODES,
        EXCLUDED,
        HOLD,
        CAPTURED,
        ORIGINS,
        ATTESTED,
        AUTHZ_SETS,
        AUTHZ_IDENTITY,
        AUTHZ_SOURCE,
        AUTHZ_PORT,
        AUTHZ_HITS,
        CLIENT_LIMITS,
        CLIENT_STATE,
    ];
}

/// Names of programs.
pub mod programs {
    /// cgroup/connect4.
    pub const CONNECT4: &str = "weft_connect4";
    /// cgroup/connect6.
    pub const CONNECT6: &str = "weft_connect6";
    /// cgroup/sendmsg4.
    pub const SENDMSG4: &str = "weft_sendmsg4";
    /// cgroup/sendmsg6.
    pub const SENDMSG6: &str = "weft_sendmsg6";
    /// cgroup/recvmsg4.
    pub const RECVMSG4: &str = "weft_recvmsg4";
    /// cgroup/recvmsg6.
    pub const RECVMSG6: &str = "weft_recvmsg6";
    /// cgroup/getpeername4.
    pub const GETPEERNAME4: &str = "weft_peername4";
    /// cgroup/getpeername6.
    pub const GETPEERNAME6: &str = "weft_peername6";
    /// sockops.
    pub const SOCKOPS: &str = "weft_sockops";
    /// sk_lookup, in the namespace of each enrolled workload.
    pub const SK_LOOKUP: &str = "weft_sk_lookup";
    /// sk_lookup, in its place while the workload's policy is not in the maps.
    pub const SK_UNREADY: &str = "weft_sk_unready";
    /// tcx ingress.
    pub const TC_INGRESS: &str = "weft_ingress";
    /// tcx egress.
    pub const TC_EGRESS: &str = "weft_egress";
    /// iter/bpf_sk_storage_map: counts live connections into `EDGES`, lists `SocketRecord`s.
    pub const ITER_SOCKETS: &str = "weft_sockets";
}

/// Names of read-only settings the manager fills before loading.
pub mod settings {
    /// Cookie of the node's own network namespace (`u64`), 0 when not known.
    pub const HOST_NETNS: &str = "HOST_NETNS";
    /// Offset of `sk_err` in the running kernel's `struct sock`, 0 when not found.
    pub const OFFSET_SK_ERR: &str = "OFFSET_SK_ERR";
    /// Offset of `bytes_acked` in `struct tcp_sock`, 0 when not found.
    pub const OFFSET_BYTES_ACKED: &str = "OFFSET_BYTES_ACKED";
    /// Offset of `bytes_received` in `struct tcp_sock`, 0 when not found.
    pub const OFFSET_BYTES_RECEIVED: &str = "OFFSET_BYTES_RECEIVED";
    /// Offset of `srtt_us` in `struct tcp_sock` (eighths of a microsecond), 0 when not found.
    pub const OFFSET_SRTT_US: &str = "OFFSET_SRTT_US";
    /// Offset of `total_retrans` in `struct tcp_sock`, 0 when not found.
    pub const OFFSET_TOTAL_RETRANS: &str = "OFFSET_TOTAL_RETRANS";
}
