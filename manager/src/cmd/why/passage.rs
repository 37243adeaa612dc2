//! Whether it may: mTLS, tokens, authorization, at the gateway and at the server.

use std::time::{SystemTime, UNIX_EPOCH};

use weft_api::{Kind, KnownPod, Resource};
use weft_compiler::is_kernel_only;
use weft_decision::{
    Attributes, Authentication, GatewaySubject, HttpAttributes, KeySet, Layer, Subject,
    TokenRequest, authenticate, authorize, mtls,
};
use weft_model::{
    Instance, Protocol, ServiceName,
    policy::{KeySource, MtlsMode},
};

use super::{
    World,
    answer::{Considered, Outcome, Reference, Response},
    asked::Asked,
    course::{Course, Server},
    party::{AtGateway, Client, OwnedLabels, labels_of_instance, owned, pairs},
    verdict::{name, write_down},
};

/// Whether it may pass.
pub(crate) struct Passage {
    pub(crate) verdict: &'static str,
    pub(crate) layer: &'static str,
    pub(crate) decided_by: Option<Reference>,
    pub(crate) response: Option<Response>,
    pub(crate) considered: Vec<Considered>,
    pub(crate) mtls: &'static str,
    pub(crate) opposite: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Passage {
    fn open(layer: Layer) -> Self {
        Self {
            verdict: "allow",
            layer: name(layer),
            decided_by: None,
            response: None,
            considered: Vec::new(),
            mtls: "none",
            opposite: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn is_allowed(&self) -> bool {
        self.verdict == "allow"
    }
}

/// Where something is judged.
struct Checkpoint<'c> {
    subject: Subject<'c>,
    layer: Layer,
    /// Identity of whoever comes, once mTLS has shown it.
    principal: Option<&'c str>,
    address: std::net::IpAddr,
    port: u16,
    /// Path that is seen here, with query.
    path: Option<&'c str>,
}

pub(crate) fn passage(world: &World, client: &Client, asked: &Asked, course: &Course) -> Passage {
    let usual = if asked.request.is_some() {
        Layer::L7
    } else {
        Layer::L4
    };
    let mut passage = Passage::open(usual);
    if let Some(at) = &client.gateway {
        let labels = client.label_pairs();
        let checkpoint = Checkpoint {
            subject: gateway_subject(at, &labels),
            layer: usual,
            principal: None,
            address: client.address,
            port: asked.port,
            path: None,
        };
        judge(world, client, asked, &checkpoint, &mut passage);
        if !passage.is_allowed() {
            return passage;
        }
        if at.is_assumed && !course.servers.is_empty() {
            let principal = &at.principal;
            passage.notes.push(format!(
                "no pod of the gateway in the files: servers are taken to see it as {principal}"
            ));
        }
    }
    // Destinations of one route may be guarded by different policies: the strictest word counts.
    let mut judged: Option<Passage> = None;
    for server in &course.servers {
        let next = at_server(world, client, asked, server, usual);
        let is_worse = judged
            .as_ref()
            .is_none_or(|known| known.is_allowed() && !next.is_allowed());
        if is_worse {
            judged = Some(next);
        }
    }
    match judged {
        None => passage,
        Some(mut judged) => {
            passage.considered.append(&mut judged.considered);
            passage.notes.append(&mut judged.notes);
            Passage {
                considered: passage.considered,
                notes: passage.notes,
                decided_by: judged.decided_by.or(passage.decided_by),
                ..judged
            }
        }
    }
}

/// What is known of a server.
struct Found {
    namespace: String,
    labels: OwnedLabels,
    kernel_only: bool,
    is_in_mesh: bool,
    services: Vec<ServiceName>,
    /// Who stands at its address.
    instance: Option<std::sync::Arc<Instance>>,
}

impl Found {
    fn new(world: &World, server: &Server) -> Self {
        let owner = server.address.and_then(|address| {
            let mut pods = world.store.objects(Kind::Pod).filter_map(KnownPod::of);
            pods.find(|known| known.pod.addresses.contains(&address))
        });
        let selected = || selected_pod(world, server);
        let pod = owner.or_else(selected);
        let instances = &world.mesh().instances;
        let instance = server.address.and_then(|address| instances.get(&address));
        let standing = instance.filter(|_| pod.is_none());
        let namespace = match (&pod, standing, &server.service) {
            (Some(pod), _, _) => pod.object.key.namespace.to_string(),
            (None, Some(instance), _) => instance.namespace.to_string(),
            (None, None, Some(service)) => service.namespace.to_string(),
            (None, None, None) => String::new(),
        };
        let is_kubernetes = server.service.as_ref().is_some_and(|service| {
            world
                .mesh()
                .services
                .get(service)
                .is_some_and(|s| *s.origin.kind == *"Service")
        });
        Self {
            labels: match standing {
                Some(instance) => labels_of_instance(instance),
                None => pod.map(|pod| owned(pod.labels)).unwrap_or_default(),
            },
            kernel_only: match pod {
                Some(pod) => is_kernel_only(&world.store, &namespace, pod.labels),
                None => is_kernel_only(&world.store, &namespace, &weft_api::Labels::default()),
            },
            is_in_mesh: pod.is_some() || standing.is_some() || is_kubernetes,
            namespace,
            services: server.service.iter().cloned().collect(),
            instance: instance.cloned(),
        }
    }

    fn subject<'f>(&'f self, labels: &'f [(&'f str, &'f str)]) -> Subject<'f> {
        Subject {
            namespace: &self.namespace,
            labels,
            services: &self.services,
            gateway: None,
        }
    }
}

/// A pod that the service of a server selects, where endpoints are not known.
fn selected_pod<'w>(world: &'w World, server: &Server) -> Option<KnownPod<'w>> {
    let service = server
        .service
        .as_ref()
        .filter(|_| server.address.is_none())?;
    let services = world.store.objects_in(Kind::Service, &service.namespace);
    let known = world.mesh().services.get(service)?;
    let mut services = services.filter(|object| object.key.name == known.short_name);
    let Resource::Service(written) = &services.next()?.resource else {
        return None;
    };
    let mut pods = world.store.pods_in(&service.namespace);
    pods.find(|pod| written.selector.select(pod.labels))
}

