//! Which routes were asked, and what of them did not match.

use weft_decision::{
    Check, Client, Connection, Request,
    explain::{connection_checks, request_checks},
};
use weft_model::{
    Origin, Protocol,
    route::{Dialect, HostTable, StreamRoute, Visibility},
};

use super::answer::{Considered, Outcome, Reference};

/// Routes that were asked, and what would have led elsewhere.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) considered: Vec<Considered>,
    pub(super) opposite: Vec<String>,
}

/// A way into a rule.
struct Way<'t> {
    origin: &'t Origin,
    rule: usize,
    list: &'static str,
    checks: Vec<Check>,
}

/// Every rule of a table for requests; `decided` is the position of the way that was taken.
pub(super) fn requests(
    table: &HostTable,
    client: &Client<'_>,
    request: &Request<'_>,
    decided: Option<usize>,
) -> Asked {
    let ways = table.http.iter().map(|route| {
        let origin = &route.rule.origin;
        let path = match &*origin.kind {
            "VirtualService" => "uri",
            "GRPCRoute" => "method",
            _ => "path",
        };
        Way {
            origin,
            rule: route.rule.index,
            list: list(origin, "http"),
            checks: request_checks(path, &route.matching, client, request),
        }
    });
    explain(ways.collect(), decided)
}

/// Every rule of a table for connections.
pub(super) fn connections(
    table: &HostTable,
    client: &Client<'_>,
    connection: &Connection<'_>,
    decided: Option<&StreamRoute>,
) -> Asked {
    let lists: Vec<(&'static str, &[StreamRoute])> = match connection.protocol {
        Protocol::Udp => vec![("rules", &table.udp)],
        Protocol::Tcp => vec![("tls", &table.tls), ("tcp", &table.tcp)],
    };
    let mut ways = Vec::new();
    let mut at = None;
    for (name, routes) in lists {
        for route in routes {
            if decided.is_some_and(|decided| std::ptr::eq(decided, route)) {
                at = Some(ways.len());
            }
            ways.push(Way {
                origin: &route.origin,
                rule: route.index,
                list: list(&route.origin, name),
                checks: connection_checks(&route.matching, client, connection),
            });
        }
    }
    explain(ways, at)
}

/// The list of `spec` that a rule stands in.
pub(super) fn list(origin: &Origin, of_virtual_service: &'static str) -> &'static str {
    match &*origin.kind {
        "VirtualService" => of_virtual_service,
        _ => "rules",
    }
}

/// All ways into one rule.
struct Rule<'w> {
    reference: Reference,
    /// Ways that were asked and do not fit.
    missed: Vec<&'w [Check]>,
    /// The way that was taken.
    taken: Option<&'w [Check]>,
    first: usize,
}

fn explain(ways: Vec<Way<'_>>, decided: Option<usize>) -> Asked {
    let mut rules: Vec<Rule<'_>> = Vec::new();
    for (position, way) in ways.iter().enumerate() {
        let reference = Reference::new(way.origin, Some(way.rule)).in_list(way.list);
        let same = |rule: &Rule<'_>| {
            let (a, b) = (&rule.reference, &reference);
            (&a.kind, &a.namespace, &a.name, a.rule, a.list)
                == (&b.kind, &b.namespace, &b.name, b.rule, b.list)
        };
        let at = rules.iter().position(same).unwrap_or_else(|| {
            rules.push(Rule {
                reference,
                missed: Vec::new(),
                taken: None,
                first: position,
            });
            rules.len() - 1
        });
        if decided.is_none_or(|decided| position < decided) {
            rules[at].missed.push(&way.checks);
        } else if decided == Some(position) {
            rules[at].taken = Some(&way.checks);
            rules[at].first = position;
        }
    }
    rules.sort_by_key(|rule| rule.first);
    let winner = rules.iter().find(|rule| rule.taken.is_some());
    let winner = winner.map(|rule| rule.reference.title());
    let opposite = elsewhere(&rules, winner.as_deref());
    let told = |rule: Rule<'_>| {
        let nearest = rule.missed.iter().min_by_key(|checks| misses(checks));
        let (outcome, checks) = match (rule.taken, nearest) {
            (Some(taken), _) => (Outcome::Matched, taken),
            (None, Some(nearest)) => (Outcome::NotMatched, *nearest),
            (None, None) => (Outcome::NotReached, &[][..]),
        };
        let reason = match outcome {
            Outcome::Matched => "decides".to_owned(),
            Outcome::NotMatched => {
                let each = rule.missed.iter().map(|checks| failing(checks));
                let each: Vec<String> = each.collect();
                format!("does not match: {}", each.join(" | "))
            }
            Outcome::NotReached => {
                let winner = winner.as_deref().unwrap_or_default();
                format!("not reached, since {winner} decides")
            }
        };
        Considered {
            checks: checks.iter().map(Into::into).collect(),
            ..Considered::new(rule.reference, "route", outcome, reason)
        }
    };
    Asked {
        considered: rules.into_iter().map(told).collect(),
        opposite,
    }
}

