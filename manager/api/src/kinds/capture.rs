//! What annotations say of capturing a workload's traffic.

use std::net::IpAddr;

use serde_json::Value;

use crate::{decode::Reading, path::At};

/// What annotations say of capturing a workload's traffic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capture {
    /// `ambient.istio.io/redirection: enabled`: it is captured.
    pub is_redirected: bool,
    /// `ambient.istio.io/bypass-inbound-capture: "true"`.
    pub bypasses_inbound: bool,
    /// `sidecar.istio.io/status` is there: it has a proxy of its own.
    pub has_sidecar: bool,
    /// `traffic.istio.io/excludeInboundPorts`.
    pub excluded_inbound_ports: Box<[u16]>,
    /// `traffic.istio.io/excludeOutboundPorts`.
    pub excluded_outbound_ports: Box<[u16]>,
    /// `traffic.istio.io/excludeOutboundIPRanges`: address and length.
    pub excluded_outbound_ranges: Box<[(IpAddr, u8)]>,
}

const INBOUND_PORTS: &str = "traffic.istio.io/excludeInboundPorts";
const OUTBOUND_PORTS: &str = "traffic.istio.io/excludeOutboundPorts";
const OUTBOUND_RANGES: &str = "traffic.istio.io/excludeOutboundIPRanges";

/// Reads the annotations of an object.
pub(crate) fn read(object: &Value, cx: &mut Reading<'_>) -> Capture {
    let annotations = object
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    let Some(annotations) = annotations else {
        return Capture::default();
    };
    let text = |key: &str| annotations.get(key).and_then(Value::as_str);
    Capture {
        is_redirected: text("ambient.istio.io/redirection") == Some("enabled"),
        bypasses_inbound: text("ambient.istio.io/bypass-inbound-capture") == Some("true"),
        has_sidecar: text("sidecar.istio.io/status").is_some(),
        excluded_inbound_ports: list(INBOUND_PORTS, text(INBOUND_PORTS), cx, port),
        excluded_outbound_ports: list(OUTBOUND_PORTS, text(OUTBOUND_PORTS), cx, port),
        excluded_outbound_ranges: list(OUTBOUND_RANGES, text(OUTBOUND_RANGES), cx, range),
    }
}

/// Of one annotation: the kernel's maps for them are shared by all workloads.
const MOST_EXCLUDED: usize = 64;

/// Items between commas; those that do not fit are told of and left out.
fn list<T>(
    key: &str,
    text: Option<&str>,
    cx: &mut Reading<'_>,
    item: fn(&str) -> Option<T>,
) -> Box<[T]> {
    let items = text.unwrap_or("").split(',').map(str::trim);
    let items = items.filter(|text| !text.is_empty());
    if items.clone().nth(MOST_EXCLUDED).is_some() {
        annotation(key, |at| {
            cx.warn(
                at,
                format_args!("only the first {MOST_EXCLUDED} of the list are left out of capture"),
            );
        });
    }
    let mut found = Vec::new();
    for text in items.take(MOST_EXCLUDED) {
        match item(text) {
            Some(item) => found.push(item),
            None => annotation(key, |at| {
                cx.warn(
                    at,
                    format_args!(
                        "{text:?} is passed over: it is not one of a list with commas between"
                    ),
                );
            }),
        }
    }
    found.into_boxed_slice()
}

fn annotation(key: &str, tell: impl FnOnce(At<'_>)) {
    let metadata = At::top("metadata");
    let annotations = metadata.key("annotations");
    tell(annotations.key(key));
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn range(text: &str) -> Option<(IpAddr, u8)> {
    let net: ipnet::IpNet = text.parse().ok()?;
    Some((net.addr(), net.prefix_len()))
}
