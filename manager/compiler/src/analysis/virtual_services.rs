//! VirtualServices beside and against each other: IST0002, IST0109, IST0130 to IST0132,
//! IST0140.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{
    Kind, Object, Resource,
    virtual_service::{
        StringMatch, VirtualService,
        http::{HttpMatch, HttpRoute},
    },
};
use weft_model::route::HostPattern;

use super::{Analysis, Item, full_text};

type Named<'s> = (&'s Arc<Object>, &'s VirtualService);

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let services = analysis.each(Kind::VirtualService, |resource| match resource {
        Resource::VirtualService(service) => Some(&**service),
        _ => None,
    });
    mesh_conflicts(analysis, &services);
    for (object, service) in &services {
        superseded(analysis, object, service);
        let http = http_rules(service);
        unreachable_rules(analysis, object, &http, takes_all);
        covered_prefixes(analysis, object, &http);
        let tls = stream_rules("tls", service.tls.iter().map(|rule| &rule.matches));
        unreachable_rules(analysis, object, &tls, |_| false);
        let tcp = stream_rules("tcp", service.tcp.iter().map(|rule| &rule.matches));
        unreachable_rules(analysis, object, &tcp, |_| false);
        gateway_hosts(analysis, object, service);
        subsets_without_effect(analysis, object, service, &services);
    }
}

/// IST0002: what has a newer field.
fn superseded(analysis: &mut Analysis<'_>, object: &Object, service: &VirtualService) {
    let faults = service.http.iter().filter_map(|rule| rule.fault.as_ref());
    let mut delays = faults.filter_map(|fault| fault.delay.as_ref());
    if delays.any(|delay| delay.percent > 0) {
        let text = "Deprecated: HTTPRoute.fault.delay.percent is deprecated; use \
                    HTTPRoute.fault.delay.percentage";
        analysis.say("IST0002", object, text.to_owned());
    }
}

fn is_mesh(service: &VirtualService) -> bool {
    service.gateways.is_empty() || service.gateways.iter().any(|gateway| **gateway == *"mesh")
}

/// IST0109: one host in several VirtualServices that the same clients see.
fn mesh_conflicts(analysis: &mut Analysis<'_>, services: &[Named<'_>]) {
    let mut by_host: BTreeMap<HostPattern, Vec<Named<'_>>> = BTreeMap::new();
    for (object, service) in services.iter().filter(|(_, service)| is_mesh(service)) {
        let mut seen = Vec::new();
        for host in &service.hosts {
            let host = analysis.pattern(&object.key.namespace, host);
            if !seen.contains(&host) {
                by_host
                    .entry(host.clone())
                    .or_default()
                    .push((object, service));
                seen.push(host);
            }
        }
    }
    for (host, claimants) in by_host {
        // Private ones meet only those of their own namespaces.
        let sees = |(object, service): &Named<'_>| {
            crate::routes::visibility(&object.key.namespace, &service.export_to)
        };
        for claimant in &claimants {
            let meeting: Vec<&Named<'_>> = claimants
                .iter()
                .filter(|other| crate::routes::overlap(&sees(claimant), &sees(other)))
                .collect();
            if meeting.len() < 2 {
                continue;
            }
            let names: Vec<String> = meeting
                .iter()
                .map(|(object, _)| format!("{}/{}", object.key.namespace, object.key.name))
                .collect();
            let text = format!(
                "The VirtualServices {} associated with mesh gateway define the same host {host} \
                 which can lead to undefined behavior. This can be fixed by merging the conflicting \
                 VirtualServices into a single resource.",
                names.join(",")
            );
            analysis.say("IST0109", claimant.0, text);
        }
    }
}

/// A rule as it is told of, with its matches.
struct Rule<M> {
    item: Item,
    name: String,
    matches: Vec<(String, M)>,
}

/// How something is told of: by its name, else by its position.
fn named(index: usize, name: &str) -> String {
    match name {
        "" => format!("#{index}"),
        name => format!("{name:?}"),
    }
}

fn http_rules(service: &VirtualService) -> Vec<Rule<HttpMatch>> {
    let rule = |(index, rule): (usize, &HttpRoute)| {
        let matches = rule.matches.iter().enumerate();
        Rule {
            item: Some(("http", index)),
            name: named(index, &rule.name),
            matches: matches
                .map(|(at, matching)| (named(at, &matching.name), key(matching)))
                .collect(),
        }
    };
    service.http.iter().enumerate().map(rule).collect()
}

