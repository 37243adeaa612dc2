//! Who asks.

use std::{net::IpAddr, sync::Arc};

use weft_api::{Kind, KnownPod, Labels, Object, Resource};
use weft_compiler::pod_workload;
use weft_model::{
    Exclusions, Instance,
    route::{Gateway, GatewayName},
};

use super::{WhyError, World};
use crate::args::offline::WhyArgs;

/// Labels of a workload, owned.
pub(crate) type OwnedLabels = Vec<(String, String)>;

/// Who asks: a workload, or whoever reaches a gateway.
pub(crate) struct Client {
    /// Namespace of the workload, or of the gateway.
    pub(crate) namespace: String,
    /// Labels of the workload, or of the gateway's.
    pub(crate) labels: OwnedLabels,
    /// Verified identity, without `spiffe://`; none from outside the mesh.
    pub(crate) principal: Option<String>,
    /// Address packets come from.
    pub(crate) address: IpAddr,
    /// The gateway at which traffic arrives.
    pub(crate) gateway: Option<AtGateway>,
    /// Its node, and what of its traffic is left alone.
    pub(crate) exclusions: Option<(Option<Arc<str>>, Exclusions)>,
    pub(crate) notes: Vec<String>,
}

/// A gateway at which traffic arrives.
pub(crate) struct AtGateway {
    pub(crate) name: GatewayName,
    pub(crate) gateway: Arc<Gateway>,
    /// GatewayClass, empty for Istio's Gateways.
    pub(crate) class: String,
    /// Identity under which it reaches backends.
    pub(crate) principal: String,
    /// Whether that is only what such a gateway usually has, for no pod says so.
    pub(crate) is_assumed: bool,
}

impl Client {
    /// The client that the arguments name.
    pub(crate) fn find(world: &World, args: &WhyArgs) -> Result<Self, WhyError> {
        match (&args.gateway, &args.from) {
            (Some(gateway), _) => at_gateway(world, gateway, args),
            (None, from) => workload(world, from.as_deref().unwrap_or_default(), args),
        }
    }

    /// Labels as decisions want them.
    pub(crate) fn label_pairs(&self) -> Vec<(&str, &str)> {
        pairs(&self.labels)
    }
}

/// Labels as decisions want them.
pub(crate) fn pairs(labels: &OwnedLabels) -> Vec<(&str, &str)> {
    labels
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect()
}

/// Labels that one can keep.
pub(crate) fn owned(labels: &Labels) -> OwnedLabels {
    let labels = labels.iter();
    labels
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// Labels of an instance, as policies see them.
pub(crate) fn labels_of_instance(instance: &Instance) -> OwnedLabels {
    let labels = instance.labels.iter();
    labels
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn two_parts<'t>(argument: &'static str, given: &'t str) -> Result<(&'t str, &'t str), WhyError> {
    let parts = given.split_once('/');
    let parts = parts.filter(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains('/'));
    parts.ok_or_else(|| WhyError::Form {
        argument,
        given: given.to_owned(),
        form: "NAMESPACE/NAME",
    })
}

fn workload(world: &World, from: &str, args: &WhyArgs) -> Result<Client, WhyError> {
    let (namespace, name) = two_parts("--from", from)?;
    let pod = pod(world, namespace, name);
    if pod.is_none()
        && let Some((address, instance)) = instance(world, namespace, name)
    {
        return Ok(Client {
            principal: Some(instance.identity.principal()),
            namespace: namespace.to_owned(),
            labels: labels_of_instance(instance),
            address: args.source_ip.unwrap_or(*address),
            gateway: None,
            exclusions: Some((instance.node.clone(), instance.exclusions.clone())),
            notes: Vec::new(),
        });
    }
    let mut notes = Vec::new();
    let (labels, account, address) = match &pod {
        Some(known) => (
            owned(known.labels),
            known.pod.service_account.to_string(),
            known.pod.addresses.first().copied(),
        ),
        None => {
            notes.push(format!(
                "no pod of a workload {namespace}/{name} in the files: it has no labels here, and \
                 the service account \"default\""
            ));
            (Vec::new(), "default".to_owned(), None)
        }
    };
    let domain = &world.settings.trust_domain;
    let standing = address.and_then(|address| world.mesh().instances.get(&address));
    Ok(Client {
        principal: Some(format!("{domain}/ns/{namespace}/sa/{account}")),
        namespace: namespace.to_owned(),
        labels,
        address: args.source_ip.or(address).unwrap_or(UNKNOWN),
        gateway: None,
        exclusions: standing.map(|it| (it.node.clone(), it.exclusions.clone())),
        notes,
    })
}

/// An address that is nobody's (RFC 5737).
const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The pod of this name, else the first of the workload of this name.
fn pod<'w>(world: &'w World, namespace: &str, name: &str) -> Option<KnownPod<'w>> {
    let namespace = namespace.into();
    let mut found = None;
    for known in world.store.pods_in(&namespace) {
        if *known.object.key.name == *name {
            return Some(known);
        }
        if found.is_none() && *pod_workload(known).name == *name {
            found = Some(known);
        }
    }
    found
}

