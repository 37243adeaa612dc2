//! From what refused a connection to what operators read.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use weft_abi::{ConnectionEvent, EventKind, HitKey, PolicyEvent};
use weft_admin::{DenialReport, Origin, PolicyReport};
use weft_decision::Subject;
use weft_lower::authz::{Bank, RuleTables};
use weft_model::{Mesh, policy::Action};

use super::MeshSide;

/// ALLOW policies named in one reason.
const CANDIDATES: usize = 4;

/// A report of what a clause of a rule set says; ends and hop are still to be filled in.
pub(super) fn by_policy(
    tables: &RuleTables,
    clause: u32,
    cause: &str,
    enforced: bool,
) -> DenialReport {
    let found = tables.provenance(clause);
    let reason = match (&found, clause) {
        (Some(by), _) => format!(
            "{} rule {} of {}{}",
            bank(by.bank),
            by.rule,
            by.origin,
            place(&by.origin),
        ),
        (None, HitKey::DRY_NOTHING) => "no rule of a dry-run ALLOW policy matched".to_owned(),
        (None, _) if tables.excess().is_some() => {
            "its policies have more rules than the kernel holds, so all is refused".to_owned()
        }
        (None, _) => format!("no ALLOW rule matched; candidates: {}", candidates(tables)),
    };
    DenialReport {
        cause: cause.to_owned(),
        enforced,
        layer: "l4".to_owned(),
        policy: found.map(|by| PolicyReport {
            origin: Origin::from(&by.origin),
            rule: u32::try_from(by.rule).unwrap_or(u32::MAX),
        }),
        reason,
        ..DenialReport::default()
    }
}

fn bank(bank: Bank) -> &'static str {
    match bank {
        Bank::Deny => "DENY",
        Bank::Allow => "ALLOW",
        Bank::Audit => "AUDIT",
        Bank::DryDeny => "dry-run DENY",
        Bank::DryAllow => "dry-run ALLOW",
    }
}

fn place(origin: &weft_model::Origin) -> String {
    if origin.file.is_empty() {
        String::new()
    } else {
        format!(" ({}:{})", origin.file, origin.line)
    }
}

fn candidates(tables: &RuleTables) -> String {
    let allow = tables
        .policies()
        .iter()
        .filter(|policy| policy.action == Action::Allow && !policy.is_dry_run);
    let mut names: Vec<String> = allow.map(|policy| policy.author.name.to_string()).collect();
    let more = names.len().saturating_sub(CANDIDATES);
    names.truncate(CANDIDATES);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

impl MeshSide {
    /// A connection that the kernel carried itself has ended. `service` is the host it was dialled by.
    pub(crate) fn ended(&self, event: &ConnectionEvent, service: Option<Arc<str>>) {
        if let Some(log) = &self.log {
            let known = self.planner.names().principal(event.identity);
            let proved = known.filter(|_| event.proved != 0);
            log.kernel(event, proved.map(|it| &**it), service);
        }
    }

    /// Writes a refusal of the kernel into the access log.
    pub(crate) fn log_refusal(&self, event: &PolicyEvent, report: &DenialReport) {
        if let Some(log) = self.log.as_ref().filter(|_| report.enforced) {
            log.refusal(event, report);
        }
    }

    /// An event of the kernel as a report. `service` is what its pool is called.
    pub(crate) fn refusal(
        &self,
        event: &PolicyEvent,
        mesh: &Mesh,
        service: Option<String>,
        generation: u64,
    ) -> DenialReport {
        let at = |address: weft_abi::Address, port| SocketAddr::new(address.into(), port);
        let source = at(event.source, event.source_port);
        let destination = at(event.destination, event.destination_port);
        let tables = self.planner.tables(event.set);
        let mut report = match (event.kind, tables) {
            (EventKind::DENIED, Some(tables)) => by_policy(tables, event.clause, "denied", true),
            (EventKind::DRY_RUN, Some(tables)) => by_policy(tables, event.clause, "dry_run", false),
            (EventKind::AUDIT, Some(tables)) => by_policy(tables, event.clause, "audit", false),
            (EventKind::DENIED | EventKind::DRY_RUN | EventKind::AUDIT, None) => plain(
                "denied",
                event.kind == EventKind::DENIED,
                "by policy that has been replaced since",
            ),
            (EventKind::PLAINTEXT, _) => self.plaintext(mesh, destination),
            (EventKind::NOT_READY, _) => plain(
                "not_ready",
                true,
                "the policy of an enrolled workload is not in the kernel yet (weft workloads)",
            ),
            (EventKind::CLIENT_LIMIT, _) => plain(
                "client_limit",
                true,
                "the client opens more connections to the service than its RateLimitPolicy allows",
            ),
            _ => plain("unknown", true, "for a reason this version does not know"),
        };
        let principal = self.planner.names().principal(event.identity);
        let identity = principal.map(|principal| format!("spiffe://{principal}"));
        report.src = self.view.end(source, identity);
        report.dst = self.view.end(destination, None);
        report.hop = "kernel".to_owned();
        report.service = service;
        report.generation = generation;
        report
    }

    fn plaintext(&self, mesh: &Mesh, destination: SocketAddr) -> DenialReport {
        let mut report = plain(
            "plaintext",
            true,
            "the connection is plain, and the workload takes only mTLS",
        );
        let Some(instance) = self.view.instance(destination.ip()) else {
            return report;
        };
        let labels: Vec<(&str, &str)> = instance
            .labels
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect();
        let subject = Subject {
            namespace: &instance.namespace,
            labels: &labels,
            services: &[],
            gateway: None,
        };
        let decision = weft_decision::mtls(&mesh.policies, &subject, destination.port());
        if let Some(policy) = decision.decided_by {
            let origin = &policy.author.origin;
            report.reason = format!(
                "the connection is plain, and {origin}{} asks for STRICT mTLS",
                place(origin)
            );
            report.policy = Some(PolicyReport {
                origin: Origin::from(origin),
                rule: 0,
            });
        }
        report
    }

    /// What is judged anew: a connection that was let in and is cut now.
    pub(super) fn cut(&self, mut report: DenialReport, generation: u64) -> DenialReport {
        report.reason = format!("live connection cut: {}", report.reason);
        report.hop = "kernel".to_owned();
        report.generation = generation;
        report
    }

    /// Where policy holds on this node: namespace cookie and addresses.
    pub(super) fn places(&self) -> Vec<(u64, Vec<IpAddr>)> {
        let carried = self.carried.iter();
        carried
            .map(|(cookie, one)| (*cookie, one.addresses.clone()))
            .collect()
    }
}

fn plain(cause: &str, enforced: bool, reason: &str) -> DenialReport {
    DenialReport {
        cause: cause.to_owned(),
        enforced,
        layer: "l4".to_owned(),
        reason: reason.to_owned(),
        ..DenialReport::default()
    }
}