/// The rule that would be taken most easily instead.
fn elsewhere(rules: &[Rule<'_>], winner: Option<&str>) -> Vec<String> {
    let missed = rules.iter().filter(|rule| rule.taken.is_none());
    let nearest = missed
        .flat_map(|rule| rule.missed.iter().map(move |checks| (rule, checks)))
        .min_by_key(|(_, checks)| misses(checks));
    let next = rules
        .iter()
        .find(|rule| rule.taken.is_none() && rule.missed.is_empty());
    let line = match (nearest, next, winner) {
        (Some((rule, checks)), ..) => format!(
            "to take {}, the request would need {}",
            rule.reference.title(),
            needed(checks)
        ),
        (None, Some(next), Some(winner)) => {
            format!(
                "{} is next where {winner} does not match",
                next.reference.title()
            )
        }
        _ => return Vec::new(),
    };
    vec![line]
}

fn misses(checks: &[Check]) -> usize {
    checks.iter().filter(|check| !check.fits).count()
}

/// What does not fit, with what was there.
pub(super) fn failing(checks: &[Check]) -> String {
    let failing = checks.iter().filter(|check| !check.fits);
    let failing: Vec<String> = failing.map(ToString::to_string).collect();
    failing.join("; ")
}

/// The least that would have to be otherwise: of the items of `from`, and of those of `to`, one is
/// enough.
pub(super) fn least(checks: &[Check]) -> Vec<Check> {
    let failing = || checks.iter().filter(|check| !check.fits);
    let item = |check: &Check| {
        let (list, rest) = check.field.split_once('[')?;
        let is_choice = matches!(list, "from" | "to");
        is_choice.then(|| (list.to_owned(), rest.split(']').next().map(str::to_owned)))
    };
    let mut chosen: Vec<Check> = failing().filter(|c| item(c).is_none()).cloned().collect();
    for list in ["to", "from"] {
        let mut items: Vec<_> = failing()
            .filter_map(item)
            .filter(|(of, _)| of == list)
            .collect();
        items.dedup();
        let of = |wanted: &(String, Option<String>)| -> Vec<Check> {
            let those = failing().filter(|check| item(check).as_ref() == Some(wanted));
            those.cloned().collect()
        };
        let best = items.iter().map(of).min_by_key(Vec::len);
        chosen.splice(0..0, best.unwrap_or_default());
    }
    chosen
}

/// What would have to be otherwise.
pub(super) fn needed(checks: &[Check]) -> String {
    let failing = checks.iter().filter(|check| !check.fits);
    let needed: Vec<String> = failing
        .map(|check| {
            let found = check.found.as_deref().unwrap_or("absent");
            format!("{} {} (it is {found})", check.field, check.asked)
        })
        .collect();
    needed.join(" and ")
}

/// Tables of the host that were passed over, each with the reason.
pub(super) fn passed_over<'t>(
    tables: impl Iterator<Item = &'t HostTable>,
    taken: Option<&HostTable>,
    namespace: &str,
    port: u16,
    has_rules: impl Fn(&HostTable) -> bool,
) -> Vec<Considered> {
    let holder = taken.and_then(|table| table.origins.first());
    let mut found = Vec::new();
    for table in tables.filter(|table| !taken.is_some_and(|taken| std::ptr::eq(taken, *table))) {
        let (outcome, reason) = match (&table.visibility, table.port) {
            (Visibility::Namespaces(clients), _) if !clients.contains(namespace) => {
                let names: Vec<&str> = clients.iter().map(|name| &**name).collect();
                let why = match table.dialect {
                    Dialect::Istio => "exportTo",
                    Dialect::GatewayApi => "a route of a consumer",
                };
                let reason = format!(
                    "holds for clients in {} only ({why}), not in {namespace}",
                    names.join(", ")
                );
                (Outcome::NotMatched, reason)
            }
            (_, Some(only)) if only != port => {
                let reason = format!("holds for port {only} only, not for {port}");
                (Outcome::NotMatched, reason)
            }
            _ if !has_rules(table) => {
                let reason = "has no rules for what is spoken here".to_owned();
                (Outcome::NotMatched, reason)
            }
            _ if holder.is_none() => {
                let reason = "has no rule for this host or server name".to_owned();
                (Outcome::NotMatched, reason)
            }
            _ => {
                let holder = holder.map_or_else(String::new, |holder| {
                    format!(
                        ", since {} holds for the host",
                        Reference::new(holder, None).title()
                    )
                });
                (Outcome::NotReached, format!("not reached{holder}"))
            }
        };
        for origin in &table.origins {
            let is_known = |known: &Considered| {
                *known.resource.kind == *origin.kind
                    && *known.resource.namespace == *origin.namespace
                    && *known.resource.name == *origin.name
            };
            let is_taken = taken.is_some_and(|taken| taken.origins.contains(origin));
            if is_taken || found.iter().any(is_known) {
                continue;
            }
            let reference = Reference::new(origin, None);
            found.push(Considered::new(reference, "route", outcome, reason.clone()));
        }
    }
    found
}
