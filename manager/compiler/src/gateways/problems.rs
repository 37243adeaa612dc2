//! What is not accepted, as problems.

use weft_api::{
    Kind, Object, Resource,
    gateway_api::{BackendTlsPolicy, GROUP, ParentRef},
};
use weft_model::{Problem, Severity};

use super::{CONTROLLER, Gateways, Refusal, Route, verdict::RouteVerdict};
use crate::problems;

impl Gateways<'_> {
    /// What of a Gateway is not accepted.
    pub(super) fn gateway_problems(&self, object: &Object) -> Vec<Problem> {
        let Some(gateway) = self.owned(object) else {
            return self.others_class(object).into_iter().collect();
        };
        let mut found = Vec::new();
        if let Some(refusal) = self.gateway_refusal(object, gateway)
            && refusal.reason != "ListenersNotValid"
        {
            let path = "spec".to_owned();
            found.push(problem(object, Severity::Error, path, &refusal));
        }
        for (index, verdict) in self.listeners(object, gateway).iter().enumerate() {
            let refusals = [&verdict.refused, &verdict.conflict, &verdict.unresolved];
            let path = format!("spec.listeners[{index}]");
            for refusal in refusals.into_iter().flatten() {
                found.push(problem(object, Severity::Error, path.clone(), refusal));
            }
        }
        found
    }

    /// What of a policy is not accepted.
    pub(super) fn policy_problems(
        &self,
        object: &Object,
        policy: &BackendTlsPolicy,
    ) -> Vec<Problem> {
        let unresolved = self.unresolved(object, policy);
        let refusal = self.policy_refusal(object, policy, &unresolved);
        let refusals = refusal.iter().chain(&unresolved);
        refusals
            .map(|refusal| problem(object, Severity::Error, "spec".to_owned(), refusal))
            .collect()
    }

    /// A Gateway that is not Weft's business.
    fn others_class(&self, object: &Object) -> Option<Problem> {
        let Resource::Gateway(gateway) = &object.resource else {
            return None;
        };
        let class = &gateway.gateway_class_name;
        if self.is_own_class(class) {
            return None;
        }
        let message = format!(
            "its class {class} is not one of {CONTROLLER}, so nothing is served for it here"
        );
        let path = "spec.gatewayClassName".to_owned();
        let refusal = Refusal::new("NotReconciled", message);
        Some(problem(object, Severity::Info, path, &refusal))
    }

    /// What of a route is not accepted, or does not lead anywhere.
    pub(super) fn route_problems(&self, verdict: &RouteVerdict<'_>) -> Vec<Problem> {
        let route = &verdict.route;
        let mut found = Vec::new();
        for (index, parent) in route.parents.iter().enumerate() {
            let path = format!("spec.parentRefs[{index}]");
            let mut known = verdict.parents.iter();
            match known.find(|(position, _, _)| *position == index) {
                Some((_, _, Ok(_))) => {}
                Some((_, _, Err(refusal))) => {
                    found.push(problem(route.object, Severity::Error, path, refusal));
                }
                None => found.extend(self.strange_parent(route, parent, path)),
            }
        }
        let whole = verdict.refusal.iter().chain(&verdict.partly_invalid);
        for refusal in whole {
            let path = "spec.rules".to_owned();
            found.push(problem(route.object, Severity::Error, path, refusal));
        }
        for (path, refusal) in &verdict.broken_backends {
            found.push(problem(
                route.object,
                Severity::Error,
                path.clone(),
                refusal,
            ));
        }
        found
    }

    /// A parent that is not there, or that Weft does not know. Those of others' classes are theirs.
    fn strange_parent(
        &self,
        route: &Route<'_>,
        parent: &ParentRef,
        path: String,
    ) -> Option<Problem> {
        let namespace = parent
            .namespace
            .as_ref()
            .unwrap_or(&route.object.key.namespace);
        let name = format!("{} {namespace}/{}", parent.kind, parent.name);
        let is_gateway = *parent.group == *GROUP && *parent.kind == *"Gateway";
        let message = if !is_gateway {
            format!(
                "{name}: kind {} of group {:?} is not known as a parent; use a Gateway or a Service",
                parent.kind, parent.group
            )
        } else if self
            .object(Kind::Gateway, namespace, &parent.name)
            .is_none()
        {
            format!("{name} was not found")
        } else {
            return None;
        };
        let refusal = Refusal::new("NoMatchingParent", message);
        Some(problem(route.object, Severity::Warning, path, &refusal))
    }
}

fn problem(object: &Object, severity: Severity, path: String, refusal: &Refusal) -> Problem {
    let code = match refusal.reason {
        "HostnameConflict" | "ProtocolConflict" | "Conflicted" => "conflict",
        "UnsupportedProtocol" | "UnsupportedValue" | "UnsupportedAddress" => "not-supported",
        "BackendNotFound"
        | "InvalidKind"
        | "RefNotPermitted"
        | "InvalidCertificateRef"
        | "NoMatchingParent" => "unresolved-reference",
        _ => "not-accepted",
    };
    Problem {
        severity,
        code,
        origin: problems::origin(object),
        path,
        line: 0,
        message: format!("{} ({})", refusal.message, refusal.reason),
    }
}
