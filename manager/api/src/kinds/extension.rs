//! Istio `WasmPlugin` and `TrafficExtension`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::scope::{self, WrittenSelector, WrittenTarget};
use crate::{PolicyScope, Resource, decode::Reading, limits, object::Metadata, path::At, syntax};

/// A program in the way of traffic: a `WasmPlugin`, or its successor `TrafficExtension`
/// (`extensions/v1alpha1` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrafficExtension {
    /// `selector` or `targetRefs`.
    pub scope: PolicyScope,
    /// `phase`.
    pub phase: Phase,
    /// `priority`, higher ones first.
    pub priority: i32,
    /// `match`; empty means all traffic.
    pub matches: Vec<TrafficMatch>,
    /// The program.
    pub program: Program,
}

/// A program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Program {
    /// `wasm`, or a WasmPlugin.
    Wasm(Wasm),
    /// `lua.inlineCode`.
    Lua(Arc<str>),
}

/// A WebAssembly module and how it runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Wasm {
    /// `url`: `oci`, the default, `http`, `https` or `file`.
    pub url: Arc<str>,
    /// `sha256` in hexadecimal; may be empty.
    pub sha256: Arc<str>,
    /// `imagePullPolicy`.
    pub image_pull_policy: ImagePullPolicy,
    /// `imagePullSecret`; may be unset.
    pub image_pull_secret: Option<Arc<str>>,
    /// `verificationKey`.
    pub verification_key: Arc<str>,
    /// `pluginConfig`: any object.
    pub plugin_config: serde_json::Map<String, Value>,
    /// `pluginName`; may be unset.
    pub plugin_name: Option<Arc<str>>,
    /// `failStrategy`.
    pub fail_strategy: FailStrategy,
    /// `vmConfig`.
    pub vm_config: VmConfig,
    /// `type`.
    #[serde(rename = "type")]
    pub plugin_type: PluginType,
}

/// Where among the filters a program stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum Phase {
    /// At the end.
    #[default]
    #[serde(rename = "UNSPECIFIED", alias = "UNSPECIFIED_PHASE")]
    Unspecified,
    /// Before authentication.
    #[serde(rename = "AUTHN")]
    Authn,
    /// Before authorization.
    #[serde(rename = "AUTHZ")]
    Authz,
    /// Before statistics.
    #[serde(rename = "STATS")]
    Stats,
}

/// When a module is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the variants are those of Kubernetes")]
pub enum ImagePullPolicy {
    #[default]
    #[serde(rename = "UNSPECIFIED_POLICY")]
    Unspecified,
    IfNotPresent,
    Always,
}

/// What happens to traffic when a module fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum FailStrategy {
    /// It is refused.
    #[default]
    #[serde(rename = "FAIL_CLOSE")]
    Close,
    /// It goes by.
    #[serde(rename = "FAIL_OPEN")]
    Open,
    /// It is refused until the module is loaded again.
    #[serde(rename = "FAIL_RELOAD")]
    Reload,
}

/// What a module sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum PluginType {
    /// As `Http`.
    #[default]
    #[serde(rename = "UNSPECIFIED_PLUGIN_TYPE")]
    Unspecified,
    /// Requests.
    #[serde(rename = "HTTP")]
    Http,
    /// Connections.
    #[serde(rename = "NETWORK")]
    Network,
}

/// `vmConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VmConfig {
    /// `env`.
    pub env: Vec<EnvVar>,
}

/// A variable of a module's environment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar {
    /// `name`.
    pub name: Arc<str>,
    /// `valueFrom`.
    pub value_from: EnvSource,
    /// `value`.
    pub value: Option<Arc<str>>,
}

/// Where a variable comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EnvSource {
    /// `value`.
    #[default]
    Inline,
    /// The host's variable of that name.
    Host,
}

/// Which traffic is meant.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TrafficMatch {
    /// `mode`.
    pub mode: TrafficSide,
    /// `ports[].number`; empty means all.
    pub ports: Vec<PortNumber>,
}

/// A port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PortNumber {
    /// `number`, 1 to 65535.
    pub number: u32,
}

