//! Whatever changes: at every single write, a connection meets the old policy or the new one, and
//! at the end the maps say what the mesh says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "mesh/kernel.rs"]
mod kernel;

#[path = "authz/strategies.rs"]
#[expect(dead_code, reason = "shared with another test, which uses the rest")]
mod strategies;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*, sample::select};
use weft_abi::{Enrolment, Peer};
use weft_decision::{Attributes, Layer, Subject, authorize, mtls};
use weft_lower::{
    Capacity, MeshFacts, MeshNames, MeshPlanner, NodeEnrolment, NodeFacts, Planner, authz::Verdict,
};
use weft_model::{
    Change, Exclusions, Identity, Instance, InstanceKind, Mesh, Origin, Tunnel, Workload,
    policy::{MtlsMode, PeerAuthentication, Scope},
};

use kernel::Maps;
use strategies::{PORTS, address, author, policy};

const NAMES: [&str; 3] = ["web", "api", "teller"];
const HOLD_PORT: u16 = 40000;
const PLACES: [&str; 3] = ["10.0.0.1", "10.0.1.1", "2001:db8::1"];

/// What a step makes of the world: all of it, so that planners find out what differs.
#[derive(Clone, Debug)]
struct World {
    mesh: Mesh,
    facts: MeshFacts,
}

fn instance() -> impl Strategy<Value = Instance> {
    let namespace = select(&["shop", "bank"][..]);
    let account = select(&["web", "teller", "new"][..]);
    let who = (namespace, select(&NAMES[..]), account);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (who, flags).prop_map(|((namespace, name, account), (is_enrolled, web, entry))| {
        let workload = Workload {
            namespace: namespace.into(),
            name: name.into(),
            canonical_service: name.into(),
            canonical_revision: "latest".into(),
            app: None,
            version: None,
            service_account: account.into(),
        };
        let origin = Origin {
            kind: "Pod".into(),
            namespace: namespace.into(),
            name: name.into(),
            file: "a.yaml".into(),
            line: 1,
        };
        Instance {
            namespace: namespace.into(),
            name: name.into(),
            kind: [InstanceKind::Pod, InstanceKind::WorkloadEntry][usize::from(entry)],
            origin,
            workload: Arc::new(workload),
            labels: Vec::from_iter(web.then(|| ("app".into(), "web".into()))),
            identity: Identity {
                trust_domain: "cluster.local".into(),
                namespace: namespace.into(),
                account: account.into(),
            },
            node: None,
            is_enrolled,
            tunnel: [Tunnel::None, Tunnel::Hbone][usize::from(is_enrolled)],
            exclusions: Exclusions::default(),
        }
    })
}

fn peers() -> impl Strategy<Value = PeerAuthentication> {
    let mode = || {
        let modes = [MtlsMode::Disable, MtlsMode::Permissive, MtlsMode::Strict];
        prop::option::of(select(modes.to_vec()))
    };
    let scope = prop_oneof![
        Just(Scope::Mesh),
        Just(Scope::Namespace("shop".into())),
        Just(Scope::Workloads {
            namespace: Some("shop".into()),
            labels: vec![("app".into(), "web".into())],
        }),
    ];
    let ports = prop::collection::btree_map(select(&PORTS[..]), mode(), 0..3);
    (scope, mode(), ports).prop_map(|(scope, mode, ports)| PeerAuthentication {
        author: author("shop", "peers"),
        scope,
        mode,
        ports,
    })
}

fn world() -> impl Strategy<Value = World> {
    let instances = vec(prop::option::weighted(0.7, instance()), PLACES.len());
    let enrolments = vec((select(&["shop", "bank"][..]), select(&NAMES[..])), 0..3);
    let policies = (vec(policy(), 0..4), vec(peers(), 0..4));
    (instances, enrolments, policies).prop_map(|(instances, enrolled, (policies, peers))| {
        let mut mesh = Mesh {
            policies: strategies::all(policies),
            ..Mesh::default()
        };
        for (place, instance) in PLACES.iter().zip(instances) {
            let instance = instance.map(|instance| (address(place), Arc::new(instance)));
            mesh.instances.extend(instance);
        }
        for (index, mut peers) in peers.into_iter().enumerate() {
            peers.author = author("shop", &format!("p{index}"));
            let name = peers.author.name.clone();
            mesh.policies.peer.insert(name, Arc::new(peers));
        }
        let enrolled: std::collections::BTreeSet<_> = enrolled.into_iter().collect();
        let enrolments = enrolled.into_iter().map(|(namespace, name)| NodeEnrolment {
            // One namespace for each name, as long as it lives.
            netns: 100 + 10 * u64::from(namespace == "bank") + u64::from(name.as_bytes()[0]),
            namespace: namespace.into(),
            name: name.into(),
            proxy_port: 15001,
            hold_port: u16::from(name.as_bytes()[0] % 2) * HOLD_PORT,
            bypasses_outbound: false,
        });
        World {
            mesh,
            facts: MeshFacts {
                node: Some("n1".into()),
                enrolments: enrolments.collect(),
                encrypts_local: false,
                logs: false,
            },
        }
    })
}

