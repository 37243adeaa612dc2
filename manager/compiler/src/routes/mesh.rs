//! Tables for clients inside the mesh.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{ObjectKey, Resource};
use weft_model::{
    Problem, Severity,
    route::{Dialect, HostPattern, HostTable, HostTables, Visibility},
};

use super::{
    Sources, gateway_api,
    virtual_service::{self, Named, View},
};
use crate::{
    gateways::{Parent, Route},
    problems,
};

/// Tables of a host. Routes of the Gateway API that are bound to the service go before
/// VirtualServices: they replace default routing; among them, those for some clients before those
/// for all, and those for one port before those for all.
pub(super) fn tables(
    sources: &Sources<'_>,
    host: &HostPattern,
    routes: &BTreeSet<ObjectKey>,
) -> Option<HostTables> {
    let mut tables = bound(sources, host, routes);
    for named in virtual_services(sources, routes) {
        let (tls, tcp) = virtual_service::streams(sources, named, View::Mesh);
        let table = HostTable {
            origins: vec![problems::origin(named.object)],
            dialect: Dialect::Istio,
            visibility: virtual_service::visibility(
                &named.object.key.namespace,
                &named.service.export_to,
            ),
            port: None,
            http: virtual_service::http(sources, named, View::Mesh),
            tls,
            tcp,
            udp: Vec::new(),
        };
        tables.push(Arc::new(table));
    }
    (!tables.is_empty()).then(|| tables.into())
}

/// VirtualServices in istiod's order.
fn virtual_services<'s>(sources: &Sources<'s>, routes: &BTreeSet<ObjectKey>) -> Vec<Named<'s>> {
    let objects = routes.iter().filter_map(|key| sources.store.object(key));
    let mut named: Vec<Named<'s>> = objects
        .filter_map(|object| match &object.resource {
            Resource::VirtualService(service) => Some(Named { object, service }),
            _ => None,
        })
        .collect();
    named.sort_by_cached_key(Named::age);
    named
}

/// For whom, and at which port.
type Audience = (Option<Arc<str>>, Option<u16>);

fn bound(
    sources: &Sources<'_>,
    host: &HostPattern,
    routes: &BTreeSet<ObjectKey>,
) -> Vec<Arc<HostTable>> {
    let gateways = sources.gateways();
    let mut bindings: BTreeMap<Audience, Vec<Route<'_>>> = BTreeMap::new();
    for key in routes {
        let Some(object) = sources.store.object(key) else {
            continue;
        };
        let Some(route) = Route::of(object) else {
            continue;
        };
        for parent in route.parents {
            let Some(Ok(Parent::Service {
                service,
                port,
                is_producer,
            })) = gateways.parent(&route, parent)
            else {
                continue;
            };
            let of_service = &service.key;
            let name = sources
                .settings
                .service_name(&of_service.namespace, &of_service.name);
            if !matches!(host, HostPattern::Exact(host) if *host == name.hostname) {
                continue;
            }
            let client = (!is_producer).then(|| Arc::clone(&object.key.namespace));
            let bound = bindings.entry((client, port)).or_default();
            if bound.iter().all(|other| other.object.key != object.key) {
                bound.push(route);
            }
        }
    }
    // A table for a port holds the routes for all ports too.
    let mut tables: Vec<_> = bindings
        .iter()
        .map(|((client, port), routes)| {
            let general = bindings
                .get(&(client.clone(), None))
                .filter(|_| port.is_some());
            let mut routes = routes.clone();
            for route in general.into_iter().flatten() {
                if routes
                    .iter()
                    .all(|other| other.object.key != route.object.key)
                {
                    routes.push(*route);
                }
            }
            let visibility = match client {
                None => Visibility::All,
                Some(client) => Visibility::Namespaces([Arc::clone(client)].into()),
            };
            let table = HostTable {
                visibility,
                port: *port,
                ..gateway_api::table(sources, routes)
            };
            ((client.is_none(), port.is_none()), Arc::new(table))
        })
        .collect();
    tables.sort_by_key(|(rank, _)| *rank);
    tables.into_iter().map(|(_, table)| table).collect()
}

/// VirtualServices whose host another one, older and visible to the same clients, has too.
pub(super) fn conflicts(
    sources: &Sources<'_>,
    host: &HostPattern,
    routes: &BTreeSet<ObjectKey>,
) -> Vec<Problem> {
    let all = virtual_services(sources, routes);
    let sees = |named: &Named<'_>| {
        virtual_service::visibility(&named.object.key.namespace, &named.service.export_to)
    };
    let mut found = Vec::new();
    for (position, loser) in all.iter().enumerate() {
        let older = || all[..position].iter();
        let whole = older().find(|winner| sees(winner) == Visibility::All);
        let part = || older().find(|winner| overlap(&sees(winner), &sees(loser)));
        let Some(winner) = whole.or_else(part) else {
            continue;
        };
        let clients = match sees(winner) {
            Visibility::All => String::new(),
            Visibility::Namespaces(namespaces) => {
                let names: Vec<&str> = namespaces.iter().map(|name| &**name).collect();
                format!(" for clients in {}", names.join(", "))
            }
        };
        found.push(Problem {
            severity: Severity::Warning,
            code: "conflict",
            origin: problems::origin(loser.object),
            path: "spec.hosts".into(),
            line: 0,
            message: format!(
                "{} holds for {host} inside the mesh{clients}, this one does not; join them or \
                 give them different clients with exportTo",
                winner.object.key
            ),
        });
    }
    found
}

/// Whether some client sees both.
pub(crate) fn overlap(a: &Visibility, b: &Visibility) -> bool {
    match (a, b) {
        (Visibility::Namespaces(a), Visibility::Namespaces(b)) => !a.is_disjoint(b),
        _ => true,
    }
}
