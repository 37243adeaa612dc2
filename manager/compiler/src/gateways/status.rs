//! The `status` of one Gateway API object.

mod conditions;
mod features;

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{
    Object, ObjectKey, Resource,
    gateway_api::{GROUP, Gateway, GatewayAddress, ParentRef},
};
use weft_model::status::{
    Condition, ListenerStatus, ObjectName, ObjectStatus, ParentReference, ParentStatus,
    RouteGroupKind, Status, StatusName,
};

use super::{CONTROLLER, Gateways, ListenerVerdict, Refusal, verdict::RouteVerdict};
pub(super) use conditions::Conditions;

/// How an object is named where its status is written.
pub(super) fn status_name(key: &ObjectKey) -> StatusName {
    let namespace = Some(&key.namespace).filter(|namespace| !namespace.is_empty());
    StatusName {
        kind: key.kind.name(),
        metadata: ObjectName {
            namespace: namespace.cloned(),
            name: Arc::clone(&key.name),
        },
    }
}

/// A status with the object that has it.
pub(super) fn of_object(key: &ObjectKey, status: Status) -> ObjectStatus {
    let StatusName { kind, metadata } = status_name(key);
    ObjectStatus {
        api_version: "gateway.networking.k8s.io/v1",
        kind,
        metadata,
        status,
    }
}

impl<'s> Gateways<'s> {
    /// The status of a Gateway, given how many routes are attached to each listener.
    pub(super) fn gateway_status(
        &self,
        object: &'s Object,
        gateway: &Gateway,
        counts: Option<&BTreeMap<usize, u32>>,
    ) -> Status {
        let verdicts = self.listeners(object, gateway);
        let refusal = gateway_refusal(gateway, &verdicts);
        let is_accepted = accepted(refusal.as_ref(), &verdicts);
        let is_programmed = is_accepted && verdicts.iter().any(ListenerVerdict::is_usable);
        let mut conditions = Conditions::of(object);
        match &refusal {
            Some(refusal) => conditions.push("Accepted", is_accepted, refusal.clone()),
            None => conditions.positive("Accepted", "Accepted", None),
        }
        let message = "no listener can serve; see the listeners";
        let idle = (!is_programmed).then(|| Refusal::new("Invalid", message));
        conditions.positive("Programmed", "Programmed", idle.as_ref());
        let listeners = gateway.listeners.iter().zip(&verdicts).enumerate();
        let status = |(index, (listener, verdict)): (usize, (_, &ListenerVerdict))| {
            let listener: &weft_api::gateway_api::Listener = listener;
            let count = counts.and_then(|counts| counts.get(&index));
            ListenerStatus {
                name: Arc::clone(&listener.name),
                supported_kinds: supported_kinds(verdict),
                attached_routes: count.copied().unwrap_or(0),
                conditions: listener_conditions(object, verdict, is_accepted),
            }
        };
        Status::Gateway {
            conditions: conditions.into_inner(),
            listeners: listeners.map(status).collect(),
        }
    }

    /// What speaks against a Gateway, wholly or in part.
    pub(super) fn gateway_refusal(&self, object: &Object, gateway: &Gateway) -> Option<Refusal> {
        gateway_refusal(gateway, &self.listeners(object, gateway))
    }

    /// Listeners that can serve, with their positions; none when the Gateway is not accepted.
    pub(crate) fn serving(
        &self,
        object: &Object,
        gateway: &Gateway,
    ) -> Vec<(usize, ListenerVerdict)> {
        let verdicts = self.listeners(object, gateway);
        let refusal = gateway_refusal(gateway, &verdicts);
        if !accepted(refusal.as_ref(), &verdicts) {
            return Vec::new();
        }
        let verdicts = verdicts.into_iter().enumerate();
        verdicts
            .filter(|(_, verdict)| verdict.is_usable())
            .collect()
    }
}

/// The status of a GatewayClass, if it is Weft's.
pub(super) fn of_class(object: &Object) -> Option<Status> {
    let Resource::GatewayClass(class) = &object.resource else {
        return None;
    };
    if *class.controller_name != *CONTROLLER {
        return None;
    }
    let mut conditions = Conditions::of(object);
    let refusal = class.parameters_ref.as_ref().map(|_| {
        let message = "parametersRef: this class has no parameters";
        Refusal::new("InvalidParameters", message)
    });
    conditions.positive("Accepted", "Accepted", refusal.as_ref());
    conditions.positive("SupportedVersion", "SupportedVersion", None);
    Some(Status::Class {
        conditions: conditions.into_inner(),
        supported_features: features::supported(),
    })
}

fn supported_kinds(verdict: &ListenerVerdict) -> Vec<RouteGroupKind> {
    let kinds = verdict.kinds.iter();
    kinds
        .map(|kind| RouteGroupKind {
            group: Arc::clone(&kind.group),
            kind: Arc::clone(&kind.kind),
        })
        .collect()
}

