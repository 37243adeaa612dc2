//! `RequestAuthentication`: which tokens are believed.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{Author, Scope};

/// Which tokens are believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RequestAuthentication {
    /// Who wrote it.
    pub author: Author,
    /// What it holds for.
    pub scope: Scope,
    /// `jwtRules`. A token must fit one of them.
    pub rules: Vec<JwtRule>,
}

/// Tokens of one issuer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct JwtRule {
    /// `issuer`; without one, any issuer whose tokens these keys verify.
    pub issuer: Option<Arc<str>>,
    /// `audiences`: the token must name one. Empty: any.
    pub audiences: Vec<Arc<str>>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// `fromHeaders`.
    pub headers: Vec<TokenHeader>,
    /// `fromParams`: names of query parameters.
    pub params: Vec<Arc<str>>,
    /// `fromCookies`: names of cookies.
    pub cookies: Vec<Arc<str>>,
    /// `forwardOriginalToken`: whether the application sees the token.
    pub forwards_token: bool,
    /// `outputPayloadToHeader`: header that carries the verified payload, base64url, in lower case.
    pub payload_header: Option<Arc<str>>,
    /// `outputClaimToHeaders`.
    pub claim_headers: Vec<ClaimHeader>,
    /// `spaceDelimitedClaims`, besides `scope` and `permission`: claims whose words count singly.
    pub spaced_claims: Vec<Arc<str>>,
    /// `timeout` of fetching keys.
    pub timeout: Duration,
}

impl JwtRule {
    /// Whether no location is named, so that the usual ones count: `Authorization: Bearer`, then the
    /// query parameter `access_token`.
    pub fn uses_default_locations(&self) -> bool {
        self.headers.is_empty() && self.params.is_empty() && self.cookies.is_empty()
    }
}

/// Where the keys of a rule come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum KeySource {
    /// `jwks`: the text of an RFC 7517 key set.
    Inline(Arc<str>),
    /// `jwksUri`.
    Uri(Arc<str>),
    /// Neither: the issuer's OpenID discovery document names them.
    Discovery,
}

/// A header that carries a token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TokenHeader {
    /// Name in lower case.
    pub name: Arc<str>,
    /// What stands before the token, `Bearer ` by example; empty when nothing does.
    pub prefix: Arc<str>,
}

/// A claim that is handed on in a header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClaimHeader {
    /// Header, in lower case.
    pub header: Arc<str>,
    /// Claim; dots lead into nested claims.
    pub claim: Arc<str>,
}
