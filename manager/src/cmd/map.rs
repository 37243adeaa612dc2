//! `weft map`: the pinned maps, typed, with names for ids. Needs no manager.

mod entry;
mod key;
mod names;

use std::{io, process::ExitCode};

use serde::Serialize;
use weft_abi::{
    Address, Backend, BackendState, Counter, ServiceState, Slot,
    names::maps::{self, ALL},
};
use weft_loader::{MapDescription, Pinned};

use crate::{
    args::{MapArgs, MapCommand, OutputFormat},
    cmd::{
        instance,
        output::{self, bytes},
        table::Table,
    },
};
use entry::{Describe, Entry};
use key::Key;
pub(crate) use names::RegistryNames;

/// Why a map cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MapError {
    /// No such map.
    #[error("no map {name}; there are {}", ALL.join(", "))]
    Unknown {
        /// As asked.
        name: String,
    },
    /// A map without entries to look up.
    #[error("{name} has no entries to print: {why}")]
    Unreadable {
        /// The map.
        name: &'static str,
        /// Why.
        why: &'static str,
    },
    /// Not a key of that map.
    #[error("{key:?} is no key of {map}: expected {expected}")]
    Key {
        /// The map.
        map: &'static str,
        /// As asked.
        key: String,
        /// What would be one.
        expected: &'static str,
    },
    /// There is no such entry.
    #[error("{map} has no entry {key}")]
    NoEntry {
        /// The map.
        map: &'static str,
        /// As asked.
        key: String,
    },
    /// The kernel refused.
    #[error("the kernel refused to read {map}")]
    Read {
        /// The map.
        map: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nothing is pinned there, or by another version.
    #[error(transparent)]
    Loader(#[from] weft_loader::Error),
}

impl MapError {
    /// Whether the command line was wrong.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. } | Self::Unreadable { .. } | Self::Key { .. }
        )
    }
}

/// Exit code 1 when there is no such entry.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<ExitCode> {
    // What was asked is checked first: it needs neither root nor an installation.
    let asked = match &args.command {
        MapCommand::List => None,
        MapCommand::Dump { name } => Some((readable(name)?, None)),
        MapCommand::Get { name, key } => {
            let map = readable(name)?;
            Some((map, Some((key.as_str(), Key::parse(map, key)?))))
        }
    };
    let state = instance::installed(args.instance.state.as_deref())?;
    let pinned = Pinned::open(&state).map_err(MapError::from)?;
    let Some((map, key)) = asked else {
        let lines = list(&pinned)?;
        return output::print(args.output, &lines, |lines| list_text(lines));
    };
    let names = RegistryNames::read(&state);
    let describe = Describe {
        names: &names,
        backends: &pinned.maps().backends,
    };
    match key {
        None => {
            let entries = dump(&pinned, map, &describe)?;
            if args.output.output == OutputFormat::Table
                && let Some(why) = names.missing()
            {
                output::write(&format!("# ids without names: {why}\n"))?;
            }
            output::print(args.output, &entries, |entries| {
                entries.iter().map(Entry::line).collect()
            })
        }
        Some((text, key)) => {
            let none = || MapError::NoEntry {
                map,
                key: text.to_owned(),
            };
            let entry = find(&pinned, &key, &describe)?.ok_or_else(none)?;
            output::print(args.output, &entry, Entry::lines)
        }
    }
}

fn readable(name: &str) -> Result<&'static str, MapError> {
    let found = ALL.iter().find(|map| map.eq_ignore_ascii_case(name));
    match found.copied() {
        None => Err(MapError::Unknown {
            name: name.to_owned(),
        }),
        Some(name @ (maps::SOCKETS | maps::UDP_FLOWS)) => Err(MapError::Unreadable {
            name,
            why: "its values live in sockets, each reachable only through its own",
        }),
        Some(name @ maps::EVENTS) => Err(MapError::Unreadable {
            name,
            why: "it is a stream that the manager reads; see weft status",
        }),
        Some(name) => Ok(name),
    }
}

/// One line of `weft map list`.
#[derive(Clone, Debug, Serialize)]
struct MapLine {
    name: String,
    id: u32,
    kind: &'static str,
    key_size: u32,
    value_size: u32,
    /// Entries in use, where they can be counted.
    entries: Option<u32>,
    max_entries: u32,
    memory_bytes: u64,
}

fn list(pinned: &Pinned) -> Result<Vec<MapLine>, MapError> {
    let usage = pinned.maps().usage()?;
    let line = |map: MapDescription| MapLine {
        entries: usage
            .iter()
            .find(|usage| usage.map == map.name)
            .map(|usage| usage.used),
        name: map.name,
        id: map.id,
        kind: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        memory_bytes: map.memory,
    };
    let mut lines: Vec<MapLine> = pinned.list()?.into_iter().map(line).collect();
    let place = |line: &MapLine| ALL.iter().position(|name| *name == line.name);
    lines.sort_by_key(|line| (place(line).unwrap_or(usize::MAX), line.id));
    Ok(lines)
}

