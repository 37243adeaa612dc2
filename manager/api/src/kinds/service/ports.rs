//! Ports of a `Service`.

use k8s_openapi::{
    api::core::v1::{ServicePort as Written, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{SPEC, ServicePort, ServiceType, TargetPort};
use crate::{Protocol, decode::Reading, path::At, syntax};

pub(super) fn ports(
    spec: &ServiceSpec,
    service_type: ServiceType,
    cx: &mut Reading<'_>,
) -> Vec<ServicePort> {
    let list = SPEC.key("ports");
    let written = spec.ports.as_deref().unwrap_or(&[]);
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    if written.is_empty() && !is_headless && service_type != ServiceType::ExternalName {
        cx.reject(list, "a Service needs at least one port");
    }
    let mut ports: Vec<ServicePort> = Vec::new();
    for (index, port) in written.iter().enumerate() {
        let at = list.index(index);
        check_port_name(port, &written[..index], written.len() > 1, at, cx);
        if let Some(port) = service_port(port, service_type, at, cx) {
            check_unique(&port, &ports, at, cx);
            ports.push(port);
        }
    }
    ports
}

fn check_port_name(
    port: &Written,
    before: &[Written],
    must_be_named: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    let name = port.name.as_deref().unwrap_or("");
    if name.is_empty() {
        cx.require(
            !must_be_named,
            at.key("name"),
            "is required when there are several ports",
        );
        return;
    }
    let fits = syntax::is_label(name);
    cx.require(
        fits,
        at.key("name"),
        format_args!("{name:?} is not a valid port name"),
    );
    let is_new = before
        .iter()
        .all(|other| other.name.as_deref() != Some(name));
    cx.require(
        is_new,
        at.key("name"),
        format_args!("port name {name:?} is used twice"),
    );
}

fn check_unique(port: &ServicePort, before: &[ServicePort], at: At<'_>, cx: &mut Reading<'_>) {
    let same = |other: &&ServicePort| other.protocol == port.protocol;
    if before
        .iter()
        .filter(same)
        .any(|other| other.number == port.number)
    {
        cx.reject(
            at,
            format_args!("port {} is used twice for one protocol", port.number),
        );
    }
    if let Some(node_port) = port.node_port
        && before
            .iter()
            .filter(same)
            .any(|other| other.node_port == Some(node_port))
    {
        let at = at.key("nodePort");
        cx.reject(
            at,
            format_args!("node port {node_port} is used twice for one protocol"),
        );
    }
}

fn service_port(
    written: &Written,
    service_type: ServiceType,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<ServicePort> {
    let number = cx.port(at.key("port"), i64::from(written.port));
    let target = target_port(written, at, cx);
    let node_port = match written.node_port.filter(|port| *port != 0) {
        None => None,
        Some(_) if service_type == ServiceType::ClusterIp => {
            cx.reject(
                at.key("nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            );
            None
        }
        Some(node_port) => cx.port(at.key("nodePort"), i64::from(node_port)),
    };
    let protocol = match written.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => {
            cx.not_supported(
                at.key("protocol"),
                "SCTP is not supported yet; the port is skipped",
            );
            return None;
        }
        Some(other) => {
            cx.reject(
                at.key("protocol"),
                format_args!("{other:?} is not TCP, UDP or SCTP"),
            );
            return None;
        }
    };
    let name = cx.interner.name(written.name.as_deref().unwrap_or(""));
    let app_protocol = cx
        .interner
        .name(written.app_protocol.as_deref().unwrap_or(""));
    let number = number?;
    Some(ServicePort {
        app_protocol,
        name,
        number,
        protocol,
        target: target.unwrap_or(TargetPort::Number(number)),
        node_port,
    })
}

fn target_port(written: &Written, at: At<'_>, cx: &mut Reading<'_>) -> Option<TargetPort> {
    let at = at.key("targetPort");
    match written.target_port.as_ref()? {
        // Kubernetes writes an unset target port as 0.
        IntOrString::Int(0) => None,
        IntOrString::Int(number) => cx.port(at, i64::from(*number)).map(TargetPort::Number),
        IntOrString::String(name) if name.is_empty() => None,
        IntOrString::String(name) => {
            let fits = syntax::is_port_name(name);
            let message = "must be a number or a port name with at least one letter, at most 15";
            cx.require(fits, at, format_args!("{name:?} {message}"));
            Some(TargetPort::Name(cx.interner.name(name)))
        }
    }
}
