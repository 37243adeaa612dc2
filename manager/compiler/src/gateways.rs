//! What Gateway API objects mean together: which routes attach where, which references hold, and
//! the status that says so.
//!
//! Verdicts are functions of a few objects that are looked up as needed, and what is looked up can be
//! written down, so that `statuses` knows which of them to find anew. Reading order: `route` (one
//! view of all kinds of routes), `listeners`, `parents` (attachment), `rivals` (routes of two kinds
//! for one host), `backends` (references and grants), `rules` (what of a route can be done),
//! `verdict`, `status`, `contests` (rivals, kept up to date), `statuses`.

mod backends;
mod certificates;
mod contests;
mod listeners;
mod parents;
mod policies;
mod problems;
mod reads;
pub(crate) mod rivals;
mod route;
mod rules;
mod status;
mod statuses;
mod verdict;

use std::sync::Arc;

use weft_api::{Kind, Object, ObjectKey, Resource, Store, gateway_api};

pub(crate) use listeners::ListenerVerdict;
pub(crate) use parents::{Attachment, Parent};
use reads::{Read, Reads};
pub(crate) use route::Route;
pub(crate) use statuses::Statuses;
pub use statuses::gateway_status;

/// The controller whose GatewayClasses are Weft's.
pub const CONTROLLER: &str = "weft.dev/gateway-controller";

/// The GatewayClass that Weft brings along: it counts as there when nobody wrote it.
const OWN_CLASS: &str = "weft";

/// What Gateway API objects mean together.
#[derive(Clone, Copy)]
pub(crate) struct Gateways<'s> {
    store: &'s Store,
    /// Where to write down what is looked up.
    reads: Option<&'s Reads>,
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
    /// Of a store.
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store, reads: None }
    }

    /// Of a store, and writes down what is looked up in it.
    fn watched(store: &'s Store, reads: &'s Reads) -> Self {
        Self {
            store,
            reads: Some(reads),
        }
    }

    /// An object of a kind.
    fn object(&self, kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> Option<&'s Arc<Object>> {
        self.keyed(&ObjectKey {
            kind,
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
        })
    }

    /// An object.
    fn keyed(&self, key: &ObjectKey) -> Option<&'s Arc<Object>> {
        self.note(|| Read::Object(key.clone()));
        self.store.object(key)
    }

    /// All objects of a kind in a namespace.
    fn objects_in(
        &self,
        kind: Kind,
        namespace: &Arc<str>,
    ) -> impl Iterator<Item = &'s Arc<Object>> + use<'s> {
        self.note(|| Read::All(kind, Arc::clone(namespace)));
        self.store.objects_in(kind, namespace)
    }

    fn note(&self, read: impl FnOnce() -> Read) {
        if let Some(reads) = self.reads {
            reads.note(read());
        }
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
