//! A local file of workload discovery as a mesh.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::local_xds::{
    HealthStatus, LocalAccount, LocalAction, LocalMatch, LocalPolicy, LocalRange, LocalScope,
    LocalService, LocalText, LocalWorkload, LocalXds, NetworkMode, Protocol as TunnelProtocol,
};
use weft_model::{
    Balancing, Distribution, Endpoint, Exclusions, Frontend, FrontendKind, Identity, Instance,
    InstanceKind, Mesh, Origin, Port, Protocol, Service, ServiceName, TrafficPolicy, Tunnel,
    Workload,
    policy::{
        Action, AddressRange, Author, AuthorizationPolicy, Condition, OneOf, PolicyName, Rule,
        Scope, ServiceAccount, TextMatch,
    },
};

/// The mesh that a file describes. Only services, instances, addresses and authorization policies
/// are in it: mTLS modes come as policies, as from istiod.
pub fn local_mesh(config: &LocalXds, file: &str) -> Mesh {
    let mut mesh = Mesh::default();
    let file: Arc<str> = file.into();
    let origin = |kind: &str, namespace: &Arc<str>, name: &Arc<str>, line| Origin {
        kind: kind.into(),
        namespace: Arc::clone(namespace),
        name: Arc::clone(name),
        file: Arc::clone(&file),
        line,
    };
    for written in &config.workloads {
        let origin = origin("Workload", &written.namespace, &written.name, written.line);
        let instance = Arc::new(instance(written, origin));
        for address in &written.workload_ips {
            let workload = Arc::clone(&instance.workload);
            mesh.addresses.insert(*address, workload);
            // One in its node's network shares the address with others.
            if written.network_mode == NetworkMode::Standard {
                mesh.instances.insert(*address, Arc::clone(&instance));
            }
        }
    }
    for written in &config.services {
        let origin = origin("Service", &written.namespace, &written.name, written.line);
        let service = service(written, &config.workloads, origin, &mesh);
        mesh.services
            .insert(service.name.clone(), Arc::new(service));
    }
    for written in &config.policies {
        let (namespace, name) = (&written.namespace, &written.name);
        let origin = origin("Authorization", namespace, name, written.line);
        let policy = policy(written, origin);
        mesh.policies
            .authorization
            .insert(policy.author.name.clone(), Arc::new(policy));
    }
    mesh
}

fn or<'a>(text: &'a Arc<str>, default: &'a Arc<str>) -> Arc<str> {
    Arc::clone(if text.is_empty() { default } else { text })
}

/// What a workload is selected by: the policies that it names itself.
fn selecting(policy: &str) -> (Arc<str>, Arc<str>) {
    (format!("authorizationPolicies/{policy}").into(), "".into())
}

fn instance(written: &LocalWorkload, origin: Origin) -> Instance {
    let account = or(&written.service_account, &"default".into());
    let name = or(&written.workload_name, &written.name);
    let mut labels: Vec<_> = written
        .authorization_policies
        .iter()
        .map(|policy| selecting(policy))
        .collect();
    labels.sort();
    labels.dedup();
    let is_enrolled = written.protocol == TunnelProtocol::Hbone;
    Instance {
        namespace: Arc::clone(&written.namespace),
        name: Arc::clone(&written.name),
        kind: InstanceKind::Local,
        origin,
        labels,
        identity: Identity {
            trust_domain: or(&written.trust_domain, &"cluster.local".into()),
            namespace: Arc::clone(&written.namespace),
            account: Arc::clone(&account),
        },
        node: (!written.node.is_empty()).then(|| Arc::clone(&written.node)),
        is_enrolled,
        tunnel: if is_enrolled {
            Tunnel::Hbone
        } else {
            Tunnel::None
        },
        exclusions: Exclusions::default(),
        workload: Arc::new(Workload {
            namespace: Arc::clone(&written.namespace),
            canonical_service: or(&written.canonical_name, &name),
            canonical_revision: or(&written.canonical_revision, &"latest".into()),
            app: None,
            version: None,
            service_account: account,
            name,
        }),
    }
}

fn service(
    written: &LocalService,
    workloads: &[LocalWorkload],
    origin: Origin,
    mesh: &Mesh,
) -> Service {
    let mut frontends: Vec<Frontend> = written
        .addresses()
        .map(|address| Frontend {
            address,
            kind: FrontendKind::Cluster,
        })
        .collect();
    frontends.sort_unstable();
    frontends.dedup();
    let key = format!("{}/{}", written.namespace, written.hostname);
    let behind: Vec<_> = workloads
        .iter()
        .filter_map(|workload| Some((workload, workload.services.get(&*key)?)))
        .collect();
    let ports = written.ports.keys().map(|number| {
        let mut endpoints = BTreeMap::new();
        for (workload, ports) in &behind {
            let Some(port) = ports.get(number) else {
                continue;
            };
            for address in &workload.workload_ips {
                let known = mesh.addresses.get(address).cloned();
                endpoints.insert(
                    (*address, *port),
                    endpoint(workload, *address, *port, known),
                );
            }
        }
        Port {
            number: *number,
            name: "".into(),
            protocol: Protocol::Tcp,
            node_port: None,
            balancing: Balancing::RoundRobin,
            max_connections: None,
            outlier: None,
            endpoints: endpoints.into_values().collect(),
        }
    });
    Service {
        name: ServiceName {
            namespace: Arc::clone(&written.namespace),
            hostname: Arc::clone(&written.hostname),
        },
        short_name: Arc::clone(&written.name),
        origin,
        ports: ports.collect(),
        frontends,
        session_affinity: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        distribution: Distribution::Any,
    }
}

