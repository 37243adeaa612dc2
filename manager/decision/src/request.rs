//! Who asks for what.

use std::net::IpAddr;

use serde_json::Value;
use weft_model::Protocol;

/// Who asks.
#[derive(Clone, Copy, Default, Debug)]
pub struct Client<'a> {
    /// Namespace of the workload; at a gateway, the gateway's.
    pub namespace: &'a str,
    /// Labels of the workload, in any order.
    pub labels: &'a [(&'a str, &'a str)],
}

/// A request, as far as routes ask for it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Request<'a> {
    /// Host in lower case without port: the Host header, or the service that was dialled.
    pub host: &'a str,
    /// Port that was dialled, or that the gateway listens on.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Method.
    pub method: &'a str,
    /// Path with query, beginning with a slash.
    pub path: &'a str,
    /// The Host header as sent, port included when there is one.
    pub authority: &'a str,
    /// Other headers: names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Claims of a token that is believed; none without one.
    pub claims: Option<&'a Value>,
}

impl<'a> Request<'a> {
    /// The path without query and fragment.
    pub fn path_only(&self) -> &'a str {
        let end = self.path.find(['?', '#']).unwrap_or(self.path.len());
        &self.path[..end]
    }

    /// The query without its question mark, empty when there is none.
    pub fn query(&self) -> &'a str {
        let whole = self
            .path
            .split_once('#')
            .map_or(self.path, |(path, _)| path);
        whole.split_once('?').map_or("", |(_, query)| query)
    }
}

/// A connection whose bytes are not looked into.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Host that was dialled, in lower case, where it is known.
    pub host: &'a str,
    /// Address that was dialled, where it is known.
    pub address: Option<IpAddr>,
    /// Port that was dialled, or that the gateway listens on.
    pub port: u16,
    /// Server name of a TLS client hello, in lower case.
    pub sni: Option<&'a str>,
    /// TCP, or UDP: datagrams of one client count as a connection.
    pub protocol: Protocol,
}
