//! Which connections a workload takes, and which its clients open.

use weft_model::policy::{MtlsMode, PeerAuthentication, Policies, Scope};

use crate::subject::Subject;

/// Which connections a port takes, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MtlsDecision<'p> {
    /// Which it takes.
    pub mode: MtlsMode,
    /// The policy that says so; none when nothing does, and permissive is the default.
    pub decided_by: Option<&'p PeerAuthentication>,
    /// Policies asked, from the most to the least specific. Of each rank only the oldest counts.
    pub considered: Vec<&'p PeerAuthentication>,
}

/// Which connections a workload takes on a port it listens on: its own policy before its
/// namespace's before the mesh's, the oldest of each; what is unset inherits.
pub fn mtls<'p>(policies: &'p Policies, subject: &Subject<'_>, port: u16) -> MtlsDecision<'p> {
    let mut ranks: [Option<&PeerAuthentication>; 3] = [None; 3];
    for policy in policies.peer.values() {
        let rank = match &policy.scope {
            Scope::Workloads { .. } => 0,
            Scope::Namespace(_) => 1,
            Scope::Mesh => 2,
            Scope::Targets(_) => continue,
        };
        let is_older = ranks[rank].is_none_or(|other| policy.author.age() < other.author.age());
        if subject.is_in(&policy.scope) && is_older {
            ranks[rank] = Some(policy);
        }
    }
    let considered: Vec<_> = ranks.into_iter().flatten().collect();
    let said = considered.iter().find_map(|policy| {
        let of_port = policy.ports.get(&port).copied().flatten();
        Some((of_port.or(policy.mode)?, *policy))
    });
    MtlsDecision {
        mode: said.map_or(MtlsMode::Permissive, |(mode, _)| mode),
        decided_by: said.map(|(_, policy)| policy),
        considered,
    }
}

/// What a client knows of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server {
    /// Whether it is a workload of the mesh, which can speak mTLS.
    pub is_in_mesh: bool,
    /// Which connections it takes.
    pub mode: MtlsMode,
}

/// Whether a client opens mTLS by itself (`enableAutoMtls`): wherever the server can and takes it.
pub fn opens_mtls(policies: &Policies, server: Server) -> bool {
    policies.mesh.is_mtls_automatic && server.is_in_mesh && server.mode != MtlsMode::Disable
}