fn endpoint(
    written: &LocalWorkload,
    address: std::net::IpAddr,
    port: u16,
    workload: Option<Arc<Workload>>,
) -> Endpoint {
    let is_healthy = written.status == HealthStatus::Healthy;
    let some = |text: &Arc<str>| (!text.is_empty()).then(|| Arc::clone(text));
    Endpoint {
        address,
        port,
        ready: is_healthy,
        serving: is_healthy,
        terminating: false,
        weight: written.capacity,
        workload,
        node: some(&written.node),
        zone: some(&written.locality.zone),
        for_zones: None,
        for_nodes: None,
    }
}

fn policy(written: &LocalPolicy, origin: Origin) -> AuthorizationPolicy {
    let name = PolicyName {
        namespace: Arc::clone(&written.namespace),
        name: Arc::clone(&written.name),
    };
    let scope = match written.scope {
        LocalScope::Global => Scope::Mesh,
        LocalScope::Namespace => Scope::Namespace(Arc::clone(&written.namespace)),
        LocalScope::WorkloadSelector => Scope::Workloads {
            namespace: None,
            labels: vec![selecting(&name.to_string())],
        },
    };
    AuthorizationPolicy {
        author: Author {
            name,
            origin,
            created: None,
        },
        scope,
        action: match written.action {
            LocalAction::Allow => Action::Allow,
            LocalAction::Deny => Action::Deny,
        },
        is_dry_run: written.dry_run,
        rules: written.rules.iter().flat_map(|rule| rules(rule)).collect(),
    }
}

/// A rule is a conjunction of clauses, each a disjunction of matches; rules of the model are
/// conjunctions of conditions, so it is multiplied out.
fn rules(clauses: &[Vec<LocalMatch>]) -> Vec<Rule> {
    let mut products: Vec<Vec<Condition>> = vec![Vec::new()];
    for clause in clauses.iter().filter(|clause| !clause.is_empty()) {
        let asking = clause.iter().map(conditions);
        // A match that asks nothing never fits.
        let asking: Vec<_> = asking.filter(|conditions| !conditions.is_empty()).collect();
        products = products
            .iter()
            .flat_map(|product| asking.iter().map(|more| [&product[..], more].concat()))
            .collect();
    }
    let rule = |when| Rule {
        when,
        ..Rule::default()
    };
    products.into_iter().map(rule).collect()
}

fn conditions(written: &LocalMatch) -> Vec<Condition> {
    let texts = |any: &[LocalText], none: &[LocalText]| OneOf {
        any: any.iter().map(text).collect(),
        none: none.iter().map(text).collect(),
    };
    let namespaces = texts(&written.namespaces, &written.not_namespaces);
    let principals = texts(&written.principals, &written.not_principals);
    let account = |account: &LocalAccount| ServiceAccount {
        namespace: Arc::clone(&account.namespace),
        name: Arc::clone(&account.service_account),
    };
    let accounts = OneOf {
        any: written.service_accounts.iter().map(account).collect(),
        none: written.not_service_accounts.iter().map(account).collect(),
    };
    let ranges = |any: &[LocalRange], none: &[LocalRange]| OneOf {
        any: any.iter().map(range).collect(),
        none: none.iter().map(range).collect(),
    };
    let sources = ranges(&written.source_ips, &written.not_source_ips);
    let destinations = ranges(&written.destination_ips, &written.not_destination_ips);
    let ports = OneOf {
        any: written.destination_ports.clone(),
        none: written.not_destination_ports.clone(),
    };
    let mut all = Vec::new();
    all.extend((!namespaces.is_empty()).then_some(Condition::SourceNamespace(namespaces)));
    all.extend((!principals.is_empty()).then_some(Condition::SourcePrincipal(principals)));
    all.extend((!accounts.is_empty()).then_some(Condition::SourceServiceAccount(accounts)));
    all.extend((!sources.is_empty()).then_some(Condition::SourceAddress(sources)));
    all.extend((!destinations.is_empty()).then_some(Condition::DestinationAddress(destinations)));
    all.extend((!ports.is_empty()).then_some(Condition::DestinationPort(ports)));
    all
}

fn text(written: &LocalText) -> TextMatch {
    match written {
        LocalText::Prefix(text) => TextMatch::Prefix(Arc::clone(text)),
        LocalText::Suffix(text) => TextMatch::Suffix(Arc::clone(text)),
        LocalText::Exact(text) => TextMatch::Exact(Arc::clone(text)),
        LocalText::Presence(_) => TextMatch::Present,
    }
}

fn range(written: &LocalRange) -> AddressRange {
    AddressRange {
        address: written.address,
        prefix_length: written.prefix_length,
    }
}
