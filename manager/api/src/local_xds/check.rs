//! Reading a local file of workload discovery.

use std::{net::IpAddr, sync::Arc};

use super::LocalXds;
use crate::{
    Origin, Problem, Severity,
    decode::Reading,
    intern::Interner,
    path::{At, FieldPath, Segment},
    yaml::{self, lines::lines},
};

/// Alternatives that the rules of one policy may come to once they are multiplied out.
const MOST_ALTERNATIVES: usize = 4096;

/// Reads the text of a file. None when it is not taken, with at least one error then.
pub fn read(file: &str, text: &str) -> (Option<LocalXds>, Vec<Problem>) {
    let file: Arc<str> = file.into();
    let mut documents = yaml::documents(text);
    let Some(document) = documents.next() else {
        return (Some(LocalXds::default()), Vec::new());
    };
    let problem = |severity, path: String, line, message: String| Problem {
        severity,
        code: "local-xds",
        origin: Origin {
            kind: "LocalXds".into(),
            namespace: "".into(),
            name: Arc::clone(&file),
            file: Arc::clone(&file),
            line: document.first_line(),
        },
        path,
        line,
        message,
    };
    if let Some(second) = documents.next() {
        let message = "the file is one document, and here begins another";
        let line = second.first_line();
        return (
            None,
            vec![problem(
                Severity::Error,
                String::new(),
                line,
                message.into(),
            )],
        );
    }
    let value = match document.parse() {
        Ok(value) => value,
        Err(fault) => {
            let problem = problem(Severity::Error, String::new(), fault.line, fault.message);
            return (None, vec![problem]);
        }
    };
    let mut interner = Interner::default();
    let mut cx = Reading::new(&mut interner);
    let mut config: Option<LocalXds> = cx.whole(&value);
    if let Some(config) = &config {
        check(config, &mut cx);
    }
    for finding in &mut cx.findings {
        if finding.code == "unknown-field" {
            finding.severity = Severity::Error;
        }
    }
    let mut paths: Vec<FieldPath> = cx.findings.iter().map(|it| it.path.clone()).collect();
    if let Some(config) = &config {
        let item =
            |list: &str, index| FieldPath(vec![Segment::Key(list.into()), Segment::Index(index)]);
        paths.extend((0..config.workloads.len()).map(|index| item("workloads", index)));
        paths.extend((0..config.policies.len()).map(|index| item("policies", index)));
        paths.extend((0..config.services.len()).map(|index| item("services", index)));
    }
    let mut found = lines(&document, &paths.iter().collect::<Vec<_>>()).into_iter();
    let problems: Vec<Problem> = cx
        .findings
        .into_iter()
        .zip(&mut found)
        .map(|(it, line)| problem(it.severity, it.path.to_string(), line, it.message))
        .collect();
    if let Some(config) = &mut config {
        let workloads = config.workloads.iter_mut().map(|it| &mut it.line);
        let policies = config.policies.iter_mut().map(|it| &mut it.line);
        let services = config.services.iter_mut().map(|it| &mut it.line);
        for (line, found) in workloads.chain(policies).chain(services).zip(found) {
            *line = found;
        }
    }
    let is_refused = problems.iter().any(|it| it.severity == Severity::Error);
    (config.filter(|_| !is_refused), problems)
}

fn check(config: &LocalXds, cx: &mut Reading<'_>) {
    let list = At::top("workloads");
    for (index, workload) in config.workloads.iter().enumerate() {
        let at = list.index(index);
        let message = "at least one address is required: names are not resolved";
        cx.require(
            !workload.workload_ips.is_empty(),
            at.key("workloadIps"),
            message,
        );
        cx.require(
            !workload.namespace.is_empty(),
            at.key("namespace"),
            "is empty",
        );
        let ignored = [
            ("waypoint", workload.waypoint.is_some()),
            ("networkGateway", workload.network_gateway.is_some()),
            ("applicationTunnel", workload.application_tunnel.is_some()),
            ("nativeTunnel", workload.native_tunnel),
            ("network", !workload.network.is_empty()),
            ("hostname", !workload.hostname.is_empty()),
        ];
        not_acted_on(at, &ignored, cx);
        for service in workload.services.keys() {
            let services = at.key("services");
            let message = "the key is NAMESPACE/HOSTNAME";
            cx.require(service.contains('/'), services.key(service), message);
        }
        for (index, policy) in workload.authorization_policies.iter().enumerate() {
            let policies = at.key("authorizationPolicies");
            let known = config
                .policies
                .iter()
                .any(|known| policy.split_once('/') == Some((&*known.namespace, &*known.name)));
            if !known {
                let message = format_args!("{policy:?} is no policy of this file");
                cx.reject(policies.index(index), message);
            }
        }
    }
    let list = At::top("policies");
    for (index, policy) in config.policies.iter().enumerate() {
        let at = list.index(index);
        let alternatives = policy.rules.iter().map(|rule| {
            let clauses = rule.iter().map(|clause| clause.len().max(1));
            clauses.fold(1_usize, usize::saturating_mul)
        });
        let alternatives = alternatives.fold(0_usize, usize::saturating_add);
        let message = format_args!(
            "the rules come to {alternatives} alternatives, at most {MOST_ALTERNATIVES} are taken"
        );
        cx.require(alternatives <= MOST_ALTERNATIVES, at.key("rules"), message);
    }
    let list = At::top("services");
    for (index, service) in config.services.iter().enumerate() {
        let at = list.index(index);
        for (index, text) in service.vips.iter().enumerate() {
            let vips = at.key("vips");
            let message = format_args!("{text:?} is not NETWORK/ADDRESS");
            cx.require(vip(text).is_some(), vips.index(index), message);
        }
        let ignored = [
            ("endpoints", !service.endpoints.is_empty()),
            ("subjectAltNames", !service.subject_alt_names.is_empty()),
            ("waypoint", service.waypoint.is_some()),
            ("loadBalancer", service.load_balancer.is_some()),
        ];
        not_acted_on(at, &ignored, cx);
    }
}

fn not_acted_on(at: At<'_>, fields: &[(&str, bool)], cx: &mut Reading<'_>) {
    for (field, is_set) in fields {
        if *is_set {
            cx.not_supported(at.key(field), "is read, but not acted on");
        }
    }
}

/// The address of `NETWORK/ADDRESS`.
pub(super) fn vip(text: &str) -> Option<IpAddr> {
    let (_, address) = text.split_once('/')?;
    address.parse().ok()
}
