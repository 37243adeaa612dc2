//! `AuthorizationPolicy` as it is written (`security/v1/authorization_policy.proto` of istio/api).

use serde::Deserialize;

use crate::kinds::scope::{WrittenSelector, WrittenTarget};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    pub(super) selector: Option<WrittenSelector>,
    pub(super) target_ref: Option<WrittenTarget>,
    pub(super) target_refs: Option<Vec<WrittenTarget>>,
    pub(super) action: Option<String>,
    pub(super) provider: Option<Provider>,
    pub(super) rules: Option<Vec<Option<Rule>>>,
}

#[derive(Deserialize)]
pub(super) struct Provider {
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Rule {
    pub(super) from: Option<Vec<Option<From>>>,
    pub(super) to: Option<Vec<Option<To>>>,
    pub(super) when: Option<Vec<Option<Condition>>>,
}

#[derive(Deserialize)]
pub(super) struct From {
    pub(super) source: Option<Source>,
}

type List = Option<Vec<String>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) principals: List,
    pub(super) not_principals: List,
    pub(super) request_principals: List,
    pub(super) not_request_principals: List,
    pub(super) namespaces: List,
    pub(super) not_namespaces: List,
    pub(super) service_accounts: List,
    pub(super) not_service_accounts: List,
    pub(super) ip_blocks: List,
    pub(super) not_ip_blocks: List,
    pub(super) remote_ip_blocks: List,
    pub(super) not_remote_ip_blocks: List,
    pub(super) trust_domains: List,
    pub(super) not_trust_domains: List,
}

#[derive(Deserialize)]
pub(super) struct To {
    pub(super) operation: Option<Operation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub(super) hosts: List,
    pub(super) not_hosts: List,
    pub(super) ports: List,
    pub(super) not_ports: List,
    pub(super) methods: List,
    pub(super) not_methods: List,
    pub(super) paths: List,
    pub(super) not_paths: List,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    pub(super) key: Option<String>,
    pub(super) values: List,
    pub(super) not_values: List,
}
