//! What could not be written, and why.

use std::net::IpAddr;

use weft_model::ServiceName;

/// Something the mesh asks for that the maps do not hold. Stands until it is resolved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Shortage {
    /// A service does not fit: it goes on with those of its backends that it has already, or as it
    /// last was.
    #[error(
        "map {map} has room for {capacity} entries and no more for service {service}, which goes on with what it has; make the map larger or remove services"
    )]
    Service {
        /// Name of the map, from [`weft_abi::names::maps`].
        map: &'static str,
        /// Its size in entries.
        capacity: u32,
        /// The service.
        service: ServiceName,
    },
    /// An address has no entry; its traffic counts as that of an unknown workload.
    #[error(
        "map {map} has room for {capacity} entries and no more for address {address}; make the map larger"
    )]
    Workload {
        /// Name of the map.
        map: &'static str,
        /// Its size in entries.
        capacity: u32,
        /// The address.
        address: IpAddr,
    },
    /// Two services claim one address, port and protocol; the one whose name sorts first has it.
    #[error(
        "service {service} does not get {address} port {port}: {} has it; change one of them",
        owner.as_ref().map_or_else(|| "the canary".to_owned(), |owner| format!("service {owner}"))
    )]
    Frontend {
        /// The service without it.
        service: ServiceName,
        /// The address clients dial.
        address: IpAddr,
        /// The port clients dial.
        port: u16,
        /// IANA number.
        protocol: u8,
        /// The service with it; `None` is the canary.
        owner: Option<ServiceName>,
    },
}