fn at_server(
    world: &World,
    client: &Client,
    asked: &Asked,
    server: &Server,
    usual: Layer,
) -> Passage {
    let found = Found::new(world, server);
    if !found.is_in_mesh {
        return Passage::open(usual);
    }
    let layer = if found.kernel_only { Layer::L4 } else { usual };
    let mut passage = Passage::open(layer);
    let exclusions = found.instance.as_ref().map(|it| &it.exclusions);
    let is_tcp = asked.protocol != Protocol::Udp;
    if is_tcp && exclusions.is_some_and(|it| it.inbound_ports.contains(&server.port)) {
        passage.notes.push(format!(
            "port {} is in the server's excludeInboundPorts: it is dialled in plain text and no \
             policy is asked",
            server.port
        ));
        return passage;
    }
    if is_tcp && exclusions.is_some_and(|it| it.bypasses_inbound) {
        passage.notes.push(
            "the server bypasses inbound capture: what does not come by HBONE is let in without \
             asking policy"
                .into(),
        );
    }
    let policies = &world.mesh().policies;
    let labels = pairs(&found.labels);
    let subject = found.subject(&labels);
    if asked.protocol == Protocol::Udp {
        passage
            .notes
            .push("mTLS is for TCP: PeerAuthentication is not asked for datagrams".into());
        let checkpoint = Checkpoint {
            subject,
            layer: Layer::L4,
            principal: None,
            address: server.address.or(asked.address).unwrap_or(client.address),
            port: server.port,
            path: None,
        };
        judge(world, client, asked, &checkpoint, &mut passage);
        return passage;
    }
    let decision = mtls(policies, &subject, server.port);
    passage.mtls = decision.mode.name();
    let mut has_decided = false;
    for policy in &decision.considered {
        let is_decisive = decision
            .decided_by
            .is_some_and(|decided| decided.author.name == policy.author.name);
        let is_before = !has_decided && !is_decisive;
        has_decided |= is_decisive;
        let (outcome, reason) = if is_decisive {
            let mode = decision.mode.name();
            let reason = format!("port {} takes {mode} connections", server.port);
            (Outcome::Matched, reason)
        } else if is_before {
            let reason = format!(
                "it is unset for port {}: what is wider decides",
                server.port
            );
            (Outcome::NotMatched, reason)
        } else {
            let reason = "not reached, since a more specific policy decides";
            (Outcome::NotReached, reason.to_owned())
        };
        passage.considered.push(Considered {
            action: policy.mode.map_or("UNSET", MtlsMode::name).to_uppercase(),
            ..Considered::new(
                Reference::new(&policy.author.origin, None),
                "mtls",
                outcome,
                reason,
            )
        });
    }
    let own = match &client.gateway {
        Some(at) => Some(at.principal.as_str()),
        None => client.principal.as_deref(),
    };
    let opens_mtls = policies.mesh.is_mtls_automatic && decision.mode != MtlsMode::Disable;
    let dialled = client.exclusions.as_ref();
    let dialled = dialled
        .filter(|(_, it)| it.excludes_outbound(asked.address.or(server.address), asked.port));
    // Within a node the kernel attests the client, whether captured or not.
    let node = found.instance.as_ref().and_then(|it| it.node.as_ref());
    let is_plain = dialled
        .is_some_and(|(client_node, _)| client_node.is_none() || client_node.as_ref() != node);
    if is_plain {
        passage.notes.push(
            "the client excludes what it dials from capture: it comes in plain text and without \
             identity"
                .into(),
        );
    }
    let principal = own.filter(|_| opens_mtls && !is_plain);
    if decision.mode == MtlsMode::Strict && principal.is_none() {
        passage.verdict = "deny";
        passage.layer = name(Layer::L4);
        let origin = decision.decided_by.map(|policy| &policy.author.origin);
        passage.decided_by = origin.map(|origin| Reference::new(origin, None));
        passage
            .opposite
            .push("the client would have to connect with mTLS".into());
        return passage;
    }
    let checkpoint = Checkpoint {
        subject,
        layer,
        principal,
        address: server.address.or(asked.address).unwrap_or(client.address),
        port: server.port,
        path: server.path.as_deref(),
    };
    judge(world, client, asked, &checkpoint, &mut passage);
    passage
}

