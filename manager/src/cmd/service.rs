//! `weft service`.

use std::process::ExitCode;

use weft_admin::{EndpointReport, PoolReport, PortReport, ServiceReport, ServiceSummary, routes};

use crate::{
    args::{ServiceArgs, ServiceCommand},
    cmd::{
        Manager,
        output::{self, span},
        table::Table,
    },
};

/// Exit code 1 when there is no such service.
pub(crate) fn run(args: &ServiceArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ServiceCommand::List {
            namespace,
            instance,
            output,
        } => {
            let mut services: Vec<ServiceSummary> =
                Manager::find(instance)?.fetch(routes::SERVICES)?;
            if let Some(namespace) = namespace {
                services.retain(|service| service.namespace == *namespace);
            }
            output::print(*output, &services, |services| list(services))
        }
        ServiceCommand::Get {
            name,
            namespace,
            instance,
            output,
        } => {
            let (namespace, name) = named(namespace, name);
            let path = format!("{}/{namespace}/{name}", routes::SERVICES);
            let service: ServiceReport = Manager::find(instance)?.fetch(&path)?;
            output::print(*output, &service, describe)
        }
    }
}

/// `NAMESPACE/NAME` names a service as tables and logs do.
fn named<'a>(namespace: &'a str, name: &'a str) -> (&'a str, &'a str) {
    name.split_once('/').unwrap_or((namespace, name))
}

fn list(services: &[ServiceSummary]) -> String {
    if services.is_empty() {
        return "no services\n".to_owned();
    }
    let mut table = Table::new([
        "NAMESPACE",
        "NAME",
        "ADDRESSES",
        "PORTS",
        ">READY",
        ">EJECTED",
        ">ACTIVE",
        ">CONNECTIONS",
        ">FAILURES",
        ">REFUSED",
    ]);
    for service in services {
        table.row([
            service.namespace.clone(),
            service.name.clone(),
            service.addresses.join(","),
            service.ports.join(","),
            format!("{}/{}", service.ready, service.endpoints),
            service.ejected.to_string(),
            service.active.to_string(),
            service.connections.to_string(),
            service.failures.to_string(),
            service.refused.to_string(),
        ]);
    }
    table.render(0)
}

fn describe(service: &ServiceReport) -> String {
    let mut text = format!(
        "{}/{} ({})\n",
        service.namespace, service.name, service.hostname
    );
    let origin = &service.origin;
    if !origin.file.is_empty() {
        text += &format!(
            "  defined by {} in {}:{}\n",
            origin.kind, origin.file, origin.line
        );
    }
    let mut rules = vec![
        format!("internal traffic {}", service.internal_policy),
        format!("external traffic {}", service.external_policy),
        format!("distribution {}", service.distribution),
    ];
    if let Some(seconds) = service.affinity_seconds {
        rules.push(format!("clients stick for {}", span(seconds as f64)));
    }
    text += &format!("  {}\n", rules.join(", "));
    if service.frontends.is_empty() {
        text += "\nheadless: no address is balanced\n";
    } else {
        let mut table = Table::new(["FRONTEND", "KIND", ">POOL"]);
        for frontend in &service.frontends {
            let address = endpoint(&frontend.address, frontend.port);
            table.row([
                format!("{address}/{}", frontend.protocol),
                frontend.kind.clone(),
                if frontend.pool == 0 {
                    String::new()
                } else {
                    frontend.pool.to_string()
                },
            ]);
        }
        text += &format!("\n{}", table.render(0));
    }
    for port in &service.ports {
        text += &port_text(port);
    }
    text
}

fn port_text(port: &PortReport) -> String {
    let mut text = format!("\nport {}/{}", port.number, port.protocol);
    if !port.name.is_empty() {
        text += &format!(" ({})", port.name);
    }
    text += &format!(": {}", port.balancing);
    if let Some(limit) = port.max_connections {
        text += &format!(", at most {limit} connections per backend");
    }
    if let Some(outlier) = &port.outlier {
        text += &format!(
            ", {} failures in a row eject for {} or longer, at most {}%",
            outlier.consecutive_failures,
            span(outlier.base_ejection_seconds),
            outlier.max_ejection_percent
        );
    }
    text.push('\n');
    for pool in &port.pools {
        text += &pool_text(pool);
    }
    text
}

fn pool_text(pool: &PoolReport) -> String {
    let mut text = format!(
        "  pool {}: {} {}, {} slots",
        pool.id, pool.class, pool.family, pool.slots
    );
    for (count, what) in [
        (pool.no_backend, "refused without a backend"),
        (pool.over_limit, "refused at the limit"),
        (pool.udp_flows, "UDP flows"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text.push('\n');
    if pool.endpoints.is_empty() {
        return text + "    no endpoints: every connection is refused\n";
    }
    let mut table = Table::new([
        "ENDPOINT",
        "STATE",
        ">WEIGHT",
        ">ACTIVE",
        ">CONNECTIONS",
        ">FAILURES",
        "WORKLOAD",
        "NODE",
        "ZONE",
    ]);
    for one in &pool.endpoints {
        table.row([
            endpoint(&one.address, one.port),
            state(one),
            one.weight.to_string(),
            one.active.to_string(),
            one.connections.to_string(),
            one.failures.to_string(),
            one.workload.clone().unwrap_or_default(),
            one.node.clone().unwrap_or_default(),
            one.zone.clone().unwrap_or_default(),
        ]);
    }
    text + &table.render(4)
}

fn state(endpoint: &EndpointReport) -> String {
    match endpoint.ejected_seconds {
        Some(seconds) => format!("{} {}", endpoint.state.name(), span(seconds)),
        None => endpoint.state.name().to_owned(),
    }
}

fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests;
