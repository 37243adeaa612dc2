//! HTTPRoutes and GRPCRoutes that ask for the same host of one listener: the Gateway API lets only one
//! of them have it, the older.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::{Kind, Object, ObjectKey};
use weft_model::route::HostPattern;

use super::{Refusal, Route, parents::Attachment};

/// A route that attaches to a Gateway by one of its `parentRefs`.
pub(crate) struct Claim<'c> {
    pub(crate) route: &'c Object,
    /// Position in `spec.parentRefs`.
    pub(crate) parent: usize,
    pub(crate) attachments: &'c [Attachment],
}

/// A `parentRef` of a route.
pub(crate) type ClaimId = (ObjectKey, usize);

/// Of claims on one Gateway those that lose, each with the reason. A route that has lost stands in
/// nobody's way.
pub(crate) fn losers(mut claims: Vec<Claim<'_>>) -> BTreeMap<ClaimId, Refusal> {
    claims.retain(|claim| matches!(claim.route.key.kind, Kind::HttpRoute | Kind::GrpcRoute));
    let kinds: BTreeSet<Kind> = claims.iter().map(|claim| claim.route.key.kind).collect();
    let mut lost = BTreeMap::new();
    if kinds.len() < 2 {
        return lost;
    }
    // A route none of whose rules can be done is not accepted, and takes nothing from others.
    claims.retain(|claim| Route::of(claim.route).is_some_and(|route| !route.is_broken()));
    claims.sort_by(|a, b| Route::precedence(a.route, b.route).then(a.parent.cmp(&b.parent)));
    let mut taken: BTreeMap<(Kind, usize), Vec<(&HostPattern, &Object)>> = BTreeMap::new();
    for claim in claims {
        let other = match claim.route.key.kind {
            Kind::GrpcRoute => Kind::HttpRoute,
            _ => Kind::GrpcRoute,
        };
        let rival = claim.attachments.iter().find_map(|attachment| {
            let taken = taken.get(&(other, attachment.listener))?;
            let mut hosts = attachment.hosts.iter();
            hosts.find_map(|host| {
                let mut taken = taken.iter();
                taken.find(|(theirs, _)| host.meet(theirs).is_some())
            })
        });
        if let Some((host, winner)) = rival {
            let message = format!(
                "{} goes first and has the host {host} at the same listener; a host belongs to \
                 HTTPRoutes or to GRPCRoutes",
                winner.key
            );
            let id = (claim.route.key.clone(), claim.parent);
            lost.insert(id, Refusal::new("HostnameConflict", message));
            continue;
        }
        for attachment in claim.attachments {
            let key = (claim.route.key.kind, attachment.listener);
            let hosts = attachment.hosts.iter().map(|host| (host, claim.route));
            taken.entry(key).or_default().extend(hosts);
        }
    }
    lost
}
