//! VirtualServices and routes of the Gateway API as route tables.
//!
//! A table belongs to a place: a host of the mesh, or a gateway. Each route says at which places it
//! stands and which hosts it asks for; what changed makes the places dirty whose routes depend on
//! it, and those are compiled anew, whole.
//!
//! Reading order: [`mesh`] and [`listeners`] (the tables of a place), [`virtual_service`] and
//! [`gateway_api`] (rules of one resource), [`rule`] (what a VirtualService's rule does),
//! [`delegate`], [`destinations`] (what hosts mean), [`policies`] (DestinationRules).

mod delegate;
mod destinations;
mod gateway_api;
mod listeners;
mod mesh;
pub(crate) mod policies;
mod rule;
mod virtual_service;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Kind, Object, ObjectKey, Resource, Store};
use weft_model::{
    Problem,
    route::{GatewayName, HostPattern, RouteChange, RouteTables},
};

use crate::{
    Settings,
    gateways::{Gateways, Route},
};
use destinations::Hosts;

pub(crate) use destinations::full_name;
pub(crate) use mesh::overlap;
pub(crate) use virtual_service::{pattern as virtual_service_pattern, visibility};

/// Where a table belongs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Mesh(HostPattern),
    Gateway(GatewayName),
}

/// What is known of routes besides the model.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Routes that stand at each place.
    at: BTreeMap<Place, BTreeSet<ObjectKey>>,
    places: BTreeMap<ObjectKey, Vec<Place>>,
    /// Routes by the hosts they ask for.
    askers: BTreeMap<Arc<str>, BTreeSet<ObjectKey>>,
    asks: BTreeMap<ObjectKey, Vec<Arc<str>>>,
    /// Routes of the Gateway API by other namespaces they refer to.
    strangers: BTreeMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// VirtualServices by those they delegate to.
    delegators: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    hosts: Hosts,
}

/// What tables are compiled from.
#[derive(Clone, Copy)]
struct Sources<'s> {
    settings: &'s Settings,
    store: &'s Store,
    hosts: &'s Hosts,
}

impl<'s> Sources<'s> {
    fn gateways(&self) -> Gateways<'s> {
        Gateways::new(self.store)
    }
}

impl Routes {
    /// Compiles the places that depend on what changed.
    pub(crate) fn update(
        &mut self,
        settings: &Settings,
        store: &Store,
        changed: &[ObjectKey],
        tables: &mut RouteTables,
    ) -> RouteChange {
        let mut dirty = BTreeSet::new();
        for key in changed {
            self.take(settings, store, key, &mut dirty);
        }
        let sources = Sources {
            settings,
            store,
            hosts: &self.hosts,
        };
        let mut change = RouteChange::default();
        let none = BTreeSet::new();
        for place in dirty {
            let routes = self.at.get(&place).unwrap_or(&none);
            match place {
                Place::Mesh(host) => {
                    let new = mesh::tables(&sources, &host, routes);
                    if tables.mesh.get(&host) != new.as_ref() {
                        change.mesh.push((host, new));
                    }
                }
                Place::Gateway(name) => {
                    let new = listeners::gateway(&sources, &name, routes).map(Arc::new);
                    if tables.gateways.get(&name) != new.as_ref() {
                        change.gateways.push((name, new));
                    }
                }
            }
        }
        tables.apply(&change);
        change
    }

    fn take(
        &mut self,
        settings: &Settings,
        store: &Store,
        key: &ObjectKey,
        dirty: &mut BTreeSet<Place>,
    ) {
        match key.kind {
            Kind::VirtualService
            | Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TcpRoute
            | Kind::TlsRoute
            | Kind::UdpRoute => self.take_route(settings, store.object(key), key, dirty),
            Kind::Service => {
                let name = settings.service_name(&key.namespace, &key.name);
                self.touch_host(&name.hostname, dirty);
            }
            Kind::ServiceEntry => {
                for host in self.hosts.take(key, store.object(key)) {
                    self.touch_host(&host, dirty);
                }
            }
            Kind::IstioGateway | Kind::Gateway => {
                dirty.insert(Place::Gateway(gateway_name(key)));
            }
            Kind::ReferenceGrant => {
                let routes = self.strangers.get(&key.namespace).into_iter().flatten();
                for route in routes {
                    dirty.extend(self.places.get(route).into_iter().flatten().cloned());
                }
                Self::touch_gateways(store, dirty);
            }
            Kind::GatewayClass | Kind::Namespace | Kind::Secret => {
                Self::touch_gateways(store, dirty)
            }
            _ => {}
        }
    }