fn judge(
    world: &World,
    client: &Client,
    asked: &Asked,
    checkpoint: &Checkpoint<'_>,
    passage: &mut Passage,
) {
    let policies = &world.mesh().policies;
    let headers: Vec<(&str, &str)> = asked
        .request
        .as_ref()
        .map(|request| pairs(&request.headers))
        .unwrap_or_default();
    let request = asked
        .request
        .as_ref()
        .filter(|_| checkpoint.layer == Layer::L7);
    let path = request.map(|request| checkpoint.path.unwrap_or(&request.path));
    let mut claims = None;
    if let (Some(request), Some(path)) = (request, path) {
        let url = format!("{}://{}{path}", request.scheme, asked.authority);
        let token = TokenRequest {
            method: &request.method,
            url: &url,
            query: path.split_once('?').map_or("", |(_, query)| query),
            headers: &headers,
        };
        match tokens(world, &checkpoint.subject, &token, passage) {
            Ok(found) => claims = found,
            Err(()) => return,
        }
    }
    let http = request.zip(path).map(|(request, path)| HttpAttributes {
        method: &request.method,
        authority: &asked.authority,
        path,
        headers: &headers,
        claims: claims.as_ref(),
    });
    let attributes = Attributes {
        principal: checkpoint.principal,
        source: client.address,
        remote: None,
        destination: checkpoint.address,
        port: checkpoint.port,
        server_name: asked.sni.as_deref(),
        http,
    };
    let verdict = authorize(policies, &checkpoint.subject, &attributes, checkpoint.layer);
    write_down(&verdict, &attributes, policies.mesh.normalization, passage);
}

