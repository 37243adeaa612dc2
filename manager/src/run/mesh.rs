//! The mesh on this node: which workloads are enrolled, what the kernel is to hold of them, and the
//! proxy that carries what must be encrypted.
//!
//! Reading order: this file (enrolments to facts to plans), [`view`] (what the proxy sees of policy),
//! [`bridge`] (the proxy's questions answered), [`wallet`] (certificates as TLS wants them),
//! [`refused`] (events to refusals), [`report`] (what operators see of enrolments), [`hold`] (who
//! waits), [`revoke`] (live connections under new policy), [`rules`] (how often policy decided),
//! [`access`].

pub(crate) mod access;
mod bridge;
mod hold;
mod refused;
mod report;
pub(crate) mod revoke;
mod rules;
mod view;
mod wallet;

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use weft_abi::{Enrolment, Peer};
use weft_identity::SpiffeId;
use weft_loader::Plane;
use weft_lower::{
    Planner,
    mesh::{MeshFacts, MeshNames, MeshPlan, MeshPlanner, NodeEnrolment},
};
use weft_model::{Change, Instance, Mesh, Problem};
use weft_proxy::{Proxy, Workload};

use self::{access::AccessLog, view::View, wallet::Wallet};
use super::{
    ca::certificates::Certificates,
    enrolment::{Enrolled, Enrolments},
    refusals::Refusals,
};
use crate::args::mesh::Claim;

/// Numbers of identities, in the state directory.
const NAMES: &str = "identities.json";

/// Port of the proxy for HBONE.
pub(super) const HBONE_PORT: u16 = 15_008;

/// A workload that the proxy listens for.
struct Carried {
    enrolled: Enrolled,
    identity: SpiffeId,
    addresses: Vec<IpAddr>,
    port: u16,
}

/// The mesh's half of the engine.
pub(crate) struct MeshSide {
    plane: Arc<Plane>,
    node: Arc<str>,
    state: PathBuf,
    encrypts_local: bool,
    pub(crate) planner: MeshPlanner,
    pub(super) enrolments: Enrolments,
    carried: BTreeMap<u64, Carried>,
    /// Why the proxy does not listen for a workload, by namespace cookie.
    uncarried: BTreeMap<u64, String>,
    /// Namespaces with our hook, and whether it is the one for those whose policy is in the maps;
    /// `None` for one that an earlier manager attached.
    hooked: BTreeMap<u64, Option<bool>>,
    hold: Option<hold::Holding>,
    /// Ports where connections wait, by namespace.
    rooms: BTreeMap<u64, u16>,
    pub(crate) refusals: Refusals,
    pub(crate) view: Arc<View>,
    proxy: Option<Proxy>,
    certificates: Option<Certificates>,
    saved_revision: Option<u64>,
    problems: Vec<Problem>,
    /// Peers here, as last planned: when they change, live connections are judged again.
    peers: BTreeMap<IpAddr, Peer>,
    judge: bool,
    log: Option<Arc<AccessLog>>,
}

impl MeshSide {
    /// Knows nothing yet.
    pub(crate) fn new(
        plane: Arc<Plane>,
        node: &str,
        state: &Path,
        claims: Vec<Claim>,
        encrypts_local: bool,
    ) -> Self {
        let names = saved_names(state);
        Self {
            plane,
            node: node.into(),
            state: state.to_owned(),
            encrypts_local,
            planner: MeshPlanner::new(names),
            enrolments: Enrolments::new(state, claims),
            carried: BTreeMap::new(),
            uncarried: BTreeMap::new(),
            hooked: BTreeMap::new(),
            hold: None,
            rooms: BTreeMap::new(),
            refusals: Refusals::default(),
            view: Arc::default(),
            proxy: None,
            certificates: None,
            saved_revision: None,
            problems: Vec::new(),
            peers: BTreeMap::new(),
            judge: false,
            log: None,
        }
    }

