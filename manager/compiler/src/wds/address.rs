//! Services and workloads.

use std::{net::IpAddr, sync::Arc};

use serde_json::{Map, Value, json};
use weft_api::{
    Distribution, EntryEndpoint, Kind, Labels, Object, ObjectKey, Phase, Pod, PolicyScope,
    Resolution, Resource, Service, ServiceEntry, ServiceType, Store, TargetPort, TrafficPolicy,
};

use super::{ADDRESS, Fields, Message, address_bytes, peers};
use crate::{Settings, workloads};

/// The name of the cluster where none is given, as istiod has it.
const CLUSTER: &str = "Kubernetes";

/// All services.
pub(super) fn services(store: &Store, settings: &Settings) -> Vec<Message> {
    let mut messages = Vec::new();
    for object in store.objects(Kind::Service) {
        if let Resource::Service(service) = &object.resource
            && service.service_type != ServiceType::ExternalName
        {
            messages.push(of_service(settings, object, service));
        }
    }
    for object in store.objects(Kind::ServiceEntry) {
        if let Resource::ServiceEntry(entry) = &object.resource {
            messages.extend(entry.hosts.iter().map(|host| of_entry(object, entry, host)));
        }
    }
    messages
}

fn of_service(settings: &Settings, object: &Object, service: &Service) -> Message {
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    let ports = service.ports.iter().map(|port| {
        let target = match &port.target {
            TargetPort::Number(number) => *number,
            TargetPort::Name(_) => 0,
        };
        ports(port.number, target)
    });
    let mut fields = Fields::default();
    fields.list(
        "addresses",
        service
            .cluster_ips
            .iter()
            .map(|ip| network_address(*ip))
            .collect(),
    );
    fields.list("ports", ports.collect());
    fields.set("ipFamilies", families(&service.cluster_ips));
    if fields
        .0
        .get("ipFamilies")
        .is_some_and(|families| *families == "AUTOMATIC")
    {
        fields.0.remove("ipFamilies");
    }
    let mut balancing = balancing(service);
    if service.publishes_not_ready {
        let balancing = balancing.get_or_insert_with(|| json!({}));
        balancing["healthPolicy"] = "ALLOW_ALL".into();
    }
    if let Some(balancing) = balancing {
        fields.set("loadBalancing", balancing);
    }
    let hostname = &settings.service_name(namespace, name).hostname;
    service_message(fields, object, hostname)
}

fn of_entry(object: &Object, entry: &ServiceEntry, host: &str) -> Message {
    let mut fields = Fields::default();
    fields.list(
        "addresses",
        entry
            .addresses
            .iter()
            .map(|ip| network_address(*ip))
            .collect(),
    );
    let ports = entry
        .ports
        .iter()
        .map(|port| ports(port.number, port.target));
    fields.list("ports", ports.collect());
    if entry.resolution == Resolution::None {
        // Whoever was dialled is reached, well or not.
        let passing = json!({ "healthPolicy": "ALLOW_ALL", "mode": "PASSTHROUGH" });
        fields.set("loadBalancing", passing);
    }
    service_message(fields, object, host)
}

fn service_message(mut fields: Fields, object: &Object, hostname: &str) -> Message {
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    fields.text("name", name);
    fields.text("namespace", namespace);
    fields.text("hostname", hostname);
    Message {
        type_name: ADDRESS,
        name: format!("{namespace}/{hostname}"),
        body: json!({ "service": fields.done() }),
    }
}

fn network_address(address: IpAddr) -> Value {
    json!({ "address": address_bytes(address) })
}

fn ports(service: u16, target: u16) -> Value {
    let mut fields = Fields::default();
    fields.set("servicePort", service);
    if target != 0 {
        fields.set("targetPort", target);
    }
    fields.done()
}

fn families(addresses: &[IpAddr]) -> &'static str {
    let has = |v4| addresses.iter().any(|address| address.is_ipv4() == v4);
    match (has(true), has(false)) {
        (true, true) => "DUAL",
        (true, false) => "IPV4_ONLY",
        (false, true) => "IPV6_ONLY",
        (false, false) => "AUTOMATIC",
    }
}

fn balancing(service: &Service) -> Option<Value> {
    if service.internal_policy == TrafficPolicy::Local {
        return Some(json!({ "mode": "STRICT", "routingPreference": ["NODE"] }));
    }
    nearest(service.distribution?)
}

