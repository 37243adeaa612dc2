//! For whom a policy holds.

use weft_model::{
    ServiceName,
    policy::{Scope, Target},
};

/// A workload or gateway that policies protect.
#[derive(Clone, Copy, Default, Debug)]
pub struct Subject<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Labels of the workload, in any order.
    pub labels: &'a [(&'a str, &'a str)],
    /// Services it was reached by.
    pub services: &'a [ServiceName],
    /// The gateway it is, when it is one.
    pub gateway: Option<GatewaySubject<'a>>,
}

/// A gateway that policies protect.
#[derive(Clone, Copy, Default, Debug)]
pub struct GatewaySubject<'a> {
    /// Name; its namespace is the subject's.
    pub name: &'a str,
    /// Name of its class.
    pub class: &'a str,
}

impl Subject<'_> {
    /// Whether a policy with this scope holds here.
    pub fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Mesh => true,
            Scope::Namespace(namespace) => **namespace == *self.namespace,
            Scope::Workloads { namespace, labels } => {
                let here = namespace
                    .as_ref()
                    .is_none_or(|namespace| **namespace == *self.namespace);
                let has = |key: &str, value: &str| self.labels.contains(&(key, value));
                here && labels.iter().all(|(key, value)| has(key, value))
            }
            Scope::Targets(targets) => targets.iter().any(|target| self.is_target(target)),
        }
    }

    fn is_target(&self, target: &Target) -> bool {
        match target {
            Target::Service(name) => self.services.contains(name),
            Target::Gateway { namespace, name } => self
                .gateway
                .is_some_and(|own| **namespace == *self.namespace && **name == *own.name),
            Target::GatewayClass(class) => self.gateway.is_some_and(|own| **class == *own.class),
        }
    }
}