    /// Starts the proxy. Workloads enrolled before are carried from the next look on.
    pub(crate) fn carry(
        &mut self,
        certificates: Certificates,
        log: AccessLog,
    ) -> anyhow::Result<()> {
        let log = Arc::new(log);
        let observer: Arc<dyn weft_proxy::Observer> = Arc::clone(&log) as _;
        self.log = Some(log);
        self.plane.maps().clear_origins()?;
        let bridge = bridge::Bridge::new(Arc::clone(&self.plane), Arc::clone(&self.view));
        let bridge = Arc::new(bridge);
        let kernel: Arc<dyn weft_proxy::Kernel> = Arc::clone(&bridge) as _;
        let wallet = Arc::new(Wallet::new(certificates.clone()));
        let mut settings = weft_proxy::Settings::default();
        if let Some(holding) = &self.hold {
            settings.hold_timeout = holding.timeout;
        }
        let proxy = Proxy::start(settings, kernel, bridge, wallet, observer)?;
        self.proxy = Some(proxy);
        self.certificates = Some(certificates);
        Ok(())
    }

    /// Goes on with the maps of an earlier manager.
    pub(crate) fn adopt(&mut self) -> anyhow::Result<()> {
        let dump = self.plane.maps().mesh()?;
        self.planner.adopt(dump, self.planner.names().clone());
        let enrolled = self.plane.enrolled()?;
        for one in enrolled {
            self.hooked.entry(one.cookie).or_insert(None);
        }
        Ok(())
    }

    /// Looks at enrolments, and brings hooks and listeners in line with them and with the mesh. True
    /// when something changed, so that a plan is due.
    pub(crate) fn look(&mut self, mesh: &Mesh) -> bool {
        let change = self.enrolments.look();
        let changed = !change.is_empty();
        for ended in &change.ended {
            tracing::info!("{} is not enrolled any more", ended.claim.name);
        }
        for begun in &change.begun {
            let name = &begun.claim.name;
            let is_ready = self.is_ready(begun.cookie);
            match self
                .plane
                .enrol(begun.netns.as_fd(), begun.cookie, is_ready)
            {
                Ok(()) => {
                    self.hooked.insert(begun.cookie, Some(is_ready));
                    tracing::info!("{name} is enrolled, in {}", begun.claim.netns.display());
                }
                Err(error) => tracing::error!("cannot enrol {name}: {error}"),
            }
        }
        self.sync(mesh) || changed
    }

    /// Whether the maps have the policy of what is enrolled in a namespace, as last planned.
    fn is_ready(&self, cookie: u64) -> bool {
        let enrolment = self.planner.enrolment(cookie);
        enrolment.is_some_and(|it| it.flags & Enrolment::READY != 0)
    }

    /// Makes the proxy listen for what is enrolled and known, and for nothing else; or, for what is
    /// not known yet, lets connections wait.
    fn sync(&mut self, mesh: &Mesh) -> bool {
        let Some(proxy) = &self.proxy else {
            return false;
        };
        let open: Vec<Enrolled> = self.enrolments.open().cloned().collect();
        let wanted = identities(mesh, &open);
        let mut changed = false;
        let stale: Vec<u64> = self
            .carried
            .iter()
            .filter(|(cookie, carried)| {
                wanted.get(cookie).is_none_or(|(identity, addresses)| {
                    *identity != carried.identity || *addresses != carried.addresses
                })
            })
            .map(|(cookie, _)| *cookie)
            .collect();
        for cookie in stale {
            proxy.remove(cookie);
            if let Some(gone) = self.carried.remove(&cookie) {
                let is_used = self
                    .carried
                    .values()
                    .any(|one| one.identity == gone.identity);
                if let (false, Some(certificates)) = (is_used, &self.certificates) {
                    certificates.forget(&gone.identity);
                }
            }
            changed = true;
        }
        self.uncarried.clear();
        for enrolled in open {
            let cookie = enrolled.cookie;
            if self.carried.contains_key(&cookie) {
                continue;
            }
            let Some((identity, addresses)) = wanted.get(&cookie) else {
                let is_unknown = !self.is_ready(cookie) && !self.rooms.contains_key(&cookie);
                if is_unknown && self.hold.is_some() {
                    changed |= hold::open_room(proxy, &enrolled, &mut self.rooms);
                }
                continue;
            };
            match listen(proxy, &enrolled, identity, addresses) {
                Ok(port) => {
                    if let Some(certificates) = &self.certificates {
                        // The first is asked for now, so that no connection waits for it long.
                        drop(certificates.subscribe(identity));
                    }
                    let carried = Carried {
                        enrolled,
                        identity: identity.clone(),
                        addresses: addresses.clone(),
                        port,
                    };
                    self.carried.insert(cookie, carried);
                    changed = true;
                }
                Err(error) => {
                    let reason = format!("the proxy cannot listen in its namespace: {error}");
                    tracing::warn!("{}: {reason}", enrolled.claim.name);
                    self.uncarried.insert(cookie, reason);
                }
            }
        }
        changed
    }