    /// All Gateways of the Gateway API, those without routes too: namespaces say which routes they
    /// take, classes whether they are Weft's, grants and Secrets whether their certificates hold.
    fn touch_gateways(store: &Store, dirty: &mut BTreeSet<Place>) {
        let gateways = store.objects(Kind::Gateway);
        dirty.extend(gateways.map(|gateway| Place::Gateway(gateway_name(&gateway.key))));
    }

    fn touch_host(&self, host: &Arc<str>, dirty: &mut BTreeSet<Place>) {
        for route in self.askers.get(host).into_iter().flatten() {
            self.touch_route(route, dirty);
        }
    }

    /// Places of a route and of those that delegate to it.
    fn touch_route(&self, route: &ObjectKey, dirty: &mut BTreeSet<Place>) {
        dirty.extend(self.places.get(route).into_iter().flatten().cloned());
        for delegator in self.delegators.get(route).into_iter().flatten() {
            dirty.extend(self.places.get(delegator).into_iter().flatten().cloned());
        }
    }

    fn take_route(
        &mut self,
        settings: &Settings,
        object: Option<&Arc<Object>>,
        key: &ObjectKey,
        dirty: &mut BTreeSet<Place>,
    ) {
        self.touch_route(key, dirty);
        self.forget(key);
        let Some(object) = object else { return };
        let (places, asks) = match &object.resource {
            Resource::VirtualService(service) => {
                for delegate in delegate::delegates(key, service) {
                    let delegators = self.delegators.entry(delegate).or_default();
                    delegators.insert(key.clone());
                }
                (
                    virtual_service::places(settings, key, service),
                    virtual_service::asks(settings, key, service),
                )
            }
            _ => {
                let Some(route) = Route::of(object) else {
                    return;
                };
                for namespace in gateway_api::strangers(&route) {
                    self.strangers
                        .entry(namespace)
                        .or_default()
                        .insert(key.clone());
                }
                (
                    gateway_api::places(settings, &route),
                    gateway_api::asks(settings, &route),
                )
            }
        };
        for place in &places {
            self.at
                .entry(place.clone())
                .or_default()
                .insert(key.clone());
        }
        for host in &asks {
            self.askers
                .entry(Arc::clone(host))
                .or_default()
                .insert(key.clone());
        }
        self.places.insert(key.clone(), places);
        self.asks.insert(key.clone(), asks);
        self.touch_route(key, dirty);
    }

    fn forget(&mut self, key: &ObjectKey) {
        for place in self.places.remove(key).unwrap_or_default() {
            remove(&mut self.at, &place, key);
        }
        for host in self.asks.remove(key).unwrap_or_default() {
            remove(&mut self.askers, &host, key);
        }
        if key.kind == Kind::VirtualService {
            // Few delegate, so looking through all of them is cheap.
            self.delegators.retain(|_, delegators| {
                delegators.remove(key);
                !delegators.is_empty()
            });
        } else {
            self.strangers.retain(|_, routes| {
                routes.remove(key);
                !routes.is_empty()
            });
        }
    }

    /// What is wrong with routes, alone and together.
    pub(crate) fn problems(&self, settings: &Settings, store: &Store) -> Vec<Problem> {
        let sources = Sources {
            settings,
            store,
            hosts: &self.hosts,
        };
        let mut found = Vec::new();
        for (place, routes) in &self.at {
            if let Place::Mesh(host) = place {
                found.extend(mesh::conflicts(&sources, host, routes));
            }
        }
        for object in store.objects(Kind::VirtualService) {
            if let Resource::VirtualService(service) = &object.resource {
                found.extend(virtual_service::problems(&sources, object, service));
            }
        }
        found
    }
}

fn remove<K: Ord + Clone>(map: &mut BTreeMap<K, BTreeSet<ObjectKey>>, key: &K, route: &ObjectKey) {
    if let Some(routes) = map.get_mut(key) {
        routes.remove(route);
        if routes.is_empty() {
            map.remove(key);
        }
    }
}

/// The identity of a gateway.
fn gateway_name(key: &ObjectKey) -> GatewayName {
    GatewayName {
        is_gateway_api: key.kind == Kind::Gateway,
        namespace: Arc::clone(&key.namespace),
        name: Arc::clone(&key.name),
    }
}
