//! What one address of the mesh asks for: mTLS modes, and how it is reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_abi::{Backend, MtlsMode as Mode};
use weft_decision::{
    Subject, mtls,
    mtls::{Server, opens_mtls},
};
use weft_model::{
    Exclusions, Instance, Tunnel,
    policy::{MtlsMode, Policies},
};

/// mTLS modes of a workload: what `PeerAuthentication` says, as maps hold it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Modes {
    /// Of ports that `ports` does not name.
    pub mode: MtlsMode,
    /// By the port the workload listens on, where it differs.
    pub ports: BTreeMap<u16, MtlsMode>,
    /// Ports that are no affair of the mesh, whatever the modes say.
    pub excluded: BTreeSet<u16>,
}

impl Modes {
    /// What [`mtls()`] says of each port.
    pub fn of(policies: &Policies, subject: &Subject<'_>, exclusions: &Exclusions) -> Self {
        // No policy names port 0.
        let decision = mtls(policies, subject, 0);
        let named = decision.considered.iter().flat_map(|it| it.ports.keys());
        let ports = named.map(|port| (*port, mtls(policies, subject, *port).mode));
        let ports = ports.filter(|(_, mode)| *mode != decision.mode).collect();
        Self {
            mode: decision.mode,
            ports,
            excluded: exclusions.inbound_ports.iter().copied().collect(),
        }
    }

    /// Whether clients on other nodes reach a port by mTLS.
    fn takes_mtls(&self, port: u16) -> bool {
        let mode = self.ports.get(&port).copied().unwrap_or(self.mode);
        mode != MtlsMode::Disable && !self.excluded.contains(&port)
    }

    /// What `PORT_MODES` has of single ports.
    pub(super) fn entries(&self) -> BTreeMap<u16, u8> {
        let modes = self.ports.iter();
        let modes = modes.map(|(port, mode)| (*port, mode_number(*mode)));
        let excluded = self.excluded.iter().map(|port| (*port, Mode::EXCLUDED));
        modes.chain(excluded).collect()
    }
}

/// `weft_abi::MtlsMode`.
pub(super) fn mode_number(mode: MtlsMode) -> u8 {
    match mode {
        MtlsMode::Disable => Mode::DISABLE,
        MtlsMode::Permissive => Mode::PERMISSIVE,
        MtlsMode::Strict => Mode::STRICT,
    }
}

/// How an endpoint at an address is reached from this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Enrolled on this node.
    pub is_here: bool,
    /// The modes of its ports, where clients on other nodes reach it by HBONE.
    pub hbone: Option<Modes>,
}

impl Reach {
    /// Flags of `BACKENDS` entries at that address.
    pub(crate) fn flags(&self, port: u16) -> u16 {
        match &self.hbone {
            _ if self.is_here => Backend::ENROLLED,
            Some(modes) if modes.takes_mtls(port) => Backend::HBONE,
            _ => 0,
        }
    }
}

/// What one address asks for.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Standing {
    pub(super) instance: Arc<Instance>,
    /// Cookie of its namespace, when it is enrolled on this node.
    pub(super) here: Option<u64>,
    /// Whether it listens for HBONE.
    pub(super) has_hbone: bool,
    pub(super) modes: Modes,
}

impl Standing {
    /// None for one that takes no part in the mesh.
    pub(super) fn new(
        instance: &Arc<Instance>,
        here: Option<u64>,
        node: Option<&Arc<str>>,
        policies: &Policies,
    ) -> Option<Self> {
        if here.is_none() && instance.tunnel == Tunnel::None && !instance.is_enrolled {
            return None;
        }
        let modes = with_subject(instance, |subject| {
            Modes::of(policies, subject, &instance.exclusions)
        });
        // On this node but not enrolled, nobody listens for it.
        let is_missing = here.is_none() && node.is_some() && instance.node.as_ref() == node;
        let server = |mode| Server {
            is_in_mesh: true,
            mode,
        };
        let opens = opens_mtls(policies, server(MtlsMode::Permissive));
        let has_tunnel = here.is_some() || instance.tunnel == Tunnel::Hbone;
        Some(Self {
            instance: Arc::clone(instance),
            here,
            has_hbone: has_tunnel && opens && !is_missing,
            modes,
        })
    }

    pub(super) fn reach(&self) -> Reach {
        Reach {
            is_here: self.here.is_some(),
            hbone: self.has_hbone.then(|| self.modes.clone()),
        }
    }
}

/// An instance as the subject of policies.
pub(super) fn with_subject<T>(instance: &Instance, ask: impl FnOnce(&Subject<'_>) -> T) -> T {
    let labels = instance.labels.iter();
    let labels: Vec<(&str, &str)> = labels.map(|(key, value)| (&**key, &**value)).collect();
    ask(&Subject {
        namespace: &instance.namespace,
        labels: &labels,
        services: &[],
        gateway: None,
    })
}
