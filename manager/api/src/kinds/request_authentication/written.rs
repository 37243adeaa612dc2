//! `RequestAuthentication` as it is written (`security/v1/request_authentication.proto` of
//! istio/api).

use serde::Deserialize;

use crate::kinds::scope::{WrittenSelector, WrittenTarget};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    pub(super) selector: Option<WrittenSelector>,
    pub(super) target_ref: Option<WrittenTarget>,
    pub(super) target_refs: Option<Vec<WrittenTarget>>,
    pub(super) jwt_rules: Option<Vec<Option<Rule>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) issuer: Option<String>,
    pub(super) audiences: Option<Vec<String>>,
    pub(super) jwks_uri: Option<String>,
    #[serde(rename = "jwks_uri")]
    pub(super) jwks_uri_old: Option<String>,
    pub(super) jwks: Option<String>,
    pub(super) from_headers: Option<Vec<Option<Header>>>,
    pub(super) from_params: Option<Vec<String>>,
    pub(super) from_cookies: Option<Vec<String>>,
    pub(super) output_payload_to_header: Option<String>,
    pub(super) forward_original_token: Option<bool>,
    pub(super) output_claim_to_headers: Option<Vec<Option<ClaimHeader>>>,
    pub(super) timeout: Option<String>,
    pub(super) space_delimited_claims: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) name: Option<String>,
    pub(super) prefix: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ClaimHeader {
    pub(super) header: Option<String>,
    pub(super) claim: Option<String>,
}
