//! `PeerAuthentication`: which connections a workload takes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Author, Scope};

/// Which connections a workload takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PeerAuthentication {
    /// Who wrote it.
    pub author: Author,
    /// What it holds for.
    pub scope: Scope,
    /// `mtls.mode`; none (`UNSET`) inherits.
    pub mode: Option<MtlsMode>,
    /// `portLevelMtls` by the port the workload listens on; none (`UNSET`) inherits.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
}

/// Which connections a port takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MtlsMode {
    /// Only plain ones.
    Disable,
    /// Plain and mTLS ones.
    Permissive,
    /// Only mTLS ones.
    Strict,
}

impl MtlsMode {
    /// In lower case, as answers show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Permissive => "permissive",
            Self::Strict => "strict",
        }
    }
}