fn nearest(distribution: Distribution) -> Option<Value> {
    let near = ["NETWORK", "REGION", "ZONE", "SUBZONE"];
    match distribution {
        Distribution::Any => None,
        Distribution::PreferSameZone => {
            Some(json!({ "mode": "FAILOVER", "routingPreference": near }))
        }
        Distribution::PreferSameNode => {
            let nearer = [&near[..], &["NODE"]].concat();
            Some(json!({ "mode": "FAILOVER", "routingPreference": nearer }))
        }
    }
}

/// All workloads: pods, and endpoints of ServiceEntries.
pub(super) fn workloads(store: &Store, settings: &Settings) -> Vec<Message> {
    let mut messages = Vec::new();
    for object in store.objects(Kind::Pod) {
        if let Resource::Pod(pod) = &object.resource {
            messages.extend(of_pod(store, settings, object, pod));
        }
    }
    for object in store.objects(Kind::ServiceEntry) {
        if let Resource::ServiceEntry(entry) = &object.resource {
            let endpoints = entry.endpoints.iter();
            messages.extend(
                endpoints.map(|endpoint| of_endpoint(store, settings, object, entry, endpoint)),
            );
        }
    }
    messages
}

fn of_pod(store: &Store, settings: &Settings, object: &Object, pod: &Pod) -> Option<Message> {
    let is_alive = matches!(pod.phase, Phase::Running | Phase::Pending);
    if !is_alive || pod.addresses.is_empty() {
        return None;
    }
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    let mut fields = Fields::default();
    let addresses = pod.addresses.iter();
    fields.list(
        "addresses",
        addresses.map(|ip| address_bytes(*ip).into()).collect(),
    );
    fields.text("serviceAccount", &pod.service_account);
    fields.text("node", pod.node.as_deref().unwrap_or(""));
    let workload_name = workloads::owner_name(object, pod);
    // As istiod has it now: the type is no longer told apart.
    fields.set("workloadType", "POD");
    if pod.is_host_network {
        fields.set("networkMode", "HOST_NETWORK");
    }
    if !pod.is_ready || pod.is_terminating {
        fields.set("status", "UNHEALTHY");
    }
    if let Some(node) = &pod.node {
        locality(&mut fields, store, node);
    }
    let is_ambient = is_ambient(store, namespace, &object.labels) && !pod.is_host_network;
    if pod.capture.is_redirected || is_ambient {
        fields.set("tunnelProtocol", "HBONE");
    }
    // What speaks HBONE itself says so by this label, a list.
    let tunnels = object.labels.value("networking.istio.io/tunnel");
    if tunnels.is_some_and(|list| list.split(',').any(|tunnel| tunnel == "http")) {
        fields.set("tunnelProtocol", "HBONE");
        fields.set("nativeTunnel", true);
    }
    fields.0.extend([(
        "services".to_owned(),
        pod_services(store, settings, object, pod),
    )]);
    let labels = &object.labels;
    Some(workload(
        store,
        settings,
        fields,
        Identity {
            uid: format!("{CLUSTER}//Pod/{namespace}/{name}"),
            object,
            labels,
            workload_name: &workload_name,
        },
    ))
}

fn of_endpoint(
    store: &Store,
    settings: &Settings,
    object: &Object,
    entry: &ServiceEntry,
    endpoint: &EntryEndpoint,
) -> Message {
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    let address = endpoint.address;
    let mut fields = Fields::default();
    fields.list("addresses", vec![address_bytes(address).into()]);
    // As istiod has it: whatever stands there, it is no Deployment.
    fields.set("workloadType", "POD");
    let mut services = Map::new();
    for host in &entry.hosts {
        let all = entry.ports.iter().map(|port| {
            let own = endpoint.ports.iter().find(|(name, _)| *name == port.name);
            ports(port.number, own.map_or(port.target, |(_, number)| *number))
        });
        let all: Vec<Value> = all.collect();
        services.insert(format!("{namespace}/{host}"), json!({ "ports": all }));
    }
    fields.set("services", services);
    workload(
        store,
        settings,
        fields,
        Identity {
            uid: format!("{CLUSTER}/networking.istio.io/ServiceEntry/{namespace}/{name}/{address}"),
            object,
            labels: &object.labels,
            workload_name: name,
        },
    )
}

struct Identity<'a> {
    uid: String,
    object: &'a Object,
    labels: &'a Labels,
    workload_name: &'a str,
}