    fn facts(&self) -> MeshFacts {
        let enrolments = self.enrolments.open().filter(|one| {
            // Without the hook policy does not hold there, so nobody may rely on it.
            self.hooked.contains_key(&one.cookie)
        });
        MeshFacts {
            node: Some(Arc::clone(&self.node)),
            enrolments: enrolments
                .map(|one| NodeEnrolment {
                    netns: one.cookie,
                    namespace: one.claim.name.namespace.as_str().into(),
                    name: one.claim.name.name.as_str().into(),
                    proxy_port: self.carried.get(&one.cookie).map_or(0, |it| it.port),
                    hold_port: self.rooms.get(&one.cookie).copied().unwrap_or(0),
                    bypasses_outbound: false,
                })
                .collect(),
            encrypts_local: self.encrypts_local,
            logs: self.log.as_ref().is_some_and(|log| log.is_kept()),
        }
    }

    /// First half of a plan: before the other planner's. `None` is all of the mesh.
    pub(crate) fn prepare(&mut self, mesh: &Mesh, change: Option<&Change>, planner: &mut Planner) {
        let facts = self.facts();
        self.planner.prepare(mesh, change, &facts, planner);
    }

    /// Second half: after the other planner's. Names are saved and the proxy knows the new policy
    /// when this returns; the writes are still to be made.
    pub(crate) fn plan(
        &mut self,
        mesh: &Mesh,
        change: Option<&Change>,
        planner: &mut Planner,
        now: Duration,
    ) -> MeshPlan {
        let plan = self.planner.plan(mesh, planner, now);
        self.save_names();
        self.problems.clone_from(&plan.problems);
        let peers = self.peers_here();
        if peers != self.peers {
            self.peers = peers;
            self.judge = true;
        }
        self.update_view(mesh, change);
        plan
    }

    fn peers_here(&self) -> BTreeMap<IpAddr, Peer> {
        let addresses = self.carried.values().flat_map(|one| &one.addresses);
        addresses
            .filter_map(|address| Some((*address, *self.planner.peer(*address)?)))
            .collect()
    }

    fn update_view(&self, mesh: &Mesh, change: Option<&Change>) {
        let here = self.carried.iter().map(|(cookie, carried)| {
            let addresses = carried.addresses.iter().map(|address| {
                let set = self.planner.peer(*address).map_or(0, |peer| peer.set);
                (*address, (set, self.planner.tables(set).cloned()))
            });
            (*cookie, view::Here::new(addresses.collect()))
        });
        self.view.update(mesh, change, here.collect());
    }

    /// After the writes: tells the proxy. True when live connections are to be judged by
    /// [`revoke`].
    pub(crate) fn take_judgement(&mut self) -> bool {
        let judge = std::mem::take(&mut self.judge);
        if let (true, Some(proxy)) = (judge, &self.proxy) {
            proxy.policy_changed();
        }
        judge
    }

