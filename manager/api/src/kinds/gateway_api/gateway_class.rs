//! `GatewayClass`.

use std::sync::Arc;

use serde::Deserialize;

use super::ObjectRef;

/// A GatewayClass.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClass {
    /// Whose Gateways these are, such as `weft.dev/gateway-controller`.
    pub controller_name: Arc<str>,
    /// Settings an implementation defines.
    pub parameters_ref: Option<ObjectRef>,
    /// For people.
    pub description: Option<Arc<str>>,
}
