//! VirtualServices: where they stand, and their rules as seen from there.

use std::{collections::BTreeSet, sync::Arc};

use weft_api::{
    Labels, Object, ObjectKey,
    virtual_service::{
        StringMatch as WrittenMatch, VirtualService,
        http::HttpMatch as WrittenHttpMatch,
        stream::{StreamDestination, TlsMatch},
    },
};
use weft_model::{
    Origin, Problem, Severity,
    route::{
        ClaimPath, Destination, GatewayName, HeaderEdits, HeaderMatch, HostPattern, HttpMatch,
        HttpRoute, PathMatch, Source, StreamMatch, StreamRoute, StringMatch, Visibility,
    },
};

use super::{Place, Sources, delegate, destinations::full_name, rule};
use crate::{Settings, problems};

/// A VirtualService with its identity.
#[derive(Clone, Copy)]
pub(super) struct Named<'s> {
    pub(super) object: &'s Object,
    pub(super) service: &'s VirtualService,
}

impl Named<'_> {
    /// istiod's order: the oldest first, then by name; without a time of creation it is oldest.
    pub(super) fn age(&self) -> (i64, String) {
        let key = &self.object.key;
        let name = format!("{}.{}", key.name, key.namespace);
        (self.object.created.unwrap_or(0), name)
    }
}

/// Clients that see something exported so.
pub(crate) fn visibility(namespace: &Arc<str>, export_to: &[Arc<str>]) -> Visibility {
    if export_to.is_empty() || export_to.iter().any(|to| **to == *"*") {
        return Visibility::All;
    }
    let named = export_to.iter().map(|to| match &**to {
        "." => Arc::clone(namespace),
        _ => Arc::clone(to),
    });
    Visibility::Namespaces(named.collect())
}

/// From where rules are seen.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    Mesh,
    Gateway(&'a GatewayName),
}

impl View<'_> {
    /// Whether a name in `gateways` of a resource in `namespace` is this one.
    fn is(&self, namespace: &Arc<str>, written: &str) -> bool {
        match self {
            Self::Mesh => written == "mesh",
            Self::Gateway(gateway) => {
                let own = (&**namespace, written);
                let named = written.split_once('/').unwrap_or(own);
                written != "mesh" && named == (&*gateway.namespace, &*gateway.name)
            }
        }
    }

    /// Whether one of a list is this one; `default` when the list is empty.
    fn is_one_of(&self, namespace: &Arc<str>, written: &[Arc<str>], default: bool) -> bool {
        match written {
            [] => default,
            written => written.iter().any(|gateway| self.is(namespace, gateway)),
        }
    }

    /// Whether a VirtualService stands here.
    pub(super) fn has(&self, key: &ObjectKey, service: &VirtualService) -> bool {
        let is_mesh = matches!(self, Self::Mesh);
        self.is_one_of(&key.namespace, &service.gateways, is_mesh)
    }
}

/// Places where a VirtualService has rules.
pub(super) fn places(settings: &Settings, key: &ObjectKey, service: &VirtualService) -> Vec<Place> {
    let mut places = BTreeSet::new();
    if View::Mesh.has(key, service) {
        let hosts = service.hosts.iter();
        places.extend(hosts.map(|host| Place::Mesh(pattern(settings, &key.namespace, host))));
    }
    if service.is_delegate() {
        return Vec::new();
    }
    for gateway in service
        .gateways
        .iter()
        .filter(|gateway| ***gateway != *"mesh")
    {
        let (namespace, name) = gateway.split_once('/').unwrap_or((&key.namespace, gateway));
        places.insert(Place::Gateway(GatewayName {
            is_gateway_api: false,
            namespace: namespace.into(),
            name: name.into(),
        }));
    }
    places.into_iter().collect()
}

/// A host of a VirtualService, resolved.
pub(crate) fn pattern(settings: &Settings, namespace: &Arc<str>, host: &str) -> HostPattern {
    HostPattern::new(&full_name(settings, namespace, host))
}

/// Hosts that a VirtualService names as destinations.
pub(super) fn asks(
    settings: &Settings,
    key: &ObjectKey,
    service: &VirtualService,
) -> Vec<Arc<str>> {
    let http = service.http.iter().flat_map(|rule| {
        let routes = rule.route.iter().map(|to| &to.destination);
        routes.chain(rule.copies().map(|(to, _)| to))
    });
    let tls = service.tls.iter().flat_map(|rule| &rule.route);
    let tcp = service.tcp.iter().flat_map(|rule| &rule.route);
    let all = http.chain(tls.chain(tcp).map(|to| &to.destination));
    let hosts: BTreeSet<Arc<str>> = all
        .map(|to| full_name(settings, &key.namespace, &to.host))
        .collect();
    hosts.into_iter().collect()
}