/// What speaks against a Gateway, wholly or in part.
fn gateway_refusal(gateway: &Gateway, verdicts: &[ListenerVerdict]) -> Option<Refusal> {
    if gateway.infrastructure.parameters_ref.is_some() {
        let message = "infrastructure.parametersRef: Gateways of this class have no parameters";
        return Some(Refusal::new("InvalidParameters", message));
    }
    let is_unsupported = |address: &&GatewayAddress| {
        let value = address.value.as_ref().filter(|value| !value.is_empty());
        *address.address_type != *"IPAddress"
            || value.is_some_and(|value| value.parse::<std::net::IpAddr>().is_err())
    };
    if let Some(address) = gateway.addresses.iter().find(is_unsupported) {
        let value = address.value.as_deref().unwrap_or("");
        let message = format!(
            "address {value:?} of type {} is not an IPAddress",
            address.address_type
        );
        return Some(Refusal::new("UnsupportedAddress", message));
    }
    let listeners = gateway.listeners.iter().zip(verdicts);
    let (valid, invalid): (Vec<_>, Vec<_>) =
        listeners.partition(|(_, verdict)| verdict.is_accepted());
    let names = |listeners: Vec<(&weft_api::gateway_api::Listener, _)>| {
        let names: Vec<&str> = listeners
            .iter()
            .map(|(listener, _): &(_, &ListenerVerdict)| &*listener.name)
            .collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    (!invalid.is_empty()).then(|| {
        let (valid, invalid) = (names(valid), names(invalid));
        let message = format!("listeners not accepted: {invalid}; accepted: {valid}");
        Refusal::new("ListenersNotValid", message)
    })
}

/// A Gateway with some listeners that are valid is accepted.
fn accepted(refusal: Option<&Refusal>, verdicts: &[ListenerVerdict]) -> bool {
    match refusal {
        None => true,
        Some(refusal) => {
            refusal.reason == "ListenersNotValid"
                && verdicts.iter().any(ListenerVerdict::is_accepted)
        }
    }
}

fn listener_conditions(
    object: &Object,
    verdict: &ListenerVerdict,
    gateway_accepted: bool,
) -> Vec<Condition> {
    let mut conditions = Conditions::of(object);
    let refused = verdict.refused.as_ref().or(verdict.conflict.as_ref());
    conditions.positive("Accepted", "Accepted", refused);
    match &verdict.conflict {
        Some(conflict) => conditions.push("Conflicted", true, conflict.clone()),
        None => conditions.push("Conflicted", false, Refusal::new("NoConflicts", "")),
    }
    // Is there only where it holds.
    if let Some(overlap) = &verdict.overlap {
        conditions.push("OverlappingTLSConfig", true, overlap.clone());
    }
    let idle = (!(gateway_accepted && verdict.is_usable())).then(|| {
        let why = refused.or(verdict.unresolved.as_ref());
        let message = why.map_or("the Gateway is not accepted", |why| &why.message);
        Refusal::new("Invalid", message)
    });
    conditions.positive("Programmed", "Programmed", idle.as_ref());
    conditions.positive("ResolvedRefs", "ResolvedRefs", verdict.unresolved.as_ref());
    conditions.into_inner()
}

/// The status of a route.
pub(super) fn of_route(verdict: &RouteVerdict<'_>) -> Status {
    let object = verdict.route.object;
    let parents = verdict.parents.iter().map(|(_, parent, outcome)| {
        let mut conditions = Conditions::of(object);
        let refusal = outcome.as_ref().err().or(verdict.refusal.as_ref());
        conditions.positive("Accepted", "Accepted", refusal);
        if let Some(partly) = verdict.partly_invalid.clone().filter(|_| refusal.is_none()) {
            conditions.push("PartiallyInvalid", true, partly);
        }
        conditions.positive("ResolvedRefs", "ResolvedRefs", verdict.unresolved());
        ParentStatus {
            parent_ref: parent_reference(parent),
            controller_name: CONTROLLER.into(),
            conditions: conditions.into_inner(),
        }
    });
    Status::Route {
        parents: parents.collect(),
    }
}

fn parent_reference(parent: &ParentRef) -> ParentReference {
    ParentReference {
        group: Arc::clone(&parent.group),
        kind: Arc::clone(&parent.kind),
        namespace: parent.namespace.clone(),
        name: Arc::clone(&parent.name),
        section_name: parent.section_name.clone(),
        port: parent.port,
    }
}

/// A Gateway as others refer to it.
pub(super) fn gateway_reference(key: &ObjectKey) -> ParentReference {
    ParentReference {
        group: GROUP.into(),
        kind: "Gateway".into(),
        namespace: Some(Arc::clone(&key.namespace)),
        name: Arc::clone(&key.name),
        section_name: None,
        port: None,
    }
}
