//! What is spoken on a port: what `appProtocol` says, else the port's name, else what the first
//! bytes show.

use weft_api::{Kind, ObjectKey, Resource, Store};
use weft_model::ServiceName;

use crate::Settings;

/// What is spoken on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Application {
    /// HTTP/1.1 or HTTP/2 without TLS, gRPC included.
    Http,
    /// TLS that is not opened.
    Tls,
    /// Anything else.
    Tcp,
    /// Told by the first bytes.
    Sniffed,
}

impl Application {
    /// What a word of `appProtocol`, or the beginning of a port's name, means.
    fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "http" | "http2" | "grpc" | "grpc-web" | "kubernetes.io/h2c" | "kubernetes.io/ws" => {
                Self::Http
            }
            "https" | "tls" | "kubernetes.io/wss" => Self::Tls,
            "tcp" | "mongo" | "mysql" | "redis" => Self::Tcp,
            _ => return None,
        })
    }

    /// What the name of a port says: all of it, or what stands before the first dash.
    fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if name.starts_with("grpc-web") {
            return Some(Self::Http);
        }
        Self::parse(name.split('-').next().unwrap_or_default())
    }
}

/// What is spoken on a port of a service.
pub fn application(
    store: &Store,
    settings: &Settings,
    service: &ServiceName,
    port: u16,
) -> Application {
    if let Some(name) = settings.kubernetes_name(service) {
        let key = ObjectKey {
            kind: Kind::Service,
            namespace: service.namespace.clone(),
            name: name.into(),
        };
        let object = store.object(&key);
        if let Some(Resource::Service(written)) = object.map(|object| &object.resource) {
            let mut ports = written.ports.iter();
            let written = ports.find(|written| written.number == port);
            let said = written.and_then(|port| {
                Application::parse(&port.app_protocol).or_else(|| Application::of_name(&port.name))
            });
            return said.unwrap_or(Application::Sniffed);
        }
    }
    let mut entries = store.objects_in(Kind::ServiceEntry, &service.namespace);
    let said = entries.find_map(|object| {
        let Resource::ServiceEntry(entry) = &object.resource else {
            return None;
        };
        let port = entry.ports.iter().find(|written| written.number == port)?;
        let is_named = entry.names.contains(&service.hostname);
        is_named.then(|| {
            Application::parse(&port.application).or_else(|| Application::of_name(&port.name))
        })
    });
    said.flatten().unwrap_or(Application::Sniffed)
}
