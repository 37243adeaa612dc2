//! Istio `AuthorizationPolicy` (`ValidateAuthorizationPolicy` of istio/istio).

mod check;
mod condition;
mod custom;
mod written;

use std::sync::Arc;

use serde_json::Value;

use self::written::Written;
use super::scope;
use crate::{PolicyScope, Resource, decode::Reading, object::Metadata, path::At};

/// An AuthorizationPolicy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationPolicy {
    /// `selector` or `targetRefs`.
    pub scope: PolicyScope,
    /// `action`.
    pub action: Action,
    /// `rules`: one that fits is enough.
    pub rules: Vec<AuthorizationRule>,
    /// Annotation `istio.io/dry-run`.
    pub is_dry_run: bool,
}

/// `action`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are Istio's actions")]
pub enum Action {
    Allow,
    Deny,
    Audit,
    /// With `provider.name`.
    Custom(Arc<str>),
}

/// One of `rules`. An empty list fits all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuthorizationRule {
    /// `from`.
    pub from: Vec<AuthorizationSource>,
    /// `to`.
    pub to: Vec<AuthorizationOperation>,
    /// `when`.
    pub when: Vec<AuthorizationCondition>,
}

/// A list and its `not` twin.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values {
    /// One of these, when there are any.
    pub any: Vec<Arc<str>>,
    /// None of these.
    pub none: Vec<Arc<str>>,
}

/// `from[].source`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are Istio's")]
pub struct AuthorizationSource {
    pub principals: Values,
    pub request_principals: Values,
    pub namespaces: Values,
    pub service_accounts: Values,
    pub ip_blocks: Values,
    pub remote_ip_blocks: Values,
    pub trust_domains: Values,
}

/// `to[].operation`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are Istio's")]
pub struct AuthorizationOperation {
    pub hosts: Values,
    pub ports: Values,
    pub methods: Values,
    pub paths: Values,
}

/// One of `when`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationCondition {
    /// `key`, which is known.
    pub key: Arc<str>,
    /// `values` and `notValues`.
    pub values: Values,
}

const DRY_RUN: &str = "istio.io/dry-run";

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.own_field(object, "spec")?;
    let at = At::top("spec");
    let (selector, target) = (spec.selector.as_ref(), spec.target_ref.as_ref());
    let scope = scope::scope(selector, target, spec.target_refs.as_deref(), at, cx);
    let action = check::action(&spec, at, cx);
    let rules = check::rules(&spec, action.as_ref(), at, cx);
    let is_dry_run = is_dry_run(object, cx);
    Some(Resource::AuthorizationPolicy(Box::new(
        AuthorizationPolicy {
            scope,
            action: action?,
            rules,
            is_dry_run,
        },
    )))
}

/// What Go's `strconv.ParseBool` reads as true. Anything else is enforced, and said.
fn is_dry_run(object: &Value, cx: &mut Reading<'_>) -> bool {
    let annotations = object
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    let Some(value) = annotations.and_then(|annotations| annotations.get(DRY_RUN)) else {
        return false;
    };
    match value.as_str() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        _ => {
            let metadata = At::top("metadata");
            let annotations = metadata.key("annotations");
            let message = format_args!("{value} is neither true nor false; the policy is enforced");
            cx.warn(annotations.key(DRY_RUN), message);
            false
        }
    }
}
