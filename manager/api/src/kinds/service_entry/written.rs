//! `ServiceEntry` as it is written (`networking/v1/service_entry.proto` of istio/api).

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) addresses: Option<Vec<String>>,
    pub(super) ports: Option<Vec<Port>>,
    pub(super) location: Option<String>,
    pub(super) resolution: Option<String>,
    pub(super) endpoints: Option<Vec<Endpoint>>,
    pub(super) workload_selector: Option<WorkloadSelector>,
    pub(super) export_to: Option<Vec<String>>,
    pub(super) subject_alt_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) number: Option<i64>,
    pub(super) protocol: Option<String>,
    pub(super) name: Option<String>,
    pub(super) target_port: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    pub(super) address: Option<String>,
    pub(super) ports: Option<BTreeMap<String, i64>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) network: Option<String>,
    pub(super) locality: Option<String>,
    pub(super) weight: Option<i64>,
    pub(super) service_account: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WorkloadSelector {
    pub(super) labels: Option<BTreeMap<String, String>>,
}
