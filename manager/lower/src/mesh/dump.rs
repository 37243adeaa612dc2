//! What an earlier process left in the maps.

use weft_abi::{
    Address, ClientLimit, Enrolment, ExcludedKey, Peer, PortModeKey, RuleBits, RuleSet,
    SetIdentityKey, SetPortKey, SetSourceKey,
};

/// What the maps of the mesh hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MeshDump {
    /// `ENROLLED`.
    pub enrolled: Vec<(u64, Enrolment)>,
    /// `PEERS`.
    pub peers: Vec<(Address, Peer)>,
    /// `PORT_MODES`.
    pub port_modes: Vec<(PortModeKey, u32)>,
    /// `EXCLUDED`.
    pub excluded: Vec<(ExcludedKey, u32)>,
    /// `AUTHZ_SETS`.
    pub sets: Vec<(u32, RuleSet)>,
    /// `AUTHZ_IDENTITY`.
    pub set_identities: Vec<(SetIdentityKey, RuleBits)>,
    /// `AUTHZ_SOURCE`.
    pub set_sources: Vec<(SetSourceKey, RuleBits)>,
    /// `AUTHZ_PORT`.
    pub set_ports: Vec<(SetPortKey, RuleBits)>,
    /// `CLIENT_LIMITS`.
    pub client_limits: Vec<(u32, ClientLimit)>,
}
