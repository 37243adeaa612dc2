//! What DestinationRules say of a service.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::Visibility;
use crate::Origin;

/// What one DestinationRule says of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DestinationPolicy {
    /// The rule.
    pub origin: Origin,
    /// Clients for which it holds, unless an earlier one does.
    pub clients: Visibility,
    /// Subsets, in the order of the rule.
    pub subsets: Vec<Subset>,
    /// For each port of the service, in its order: how a destination is chosen by hash.
    pub hashes: Vec<Option<HashPolicy>>,
}

/// Part of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Subset {
    /// Name.
    pub name: Arc<str>,
    /// Labels its endpoints have.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// For each port of the service, in its order: positions in that port's endpoints, ascending.
    pub endpoints: Vec<Vec<u32>>,
    /// For each port of the service, in its order: how one of the subset is chosen by hash.
    pub hashes: Vec<Option<HashPolicy>>,
}

/// What of a request is hashed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum HashPolicy {
    /// A header.
    Header(Arc<str>),
    /// A cookie, made when it is missing and has a lifetime.
    Cookie {
        /// Name.
        name: Arc<str>,
        /// Path it is for.
        path: Option<Arc<str>>,
        /// Lifetime of one that is made; zero ends with the browser's session.
        ttl: Option<Duration>,
    },
    /// A query parameter.
    QueryParameter(Arc<str>),
    /// The client's address.
    SourceIp,
}
