//! Istio `PeerAuthentication` (`ValidatePeerAuthentication` of istio/istio).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::scope::{self, WrittenSelector};
use crate::{PolicyScope, Resource, decode::Reading, object::Metadata, path::At};

/// A PeerAuthentication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerAuthentication {
    /// `selector`.
    pub scope: PolicyScope,
    /// `mtls.mode`; none when unset.
    pub mode: Option<MtlsMode>,
    /// `portLevelMtls` by the workload's port; none when unset.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
}

/// Which connections are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MtlsMode {
    /// `DISABLE`.
    Disable,
    /// `PERMISSIVE`.
    Permissive,
    /// `STRICT`.
    Strict,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    selector: Option<WrittenSelector>,
    mtls: Option<WrittenMtls>,
    port_level_mtls: Option<BTreeMap<String, Option<WrittenMtls>>>,
}

#[derive(Deserialize)]
struct WrittenMtls {
    mode: Option<String>,
}

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.own_field(object, "spec")?;
    let at = At::top("spec");
    let scope = scope::scope(spec.selector.as_ref(), None, None, at, cx);
    let mode = mode(spec.mtls.as_ref(), at.key("mtls"), cx);
    let ports = ports(&spec, &scope, at, cx);
    Some(Resource::PeerAuthentication(Box::new(PeerAuthentication {
        scope,
        mode,
        ports,
    })))
}

fn mode(written: Option<&WrittenMtls>, at: At<'_>, cx: &mut Reading<'_>) -> Option<MtlsMode> {
    match written?.mode.as_deref() {
        None | Some("UNSET") => None,
        Some("DISABLE") => Some(MtlsMode::Disable),
        Some("PERMISSIVE") => Some(MtlsMode::Permissive),
        Some("STRICT") => Some(MtlsMode::Strict),
        Some(other) => {
            let message =
                format_args!("{other:?} is not known; use UNSET, DISABLE, PERMISSIVE or STRICT");
            cx.reject(at.key("mode"), message);
            None
        }
    }
}

fn ports(
    spec: &Written,
    scope: &PolicyScope,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> BTreeMap<u16, Option<MtlsMode>> {
    let at = at.key("portLevelMtls");
    let Some(written) = &spec.port_level_mtls else {
        return BTreeMap::new();
    };
    if written.is_empty() {
        let message = "port level mTLS, if defined, must have at least one element";
        cx.reject(at, message);
    } else if !scope.is_selective() {
        let message = "mesh/namespace peer authentication cannot have port level mTLS: \
            portLevelMtls requires selector";
        cx.reject(at, message);
    }
    let mut ports = BTreeMap::new();
    for (port, mtls) in written {
        let at = at.key(port);
        match port.parse::<u16>() {
            Ok(number) if number != 0 => {
                ports.insert(number, mode(mtls.as_ref(), at, cx));
            }
            _ => cx.reject(
                at,
                format_args!("port must be in range 1..65535, not {port}"),
            ),
        }
    }
    ports
}
