//! The access log: one line per connection, with the field names of ztunnel's access log (Istio
//! 1.24 and later), as text or as JSON.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde::Serialize;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LineFormat {
    /// `key=value`, texts in quotes.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Which end of the mesh's connection wrote the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// At the server's node.
    Inbound,
    /// At the client's node.
    Outbound,
}

/// One end of a connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccessEnd {
    /// Its address.
    pub addr: Option<SocketAddr>,
    /// Its workload.
    pub workload: Option<Arc<str>>,
    /// The workload's namespace.
    pub namespace: Option<Arc<str>>,
    /// Its SPIFFE ID; of a client only when it is proved.
    pub identity: Option<Arc<str>>,
}

/// A connection that ended or was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessLine {
    /// When it ended, since 1970.
    pub time: Duration,
    /// The client.
    pub src: AccessEnd,
    /// The server.
    pub dst: AccessEnd,
    /// Where the HBONE connection to the server goes, when there is one.
    pub hbone_addr: Option<SocketAddr>,
    /// Host name of the service dialled.
    pub service: Option<Arc<str>>,
    /// Which end wrote this.
    pub direction: Direction,
    /// Bytes from this end to the peer of the mesh's connection: as ztunnel counts them, those sent
    /// upstream.
    pub bytes_sent: u64,
    /// Bytes the other way.
    pub bytes_recv: u64,
    /// From accept to end.
    pub duration: Duration,
    /// Why it failed or was refused.
    pub error: Option<Arc<str>>,
    /// What of policy refused it: the rule and where it stands, or that none allowed it.
    pub policy: Option<Arc<str>>,
    /// ztunnel's response flag: `-`, `DENY`, `CONNECT`, `TLS_FAILURE` and others.
    pub response_flags: &'static str,
}

/// A value of a field.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
}

impl AccessLine {
    /// The line, without a line feed.
    pub fn render(&self, format: LineFormat) -> String {
        match format {
            LineFormat::Text => self.text(),
            LineFormat::Json => self.json(),
        }
    }

    fn level(&self) -> &'static str {
        if self.error.is_some() {
            "error"
        } else {
            "info"
        }
    }

    fn time(&self) -> String {
        let micros = i64::try_from(self.time.as_micros()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(micros)
            .map(|time| format!("{time:.6}"))
            .unwrap_or_default()
    }

    /// In the order ztunnel writes them; what is not known is left out.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &Arc<str>| Value::Text(text.to_string());
        let addr = |addr: &SocketAddr| Value::Text(addr.to_string());
        let (src, dst) = (&self.src, &self.dst);
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let millis = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        let fields = [
            ("src.addr", src.addr.as_ref().map(addr)),
            ("src.workload", src.workload.as_ref().map(text)),
            ("src.namespace", src.namespace.as_ref().map(text)),
            ("src.identity", src.identity.as_ref().map(text)),
            ("dst.addr", dst.addr.as_ref().map(addr)),
            ("dst.hbone_addr", self.hbone_addr.as_ref().map(addr)),
            ("dst.service", self.service.as_ref().map(text)),
            ("dst.workload", dst.workload.as_ref().map(text)),
            ("dst.namespace", dst.namespace.as_ref().map(text)),
            ("dst.identity", dst.identity.as_ref().map(text)),
            ("direction", Some(Value::Text(direction.to_owned()))),
            ("bytes_sent", Some(Value::Number(self.bytes_sent))),
            ("bytes_recv", Some(Value::Number(self.bytes_recv))),
            ("duration", Some(Value::Text(format!("{millis}ms")))),
            ("error", self.error.as_ref().map(text)),
            ("policy", self.policy.as_ref().map(text)),
            (
                "response_flags",
                Some(Value::Text(self.response_flags.to_owned())),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    fn text(&self) -> String {
        let mut line = format!(
            "{}\t{}\taccess\tconnection complete\t",
            self.time(),
            self.level()
        );
        for (at, (name, value)) in self.fields().iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            // Addresses and counts need no quotes; everything a peer may have chosen has them.
            line += &match value {
                Value::Number(number) => format!("{space}{name}={number}"),
                Value::Text(text) if name.ends_with("addr") => format!("{space}{name}={text}"),
                Value::Text(text) => format!("{space}{name}={text:?}"),
            };
        }
        line
    }

    fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        let mut put = |name: &str, value: Value| {
            let value = match value {
                Value::Text(text) => serde_json::Value::from(text),
                Value::Number(number) => serde_json::Value::from(number),
            };
            object.insert(name.to_owned(), value);
        };
        put("level", Value::Text(self.level().to_owned()));
        put("time", Value::Text(self.time()));
        put("scope", Value::Text("access".to_owned()));
        put("message", Value::Text("connection complete".to_owned()));
        for (name, value) in self.fields() {
            put(name, value);
        }
        serde_json::Value::Object(object).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> AccessLine {
        AccessLine {
            time: Duration::from_micros(1_700_000_000_123_456),
            src: AccessEnd {
                addr: "10.0.0.1:4000".parse().ok(),
                workload: Some("web".into()),
                namespace: Some("shop".into()),
                identity: Some("spiffe://cluster.local/ns/shop/sa/web".into()),
            },
            dst: AccessEnd {
                addr: "10.0.0.2:80".parse().ok(),
                ..AccessEnd::default()
            },
            hbone_addr: "10.0.0.2:15008".parse().ok(),
            service: None,
            direction: Direction::Outbound,
            bytes_sent: 7,
            bytes_recv: 9,
            duration: Duration::from_millis(12),
            error: Some("refused \"by\" peer\n".into()),
            policy: None,
            response_flags: "CONNECT",
        }
    }

    #[test]
    fn text_has_ztunnels_fields_in_its_order() {
        assert_eq!(
            line().render(LineFormat::Text),
            "2023-11-14T22:13:20.123456Z\terror\taccess\tconnection complete\t\
             src.addr=10.0.0.1:4000 src.workload=\"web\" src.namespace=\"shop\" \
             src.identity=\"spiffe://cluster.local/ns/shop/sa/web\" dst.addr=10.0.0.2:80 \
             dst.hbone_addr=10.0.0.2:15008 direction=\"outbound\" bytes_sent=7 bytes_recv=9 \
             duration=\"12ms\" error=\"refused \\\"by\\\" peer\\n\" response_flags=\"CONNECT\""
        );
    }

    #[test]
    fn json_has_the_same_fields() {
        let value: serde_json::Value =
            serde_json::from_str(&line().render(LineFormat::Json)).expect("JSON");
        assert_eq!(
            value["src.identity"],
            "spiffe://cluster.local/ns/shop/sa/web"
        );
        assert_eq!(value["bytes_recv"], 9);
        assert_eq!(value["time"], "2023-11-14T22:13:20.123456Z");
        assert!(value.get("dst.service").is_none());
    }
}