/// Rules for requests, as seen from somewhere.
pub(super) fn http(sources: &Sources<'_>, named: Named<'_>, view: View<'_>) -> Vec<HttpRoute> {
    let key = &named.object.key;
    let origin = problems::origin(named.object);
    let mut routes = Vec::new();
    for written in delegate::rules(sources, key, &origin, named.service) {
        let matches = &written.rule.matches;
        let here: Vec<_> = matches
            .iter()
            .filter(|matching| view.is_one_of(&key.namespace, &matching.gateways, true))
            .collect();
        if here.is_empty() && !matches.is_empty() {
            continue;
        }
        let rule = Arc::new(rule::http(sources, &written));
        if here.is_empty() {
            routes.push(HttpRoute {
                matching: HttpMatch::default(),
                rule: Arc::clone(&rule),
            });
        }
        routes.extend(here.into_iter().map(|matching| HttpRoute {
            matching: http_match(matching),
            rule: Arc::clone(&rule),
        }));
    }
    routes
}

fn http_match(written: &WrittenHttpMatch) -> HttpMatch {
    let text = |matching: &Option<WrittenMatch>| matching.as_ref().and_then(string_match);
    let fields = |fields: &std::collections::BTreeMap<Arc<str>, WrittenMatch>, lower: bool| {
        let field = |(name, matching): (&Arc<str>, &WrittenMatch)| {
            let name = if lower {
                name.to_ascii_lowercase().into()
            } else {
                Arc::clone(name)
            };
            let matching = string_match(matching).map_or(HeaderMatch::Present, HeaderMatch::Value);
            (name, matching)
        };
        fields.iter().map(field).collect::<Vec<_>>()
    };
    // Istio says so: these have fields of their own.
    let is_header = |(name, _): &(Arc<str>, HeaderMatch)| {
        !matches!(&**name, "uri" | "scheme" | "method" | "authority")
    };
    let headers = |written: &std::collections::BTreeMap<_, _>| {
        let all = fields(written, true).into_iter().filter(is_header);
        all.filter(|(name, _)| claim(name).is_none()).collect()
    };
    // Names of claims keep their case.
    let claims = |written: &std::collections::BTreeMap<_, _>| {
        let all = fields(written, false).into_iter();
        all.filter_map(|(name, matching)| Some((claim(&name)?, matching)))
            .collect()
    };
    HttpMatch {
        name: Some(&written.name).filter(|name| !name.is_empty()).cloned(),
        path: written
            .uri
            .as_ref()
            .and_then(|uri| path(uri, written.ignore_uri_case)),
        scheme: text(&written.scheme),
        method: text(&written.method),
        authority: text(&written.authority),
        headers: headers(&written.headers),
        without_headers: headers(&written.without_headers),
        claims: claims(&written.headers),
        without_claims: claims(&written.without_headers),
        query: fields(&written.query_params, false),
        port: port(written.port),
        source: source(&written.source_namespace, &written.source_labels),
    }
}

/// The claim that a header name of Istio's form means: `@request.auth.claims.A.B`, or
/// `@request.auth.claims[A][B]` where names have dots.
fn claim(name: &str) -> Option<ClaimPath> {
    const PREFIX: &str = "@request.auth.claims";
    let start = name.get(..PREFIX.len())?;
    if !start.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let rest = &name[PREFIX.len()..];
    let bracketed = rest
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let steps: Vec<&str> = match (bracketed, rest.strip_prefix('.')) {
        (Some(inner), _) => inner.split("][").collect(),
        (None, Some(dotted)) => dotted.split('.').collect(),
        (None, None) => return None,
    };
    let is_whole = steps.iter().all(|step| !step.is_empty());
    is_whole.then(|| steps.into_iter().map(Arc::from).collect())
}

fn path(written: &WrittenMatch, ignore_case: bool) -> Option<PathMatch> {
    Some(match written {
        WrittenMatch::Present => return None,
        WrittenMatch::Exact(path) => PathMatch::Exact {
            path: Arc::clone(path),
            ignore_case,
        },
        WrittenMatch::Prefix(path) => PathMatch::Prefix {
            path: Arc::clone(path),
            ignore_case,
        },
        WrittenMatch::Regex(pattern) => PathMatch::Regex(Arc::clone(pattern)),
    })
}

pub(super) fn string_match(written: &WrittenMatch) -> Option<StringMatch> {
    Some(match written {
        WrittenMatch::Present => return None,
        WrittenMatch::Exact(text) => StringMatch::Exact(Arc::clone(text)),
        WrittenMatch::Prefix(text) => StringMatch::Prefix(Arc::clone(text)),
        WrittenMatch::Regex(text) => StringMatch::Regex(Arc::clone(text)),
    })
}