fn list_text(lines: &[MapLine]) -> String {
    let mut table = Table::new([
        "MAP", ">ID", "TYPE", ">KEY", ">VALUE", ">ENTRIES", ">ROOM", ">MEMORY",
    ]);
    for line in lines {
        table.row([
            line.name.clone(),
            line.id.to_string(),
            line.kind.to_owned(),
            line.key_size.to_string(),
            line.value_size.to_string(),
            line.entries
                .map(|entries| entries.to_string())
                .unwrap_or_default(),
            line.max_entries.to_string(),
            bytes(line.memory_bytes as f64),
        ]);
    }
    table.render(0)
}

/// All entries, ordered by key; of arrays those that are not zero.
fn dump(pinned: &Pinned, map: &'static str, to: &Describe<'_>) -> Result<Vec<Entry>, MapError> {
    let all = pinned.maps();
    let read = |source| MapError::Read { map, source };
    Ok(match map {
        maps::SERVICES => entries(all.services.entries().map_err(read)?, |k, v| {
            to.service(k, v)
        }),
        maps::WORKLOADS => entries(all.workloads.entries().map_err(read)?, |k, v| {
            to.workload(k, *v)
        }),
        maps::AFFINITY => entries(all.affinity.entries().map_err(read)?, |k, v| {
            to.affinity(k, v)
        }),
        maps::FLOWS => entries(all.flows.entries().map_err(read)?, |k, v| to.flow(k, v)),
        maps::EDGES => entries(all.edges.entries().map_err(read)?, |k, v| to.edge(k, v)),
        maps::SLOTS => used(
            all.slots.entries().map_err(read)?,
            &Slot::default(),
            |k, v| to.slot(k, v),
        ),
        maps::BACKENDS => used(
            all.backends.entries().map_err(read)?,
            &Backend::default(),
            |k, v| to.backend(k, v),
        ),
        maps::BACKEND_STATE => {
            let entries = all.backend_state.entries().map_err(read)?;
            used(entries, &BackendState::default(), |k, v| {
                to.backend_state(k, v)
            })
        }
        maps::SERVICE_STATE => {
            let entries = all.service_state.entries().map_err(read)?;
            used(entries, &ServiceState::default(), |k, v| {
                to.service_state(k, v)
            })
        }
        maps::NODE_ADDRESS => {
            let entries = all.node_address.entries().map_err(read)?;
            used(entries, &Address::default(), |k, v| to.node_address(k, v))
        }
        maps::COUNTERS => {
            let counters = all.counters()?;
            (0..Counter::COUNT)
                .map(|index| to.counter(index, counters[index as usize]))
                .collect()
        }
        maps::ENROLLED => entries(all.enrolled.entries().map_err(read)?, |k, v| {
            to.enrolment(*k, v)
        }),
        maps::PEERS => entries(all.peers.entries().map_err(read)?, |k, v| to.peer(k, v)),
        maps::PORT_MODES => entries(all.port_modes.entries().map_err(read)?, |k, v| {
            to.port_mode(k, *v)
        }),
        maps::EXCLUDED => entries(all.excluded.entries().map_err(read)?, |k, v| {
            to.excluded(k, *v)
        }),
        maps::CAPTURED => entries(all.captured.entries().map_err(read)?, |k, v| {
            to.captured(k, v)
        }),
        maps::ORIGINS => entries(all.origins.entries().map_err(read)?, |k, v| to.origin(k, v)),
        maps::ATTESTED => entries(all.attested.entries().map_err(read)?, |k, v| {
            to.attested(k, v)
        }),
        maps::AUTHZ_SETS => entries(all.sets.entries().map_err(read)?, |k, v| to.set(*k, v)),
        maps::AUTHZ_IDENTITY => entries(all.set_identities.entries().map_err(read)?, |k, v| {
            to.set_identity(k, v)
        }),
        maps::AUTHZ_SOURCE => entries(all.set_sources.entries().map_err(read)?, |k, v| {
            to.set_source(k, v)
        }),
        maps::AUTHZ_PORT => entries(all.set_ports.entries().map_err(read)?, |k, v| {
            to.set_port(k, v)
        }),
        maps::AUTHZ_HITS => entries(all.hits.entries().map_err(read)?, |k, v| to.hits(k, *v)),
        maps::CLIENT_LIMITS => entries(all.client_limits.entries().map_err(read)?, |k, v| {
            to.client_limit(*k, v)
        }),
        maps::CLIENT_STATE => entries(all.client_state.entries().map_err(read)?, |k, v| {
            to.client_state(k, v)
        }),
        name => {
            return Err(MapError::Unreadable {
                name,
                why: "this version cannot read it",
            });
        }
    })
}

