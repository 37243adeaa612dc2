//! Kubernetes `Pod`.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
use serde_json::Value;

use super::capture::{self, Capture};
use crate::{Resource, decode::Reading, object::Metadata, path::At};

/// A pod, as far as endpoints and metrics need it. Its labels are those of its object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    /// `spec.nodeName`.
    pub node: Option<Arc<str>>,
    /// `spec.serviceAccountName`, `default` when unset.
    pub service_account: Arc<str>,
    /// `spec.hostNetwork`.
    pub is_host_network: bool,
    /// What its annotations say of capturing its traffic.
    pub capture: Capture,
    /// `status.podIPs`, else `status.podIP`.
    pub addresses: Vec<IpAddr>,
    /// `status.phase`.
    pub phase: Phase,
    /// Condition `Ready`.
    pub is_ready: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub is_terminating: bool,
    /// The controlling owner.
    pub owner: Option<Owner>,
    /// Named ports of its containers.
    pub ports: Box<[ContainerPort]>,
}

/// The controller that made a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Kind, such as `ReplicaSet`.
    pub kind: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// A named port of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerPort {
    /// Name.
    pub name: Arc<str>,
    /// Port it listens on.
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Arc<str>,
}

/// `status.phase`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the variants are the phases of Kubernetes")]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    #[default]
    Unknown,
}

impl Phase {
    /// Whether the pod has ended for good, so that its address may belong to somebody else.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: PodSpec = cx.field(object, "spec")?;
    let status: PodStatus = cx.field(object, "status")?;
    let owner = metadata.controller.as_ref();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    Some(Resource::Pod(Box::new(Pod {
        node: spec
            .node_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .map(|n| cx.interner.name(n)),
        service_account: account(&spec, cx),
        is_host_network: spec.host_network.unwrap_or(false),
        capture: capture::read(object, cx),
        addresses: addresses(&status, cx),
        phase: phase(&status, cx),
        is_ready: ready.is_some_and(|condition| condition.status == "True"),
        is_terminating: metadata.is_deleting,
        owner: owner.map(|(kind, name)| Owner {
            kind: Arc::clone(kind),
            name: Arc::clone(name),
        }),
        ports: ports(&spec, At::top("spec"), cx),
    })))
}

/// A pod that is not there yet.
pub(super) fn template(spec: &PodSpec, at: At<'_>, cx: &mut Reading<'_>) -> Pod {
    Pod {
        node: None,
        service_account: account(spec, cx),
        is_host_network: spec.host_network.unwrap_or(false),
        capture: Capture::default(),
        addresses: Vec::new(),
        phase: Phase::Unknown,
        is_ready: false,
        is_terminating: false,
        owner: None,
        ports: ports(spec, at, cx),
    }
}

fn account(spec: &PodSpec, cx: &mut Reading<'_>) -> Arc<str> {
    let name = spec.service_account_name.as_deref();
    let name = name.filter(|name| !name.is_empty());
    cx.interner.name(name.unwrap_or("default"))
}

fn addresses(status: &PodStatus, cx: &mut Reading<'_>) -> Vec<IpAddr> {
    let at = At::top("status");
    let list = at.key("podIPs");
    let mut addresses = Vec::new();
    for (index, written) in status.pod_ips.iter().flatten().enumerate() {
        let at = list.index(index);
        addresses.extend(cx.address(at.key("ip"), &written.ip));
    }
    if let (true, Some(ip)) = (
        addresses.is_empty(),
        status.pod_ip.as_deref().filter(|ip| !ip.is_empty()),
    ) {
        addresses.extend(cx.address(at.key("podIP"), ip));
    }
    addresses
}

fn phase(status: &PodStatus, cx: &mut Reading<'_>) -> Phase {
    match status.phase.as_deref() {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        None | Some("" | "Unknown") => Phase::Unknown,
        Some(other) => {
            let at = At::top("status");
            cx.reject(
                at.key("phase"),
                format_args!("{other:?} is not a pod phase"),
            );
            Phase::Unknown
        }
    }
}

fn ports(spec: &PodSpec, spec_at: At<'_>, cx: &mut Reading<'_>) -> Box<[ContainerPort]> {
    let mut ports = Vec::new();
    // Restartable init containers (native sidecars) may serve too.
    let init = spec.init_containers.iter().flatten();
    let init = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let containers = spec
        .containers
        .iter()
        .map(|container| ("containers", container));
    let init = init.map(|container| ("initContainers", container));
    for (list, container) in containers.chain(init) {
        for port in container.ports.iter().flatten() {
            let at = spec_at.key(list);
            let Some(number) = cx.port(at, i64::from(port.container_port)) else {
                continue;
            };
            let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else {
                continue;
            };
            ports.push(ContainerPort {
                name: cx.interner.name(name),
                number,
                protocol: cx.interner.name(port.protocol.as_deref().unwrap_or("TCP")),
            });
        }
    }
    ports.into_boxed_slice()
}
