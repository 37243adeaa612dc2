//! Routes that ask for the parent in question and were not accepted.

use weft_api::{Kind, ObjectKey};
use weft_compiler::gateway_status;
use weft_model::{
    Origin,
    status::{ParentStatus, Status},
};

use super::{
    World,
    answer::{Considered, Outcome, Reference},
    asked::Asked,
    party::Client,
};

const ROUTES: [Kind; 5] = [
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::UdpRoute,
];

/// Routes of the Gateway API that name the gateway, or the addressed service, and hold nowhere there.
pub(super) fn routes(world: &World, client: &Client, asked: &Asked) -> Vec<Considered> {
    let Some((kind, namespace, name)) = parent(world, client, asked) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for status in gateway_status(&world.store) {
        let Status::Route { parents } = &status.status else {
            continue;
        };
        let own = status.metadata.namespace.clone().unwrap_or_default();
        let mut here = parents.iter().filter(|parent| {
            let reference = &parent.parent_ref;
            let of = reference.namespace.as_ref().unwrap_or(&own);
            *reference.kind == *kind && **of == *namespace && *reference.name == *name
        });
        let refusals: Vec<Option<String>> = here.by_ref().map(refusal).collect();
        let is_refused = !refusals.is_empty() && refusals.iter().all(Option::is_some);
        let kind = ROUTES.into_iter().find(|kind| kind.name() == status.kind);
        let (Some(kind), true) = (kind, is_refused) else {
            continue;
        };
        let key = ObjectKey {
            kind,
            namespace: own,
            name: status.metadata.name,
        };
        if let (Some(object), Some(Some(why))) = (world.store.object(&key), refusals.first()) {
            let written = object.origin();
            let origin = Origin {
                kind: written.kind,
                namespace: written.namespace,
                name: written.name,
                file: written.file,
                line: written.line,
            };
            found.push(Considered::new(
                Reference::new(&origin, None),
                "route",
                Outcome::NotMatched,
                format!("not accepted: {why}"),
            ));
        }
    }
    found
}

/// What routes would name: kind, namespace, name.
fn parent(world: &World, client: &Client, asked: &Asked) -> Option<(&'static str, String, String)> {
    if let Some(at) = &client.gateway {
        let name = at.name.name.to_string();
        let is_routed = at.name.is_gateway_api;
        return is_routed.then(|| ("Gateway", at.name.namespace.to_string(), name));
    }
    let service = world.mesh().services.get(asked.service.as_ref()?)?;
    let namespace = service.name.namespace.to_string();
    (*service.origin.kind == *"Service").then(|| {
        let name = service.short_name.to_string();
        ("Service", namespace, name)
    })
}

fn refusal(parent: &ParentStatus) -> Option<String> {
    let mut conditions = parent.conditions.iter();
    let refused = conditions.find(|it| it.condition_type == "Accepted" && !it.status)?;
    Some(format!("{} ({})", refused.message, refused.reason))
}
