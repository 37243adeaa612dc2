//! Which routes lose to which, kept up to date: a route that comes, goes or changes can decide anew
//! for every other route at the same Gateway.

use std::collections::{BTreeMap, BTreeSet};

use weft_api::{Kind, ObjectKey, Store};

use super::{
    Attachment, Parent, Refusal,
    rivals::{self, Claim, ClaimId},
    verdict::RouteVerdict,
};

/// Claims of routes on Gateways, and those that lost.
#[derive(Debug, Default)]
pub(super) struct Contests {
    /// By Gateway.
    claims: BTreeMap<ObjectKey, BTreeMap<ClaimId, Held>>,
    /// Gateways that a route has claims on.
    gateways: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// By Gateway; none empty.
    lost: BTreeMap<ObjectKey, BTreeMap<ClaimId, Refusal>>,
}

/// What of a claim decides between rivals, besides its id.
#[derive(PartialEq, Eq, Debug)]
struct Held {
    created: Option<i64>,
    attachments: Vec<Attachment>,
}

impl Contests {
    /// Takes in what a route claims now, if anything; Gateways where that differs have to be judged.
    pub(super) fn take(
        &mut self,
        key: &ObjectKey,
        verdict: Option<&RouteVerdict<'_>>,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        if !matches!(key.kind, Kind::HttpRoute | Kind::GrpcRoute) {
            return;
        }
        let new = claims(key, verdict);
        let before = self.gateways.remove(key).unwrap_or_default();
        for gateway in before.iter().filter(|gateway| !new.contains_key(gateway)) {
            touched.insert(gateway.clone());
            self.set(gateway, key, BTreeMap::new());
        }
        if !new.is_empty() {
            self.gateways
                .insert(key.clone(), new.keys().cloned().collect());
        }
        for (gateway, claims) in new {
            if self.set(&gateway, key, claims) {
                touched.insert(gateway);
            }
        }
    }

    /// Sets the claims of a route on a Gateway, and says whether they differ.
    fn set(&mut self, gateway: &ObjectKey, key: &ObjectKey, new: BTreeMap<ClaimId, Held>) -> bool {
        let all = self.claims.entry(gateway.clone()).or_default();
        let of_route = (key.clone(), 0)..=(key.clone(), usize::MAX);
        let is_same = all.range(of_route.clone()).eq(new.iter());
        if !is_same {
            let old: Vec<ClaimId> = all.range(of_route).map(|(id, _)| id.clone()).collect();
            for id in old {
                all.remove(&id);
            }
            all.extend(new);
        }
        if all.is_empty() {
            self.claims.remove(gateway);
        }
        !is_same
    }

    /// Decides at Gateways anew, and says for which routes that comes out differently.
    pub(super) fn judge(
        &mut self,
        store: &Store,
        gateways: &BTreeSet<ObjectKey>,
    ) -> BTreeSet<ObjectKey> {
        let mut flipped = BTreeSet::new();
        for gateway in gateways {
            let claims = self.claims.get(gateway).filter(|claims| are_rivals(claims));
            let claims = claims
                .into_iter()
                .flatten()
                .filter_map(|((route, parent), held)| {
                    Some(Claim {
                        route: store.object(route)?,
                        parent: *parent,
                        attachments: &held.attachments,
                    })
                });
            let new = rivals::losers(claims.collect());
            let old = self.lost.remove(gateway).unwrap_or_default();
            let differs = |(id, _): &(&ClaimId, &Refusal)| old.get(*id) != new.get(*id);
            let differing = old.iter().chain(&new).filter(differs);
            flipped.extend(differing.map(|((route, _), _)| route.clone()));
            if !new.is_empty() {
                self.lost.insert(gateway.clone(), new);
            }
        }
        flipped
    }

    /// Whether a claim of a route has lost.
    pub(super) fn has_lost(&self, key: &ObjectKey) -> bool {
        let mut gateways = self.gateways.get(key).into_iter().flatten();
        gateways.any(|gateway| {
            let of_route = (key.clone(), 0)..=(key.clone(), usize::MAX);
            let lost = self.lost.get(gateway);
            lost.is_some_and(|lost| lost.range(of_route).next().is_some())
        })
    }

    /// Refuses what of a route has lost.
    pub(super) fn settle(&self, verdict: &mut RouteVerdict<'_>) {
        let RouteVerdict { route, parents, .. } = verdict;
        for (position, _, parent) in parents {
            let Ok(Parent::Gateway { gateway, .. }) = parent else {
                continue;
            };
            let Some(lost) = self.lost.get(&gateway.key) else {
                continue;
            };
            if let Some(refusal) = lost.get(&(route.object.key.clone(), *position)) {
                *parent = Err(refusal.clone());
            }
        }
    }
}

/// Whether there are claims of two kinds; kinds come first in the order of ids.
fn are_rivals(claims: &BTreeMap<ClaimId, Held>) -> bool {
    let kind = |((route, _), _): (&ClaimId, &Held)| route.kind;
    claims.first_key_value().map(kind) != claims.last_key_value().map(kind)
}

fn claims(
    key: &ObjectKey,
    verdict: Option<&RouteVerdict<'_>>,
) -> BTreeMap<ObjectKey, BTreeMap<ClaimId, Held>> {
    let mut claims: BTreeMap<ObjectKey, BTreeMap<ClaimId, Held>> = BTreeMap::new();
    // A route none of whose rules can be done takes nothing from others.
    let Some(verdict) = verdict.filter(|verdict| verdict.refusal.is_none()) else {
        return claims;
    };
    for (position, _, parent) in &verdict.parents {
        if let Ok(Parent::Gateway {
            gateway,
            attachments,
        }) = parent
        {
            let held = Held {
                created: verdict.route.object.created,
                attachments: attachments.clone(),
            };
            let of_gateway = claims.entry(gateway.key.clone()).or_default();
            of_gateway.insert((key.clone(), *position), held);
        }
    }
    claims
}