/// Which side of a connection is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrafficSide {
    /// As `ClientAndServer`.
    #[default]
    Undefined,
    /// Where it begins.
    Client,
    /// Where it ends.
    Server,
    /// Both.
    ClientAndServer,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WrittenPlugin {
    selector: Option<WrittenSelector>,
    target_ref: Option<WrittenTarget>,
    target_refs: Option<Vec<WrittenTarget>>,
    phase: Phase,
    priority: Option<i32>,
    #[serde(rename = "match")]
    matches: Vec<TrafficMatch>,
    url: Arc<str>,
    sha256: Arc<str>,
    image_pull_policy: ImagePullPolicy,
    image_pull_secret: Option<Arc<str>>,
    verification_key: Arc<str>,
    plugin_config: serde_json::Map<String, Value>,
    plugin_name: Option<Arc<str>>,
    fail_strategy: FailStrategy,
    vm_config: VmConfig,
    #[serde(rename = "type")]
    plugin_type: PluginType,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WrittenExtension {
    selector: Option<WrittenSelector>,
    target_refs: Option<Vec<WrittenTarget>>,
    phase: Phase,
    priority: Option<i32>,
    #[serde(rename = "match")]
    matches: Vec<TrafficMatch>,
    wasm: Option<Wasm>,
    lua: Option<Lua>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Lua {
    inline_code: Arc<str>,
}

const NOT_RUN: &str = "extensions are not supported yet; traffic does not pass through it";

pub(crate) fn read_plugin(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let written: WrittenPlugin = cx.message(object, "spec")?;
    let at = At::top("spec");
    let scope = scope::scope(
        written.selector.as_ref(),
        written.target_ref.as_ref(),
        written.target_refs.as_deref(),
        at,
        cx,
    );
    let module = Wasm {
        url: written.url,
        sha256: written.sha256,
        image_pull_policy: written.image_pull_policy,
        image_pull_secret: written.image_pull_secret,
        verification_key: written.verification_key,
        plugin_config: written.plugin_config,
        plugin_name: written.plugin_name,
        fail_strategy: written.fail_strategy,
        vm_config: written.vm_config,
        plugin_type: written.plugin_type,
    };
    matches(&written.matches, at, cx);
    wasm(&module, at, cx);
    cx.not_supported(at, NOT_RUN);
    Some(Resource::WasmPlugin(Box::new(TrafficExtension {
        scope,
        phase: written.phase,
        priority: written.priority.unwrap_or(0),
        matches: written.matches,
        program: Program::Wasm(module),
    })))
}

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let written: WrittenExtension = cx.message(object, "spec")?;
    let at = At::top("spec");
    let scope = scope::scope(
        written.selector.as_ref(),
        None,
        written.target_refs.as_deref(),
        at,
        cx,
    );
    matches(&written.matches, at, cx);
    let program = match (written.wasm, written.lua) {
        (Some(module), None) => {
            wasm(&module, at.key("wasm"), cx);
            Program::Wasm(module)
        }
        (None, Some(lua)) => {
            let at = at.key("lua");
            limits::name(&lua.inline_code, 65_536, at.key("inlineCode"), cx);
            Program::Lua(lua.inline_code)
        }
        _ => {
            cx.reject(at, "exactly one of wasm or lua must be set");
            return None;
        }
    };
    cx.not_supported(at, NOT_RUN);
    Some(Resource::TrafficExtension(Box::new(TrafficExtension {
        scope,
        phase: written.phase,
        priority: written.priority.unwrap_or(0),
        matches: written.matches,
        program,
    })))
}

fn matches(written: &[TrafficMatch], at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("match");
    for (index, matching) in written.iter().enumerate() {
        let at = list.index(index);
        let ports = at.key("ports");
        for (index, port) in matching.ports.iter().enumerate() {
            let at = ports.index(index);
            cx.port(at.key("number"), i64::from(port.number));
        }
    }
}

fn wasm(module: &Wasm, at: At<'_>, cx: &mut Reading<'_>) {
    url(&module.url, at.key("url"), cx);
    let sum = &*module.sha256;
    let is_sum = sum.len() == 64 && sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    cx.require(
        sum.is_empty() || is_sum,
        at.key("sha256"),
        "sha256 must be 64 hexadecimal digits in lower case",
    );
    if let Some(secret) = &module.image_pull_secret {
        limits::name(secret, 253, at.key("imagePullSecret"), cx);
    }
    if let Some(name) = &module.plugin_name {
        limits::name(name, 256, at.key("pluginName"), cx);
    }
    let at = at.key("vmConfig");
    let list = at.key("env");
    limits::items(module.vm_config.env.len(), 256, list, cx);
    for (index, variable) in module.vm_config.env.iter().enumerate() {
        let at = list.index(index);
        limits::name(&variable.name, 256, at.key("name"), cx);
        let value = variable.value.as_deref();
        limits::length(value.unwrap_or(""), 2048, at.key("value"), cx);
        if variable.value_from == EnvSource::Host && value.is_some() {
            cx.reject(at, "value may only be set when valueFrom is INLINE");
        }
        let same = |other: &EnvVar| other.name == variable.name;
        let is_new = !module.vm_config.env[..index].iter().any(same);
        let message = format_args!("duplicate env var {:?}", variable.name);
        cx.require(is_new, at.key("name"), message);
    }
}

fn url(url: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if url.is_empty() {
        cx.reject(at, "url field needs to be set");
        return;
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    cx.require(
        matches!(scheme, "" | "http" | "https" | "oci" | "file"),
        at,
        "url must have schema one of [http, https, file, oci]",
    );
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let fits = match scheme {
        "file" => rest.starts_with('/'),
        _ => {
            syntax::is_host(host)
                || host
                    .trim_matches(['[', ']'])
                    .parse::<std::net::IpAddr>()
                    .is_ok()
        }
    };
    let has_space = rest.contains(|c: char| c.is_whitespace() || c.is_control());
    cx.require(
        fits && !has_space,
        at,
        format_args!("failed to parse url {url:?}"),
    );
}