pub(super) fn port(written: u32) -> Option<u16> {
    u16::try_from(written).ok().filter(|port| *port > 0)
}

fn source(namespace: &Arc<str>, labels: &Labels) -> Source {
    Source {
        namespace: Some(namespace).filter(|name| !name.is_empty()).cloned(),
        labels: labels.iter().cloned().collect(),
    }
}

/// Rules for connections, as seen from somewhere: those for TLS, then the others.
pub(super) fn streams(
    sources: &Sources<'_>,
    named: Named<'_>,
    view: View<'_>,
) -> (Vec<StreamRoute>, Vec<StreamRoute>) {
    let key = &named.object.key;
    let origin = problems::origin(named.object);
    let is_here = |gateways: &[Arc<str>]| view.is_one_of(&key.namespace, gateways, true);
    let mut tls = Vec::new();
    for (index, rule) in named.service.tls.iter().enumerate() {
        let here = rule
            .matches
            .iter()
            .filter(|matching| is_here(&matching.gateways));
        for matching in here.map(tls_match) {
            tls.push(stream(sources, key, &origin, index, matching, &rule.route));
        }
    }
    let mut tcp = Vec::new();
    for (index, rule) in named.service.tcp.iter().enumerate() {
        let here = rule
            .matches
            .iter()
            .filter(|matching| is_here(&matching.gateways));
        let mut matches: Vec<_> = here
            .map(|matching| StreamMatch {
                sni: Vec::new(),
                port: port(matching.port),
                destination_subnets: matching.destination_subnets.clone(),
                source: source(&matching.source_namespace, &matching.source_labels),
            })
            .collect();
        if rule.matches.is_empty() {
            matches.push(StreamMatch::default());
        }
        for matching in matches {
            tcp.push(stream(sources, key, &origin, index, matching, &rule.route));
        }
    }
    (tls, tcp)
}

fn tls_match(written: &TlsMatch) -> StreamMatch {
    StreamMatch {
        sni: written
            .sni_hosts
            .iter()
            .map(|host| HostPattern::new(host))
            .collect(),
        port: port(written.port),
        destination_subnets: written.destination_subnets.clone(),
        source: source(&written.source_namespace, &written.source_labels),
    }
}

fn stream(
    sources: &Sources<'_>,
    key: &ObjectKey,
    origin: &Origin,
    index: usize,
    matching: StreamMatch,
    written: &[StreamDestination],
) -> StreamRoute {
    let destinations = written.iter().map(|to| Destination {
        weight: rule::weight(to.weight, written.len()),
        ..rule::destination(
            sources,
            &key.namespace,
            &to.destination,
            HeaderEdits::default(),
            HeaderEdits::default(),
        )
    });
    StreamRoute {
        origin: origin.clone(),
        index,
        matching,
        destinations: destinations.collect(),
    }
}

/// What is wrong with one VirtualService as it stands among others.
pub(super) fn problems(
    sources: &Sources<'_>,
    object: &Object,
    service: &VirtualService,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut warn = |path: String, message: String| {
        found.push(Problem {
            severity: Severity::Warning,
            code: "unknown-reference",
            origin: problems::origin(object),
            path,
            line: 0,
            message,
        });
    };
    for (index, rule) in service.http.iter().enumerate() {
        for (to, written) in rule.route.iter().enumerate() {
            let host = full_name(
                sources.settings,
                &object.key.namespace,
                &written.destination.host,
            );
            if sources.service(&object.key.namespace, &host).is_none() {
                let path = format!("spec.http[{index}].route[{to}].destination.host");
                warn(
                    path,
                    format!("no service has the host {host}; its share is answered with 503"),
                );
            }
        }
        if let Some(delegate) = &rule.delegate {
            let key = delegate::delegate_key(&object.key, delegate);
            if sources.store.object(&key).is_none() {
                let path = format!("spec.http[{index}].delegate");
                warn(path, format!("{key} was not found; the rule is not used"));
            }
        }
    }
    let streams = service
        .tls
        .iter()
        .map(|rule| ("tls", &rule.route))
        .enumerate();
    let tcp = service
        .tcp
        .iter()
        .map(|rule| ("tcp", &rule.route))
        .enumerate();
    for (index, (protocol, route)) in streams.chain(tcp) {
        for (to, written) in route.iter().enumerate() {
            let host = full_name(
                sources.settings,
                &object.key.namespace,
                &written.destination.host,
            );
            if sources.service(&object.key.namespace, &host).is_none() {
                let path = format!("spec.{protocol}[{index}].route[{to}].destination.host");
                warn(
                    path,
                    format!("no service has the host {host}; its share is closed"),
                );
            }
        }
    }
    found
}