/// Rules for connections, which have no names.
fn stream_rules<'m, M: 'm>(
    list: &'static str,
    rules: impl Iterator<Item = &'m Vec<M>>,
) -> Vec<Rule<&'m M>> {
    let rule = |(index, matches): (usize, &'m Vec<M>)| {
        let matches = matches.iter().enumerate();
        Rule {
            item: Some((list, index)),
            name: named(index, ""),
            matches: matches
                .map(|(at, matching)| (named(at, ""), matching))
                .collect(),
        }
    };
    rules.enumerate().map(rule).collect()
}

/// What makes two matches of a rule the same: not their names.
fn key(matching: &HttpMatch) -> HttpMatch {
    HttpMatch {
        name: "".into(),
        stat_prefix: "".into(),
        ..matching.clone()
    }
}

fn takes_all(matching: &HttpMatch) -> bool {
    let mut rest = key(matching);
    let any_path = match &rest.uri {
        None => true,
        Some(StringMatch::Prefix(path)) => **path == *"/",
        Some(StringMatch::Regex(pattern)) => **pattern == *".*",
        Some(_) => false,
    };
    rest.uri = None;
    rest.ignore_uri_case = false;
    any_path && rest == HttpMatch::default()
}

/// IST0130 and IST0131: rules and matches that an earlier one leaves nothing.
fn unreachable_rules<M: PartialEq>(
    analysis: &mut Analysis<'_>,
    object: &Object,
    rules: &[Rule<M>],
    takes_all: fn(&M) -> bool,
) {
    let mut catch_all = false;
    let mut seen: Vec<(&M, &str)> = Vec::new();
    for rule in rules {
        let why = if rule.matches.is_empty() && catch_all {
            Some("only the last rule can have no matches")
        } else if catch_all {
            Some("route without matches defined before")
        } else {
            None
        };
        if let Some(why) = why {
            unreachable_rule(analysis, object, rule, why);
            continue;
        }
        let mut duplicates = 0;
        for (name, matching) in &rule.matches {
            match seen.iter().find(|(other, _)| *other == matching) {
                Some((_, other)) => {
                    duplicates += 1;
                    ineffective_match(analysis, object, rule, name, other);
                }
                None => seen.push((matching, &rule.name)),
            }
        }
        if duplicates > 0 && duplicates == rule.matches.len() {
            let why = "all matches used by prior rules";
            unreachable_rule(analysis, object, rule, why);
        }
        let mut matches = rule.matches.iter();
        catch_all |= rule.matches.is_empty() || matches.any(|(_, matching)| takes_all(matching));
    }
}

fn unreachable_rule<M>(analysis: &mut Analysis<'_>, object: &Object, rule: &Rule<M>, why: &str) {
    let text = format!("VirtualService rule {} not used ({why}).", rule.name);
    analysis.say_of("IST0130", object, rule.item, text);
}

fn ineffective_match<M>(
    analysis: &mut Analysis<'_>,
    object: &Object,
    rule: &Rule<M>,
    matching: &str,
    other: &str,
) {
    let text = format!(
        "VirtualService rule {} match {matching} is not used (duplicate/overlapping match in rule \
         {other}).",
        rule.name
    );
    analysis.say_of("IST0131", object, rule.item, text);
}

/// IST0131 for prefixes that begin with an earlier one.
fn covered_prefixes(analysis: &mut Analysis<'_>, object: &Object, rules: &[Rule<HttpMatch>]) {
    let mut seen: Vec<(&Rule<HttpMatch>, &str, &HttpMatch, &str)> = Vec::new();
    for rule in rules {
        for (name, matching) in &rule.matches {
            let Some(StringMatch::Prefix(prefix)) = &matching.uri else {
                continue;
            };
            let covering = seen.iter().find(|(_, _, earlier, earlier_prefix)| {
                **earlier_prefix != **prefix
                    && prefix.starts_with(*earlier_prefix)
                    && asks_no_more(earlier, matching)
            });
            if let Some((other, other_name, _, other_prefix)) = covering {
                let matching = format!("{name} of prefix {prefix}");
                let other = format!("{other_name} of prefix {other_prefix} on {}", other.name);
                ineffective_match(analysis, object, rule, &matching, &other);
            }
            seen.push((rule, name, matching, prefix));
        }
    }
}

