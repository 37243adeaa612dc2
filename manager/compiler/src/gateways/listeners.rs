//! Listeners: what they speak, which of them conflict, which kinds of routes they take.

use std::sync::Arc;

use weft_api::{
    Object,
    gateway_api::{GROUP, Gateway, Listener, RouteKind, TlsMode},
};
use weft_model::route::{HostPattern, ListenerProtocol};

use super::{Gateways, Refusal};

/// What came of a listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerVerdict {
    /// What it speaks, if that is known here.
    pub(crate) protocol: Option<ListenerProtocol>,
    /// Hosts it is for.
    pub(crate) hostname: HostPattern,
    /// Kinds of routes that may attach.
    pub(crate) kinds: Vec<RouteKind>,
    /// Why it is not accepted.
    pub(super) refused: Option<Refusal>,
    /// With which other listener it conflicts.
    pub(super) conflict: Option<Refusal>,
    /// Which other listener has hosts of its own: a connection that was made for one of them may be
    /// used for the other.
    pub(super) overlap: Option<Refusal>,
    /// Which of its references do not hold.
    pub(super) unresolved: Option<Refusal>,
}

impl ListenerVerdict {
    /// Whether it is valid in itself and beside the others.
    pub(crate) fn is_accepted(&self) -> bool {
        self.refused.is_none() && self.conflict.is_none()
    }

    /// Whether it can serve traffic.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_accepted()
            && !self.kinds.is_empty()
            // Kinds that are not known cost only themselves.
            && self.unresolved.as_ref().is_none_or(|refusal| refusal.reason == "InvalidRouteKinds")
    }
}

impl Gateways<'_> {
    /// What came of each listener of a Gateway, in their order.
    pub(crate) fn listeners(&self, object: &Object, gateway: &Gateway) -> Vec<ListenerVerdict> {
        let verdict = |listener: &Listener| {
            let protocol = protocol(listener);
            let (kinds, unknown_kinds) = kinds(listener, protocol);
            let certificates = self.certificates(object, listener);
            ListenerVerdict {
                protocol,
                hostname: hostname(listener, protocol),
                kinds,
                refused: protocol.is_none().then(|| unsupported(listener)),
                conflict: conflict(listener, &gateway.listeners),
                overlap: overlap(listener, &gateway.listeners),
                unresolved: certificates.or(unknown_kinds),
            }
        };
        gateway.listeners.iter().map(verdict).collect()
    }
}

fn protocol(listener: &Listener) -> Option<ListenerProtocol> {
    Some(match &*listener.protocol {
        "HTTP" => ListenerProtocol::Http,
        "HTTPS" => ListenerProtocol::Https,
        "TLS" => match listener.tls.as_ref()?.mode {
            TlsMode::Passthrough => ListenerProtocol::TlsPassthrough,
            TlsMode::Terminate => ListenerProtocol::TlsTerminate,
        },
        "TCP" => ListenerProtocol::Tcp,
        "UDP" => ListenerProtocol::Udp,
        _ => return None,
    })
}

fn unsupported(listener: &Listener) -> Refusal {
    let protocol = &listener.protocol;
    let message = format!("protocol {protocol} is not supported; use HTTP, HTTPS, TLS, TCP or UDP");
    Refusal::new("UnsupportedProtocol", message)
}

fn hostname(listener: &Listener, protocol: Option<ListenerProtocol>) -> HostPattern {
    match (&listener.hostname, protocol) {
        (_, Some(ListenerProtocol::Tcp | ListenerProtocol::Udp)) | (None, _) => HostPattern::Any,
        (Some(hostname), _) => HostPattern::new(hostname),
    }
}

/// Kinds of routes that a protocol takes.
fn natural_kinds(protocol: ListenerProtocol) -> &'static [&'static str] {
    match protocol {
        ListenerProtocol::Http | ListenerProtocol::Https => &["HTTPRoute", "GRPCRoute"],
        ListenerProtocol::TlsPassthrough => &["TLSRoute"],
        ListenerProtocol::TlsTerminate => &["TLSRoute", "TCPRoute"],
        ListenerProtocol::Tcp => &["TCPRoute"],
        ListenerProtocol::Udp => &["UDPRoute"],
    }
}

