//! Entries of enrolment and authorization.

use std::net::IpAddr;

use serde_json::json;
use weft_abi::{
    Address, Attested, Captured, ClientKey, ClientLimit, ClientState, ConnectionKey, EndKey,
    Enrolment, ExcludedKey, HitKey, MtlsMode, Origin, Peer, PortModeKey, RuleBits, RuleSet,
    SetIdentityKey, SetPortKey, SetSourceKey,
};

use super::{Describe, Entry, at, flags};

impl Describe<'_> {
    pub(in crate::cmd::map) fn enrolment(&self, netns: u64, enrolment: &Enrolment) -> Entry {
        let known = [
            (Enrolment::READY, "ready"),
            (Enrolment::HOLD, "hold"),
            (Enrolment::ENCRYPT_LOCAL, "encrypt_local"),
            (Enrolment::BYPASS_OUTBOUND, "bypass_outbound"),
            (Enrolment::EXCLUDES, "excludes"),
            (Enrolment::LOGGED, "logged"),
        ];
        let value = json!({
            "identity": enrolment.identity,
            "workload": enrolment.workload,
            "workload_name": self.workload_name(enrolment.workload),
            "proxy_port": enrolment.proxy_port,
            "flags": flags(enrolment.flags, &known),
        });
        Entry {
            key: netns.to_string(),
            value,
        }
    }

    pub(in crate::cmd::map) fn peer(&self, address: &Address, peer: &Peer) -> Entry {
        let known = [
            (Peer::HERE, "here"),
            (Peer::HBONE, "hbone"),
            (Peer::READY, "ready"),
            (Peer::PORT_MODES, "port_modes"),
            (Peer::ENCRYPT_LOCAL, "encrypt_local"),
            (Peer::BYPASS_INBOUND, "bypass_inbound"),
        ];
        let value = json!({
            "identity": peer.identity,
            "netns": peer.netns,
            "set": peer.set,
            "mode": mode(u32::from(peer.mode)),
            "flags": flags(peer.flags, &known),
        });
        Entry {
            key: IpAddr::from(*address).to_string(),
            value,
        }
    }

    pub(in crate::cmd::map) fn port_mode(&self, key: &PortModeKey, value: u32) -> Entry {
        Entry {
            key: at(key.address, key.port),
            value: json!({ "mode": mode(value) }),
        }
    }

    pub(in crate::cmd::map) fn excluded(&self, key: &ExcludedKey, value: u32) -> Entry {
        let length = key.prefix_length.saturating_sub(ExcludedKey::PLACE_BITS);
        let range = range(key.address, length);
        let port = match key.port {
            0 => "any".to_owned(),
            port => port.to_string(),
        };
        Entry {
            key: format!("netns:{},{range},{port}", key.netns),
            value: json!({ "excluded": value != 0 }),
        }
    }

    pub(in crate::cmd::map) fn captured(&self, key: &EndKey, captured: &Captured) -> Entry {
        let value = json!({
            "vip": at(captured.vip, captured.vip_port),
            "peer": at(captured.peer, captured.peer_port),
            "identity": captured.identity,
            "service": captured.service,
            "pool": self.pool(captured.service),
            "backend": captured.backend,
            "generation": captured.generation,
        });
        Entry {
            key: end(key),
            value,
        }
    }

    pub(in crate::cmd::map) fn origin(&self, key: &EndKey, origin: &Origin) -> Entry {
        Entry {
            key: end(key),
            value: json!({ "client": at(origin.address, origin.port) }),
        }
    }

    pub(in crate::cmd::map) fn attested(&self, key: &ConnectionKey, client: &Attested) -> Entry {
        let host = client.service == Attested::HOST;
        let value = json!({
            "identity": client.identity,
            "netns": client.netns,
            "host": host,
            "service": if host { 0 } else { client.service },
            "pool": self.pool(client.service),
        });
        let from = at(key.source, key.source_port);
        let to = at(key.destination, key.destination_port);
        Entry {
            key: format!("{from}>{to}"),
            value,
        }
    }

    pub(in crate::cmd::map) fn set(&self, set: u32, rules: &RuleSet) -> Entry {
        let known = [
            (RuleSet::HAS_ALLOW, "has_allow"),
            (RuleSet::HAS_DRY_ALLOW, "has_dry_allow"),
            (RuleSet::REFUSE_ALL, "refuse_all"),
        ];
        let value = json!({
            "deny": clauses(&rules.deny),
            "allow": clauses(&rules.allow),
            "audit": clauses(&rules.audit),
            "dry_deny": clauses(&rules.dry_deny),
            "dry_allow": clauses(&rules.dry_allow),
            "flags": flags(rules.flags, &known),
        });
        Entry {
            key: set.to_string(),
            value,
        }
    }

    pub(in crate::cmd::map) fn set_identity(&self, key: &SetIdentityKey, bits: &RuleBits) -> Entry {
        let identity = match key.identity {
            SetIdentityKey::OTHERS => "others".to_owned(),
            number => number.to_string(),
        };
        Entry {
            key: format!("{},{identity}", key.set),
            value: json!({ "clauses": clauses(bits) }),
        }
    }

    pub(in crate::cmd::map) fn set_source(&self, key: &SetSourceKey, bits: &RuleBits) -> Entry {
        let length = key.prefix_length.saturating_sub(SetSourceKey::SET_BITS);
        Entry {
            key: format!("{},{}", u32::from_be(key.set), range(key.address, length)),
            value: json!({ "clauses": clauses(bits) }),
        }
    }

    pub(in crate::cmd::map) fn set_port(&self, key: &SetPortKey, bits: &RuleBits) -> Entry {
        let port = match key.port {
            0 => "others".to_owned(),
            number => number.to_string(),
        };
        Entry {
            key: format!("{},{port}", key.set),
            value: json!({ "clauses": clauses(bits) }),
        }
    }

    pub(in crate::cmd::map) fn hits(&self, key: &HitKey, count: u64) -> Entry {
        let clause = match key.clause {
            HitKey::NOTHING => "nothing_allowed".to_owned(),
            HitKey::DRY_NOTHING => "nothing_dry_allowed".to_owned(),
            number => number.to_string(),
        };
        Entry {
            key: format!("{},{clause}", key.set),
            value: json!({ "count": count }),
        }
    }

    pub(in crate::cmd::map) fn client_limit(&self, pool: u32, limit: &ClientLimit) -> Entry {
        let value = json!({
            "pool": self.pool(pool),
            "per_second": limit.per_second,
            "burst": limit.burst,
            "concurrent": limit.concurrent,
        });
        Entry {
            key: pool.to_string(),
            value,
        }
    }

    pub(in crate::cmd::map) fn client_state(&self, key: &ClientKey, state: &ClientState) -> Entry {
        let value = json!({
            "pool": self.pool(key.service),
            "active": state.active,
            "refused": state.refused,
            "full_at": state.full_at,
        });
        Entry {
            key: format!("{},{}", key.identity, key.service),
            value,
        }
    }
}

