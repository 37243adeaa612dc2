//! Entries in words: the fields of the kernel's types, with names beside ids.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use serde_json::{Value, json};
use weft_abi::{
    Address, Affinity, AffinityKey, Backend, BackendState, EdgeKey, EdgeValue, FlowKey, FlowValue,
    Protocol, Scope, Service, ServiceKey, ServiceState, Slot,
};
use weft_loader::Table;
use weft_telemetry::Names;

/// Names of the counters, by [`weft_abi::Counter`] index.
pub(super) const COUNTERS: [&str; weft_abi::Counter::COUNT as usize] = [
    "EVENTS_DROPPED",
    "EDGES_FULL",
    "STORAGE_FAILED",
    "RETRIED",
    "INCONSISTENT",
    "FLOWS_FULL",
    "FLOWS",
    "ICMP_TRANSLATED",
    "CAPTURED",
    "ATTESTED_FULL",
    "CAPTURED_FULL",
    "HELD",
];

/// One entry of a map.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Entry {
    /// The key as people write it.
    pub(super) key: String,
    /// The fields of the value, an object.
    pub(super) value: Value,
}

impl Entry {
    /// One line: the key and every field that is not empty.
    pub(super) fn line(&self) -> String {
        let fields: Vec<String> = self
            .fields()
            .map(|(name, text)| format!("{name}={text}"))
            .collect();
        format!("{}  {}\n", self.key, fields.join(" "))
    }

    /// One line per field.
    pub(super) fn lines(&self) -> String {
        let fields = self
            .fields()
            .map(|(name, text)| format!("  {name:<22} {text}\n"));
        format!("{}\n{}", self.key, fields.collect::<String>())
    }

    fn fields(&self) -> impl Iterator<Item = (&String, String)> {
        let fields = self.value.as_object().into_iter().flatten();
        fields.filter_map(|(name, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text.clone())),
            Value::Array(items) if items.is_empty() => None,
            Value::Array(items) => {
                let texts: Vec<String> = items
                    .iter()
                    .map(|item| {
                        item.as_str()
                            .map_or_else(|| item.to_string(), str::to_owned)
                    })
                    .collect();
                Some((name, texts.join(",")))
            }
            value => Some((name, value.to_string())),
        })
    }
}

/// Where backends are looked up by index.
pub(super) trait Backends {
    /// The backend at this index, if the index is in use.
    fn at(&self, index: u32) -> Option<Backend>;
}

impl Backends for Table<u32, Backend> {
    fn at(&self, index: u32) -> Option<Backend> {
        // Only for a label: an index that cannot be read stays a number.
        self.value(&index)
            .ok()
            .flatten()
            .filter(|backend| backend.service != 0)
    }
}

/// Puts entries into words.
pub(super) struct Describe<'a> {
    pub(super) names: &'a dyn Names,
    pub(super) backends: &'a dyn Backends,
}