    /// Certificates were taken back: tells the proxy.
    pub(crate) fn trust_changed(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.trust_changed();
        }
    }

    fn save_names(&mut self) {
        let names = self.planner.names();
        if self.saved_revision == Some(names.revision()) {
            return;
        }
        let path = self.state.join(NAMES);
        let draft = path.with_extension("json.new");
        let saved = fs::write(&draft, names.to_json()).and_then(|()| fs::rename(&draft, &path));
        match saved {
            Ok(()) => self.saved_revision = Some(names.revision()),
            Err(error) => tracing::error!("cannot save identities to {}: {error}", path.display()),
        }
    }

    /// What is wrong with policy here.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The certificates, once there are any.
    pub(crate) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Connections of applications that the proxy carries.
    pub(crate) fn proxied(&self) -> usize {
        self.proxy.as_ref().map_or(0, Proxy::count)
    }

    /// Seconds until a certificate ends.
    fn expires(&self, identity: &SpiffeId) -> Option<i64> {
        let current = self.certificates.as_ref()?.subscribe(identity);
        let not_after = current.borrow().as_ref()?.not_after();
        let left = not_after.duration_since(std::time::SystemTime::now());
        let seconds = left.map_or_else(
            |past| -(past.duration().as_secs_f64()),
            |left| left.as_secs_f64(),
        );
        // A float to an integer saturates.
        Some(seconds as i64)
    }

    /// Whether a process, by its directory in /proc, is in the cgroup that is served.
    fn serves_process(&self, process: &str) -> bool {
        let cgroups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        let mut own = cgroups.lines().filter_map(|line| line.strip_prefix("0::/"));
        let root = weft_loader::cgroup::root().ok();
        let served = root.and_then(|root| self.plane.cgroup().path().strip_prefix(root).ok());
        served.is_some_and(|served| own.any(|own| Path::new(own).starts_with(served)))
    }

    /// The workload a process belongs to: by its network namespace, if its cgroup is served.
    pub(crate) fn attest(&self, pid: i32) -> Option<SpiffeId> {
        use std::os::unix::fs::MetadataExt as _;
        let namespace = fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
        if !self.serves_process(&pid.to_string()) {
            return None;
        }
        let carried = self.carried.values().find(|one| {
            let file = fs::metadata(&one.enrolled.claim.netns);
            file.is_ok_and(|file| (file.dev(), file.ino()) == (namespace.dev(), namespace.ino()))
        })?;
        Some(carried.identity.clone())
    }
}

fn listen(
    proxy: &Proxy,
    enrolled: &Enrolled,
    identity: &SpiffeId,
    addresses: &[IpAddr],
) -> std::io::Result<u16> {
    let listening = proxy.add(Workload {
        key: enrolled.cookie,
        identity: identity.clone(),
        netns: enrolled.netns.try_clone()?,
        addresses: addresses.to_vec(),
        name: enrolled.claim.name.to_string(),
        baggage: None,
    })?;
    Ok(listening.outbound_port)
}

/// Identity and addresses of each enrolment that the mesh knows.
fn identities(mesh: &Mesh, open: &[Enrolled]) -> BTreeMap<u64, (SpiffeId, Vec<IpAddr>)> {
    let mut found: BTreeMap<u64, (SpiffeId, Vec<IpAddr>)> = BTreeMap::new();
    if open.is_empty() {
        return found;
    }
    let cookies: BTreeMap<(&str, &str), u64> = open
        .iter()
        .map(|one| {
            let name = &one.claim.name;
            ((name.namespace.as_str(), name.name.as_str()), one.cookie)
        })
        .collect();
    for (address, instance) in &mesh.instances {
        let Some(cookie) = cookies.get(&(&*instance.namespace, &*instance.name)) else {
            continue;
        };
        if let Ok(identity) = spiffe_id(instance) {
            let entry = found
                .entry(*cookie)
                .or_insert_with(|| (identity, Vec::new()));
            entry.1.push(*address);
        }
    }
    found
}

/// The identity of an instance.
pub(super) fn spiffe_id(instance: &Instance) -> Result<SpiffeId, weft_identity::SpiffeIdError> {
    instance.identity.to_string().parse()
}

fn saved_names(state: &Path) -> MeshNames {
    let path = state.join(NAMES);
    let Ok(text) = fs::read_to_string(&path) else {
        return MeshNames::default();
    };
    MeshNames::from_json(&text).unwrap_or_else(|error| {
        tracing::warn!("{}: {error}; identities are numbered anew", path.display());
        MeshNames::default()
    })
}
