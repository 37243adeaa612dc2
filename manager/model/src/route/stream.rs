//! Rules for connections: TCP, and TLS that is not opened.

use std::sync::Arc;

use serde::Serialize;

use super::{Destination, HostPattern, Source};
use crate::Origin;

/// One way for a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StreamRoute {
    /// The resource.
    pub origin: Origin,
    /// Number of the rule in the resource, from 0.
    pub index: usize,
    /// What a connection must be like.
    pub matching: StreamMatch,
    /// Where it goes, by weight.
    pub destinations: Vec<Destination>,
}

/// What a connection must be like: all of it. An empty list asks nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StreamMatch {
    /// Server names of the TLS client hello, one of them.
    pub sni: Vec<HostPattern>,
    /// The port that was dialled.
    pub port: Option<u16>,
    /// Networks with the dialled address, one of them, such as `10.0.0.0/8`.
    pub destination_subnets: Vec<Arc<str>>,
    /// The client.
    pub source: Source,
}