/// Whether, apart from the path, whatever fits the second match fits the first.
fn asks_no_more(first: &HttpMatch, second: &HttpMatch) -> bool {
    let is_part = |a: &BTreeMap<Arc<str>, StringMatch>, b: &BTreeMap<Arc<str>, StringMatch>| {
        a.iter().all(|(key, value)| b.get(key) == Some(value))
    };
    let is_wide = |a: &Option<StringMatch>, b: &Option<StringMatch>| a.is_none() || a == b;
    let mut labels = first.source_labels.iter();
    is_wide(&first.scheme, &second.scheme)
        && is_wide(&first.method, &second.method)
        && is_wide(&first.authority, &second.authority)
        && is_part(&first.headers, &second.headers)
        && is_part(&first.without_headers, &second.without_headers)
        && is_part(&first.query_params, &second.query_params)
        && (first.ignore_uri_case || !second.ignore_uri_case)
        && (first.port == 0 || first.port == second.port)
        && labels.all(|(key, value)| second.source_labels.value(key) == Some(value))
        && (first.source_namespace.is_empty() || first.source_namespace == second.source_namespace)
        && (first.gateways.is_empty() || first.gateways == second.gateways)
}

/// IST0132: hosts that none of the gateway's servers takes.
fn gateway_hosts(analysis: &mut Analysis<'_>, object: &Object, service: &VirtualService) {
    for written in service
        .gateways
        .iter()
        .filter(|gateway| ***gateway != *"mesh")
    {
        let own = (&*object.key.namespace, &**written);
        let (namespace, name) = written.split_once('/').unwrap_or(own);
        let key = weft_api::ObjectKey {
            kind: Kind::IstioGateway,
            namespace: namespace.into(),
            name: name.into(),
        };
        let gateway = analysis.store.object(&key).map(|object| &object.resource);
        let Some(Resource::IstioGateway(gateway)) = gateway else {
            continue;
        };
        let taken = |host: &HostPattern| {
            let mut hosts = gateway.servers.iter().flat_map(|server| &server.hosts);
            hosts.any(|taken| {
                let (of, taken) = taken.split_once('/').unwrap_or(("*", taken));
                let is_allowed = match of {
                    "*" => true,
                    "." => *namespace == *object.key.namespace,
                    of => *of == *object.key.namespace,
                };
                is_allowed && HostPattern::new(taken).meet(host).is_some()
            })
        };
        let hosts = service.hosts.iter();
        let missing: Vec<&str> = hosts
            .filter(|host| !taken(&analysis.pattern(&object.key.namespace, host)))
            .map(|host| &**host)
            .collect();
        // One that fits is enough: others may be for other gateways, or the mesh.
        if missing.len() == service.hosts.len() {
            let text = format!(
                "one or more host [{}] defined in VirtualService {}/{} not found in Gateway \
                 {namespace}/{name}.",
                missing.join(" "),
                object.key.namespace,
                object.key.name
            );
            analysis.say("IST0132", object, text);
        }
    }
}

/// IST0140: a gateway's route to a host whose own VirtualService, which would choose a subset, counts for
/// clients in the mesh only.
fn subsets_without_effect(
    analysis: &mut Analysis<'_>,
    object: &Object,
    service: &VirtualService,
    all: &[Named<'_>],
) {
    if service.gateways.iter().all(|gateway| **gateway == *"mesh") {
        return;
    }
    let routes = service.http.iter().flat_map(|rule| &rule.route);
    let plain = routes.filter(|to| to.destination.subset.is_empty());
    let hosts: BTreeSet<Arc<str>> = plain
        .map(|to| analysis.full_name(&object.key.namespace, &to.destination.host))
        .collect();
    for (other, that) in all
        .iter()
        .filter(|(other, that)| other.key != object.key && is_mesh(that))
    {
        let full = |host: &str| analysis.full_name(&other.key.namespace, host);
        let own: BTreeSet<Arc<str>> = that.hosts.iter().map(|host| full(host)).collect();
        let mut routes = that.http.iter().flat_map(|rule| &rule.route);
        let chooses = routes.any(|to| {
            let host = full(&to.destination.host);
            !to.destination.subset.is_empty() && own.contains(&host) && hosts.contains(&host)
        });
        if chooses {
            let text = format!(
                "Subset in virtual service {} has no effect on ingress gateway {} requests",
                full_text(other),
                full_text(object)
            );
            analysis.say("IST0140", object, text);
        }
    }
}
