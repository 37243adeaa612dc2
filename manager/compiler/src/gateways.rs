//! What Gateway API objects mean together: which routes attach where, which references hold, and
//! the status that says so.
//!
//! Everything here is a function of a few objects that are looked up as needed, so nothing has to be
//! kept up to date. Reading order: `route` (one view of all kinds of routes), `listeners`,
//! `parents` (attachment), `rivals` (routes of two kinds for one host), `backends` (references and grants), `rules` (what of a route can be
//! done), `status`.

mod backends;
mod certificates;
mod listeners;
mod parents;
mod policies;
mod problems;
pub(crate) mod rivals;
mod route;
mod rules;
mod status;

use std::sync::Arc;

use weft_api::{Kind, Object, ObjectKey, Resource, Store, gateway_api};

use crate::Settings;

pub(crate) use listeners::ListenerVerdict;
pub(crate) use parents::{Attachment, Parent};
pub(crate) use route::Route;
pub use status::gateway_status;

/// The controller whose GatewayClasses are Weft's.
pub const CONTROLLER: &str = "weft.dev/gateway-controller";

/// The GatewayClass that Weft brings along: it counts as there when nobody wrote it.
const OWN_CLASS: &str = "weft";

/// What Gateway API objects mean together.
#[derive(Clone, Copy)]
pub(crate) struct Gateways<'s> {
    pub(crate) settings: &'s Settings,
    pub(crate) store: &'s Store,
}

/// Why something is not so, in a word of the Gateway API and in words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl<'s> Gateways<'s> {
    /// An object of a kind.
    fn object(&self, kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> Option<&'s Arc<Object>> {
        self.store.object(&ObjectKey {
            kind,
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
        })
    }

    /// The Gateways of Weft's classes, in ascending (namespace, name).
    pub(crate) fn gateways(
        self,
    ) -> impl Iterator<Item = (&'s Arc<Object>, &'s gateway_api::Gateway)> {
        let gateways = self.store.objects(Kind::Gateway);
        gateways.filter_map(move |object| Some((object, self.owned(object)?)))
    }

    /// What a Gateway of one of Weft's classes holds.
    pub(crate) fn owned(&self, object: &'s Object) -> Option<&'s gateway_api::Gateway> {
        let Resource::Gateway(gateway) = &object.resource else {
            return None;
        };
        self.is_own_class(&gateway.gateway_class_name)
            .then_some(gateway)
    }

    /// Whether Gateways of a class are Weft's business.
    pub(crate) fn is_own_class(&self, name: &Arc<str>) -> bool {
        let class = self.object(Kind::GatewayClass, &Arc::from(""), name);
        match class.map(|class| &class.resource) {
            Some(Resource::GatewayClass(class)) => *class.controller_name == *CONTROLLER,
            _ => **name == *OWN_CLASS,
        }
    }

    /// A label of a namespace. Every namespace has its name as one, written or not.
    fn namespace_label(&self, namespace: &'s Arc<str>, key: &str) -> Option<&'s str> {
        let object = self.object(Kind::Namespace, &Arc::from(""), namespace);
        match object.and_then(|object| object.labels.value(key)) {
            Some(value) => Some(value),
            None if key == "kubernetes.io/metadata.name" => Some(namespace),
            None => None,
        }
    }
}
