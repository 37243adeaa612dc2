//! The model as text, for people to compare.

use std::fmt::Write;

use weft_model::{Endpoint, Mesh, Port, Problem, Service, policy::Policies};

/// Everything in the mesh, then what is wrong.
pub(crate) fn render(mesh: &Mesh, problems: &[Problem]) -> String {
    let mut out = String::new();
    for service in mesh.services.values() {
        write_service(&mut out, service);
    }
    for (address, workload) in &mesh.addresses {
        line(
            &mut out,
            0,
            &format!(
                "address {address} is {}/{}",
                workload.namespace, workload.name
            ),
        );
        let of = format!(
            "app {} version {} canonical {} {} account {}",
            or_none(workload.app.as_deref()),
            or_none(workload.version.as_deref()),
            workload.canonical_service,
            workload.canonical_revision,
            workload.service_account,
        );
        line(&mut out, 1, &of);
    }
    for (name, node) in &mesh.nodes {
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        let place = [
            or_none(node.region.as_deref()),
            or_none(node.zone.as_deref()),
        ]
        .join("/");
        line(
            &mut out,
            0,
            &format!("node {name} in {place} at {}", addresses.join(", ")),
        );
    }
    write_policies(&mut out, &mesh.policies);
    for problem in problems {
        line(&mut out, 0, &format!("{problem} ({})", problem.code));
    }
    out
}

fn write_policies(out: &mut String, policies: &Policies) {
    for (name, policy) in &policies.authorization {
        let action = policy.action.name();
        let rules = policy.rules.len();
        let text = format!(
            "authorization {name} {action} in {:?}, {rules} rules",
            policy.scope
        );
        line(out, 0, &text);
        for rule in &policy.rules {
            let asked = rule.http_attributes();
            line(
                out,
                1,
                &format!("needs a request for [{}]", asked.join(", ")),
            );
        }
    }
    for (name, policy) in &policies.peer {
        let (scope, mode, ports) = (&policy.scope, policy.mode, &policy.ports);
        let text = format!("peers {name} {mode:?} in {scope:?}, ports {ports:?}");
        line(out, 0, &text);
    }
    for (name, policy) in &policies.request {
        line(out, 0, &format!("tokens {name} in {:?}", policy.scope));
        for rule in &policy.rules {
            line(out, 1, &format!("{rule:?}"));
        }
    }
}

fn write_service(out: &mut String, service: &Service) {
    let origin = &service.origin;
    line(out, 0, &format!("service {}", service.name));
    line(
        out,
        1,
        &format!("from {origin} at {}:{}", origin.file, origin.line),
    );
    for frontend in &service.frontends {
        line(
            out,
            1,
            &format!("frontend {} {:?}", frontend.address, frontend.kind),
        );
    }
    if let Some(timeout) = service.session_affinity {
        line(out, 1, &format!("affinity {timeout:?}"));
    }
    let (internal, external) = (service.internal_policy, service.external_policy);
    line(
        out,
        1,
        &format!(
            "internal {internal:?}, external {external:?}, distribution {:?}",
            service.distribution
        ),
    );
    for port in &service.ports {
        write_port(out, port);
    }
}

fn write_port(out: &mut String, port: &Port) {
    let name = if port.name.is_empty() {
        "unnamed"
    } else {
        &port.name
    };
    let mut head = format!("port {}/{} {name}", port.number, port.protocol);
    if let Some(node_port) = port.node_port {
        write!(head, ", node port {node_port}").expect("a string takes all");
    }
    line(out, 1, &head);
    line(out, 2, &format!("balancing {:?}", port.balancing));
    if let Some(max) = port.max_connections {
        line(out, 2, &format!("at most {max} connections each"));
    }
    if let Some(outlier) = port.outlier {
        let text = format!(
            "eject after {} failures for {:?}, sweep {:?}, at most {} %, panic below {} %",
            outlier.consecutive_failures,
            outlier.base_ejection,
            outlier.interval,
            outlier.max_ejection_percent,
            outlier.min_health_percent
        );
        line(out, 2, &text);
    }
    for endpoint in &port.endpoints {
        line(out, 2, &endpoint_text(endpoint));
    }
}

fn endpoint_text(endpoint: &Endpoint) -> String {
    let mut words = vec![format!("{} port {}", endpoint.address, endpoint.port)];
    let conditions = [
        (endpoint.ready, "ready"),
        (endpoint.serving, "serving"),
        (endpoint.terminating, "terminating"),
    ];
    words.extend(
        conditions
            .iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, word)| (*word).into()),
    );
    words.push(format!("weight {}", endpoint.weight));
    if let Some(workload) = &endpoint.workload {
        words.push(format!("workload {}/{}", workload.namespace, workload.name));
    }
    let named = [("node", &endpoint.node), ("zone", &endpoint.zone)];
    words.extend(
        named
            .iter()
            .filter_map(|(word, name)| name.as_ref().map(|name| format!("{word} {name}"))),
    );
    let hints = [
        ("for zones", &endpoint.for_zones),
        ("for nodes", &endpoint.for_nodes),
    ];
    words.extend(hints.iter().filter_map(|(word, names)| {
        names
            .as_ref()
            .map(|names| format!("{word} {}", names.join(" ")))
    }));
    words.join(", ")
}

fn or_none(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

fn line(out: &mut String, depth: usize, text: &str) {
    writeln!(out, "{}{text}", "  ".repeat(depth)).expect("a string takes all");
}