impl Describe<'_> {
    pub(super) fn service(&self, key: &ServiceKey, service: &Service) -> Entry {
        let scope = if key.scope == Scope::UPLINK {
            "/uplink"
        } else {
            ""
        };
        let unlimited = service.max_connections == u32::MAX;
        let value = json!({
            "id": service.id,
            "pool": self.pool(service.id),
            "first_slot": service.first_slot,
            "slots": service.slots,
            "algorithm": algorithm(service.algorithm),
            "max_connections": if unlimited { Value::Null } else { service.max_connections.into() },
            "affinity_seconds": service.affinity_seconds,
            "flags": flags(u32::from(service.flags), &[(u32::from(Service::MASQUERADE), "masquerade")]),
        });
        let at = at(key.address, key.port);
        Entry {
            key: format!("{at}/{}{scope}", protocol(key.protocol)),
            value,
        }
    }

    pub(super) fn slot(&self, index: u32, slot: &Slot) -> Entry {
        let value = json!({
            "backend": slot.backend,
            "address": self.address(slot.backend, None),
            "service": slot.service,
            "pool": self.pool(slot.service),
        });
        Entry {
            key: index.to_string(),
            value,
        }
    }

    pub(super) fn backend(&self, index: u32, backend: &Backend) -> Entry {
        let known = [
            (u32::from(Backend::LOCAL), "local"),
            (u32::from(Backend::DRAINING), "draining"),
            (u32::from(Backend::HBONE), "hbone"),
            (u32::from(Backend::ENROLLED), "enrolled"),
        ];
        let value = json!({
            "address": at(backend.address, backend.port),
            "service": backend.service,
            "pool": self.pool(backend.service),
            "generation": backend.generation,
            "workload": backend.workload,
            "workload_name": self.workload_name(backend.workload),
            "ejected_until": backend.ejected_until,
            "flags": flags(u32::from(backend.flags), &known),
        });
        Entry {
            key: index.to_string(),
            value,
        }
    }

    pub(super) fn backend_state(&self, index: u32, state: &BackendState) -> Entry {
        let value = json!({
            "address": self.address(index, Some(state.generation)),
            "active": state.active,
            "generation": state.generation,
            "consecutive_failures": state.consecutive_failures,
            "consecutive_resets": state.consecutive_resets,
            "failures": state.failures,
            "connections": state.connections,
        });
        Entry {
            key: index.to_string(),
            value,
        }
    }

    pub(super) fn service_state(&self, id: u32, state: &ServiceState) -> Entry {
        let value = json!({
            "pool": self.pool(id),
            "turn": state.turn,
            "no_backend": state.no_backend,
            "over_limit": state.over_limit,
            "udp_flows": state.udp_flows,
        });
        Entry {
            key: id.to_string(),
            value,
        }
    }

    pub(super) fn workload(&self, address: &Address, id: u32) -> Entry {
        let value = json!({ "id": id, "workload_name": self.workload_name(id) });
        Entry {
            key: IpAddr::from(*address).to_string(),
            value,
        }
    }

    pub(super) fn node_address(&self, index: u32, address: &Address) -> Entry {
        let family = if index == 0 { "IPv4" } else { "IPv6" };
        let value = json!({ "family": family, "address": IpAddr::from(*address).to_string() });
        Entry {
            key: index.to_string(),
            value,
        }
    }

    pub(super) fn affinity(&self, key: &AffinityKey, affinity: &Affinity) -> Entry {
        let value = json!({
            "pool": self.pool(key.service),
            "backend": affinity.backend,
            "generation": affinity.generation,
            "address": self.address(affinity.backend, Some(affinity.generation)),
            "seen": affinity.seen,
        });
        Entry {
            key: format!("{},{}", client(key.client), key.service),
            value,
        }
    }

    pub(super) fn flow(&self, key: &FlowKey, flow: &FlowValue) -> Entry {
        let known = [
            (u32::from(FlowValue::FIN), "fin"),
            (u32::from(FlowValue::RESET), "reset"),
            (u32::from(FlowValue::ESTABLISHED), "established"),
            (u32::from(FlowValue::FORWARD), "forward"),
            (u32::from(FlowValue::MASQUERADED), "masqueraded"),
        ];
        let source = flow.flags & FlowValue::SOURCE != 0;
        let value = json!({
            "rewrites": if source { "source" } else { "destination" },
            "to": at(flow.address, flow.port),
            "service": flow.service,
            "pool": self.pool(flow.service),
            "backend": flow.backend,
            "generation": flow.generation,
            "bytes": flow.bytes,
            "seen": flow.seen,
            "flags": flags(u32::from(flow.flags & !FlowValue::SOURCE), &known),
        });
        let hook = if key.hook == FlowKey::EGRESS {
            "egress"
        } else {
            "ingress"
        };
        let from = at(key.source, key.source_port);
        let to = at(key.destination, key.destination_port);
        Entry {
            key: format!("{from}>{to}/{}/{hook}", protocol(key.protocol)),
            value,
        }
    }

    pub(super) fn edge(&self, key: &EdgeKey, edge: &EdgeValue) -> Entry {
        let value = json!({
            "source": self.workload_name(key.source),
            "pool": self.pool(key.service),
            "destination": self.workload_name(key.destination),
            "opened": edge.opened,
            "closed": edge.closed,
            "failed": edge.failed,
            "reset": edge.reset,
            "sent": edge.sent,
            "received": edge.received,
            "retransmits": edge.retransmits,
            "rtt_sum": edge.rtt_sum,
            "connect_sum": edge.connect_sum,
            "rtt": edge.rtt,
            "connect": edge.connect,
            "seen": edge.seen,
        });
        let EdgeKey {
            source,
            service,
            destination,
            ..
        } = key;
        let protocol = protocol(key.protocol);
        let security = match key.security {
            EdgeKey::ATTESTED => ",attested",
            EdgeKey::HBONE => ",hbone",
            _ => "",
        };
        Entry {
            key: format!("{source},{service},{destination},{protocol}{security}"),
            value,
        }
    }

    pub(super) fn counter(&self, index: u32, count: u64) -> Entry {
        let name = COUNTERS.get(index as usize).copied().unwrap_or("unknown");
        Entry {
            key: name.to_owned(),
            value: json!({ "index": index, "count": count }),
        }
    }

    pub(super) fn pool(&self, id: u32) -> Option<String> {
        if id == weft_lower::canary::CANARY_POOL {
            return Some("canary".to_owned());
        }
        let pool = self.names.pool(id)?;
        let (namespace, name) = (&pool.namespace, &pool.short_name);
        Some(format!(
            "{namespace}/{name}:{}/{} {}",
            pool.port, pool.protocol, pool.class
        ))
    }

    pub(super) fn workload_name(&self, id: u32) -> Option<String> {
        let workload = self.names.workload(id)?;
        Some(format!("{}/{}", workload.namespace, workload.name))
    }

    /// Address and port of a backend, of this generation if one is asked for.
    fn address(&self, index: u32, generation: Option<u32>) -> Option<String> {
        let backend = self.backends.at(index)?;
        let same = generation.is_none_or(|generation| generation == backend.generation);
        same.then(|| at(backend.address, backend.port))
    }
}