/// Kinds of routes that may attach, and which of those asked for cannot.
fn kinds(
    listener: &Listener,
    protocol: Option<ListenerProtocol>,
) -> (Vec<RouteKind>, Option<Refusal>) {
    let natural = protocol.map_or(&[][..], natural_kinds);
    let asked = &listener.allowed_routes.kinds;
    if asked.is_empty() {
        let kind = |kind: &&str| RouteKind {
            group: GROUP.into(),
            kind: (*kind).into(),
        };
        return (natural.iter().map(kind).collect(), None);
    }
    let is_known = |asked: &&RouteKind| *asked.group == *GROUP && natural.contains(&&*asked.kind);
    let known = asked.iter().filter(is_known).cloned().collect();
    let unknown: Vec<String> = asked
        .iter()
        .filter(|asked| !is_known(asked))
        .map(|asked| format!("{} ({})", asked.kind, asked.group))
        .collect();
    let refusal = || {
        let message = format!(
            "kinds that cannot attach to a listener with protocol {}: {}",
            listener.protocol,
            unknown.join(", ")
        );
        Refusal::new("InvalidRouteKinds", message)
    };
    (known, (!unknown.is_empty()).then(refusal))
}

/// What a connection shows before its listener must be known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// The Host header.
    Http,
    /// The server name.
    Tls,
    /// Nothing.
    Tcp,
    /// Nothing, in datagrams.
    Udp,
}

fn wire(listener: &Listener) -> Option<Wire> {
    Some(match &*listener.protocol {
        "HTTP" => Wire::Http,
        "HTTPS" | "TLS" => Wire::Tls,
        "TCP" => Wire::Tcp,
        "UDP" => Wire::Udp,
        _ => return None,
    })
}

/// With which other listener this one cannot be told apart. None of them is in force then.
fn conflict(listener: &Listener, all: &[Listener]) -> Option<Refusal> {
    let this = wire(listener)?;
    let others = all.iter().filter(|other| {
        other.name != listener.name && other.port == listener.port && wire(other).is_some()
    });
    let mut same_host = None;
    for other in others {
        let that = wire(other)?;
        if (this == Wire::Udp) != (that == Wire::Udp) {
            continue;
        }
        if this != that {
            let message = format!(
                "port {} has protocol {} here and {} at listener {}",
                listener.port, listener.protocol, other.protocol, other.name
            );
            return Some(Refusal::new("ProtocolConflict", message));
        }
        if matches!(this, Wire::Tcp | Wire::Udp) {
            let message = format!("port {} is listener {}'s too", listener.port, other.name);
            return Some(Refusal::new("ProtocolConflict", message));
        }
        if host(listener) == host(other) {
            same_host = Some(other);
        }
    }
    same_host.map(|other| {
        let hostname = host(listener).map_or("*", |hostname| &**hostname);
        let message = format!(
            "hostname {hostname} at port {} is listener {}'s too",
            listener.port, other.name
        );
        Refusal::new("HostnameConflict", message)
    })
}

/// With which other listener this one shares hosts at the same port, each with TLS settings of its own.
fn overlap(listener: &Listener, all: &[Listener]) -> Option<Refusal> {
    let hosts = |listener: &Listener| hostname(listener, Some(ListenerProtocol::Https));
    let is_https = |listener: &Listener| *listener.protocol == *"HTTPS";
    let other = all.iter().find(|other| {
        other.name != listener.name
            && other.port == listener.port
            && is_https(listener)
            && is_https(other)
            && host(listener) != host(other)
            && hosts(listener).meet(&hosts(other)).is_some()
    })?;
    let message = format!("listener {} has some of its hosts too", other.name);
    Some(Refusal::new("OverlappingHostnames", message))
}

fn host(listener: &Listener) -> Option<&Arc<str>> {
    listener.hostname.as_ref().filter(|host| !host.is_empty())
}