/// What all workloads have.
fn workload(
    store: &Store,
    settings: &Settings,
    mut fields: Fields,
    identity: Identity<'_>,
) -> Message {
    let Identity {
        uid,
        object,
        labels,
        workload_name,
    } = identity;
    let namespace = &object.key.namespace;
    let label = |names: &[&str]| {
        let values = names.iter().filter_map(|name| labels.value(name));
        values.map(|value| &**value).find(|value| !value.is_empty())
    };
    let canonical = [
        "service.istio.io/canonical-name",
        "app.kubernetes.io/name",
        "app",
    ];
    let revision = [
        "service.istio.io/canonical-revision",
        "app.kubernetes.io/version",
        "version",
    ];
    fields.text("uid", &uid);
    fields.text("name", &object.key.name);
    fields.text("namespace", namespace);
    fields.text("clusterId", CLUSTER);
    fields.text("workloadName", workload_name);
    fields.text("canonicalName", label(&canonical).unwrap_or(workload_name));
    fields.text("canonicalRevision", label(&revision).unwrap_or("latest"));
    if *settings.trust_domain != *"cluster.local" {
        fields.text("trustDomain", &settings.trust_domain);
    }
    let mut policies = selecting(store, settings, namespace, labels);
    policies.extend(peers::of_workload(store, settings, namespace, labels));
    fields.list(
        "authorizationPolicies",
        policies.into_iter().map(Value::from).collect(),
    );
    if fields
        .0
        .get("services")
        .is_some_and(|services| *services == json!({}))
    {
        fields.0.remove("services");
    }
    Message {
        type_name: ADDRESS,
        name: uid,
        body: json!({ "workload": fields.done() }),
    }
}

/// Policies that select a workload by its labels. Those of namespaces and of the mesh need not be
/// named.
fn selecting(
    store: &Store,
    settings: &Settings,
    namespace: &Arc<str>,
    labels: &Labels,
) -> Vec<String> {
    let own = store.objects_in(Kind::AuthorizationPolicy, namespace);
    let root = &settings.root_namespace;
    let of_root = store.objects_in(Kind::AuthorizationPolicy, root);
    let of_root = of_root.filter(|_| namespace != root);
    let mut names = Vec::new();
    for object in own.chain(of_root) {
        let Resource::AuthorizationPolicy(policy) = &object.resource else {
            continue;
        };
        let PolicyScope::Workloads(selector) = &policy.scope else {
            continue;
        };
        let is_sent = super::authorization::convert(settings, object).is_some();
        if is_sent && (selector.is_empty() || selector.select(labels)) {
            names.push(format!("{}/{}", object.key.namespace, object.key.name));
        }
    }
    names.sort();
    names
}

fn pod_services(store: &Store, settings: &Settings, object: &Object, pod: &Pod) -> Value {
    let namespace = &object.key.namespace;
    let mut services = Map::new();
    for other in store.objects_in(Kind::Service, namespace) {
        let Resource::Service(service) = &other.resource else {
            continue;
        };
        if !service.selector.select(&object.labels) {
            continue;
        }
        let all = service.ports.iter().filter_map(|port| {
            let target = match &port.target {
                TargetPort::Number(number) => *number,
                TargetPort::Name(name) => {
                    pod.ports
                        .iter()
                        .find(|container| container.name == *name)?
                        .number
                }
            };
            Some(ports(port.number, target))
        });
        let mut fields = Fields::default();
        fields.list("ports", all.collect());
        let hostname = settings.service_name(namespace, &other.key.name).hostname;
        services.insert(format!("{namespace}/{hostname}"), fields.done());
    }
    Value::Object(services)
}

fn locality(fields: &mut Fields, store: &Store, node: &Arc<str>) {
    let key = ObjectKey {
        kind: Kind::Node,
        namespace: "".into(),
        name: Arc::clone(node),
    };
    let Some(node) = store.object(&key) else {
        return;
    };
    let mut place = Fields::default();
    for (name, label) in [
        ("region", "topology.kubernetes.io/region"),
        ("zone", "topology.kubernetes.io/zone"),
        ("subzone", "topology.istio.io/subzone"),
    ] {
        place.text(name, node.labels.value(label).map_or("", |value| value));
    }
    if !place.0.is_empty() {
        fields.set("locality", place.done());
    }
}

/// Whether the traffic of a workload is captured, by its label or that of its namespace.
fn is_ambient(store: &Store, namespace: &Arc<str>, labels: &Labels) -> bool {
    const MODE: &str = "istio.io/dataplane-mode";
    let key = ObjectKey {
        kind: Kind::Namespace,
        namespace: "".into(),
        name: Arc::clone(namespace),
    };
    let of_namespace = store
        .object(&key)
        .and_then(|object| object.labels.value(MODE));
    let mode = labels.value(MODE).or(of_namespace);
    mode.is_some_and(|mode| **mode == *"ambient")
}