/// The instance of this name that is no pod, else the first of the workload of this name.
fn instance<'w>(
    world: &'w World,
    namespace: &str,
    name: &str,
) -> Option<(&'w IpAddr, &'w Instance)> {
    let instances = world.mesh().instances.iter();
    let instances = instances.map(|(address, instance)| (address, &**instance));
    let inside: Vec<_> = instances
        .filter(|(_, it)| *it.namespace == *namespace)
        .collect();
    let named = inside.iter().find(|(_, it)| *it.name == *name);
    let of_workload = || inside.iter().find(|(_, it)| *it.workload.name == *name);
    named.or_else(of_workload).copied()
}

fn at_gateway(world: &World, given: &str, args: &WhyArgs) -> Result<Client, WhyError> {
    let (namespace, name) = two_parts("--gateway", given)?;
    let gateways = &world.mesh().routes.gateways;
    let found = [true, false].into_iter().find_map(|is_gateway_api| {
        let key = GatewayName {
            is_gateway_api,
            namespace: namespace.into(),
            name: name.into(),
        };
        gateways.get_key_value(&key)
    });
    let (key, gateway) = found.ok_or_else(|| WhyError::NoGateway(given.to_owned()))?;
    let pod = gateway_pod(world, key);
    let labels = pod.map(|pod| owned(pod.labels)).unwrap_or_default();
    let class = class(world, key);
    let account = match pod {
        Some(pod) => pod.pod.service_account.to_string(),
        None if class.is_empty() => name.to_owned(),
        None => format!("{name}-{class}"),
    };
    let of = pod.map_or(namespace, |pod| &*pod.object.key.namespace);
    let principal = format!("{}/ns/{of}/sa/{account}", world.settings.trust_domain);
    Ok(Client {
        namespace: of.to_owned(),
        labels: match (pod, selector(world, key)) {
            (None, Some(selector)) => selector,
            _ => labels,
        },
        principal: None,
        address: args.source_ip.unwrap_or(UNKNOWN),
        gateway: Some(AtGateway {
            name: key.clone(),
            gateway: Arc::clone(gateway),
            class,
            principal,
            is_assumed: pod.is_none(),
        }),
        exclusions: None,
        notes: Vec::new(),
    })
}

fn gateway_object<'w>(world: &'w World, name: &GatewayName) -> Option<&'w Arc<Object>> {
    world.store.object(&weft_api::ObjectKey {
        kind: if name.is_gateway_api {
            Kind::Gateway
        } else {
            Kind::IstioGateway
        },
        namespace: Arc::clone(&name.namespace),
        name: Arc::clone(&name.name),
    })
}

fn class(world: &World, name: &GatewayName) -> String {
    match gateway_object(world, name).map(|object| &object.resource) {
        Some(Resource::Gateway(gateway)) => gateway.gateway_class_name.to_string(),
        _ => String::new(),
    }
}

/// Labels that an Istio Gateway's workloads have.
fn selector(world: &World, name: &GatewayName) -> Option<OwnedLabels> {
    let Resource::IstioGateway(gateway) = &gateway_object(world, name)?.resource else {
        return None;
    };
    let labels = gateway.selector.iter();
    Some(
        labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    )
}

/// A pod that serves the gateway.
fn gateway_pod<'w>(world: &'w World, name: &GatewayName) -> Option<KnownPod<'w>> {
    let serves = |known: &KnownPod<'_>| match gateway_object(world, name).map(|o| &o.resource) {
        Some(Resource::IstioGateway(gateway)) => gateway.selector.select(known.labels),
        _ => {
            let label = known.labels.value("gateway.networking.k8s.io/gateway-name");
            known.object.key.namespace == name.namespace && label == Some(&name.name)
        }
    };
    world.store.pods().find(serves)
}