fn range(address: Address, length: u32) -> String {
    let address = IpAddr::from(address);
    // The prefix of a v4-mapped address includes the 96 bits before the IPv4 one.
    let length = match address {
        IpAddr::V4(_) if length >= 96 => length - 96,
        _ => length,
    };
    format!("{address}/{length}")
}

fn end(key: &EndKey) -> String {
    format!("{}@netns:{}", at(key.address, key.port), key.netns)
}

fn mode(mode: u32) -> String {
    let known = [
        (MtlsMode::DISABLE, "disable"),
        (MtlsMode::PERMISSIVE, "permissive"),
        (MtlsMode::STRICT, "strict"),
        (MtlsMode::EXCLUDED, "excluded"),
    ];
    known
        .iter()
        .find(|(number, _)| u32::from(*number) == mode)
        .map_or_else(|| mode.to_string(), |(_, name)| (*name).to_owned())
}

/// The numbers of the bits that are set.
fn clauses(bits: &RuleBits) -> Vec<usize> {
    (0..RuleBits::RULES)
        .filter(|clause| bits.words[clause / 64] >> (clause % 64) & 1 != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_the_numbers_of_bits() {
        let mut bits = RuleBits::default();
        bits.words[0] = 0b101;
        bits.words[7] = 1 << 63;
        assert_eq!(clauses(&bits), [0, 2, 511]);
    }

    #[test]
    fn modes_have_names_and_unknown_ones_numbers() {
        assert_eq!((mode(2), mode(9)), ("strict".to_owned(), "9".to_owned()));
    }
}
