//! What an earlier process left in the maps.

use weft_abi::{
    Address, ClientLimit, Enrolment, Peer, PortModeKey, SetIdentityKey, SetPortKey, SetSourceKey,
};

/// What the maps of the mesh hold. Of rule sets the keys are enough: they are written anew.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MeshDump {
    /// `ENROLLED`.
    pub enrolled: Vec<(u64, Enrolment)>,
    /// `PEERS`.
    pub peers: Vec<(Address, Peer)>,
    /// `PORT_MODES`.
    pub port_modes: Vec<(PortModeKey, u32)>,
    /// `CLIENT_LIMITS`.
    pub limits: Vec<(u32, ClientLimit)>,
    /// Keys of `AUTHZ_SETS`.
    pub sets: Vec<u32>,
    /// Keys of `AUTHZ_IDENTITY`.
    pub set_identities: Vec<SetIdentityKey>,
    /// Keys of `AUTHZ_SOURCE`.
    pub set_sources: Vec<SetSourceKey>,
    /// Keys of `AUTHZ_PORT`.
    pub set_ports: Vec<SetPortKey>,
}
