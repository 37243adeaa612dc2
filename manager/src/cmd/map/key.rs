//! Keys as people write them.

use std::net::{IpAddr, SocketAddr};

use weft_abi::{
    Address, ClientKey, EdgeKey, PortModeKey, Protocol, Scope, ServiceKey, names::maps,
};

use super::{MapError, entry::COUNTERS};

/// A key of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Service(ServiceKey),
    Workload(Address),
    Edge(EdgeKey),
    Counter(u32),
    NodeAddress(u32),
    Slot(u32),
    Backend(u32),
    BackendState(u32),
    ServiceState(u32),
    Enrolment(u64),
    Peer(Address),
    PortMode(PortModeKey),
    Set(u32),
    ClientLimit(u32),
    ClientState(ClientKey),
}

impl Key {
    /// Reads a key of `map`.
    ///
    /// # Errors
    /// [`MapError::Key`].
    pub(super) fn parse(map: &'static str, key: &str) -> Result<Self, MapError> {
        let index = || key.parse::<u32>().ok();
        let (parsed, expected) = match map {
            maps::SERVICES => (
                service(key).map(Self::Service),
                "ADDR:PORT/tcp or /udp, and /uplink after it for packets from outside",
            ),
            maps::WORKLOADS => {
                let address = key.parse::<IpAddr>().ok();
                (
                    address.map(|address| Self::Workload(address.into())),
                    "an address",
                )
            }
            maps::EDGES => (
                edge(key).map(Self::Edge),
                "SOURCE,SERVICE,DESTINATION as ids, with ,udp after them for UDP, or ,tcp,hbone or \
                 ,tcp,attested where the connection is proved so",
            ),
            maps::COUNTERS => (
                counter(key).map(Self::Counter),
                "the name of a counter, see dump",
            ),
            maps::NODE_ADDRESS => (index().map(Self::NodeAddress), "0 for IPv4, 1 for IPv6"),
            maps::SLOTS => (index().map(Self::Slot), "an index"),
            maps::BACKENDS => (index().map(Self::Backend), "an index"),
            maps::BACKEND_STATE => (index().map(Self::BackendState), "an index"),
            maps::SERVICE_STATE => (index().map(Self::ServiceState), "a pool id"),
            maps::ENROLLED => (
                key.parse().ok().map(Self::Enrolment),
                "the cookie of a network namespace",
            ),
            maps::PEERS => {
                let address = key.parse::<IpAddr>().ok();
                (
                    address.map(|address| Self::Peer(address.into())),
                    "an address",
                )
            }
            maps::PORT_MODES => (port_mode(key).map(Self::PortMode), "ADDR:PORT"),
            maps::AUTHZ_SETS => (index().map(Self::Set), "the number of a rule set"),
            maps::CLIENT_LIMITS => (index().map(Self::ClientLimit), "a pool id"),
            maps::CLIENT_STATE => (
                client(key).map(Self::ClientState),
                "IDENTITY,SERVICE as numbers",
            ),
            _ => (
                None,
                "nothing: its keys are many and short-lived, so dump it",
            ),
        };
        parsed.ok_or_else(|| MapError::Key {
            map,
            key: key.to_owned(),
            expected,
        })
    }
}

fn service(text: &str) -> Option<ServiceKey> {
    let mut parts = text.split('/');
    let at: SocketAddr = parts.next()?.parse().ok()?;
    let protocol = match parts.next()?.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        _ => return None,
    };
    let scope = match parts.next() {
        None | Some("socket") => Scope::SOCKET,
        Some("uplink") => Scope::UPLINK,
        Some(_) => return None,
    };
    let key = ServiceKey {
        address: at.ip().into(),
        port: at.port(),
        protocol,
        scope,
    };
    parts.next().is_none().then_some(key)
}

fn edge(text: &str) -> Option<EdgeKey> {
    let mut parts = text.split(',').map(str::trim);
    let mut id = || parts.next()?.parse::<u32>().ok();
    let (source, service, destination) = (id()?, id()?, id()?);
    let protocol = match parts.next() {
        None | Some("tcp") => Protocol::TCP,
        Some("udp") => Protocol::UDP,
        Some(_) => return None,
    };
    let security = match parts.next() {
        None => 0,
        Some("attested") => EdgeKey::ATTESTED,
        Some("hbone") => EdgeKey::HBONE,
        Some(_) => return None,
    };
    let key = EdgeKey {
        source,
        service,
        destination,
        protocol,
        security,
        reserved: [0; 2],
    };
    parts.next().is_none().then_some(key)
}

fn port_mode(text: &str) -> Option<PortModeKey> {
    let at: SocketAddr = text.parse().ok()?;
    Some(PortModeKey {
        address: at.ip().into(),
        port: at.port(),
        reserved: 0,
    })
}

fn client(text: &str) -> Option<ClientKey> {
    let (identity, service) = text.split_once(',')?;
    Some(ClientKey {
        identity: identity.trim().parse().ok()?,
        service: service.trim().parse().ok()?,
    })
}

fn counter(text: &str) -> Option<u32> {
    let named = COUNTERS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    let index = named.or_else(|| text.parse().ok())?;
    (index < COUNTERS.len()).then(|| u32::try_from(index).expect("fewer than 2^32 counters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frontends_are_written_as_people_do() {
        let parse = |key| Key::parse(maps::SERVICES, key);
        let v4 = ServiceKey {
            address: Address::v4([10, 96, 0, 1]),
            port: 80,
            protocol: Protocol::TCP,
            scope: Scope::SOCKET,
        };
        assert_eq!(parse("10.96.0.1:80/tcp").expect("a key"), Key::Service(v4));
        let uplink = ServiceKey {
            protocol: Protocol::UDP,
            scope: Scope::UPLINK,
            ..v4
        };
        assert_eq!(
            parse("10.96.0.1:80/UDP/uplink").expect("a key"),
            Key::Service(uplink)
        );
        assert!(parse("[fd00::1]:80/tcp").is_ok());
        for wrong in [
            "",
            "10.96.0.1/tcp",
            "10.96.0.1:80",
            "10.96.0.1:80/sctp",
            "1.2.3.4:5/tcp/x",
            "1.2.3.4:5/tcp/uplink/x",
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(
                error.is_usage() && error.to_string().contains("ADDR:PORT"),
                "{error}"
            );
        }
    }

    #[test]
    fn other_keys_are_ids_indices_addresses_and_names() {
        let edge = EdgeKey {
            source: 1,
            service: 2,
            destination: 3,
            protocol: 17,
            security: 0,
            reserved: [0; 2],
        };
        assert_eq!(
            Key::parse(maps::EDGES, "1,2,3,udp").expect("a key"),
            Key::Edge(edge)
        );
        assert_eq!(Key::parse(maps::SLOTS, "9").expect("a key"), Key::Slot(9));
        assert_eq!(
            Key::parse(maps::COUNTERS, "edges_full").expect("a key"),
            Key::Counter(1)
        );
        let workload = Key::Workload(Address::v4([10, 0, 0, 1]));
        assert_eq!(
            Key::parse(maps::WORKLOADS, "10.0.0.1").expect("a key"),
            workload
        );
        for (map, wrong) in [
            (maps::EDGES, "1,2"),
            (maps::EDGES, "1,2,3,tcp,x"),
            (maps::SLOTS, "-1"),
            (maps::COUNTERS, "99"),
            (maps::WORKLOADS, "x"),
            (maps::FLOWS, "1"),
        ] {
            assert!(Key::parse(map, wrong).is_err(), "{map} {wrong}");
        }
    }
}