/// Claims of a token of the request that is believed before routes are asked: at the gateway, or by
/// the policies of the addressed service.
pub(crate) fn believed(world: &World, client: &Client, asked: &Asked) -> Option<serde_json::Value> {
    let request = asked.request.as_ref()?;
    let headers = pairs(&request.headers);
    let url = format!("{}://{}{}", request.scheme, asked.authority, request.path);
    let token = TokenRequest {
        method: &request.method,
        url: &url,
        query: request.path.split_once('?').map_or("", |(_, query)| query),
        headers: &headers,
    };
    let found = asked.service.clone().map(|service| {
        let server = Server {
            service: Some(service),
            address: None,
            port: asked.port,
            path: None,
        };
        Found::new(world, &server)
    });
    let gateway_labels = client.label_pairs();
    let server_labels = found.as_ref().map(|found| pairs(&found.labels));
    let subject = match (&client.gateway, &found, &server_labels) {
        (Some(at), ..) => gateway_subject(at, &gateway_labels),
        (None, Some(found), Some(labels)) => found.subject(labels),
        _ => return None,
    };
    let mut unheard = Passage::open(Layer::L7);
    tokens(world, &subject, &token, &mut unheard).ok().flatten()
}

fn gateway_subject<'a>(at: &'a AtGateway, labels: &'a [(&'a str, &'a str)]) -> Subject<'a> {
    Subject {
        namespace: &at.name.namespace,
        labels,
        services: &[],
        gateway: Some(GatewaySubject {
            name: &at.name.name,
            class: &at.class,
        }),
    }
}

/// Judges tokens. `Err` when the request ends here.
fn tokens(
    world: &World,
    subject: &Subject<'_>,
    request: &TokenRequest<'_>,
    passage: &mut Passage,
) -> Result<Option<serde_json::Value>, ()> {
    let policies = &world.mesh().policies;
    let mut sets = Vec::new();
    for policy in policies.request.values() {
        for rule in &policy.rules {
            if let KeySource::Inline(text) = &rule.keys {
                // One that cannot be read verifies nothing; validation has said so.
                let set = KeySet::parse(text).ok();
                sets.push((rule, set));
            }
        }
    }
    let keys = |rule: &weft_model::policy::JwtRule| {
        let mut sets = sets.iter();
        let known = sets.find(|(other, _)| std::ptr::eq(*other, rule));
        known.and_then(|(_, set)| set.as_ref())
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let outcome = authenticate(policies, subject, request, now, keys);
    let decisive = match &outcome {
        Authentication::Anonymous => None,
        Authentication::Verified(verified) => Some((verified.policy, verified.rule)),
        Authentication::Refused(refusal) => Some(refusal.decided_by),
    };
    let here = policies.request.values();
    for policy in here.filter(|policy| subject.is_in(&policy.scope)) {
        for rule in 0..policy.rules.len() {
            let is_decisive = decisive
                .is_some_and(|(other, at)| other.author.name == policy.author.name && at == rule);
            let (result, reason) = match (&outcome, is_decisive) {
                (Authentication::Anonymous, _) => (Outcome::NotMatched, "the request has no token"),
                (Authentication::Verified(_), true) => (Outcome::Matched, "the token is believed"),
                (Authentication::Refused(refusal), true) => {
                    (Outcome::Matched, refusal.fault.body())
                }
                (_, false) => (Outcome::NotMatched, "the token is not one of its issuer's"),
            };
            let reference = Reference::new(&policy.author.origin, Some(rule));
            let reason = reason.to_owned();
            passage
                .considered
                .push(Considered::new(reference, "jwt", result, reason));
        }
    }
    match outcome {
        Authentication::Anonymous => Ok(None),
        Authentication::Verified(verified) => Ok(Some(verified.claims)),
        Authentication::Refused(refusal) => {
            let (policy, rule) = refusal.decided_by;
            let body = refusal.fault.body();
            passage.verdict = "deny";
            passage.layer = name(Layer::L7);
            passage.decided_by = Some(Reference::new(&policy.author.origin, Some(rule)));
            passage.response = Some(Response {
                status: refusal.status,
                body: body.to_owned(),
            });
            passage.opposite.push(format!(
                "the token would have to be valid, or not be sent: {body}"
            ));
            Err(())
        }
    }
}