fn entries<K: Ord, V>(mut all: Vec<(K, V)>, entry: impl Fn(&K, &V) -> Entry) -> Vec<Entry> {
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    all.iter().map(|(key, value)| entry(key, value)).collect()
}

fn used<V: PartialEq>(
    all: Vec<(u32, V)>,
    zero: &V,
    entry: impl Fn(u32, &V) -> Entry,
) -> Vec<Entry> {
    all.iter()
        .filter(|(_, value)| value != zero)
        .map(|(key, value)| entry(*key, value))
        .collect()
}

fn find(pinned: &Pinned, key: &Key, to: &Describe<'_>) -> Result<Option<Entry>, MapError> {
    let all = pinned.maps();
    let read = |map| move |source| MapError::Read { map, source };
    Ok(match key {
        Key::Service(key) => {
            let value = all.services.value(key).map_err(read(maps::SERVICES))?;
            value.map(|value| to.service(key, &value))
        }
        Key::Workload(address) => {
            let value = all
                .workloads
                .value(address)
                .map_err(read(maps::WORKLOADS))?;
            value.map(|value| to.workload(address, value))
        }
        Key::Edge(key) => {
            let value = all.edges.value(key).map_err(read(maps::EDGES))?;
            value.map(|value| to.edge(key, &value))
        }
        Key::Counter(index) => Some(to.counter(*index, all.counters()?[*index as usize])),
        Key::NodeAddress(index) => {
            let value = all
                .node_address
                .value(index)
                .map_err(read(maps::NODE_ADDRESS))?;
            value.map(|value| to.node_address(*index, &value))
        }
        Key::Slot(index) => {
            let value = all.slots.value(index).map_err(read(maps::SLOTS))?;
            value.map(|value| to.slot(*index, &value))
        }
        Key::Backend(index) => {
            let value = all.backends.value(index).map_err(read(maps::BACKENDS))?;
            value.map(|value| to.backend(*index, &value))
        }
        Key::BackendState(index) => {
            let value = all
                .backend_state
                .value(index)
                .map_err(read(maps::BACKEND_STATE))?;
            value.map(|value| to.backend_state(*index, &value))
        }
        Key::ServiceState(index) => {
            let value = all
                .service_state
                .value(index)
                .map_err(read(maps::SERVICE_STATE))?;
            value.map(|value| to.service_state(*index, &value))
        }
        Key::Enrolment(netns) => {
            let value = all.enrolled.value(netns).map_err(read(maps::ENROLLED))?;
            value.map(|value| to.enrolment(*netns, &value))
        }
        Key::Peer(address) => {
            let value = all.peers.value(address).map_err(read(maps::PEERS))?;
            value.map(|value| to.peer(address, &value))
        }
        Key::PortMode(key) => {
            let value = all.port_modes.value(key).map_err(read(maps::PORT_MODES))?;
            value.map(|value| to.port_mode(key, value))
        }
        Key::Set(set) => {
            let value = all.sets.value(set).map_err(read(maps::AUTHZ_SETS))?;
            value.map(|value| to.set(*set, &value))
        }
        Key::ClientLimit(pool) => {
            let value = all
                .client_limits
                .value(pool)
                .map_err(read(maps::CLIENT_LIMITS))?;
            value.map(|value| to.client_limit(*pool, &value))
        }
        Key::ClientState(key) => {
            let value = all
                .client_state
                .value(key)
                .map_err(read(maps::CLIENT_STATE))?;
            value.map(|value| to.client_state(key, &value))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_found_in_either_case_and_streams_are_refused() {
        assert_eq!(readable("services").expect("a map"), "SERVICES");
        let unknown = readable("nope").expect_err("no map");
        assert!(
            unknown.is_usage() && unknown.to_string().contains("SERVICES, SLOTS"),
            "{unknown}"
        );
        for map in ["EVENTS", "sockets", "UDP_FLOWS"] {
            assert!(
                matches!(readable(map), Err(MapError::Unreadable { .. })),
                "{map}"
            );
        }
    }

    #[test]
    fn the_list_shows_how_full_maps_are_where_it_is_known() {
        let line = |name: &str, entries| MapLine {
            name: name.into(),
            id: 7,
            kind: "hash",
            key_size: 20,
            value_size: 24,
            entries,
            max_entries: 65_536,
            memory_bytes: 4 << 20,
        };
        let text = "\
MAP       ID  TYPE  KEY  VALUE  ENTRIES   ROOM  MEMORY
SERVICES   7  hash   20     24        3  65536    4.0M
SOCKETS    7  hash   20     24        -  65536    4.0M
";
        assert_eq!(
            list_text(&[line("SERVICES", Some(3)), line("SOCKETS", None)]),
            text
        );
    }
}