/// What differs, as the compiler would say it.
fn change(from: &Mesh, to: &Mesh) -> Change {
    let mut change = Change::default();
    let all: std::collections::BTreeSet<_> =
        from.instances.keys().chain(to.instances.keys()).collect();
    for place in all {
        let (before, after) = (from.instances.get(place), to.instances.get(place));
        if before != after {
            change.instances.push((*place, after.cloned()));
        }
    }
    fn differing<K: Ord + Clone, T: PartialEq>(
        from: &BTreeMap<K, Arc<T>>,
        to: &BTreeMap<K, Arc<T>>,
    ) -> Vec<(K, Option<Arc<T>>)> {
        let all: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).collect();
        let differ = all.into_iter().filter(|key| from.get(*key) != to.get(*key));
        differ
            .map(|key| (key.clone(), to.get(key).cloned()))
            .collect()
    }
    change.policies.authorization =
        differing(&from.policies.authorization, &to.policies.authorization);
    change.policies.peer = differing(&from.policies.peer, &to.policies.peer);
    change
}

fn with_subject<T>(instance: &Instance, ask: impl FnOnce(&Subject<'_>) -> T) -> T {
    let labels = instance.labels.iter();
    let labels: Vec<_> = labels.map(|(key, value)| (&**key, &**value)).collect();
    ask(&Subject {
        namespace: &instance.namespace,
        labels: &labels,
        ..Subject::default()
    })
}

/// Whether the mesh lets a client in, and the mode of the port; none where nobody is enrolled.
fn truth(
    world: &World,
    place: IpAddr,
    principal: Option<&str>,
    source: IpAddr,
    port: u16,
) -> Option<(bool, u8)> {
    let instance = world.mesh.instances.get(&place)?;
    let policies = &world.mesh.policies;
    let attributes = Attributes {
        principal,
        source,
        remote: None,
        destination: place,
        port,
        server_name: None,
        http: None,
    };
    with_subject(instance, |subject| {
        let verdict = authorize(policies, subject, &attributes, Layer::L4);
        let mode = match mtls(policies, subject, port).mode {
            MtlsMode::Disable => 0,
            MtlsMode::Permissive => 1,
            MtlsMode::Strict => 2,
        };
        Some((verdict.is_allowed, mode))
    })
}

fn is_here(world: &World, place: IpAddr) -> bool {
    let Some(instance) = world.mesh.instances.get(&place) else {
        return false;
    };
    let same =
        |it: &NodeEnrolment| (&it.namespace, &it.name) == (&instance.namespace, &instance.name);
    let mut all = world.mesh.instances.values();
    // A pod hides an entry of the same name.
    let is_hidden = all.any(|other| {
        (&other.namespace, &other.name) == (&instance.namespace, &instance.name)
            && other.kind < instance.kind
    });
    world.facts.enrolments.iter().any(same) && !is_hidden
}

/// Every connection that the kernel would judge now, against what the mesh says before or after.
fn check(
    maps: &Maps,
    names: &MeshNames,
    before: &World,
    after: &World,
) -> Result<(), TestCaseError> {
    let mut clients = vec![(0, None)];
    for enrolment in maps.enrolled.values() {
        if enrolment.flags & Enrolment::READY != 0 {
            let principal = names.principal(enrolment.identity);
            prop_assert!(
                principal.is_some(),
                "nobody has identity {}",
                enrolment.identity
            );
            clients.push((enrolment.identity, principal.cloned()));
        }
    }
    for (place, peer) in &maps.peers {
        if peer.flags & Peer::READY == 0 {
            continue;
        }
        prop_assert!(peer.flags & Peer::HERE != 0);
        for (identity, principal) in &clients {
            for source in PLACES.map(address) {
                for port in PORTS.into_iter().chain([1]) {
                    let verdict = maps.decide(peer.set, *identity, source, port);
                    let found = (verdict == Verdict::Allow, maps.mode(*place, peer, port));
                    let of =
                        |world| truth(world, (*place).into(), principal.as_deref(), source, port);
                    let (old, new) = (of(before), of(after));
                    let allows = |truth: Option<(bool, u8)>| truth.map(|it| it.0) == Some(found.0);
                    let modes = |truth: Option<(bool, u8)>| truth.map(|it| it.1) == Some(found.1);
                    prop_assert!(
                        allows(old) || allows(new),
                        "{:?}: {:?} {:?} {:?}",
                        place,
                        found,
                        old,
                        new
                    );
                    prop_assert!(
                        modes(old) || modes(new),
                        "{:?}: {:?} {:?} {:?}",
                        place,
                        found,
                        old,
                        new
                    );
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_write_leaves_old_or_new_policy(worlds in vec(world(), 1..6), restart in 0..6_usize) {
        let node = NodeFacts::default();
        let mut planner = Planner::new(Capacity::default());
        let mut meshes = MeshPlanner::new(MeshNames::default());
        let mut maps = Maps::default();
        let mut before = World { mesh: Mesh::default(), facts: MeshFacts::default() };
        let mut now = Duration::from_secs(100);
        for (step, after) in worlds.into_iter().enumerate() {
            let change = change(&before.mesh, &after.mesh);
            let mut known = Some(&change);
            if step == restart {
                let names = MeshNames::from_json(&meshes.names().to_json()).unwrap();
                meshes = MeshPlanner::default();
                meshes.adopt(maps.dump(), names);
                known = None;
            }
            meshes.prepare(&after.mesh, known, &after.facts, &mut planner);
            let plan = planner.plan(&change, &node, now);
            let mesh_plan = meshes.plan(&after.mesh, &mut planner, now);
            let ops = mesh_plan.before.into_iter().chain(plan.ops).chain(mesh_plan.after);
            for op in ops {
                maps.apply(&op);
                check(&maps, meshes.names(), &before, &after)?;
            }
            check(&maps, meshes.names(), &after, &after)?;
            for place in PLACES.map(address) {
                let peer = maps.peers.get(&place.into());
                let ready = peer.is_some_and(|peer| peer.flags & Peer::READY != 0);
                prop_assert_eq!(ready, is_here(&after, place), "{}", place);
                let here = is_here(&after, place);
                let reach = planner.reach().get(&place);
                prop_assert_eq!(reach.is_some_and(|reach| reach.is_here), here);
            }
            for enrolment in &after.facts.enrolments {
                let ready = maps.enrolled[&enrolment.netns].flags & Enrolment::READY != 0;
                let has = PLACES.map(address).into_iter().any(|place| {
                    is_here(&after, place) && {
                        let it = &after.mesh.instances[&place];
                        (&it.namespace, &it.name) == (&enrolment.namespace, &enrolment.name)
                    }
                });
                prop_assert_eq!(ready, has);
                let entry = maps.enrolled[&enrolment.netns];
                let holds = entry.flags & Enrolment::HOLD != 0;
                prop_assert_eq!(holds, !ready && enrolment.hold_port != 0);
                let port = if ready { enrolment.proxy_port } else { enrolment.hold_port };
                prop_assert_eq!(entry.proxy_port, port);
            }
            prop_assert_eq!(maps.enrolled.len(), after.facts.enrolments.len());
            // The same again writes nothing.
            meshes.prepare(&after.mesh, None, &after.facts, &mut planner);
            let again = meshes.plan(&after.mesh, &mut planner, now);
            prop_assert_eq!((again.before, again.after), (vec![], vec![]));
            before = after;
            now += Duration::from_secs(1);
        }
        // What no peer names goes once it has rested.
        now += Duration::from_secs(10);
        meshes.prepare(&before.mesh, Some(&Change::default()), &before.facts, &mut planner);
        let last = meshes.plan(&before.mesh, &mut planner, now);
        last.before.iter().chain(&last.after).for_each(|op| maps.apply(op));
        maps.check_no_leftovers();
        check(&maps, meshes.names(), &before, &before)?;
        prop_assert_eq!(meshes.retry_at(), None);
    }
}
