//! BackendTLSPolicies: which holds for a Service, and its status.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{
    Kind, Object, ObjectKey, Resource,
    gateway_api::{BackendTlsPolicy, LocalRef, PolicyTargetRef},
};
use weft_model::status::{AncestorStatus, Status};

use super::{
    CONTROLLER, Gateways, Read, Refusal, Route,
    status::{Conditions, gateway_reference},
    statuses::LeadingTo,
};

impl Gateways<'_> {
    /// The status of a policy, given which Gateways lead to which Services.
    pub(super) fn policy_status(
        &self,
        object: &Object,
        policy: &BackendTlsPolicy,
        leading_to: &LeadingTo,
    ) -> Status {
        let unresolved = self.unresolved(object, policy);
        let refusal = self.policy_refusal(object, policy, &unresolved);
        let unresolved = unresolved.first();
        let mut gateways = BTreeSet::new();
        for target in &policy.targets {
            let Some(service) = service_key(object, target) else {
                continue;
            };
            // Who leads there counts even where the policy is refused before its target is asked.
            self.note(|| Read::Object(service.clone()));
            gateways.extend(
                leading_to
                    .get(&service)
                    .into_iter()
                    .flat_map(BTreeMap::keys),
            );
        }
        let ancestor = |gateway: &ObjectKey| {
            let mut conditions = Conditions::of(object);
            conditions.positive("Accepted", "Accepted", refusal.as_ref());
            conditions.positive("ResolvedRefs", "ResolvedRefs", unresolved);
            AncestorStatus {
                ancestor_ref: gateway_reference(gateway),
                controller_name: CONTROLLER.into(),
                conditions: conditions.into_inner(),
            }
        };
        Status::Policy {
            ancestors: gateways.into_iter().map(ancestor).collect(),
        }
    }

    /// Which CA references do not hold.
    pub(super) fn unresolved(&self, object: &Object, policy: &BackendTlsPolicy) -> Vec<Refusal> {
        let refs = policy.validation.ca_certificate_refs.iter();
        refs.filter_map(|reference| self.ca_fault(object, reference))
            .collect()
    }

    fn ca_fault(&self, policy: &Object, reference: &LocalRef) -> Option<Refusal> {
        let name = format!("{} {}", reference.kind, reference.name);
        if !(reference.group.is_empty() && *reference.kind == *"ConfigMap") {
            let message = format!("{name} cannot hold CA certificates; use a ConfigMap");
            return Some(Refusal::new("InvalidKind", message));
        }
        let object = self.object(Kind::ConfigMap, &policy.key.namespace, &reference.name);
        let fault = match object.map(|object| &object.resource) {
            Some(Resource::ConfigMap(map)) if map.certificates.contains("ca.crt") => return None,
            Some(_) => "has no certificate in PEM under ca.crt",
            None => "was not found",
        };
        let message = format!("{name} {fault}");
        Some(Refusal::new("InvalidCACertificateRef", message))
    }

    /// Why a policy is not accepted.
    pub(super) fn policy_refusal(
        &self,
        object: &Object,
        policy: &BackendTlsPolicy,
        unresolved: &[Refusal],
    ) -> Option<Refusal> {
        let validation = &policy.validation;
        if let Some(well_known) = &validation.well_known_ca_certificates
            && **well_known != *"System"
        {
            let message = format!("wellKnownCACertificates {well_known} is not known; use System");
            return Some(Refusal::new("Invalid", message));
        }
        if let Some(first) = unresolved.first()
            && validation.ca_certificate_refs.len() == unresolved.len()
        {
            let message = first.message.clone();
            return Some(Refusal::new("NoValidCACertificate", message));
        }
        policy
            .targets
            .iter()
            .find_map(|target| self.target_refusal(object, target))
    }

    fn target_refusal(&self, object: &Object, target: &PolicyTargetRef) -> Option<Refusal> {
        let Some(key) = service_key(object, target) else {
            let message = format!(
                "{} {} cannot be a target; use a Service",
                target.kind, target.name
            );
            return Some(Refusal::new("TargetNotFound", message));
        };
        let service = self.keyed(&key).map(|service| &service.resource);
        let Some(Resource::Service(service)) = service else {
            return Some(Refusal::new(
                "TargetNotFound",
                format!("{key} was not found"),
            ));
        };
        if let Some(section) = &target.section_name
            && !service.ports.iter().any(|port| port.name == *section)
        {
            let message = format!("{key} has no port named {section}");
            return Some(Refusal::new("TargetNotFound", message));
        }
        let namespace = &object.key.namespace;
        let mut policies = self.objects_in(Kind::BackendTlsPolicy, namespace);
        let older = policies.find(|other| {
            let Resource::BackendTlsPolicy(policy) = &other.resource else {
                return false;
            };
            policy.targets.contains(target) && Route::precedence(other, object).is_lt()
        });
        older.map(|older| {
            let message = format!("{} is older and holds for {key}", older.key);
            Refusal::new("Conflicted", message)
        })
    }
}

fn service_key(policy: &Object, target: &PolicyTargetRef) -> Option<ObjectKey> {
    let is_service = target.group.is_empty() && *target.kind == *"Service";
    is_service.then(|| ObjectKey {
        kind: Kind::Service,
        namespace: Arc::clone(&policy.key.namespace),
        name: Arc::clone(&target.name),
    })
}
