//! The maps as the kernel half looks into them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use weft_abi::{
    Address, ClientLimit, Enrolment, ExcludedKey, Peer, PortModeKey, RuleBits, RuleSet,
    SetIdentityKey, SetPortKey, SetSourceKey,
};
use weft_logic::authz::{AuthzTables, Verdict, decide};
use weft_lower::{MapOp, MeshDump};

#[derive(Default)]
pub(crate) struct Maps {
    pub(crate) enrolled: BTreeMap<u64, Enrolment>,
    pub(crate) peers: BTreeMap<Address, Peer>,
    pub(crate) port_modes: BTreeMap<PortModeKey, u32>,
    pub(crate) excluded: BTreeMap<ExcludedKey, u32>,
    sets: BTreeMap<u32, RuleSet>,
    identities: BTreeMap<SetIdentityKey, RuleBits>,
    sources: BTreeMap<SetSourceKey, RuleBits>,
    ports: BTreeMap<SetPortKey, RuleBits>,
    limits: BTreeMap<u32, ClientLimit>,
}

impl Maps {
    pub(crate) fn apply(&mut self, op: &MapOp) {
        match op {
            MapOp::PutEnrolment(key, value) => drop(self.enrolled.insert(*key, *value)),
            MapOp::DeleteEnrolment(key) => assert!(self.enrolled.remove(key).is_some()),
            MapOp::PutPeer(key, value) => drop(self.peers.insert(*key, *value)),
            MapOp::DeletePeer(key) => assert!(self.peers.remove(key).is_some()),
            MapOp::PutPortMode(key, value) => drop(self.port_modes.insert(*key, *value)),
            MapOp::DeletePortMode(key) => assert!(self.port_modes.remove(key).is_some()),
            MapOp::PutExcluded(key, value) => drop(self.excluded.insert(*key, *value)),
            MapOp::DeleteExcluded(key) => assert!(self.excluded.remove(key).is_some()),
            MapOp::PutSet(key, value) => {
                assert!(
                    self.sets.insert(*key, **value).is_none(),
                    "sets never change"
                );
            }
            MapOp::DeleteSet(key) => assert!(self.sets.remove(key).is_some()),
            MapOp::PutSetIdentity(key, value) => {
                assert!(self.identities.insert(*key, *value).is_none());
            }
            MapOp::DeleteSetIdentity(key) => assert!(self.identities.remove(key).is_some()),
            MapOp::PutSetSource(key, value) => {
                assert!(self.sources.insert(*key, *value).is_none());
            }
            MapOp::DeleteSetSource(key) => assert!(self.sources.remove(key).is_some()),
            MapOp::PutSetPort(key, value) => assert!(self.ports.insert(*key, *value).is_none()),
            MapOp::DeleteSetPort(key) => assert!(self.ports.remove(key).is_some()),
            MapOp::PutClientLimit(key, value) => drop(self.limits.insert(*key, *value)),
            MapOp::DeleteClientLimit(key) => assert!(self.limits.remove(key).is_some()),
            _ => {}
        }
    }

    pub(crate) fn decide(&self, set: u32, identity: u32, source: IpAddr, port: u16) -> Verdict {
        decide(self, set, identity, &source.into(), port).verdict
    }

    pub(crate) fn mode(&self, address: Address, peer: &Peer, port: u16) -> u8 {
        let key = PortModeKey {
            address,
            port,
            reserved: 0,
        };
        let own = self.port_modes.get(&key);
        let own = own.filter(|_| peer.flags & Peer::PORT_MODES != 0);
        own.map_or(peer.mode, |mode| u8::try_from(*mode).unwrap())
    }

    pub(crate) fn dump(&self) -> MeshDump {
        MeshDump {
            enrolled: self.enrolled.clone().into_iter().collect(),
            peers: self.peers.clone().into_iter().collect(),
            port_modes: self.port_modes.clone().into_iter().collect(),
            excluded: self.excluded.clone().into_iter().collect(),
            client_limits: self.limits.clone().into_iter().collect(),
            sets: self.sets.clone().into_iter().collect(),
            set_identities: self.identities.clone().into_iter().collect(),
            set_sources: self.sources.clone().into_iter().collect(),
            set_ports: self.ports.clone().into_iter().collect(),
        }
    }

    /// Every entry belongs to a set that a peer names.
    pub(crate) fn check_no_leftovers(&self) {
        let used: BTreeSet<u32> = self.peers.values().map(|peer| peer.set).collect();
        let sets = self.sets.keys().copied();
        let identities = self.identities.keys().map(|key| key.set);
        let sources = self.sources.keys().map(|key| u32::from_be(key.set));
        let ports = self.ports.keys().map(|key| key.set);
        for set in sets.chain(identities).chain(sources).chain(ports) {
            assert!(used.contains(&set), "set {set} is left over");
        }
        for key in self.port_modes.keys() {
            assert!(
                self.peers.contains_key(&key.address),
                "{key:?} is left over"
            );
        }
    }
}

impl AuthzTables for Maps {
    fn rules(&self, set: u32) -> Option<&RuleSet> {
        self.sets.get(&set)
    }

    fn by_identity(&self, key: &SetIdentityKey) -> Option<&RuleBits> {
        self.identities.get(key)
    }

    fn by_source(&self, key: &SetSourceKey) -> Option<&RuleBits> {
        let bits = |key: &SetSourceKey| {
            let set = u128::from(u32::from_be(key.set));
            let address = u128::from_be_bytes(key.address.bytes);
            (set, address)
        };
        let (set, address) = bits(key);
        let fits = |other: &SetSourceKey| {
            let (other_set, prefix) = bits(other);
            let length = other.prefix_length - 32;
            let kept = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            other_set == set && (address ^ prefix) & kept == 0
        };
        let fitting = self.sources.iter().filter(|(other, _)| fits(other));
        let longest = fitting.max_by_key(|(other, _)| other.prefix_length);
        longest.map(|(_, bits)| bits)
    }

    fn by_port(&self, key: &SetPortKey) -> Option<&RuleBits> {
        self.ports.get(key)
    }
}