pub(super) fn at(address: Address, port: u16) -> String {
    SocketAddr::new(address.into(), port).to_string()
}

/// A client with affinity: its address, or the namespace cookie of a socket not bound yet.
fn client(client: Address) -> String {
    let (cookie, rest) = client.bytes.split_at(8);
    match <[u8; 8]>::try_from(cookie) {
        Ok(cookie) if rest == [0; 8] && cookie != [0; 8] => {
            format!("netns:{}", u64::from_ne_bytes(cookie))
        }
        _ => IpAddr::from(client).to_string(),
    }
}

fn protocol(number: u8) -> String {
    match number {
        Protocol::TCP => "tcp".to_owned(),
        Protocol::UDP => "udp".to_owned(),
        other => other.to_string(),
    }
}

fn algorithm(number: u8) -> String {
    match number {
        Service::ROUND_ROBIN => "round_robin".to_owned(),
        Service::RANDOM => "random".to_owned(),
        Service::LEAST_CONNECTIONS => "least_connections".to_owned(),
        Service::HASH => "hash".to_owned(),
        other => other.to_string(),
    }
}

/// Names of the bits that are set; unknown ones as a number.
pub(super) fn flags(bits: u32, known: &[(u32, &str)]) -> Vec<String> {
    let mut names = Vec::new();
    let mut left = bits;
    for (bit, name) in known {
        if bits & bit != 0 {
            names.push((*name).to_owned());
            left &= !bit;
        }
    }
    if left != 0 {
        names.push(format!("{left:#x}"));
    }
    names
}

mod mesh;

#[cfg(test)]
mod tests;
