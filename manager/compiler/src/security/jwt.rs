//! `RequestAuthentication`.

use std::sync::Arc;

use weft_api::{Object, Resource};
use weft_model::policy::{ClaimHeader, JwtRule, KeySource, RequestAuthentication, TokenHeader};

use super::{Compiling, author, scope};

pub(super) fn policy(cx: &mut Compiling<'_>, object: &Object) -> Option<RequestAuthentication> {
    let Resource::RequestAuthentication(written) = &object.resource else {
        return None;
    };
    Some(RequestAuthentication {
        author: author(object),
        scope: scope::scope(cx, object, &written.scope),
        rules: written.rules.iter().map(rule).collect(),
    })
}

fn rule(written: &weft_api::JwtRule) -> JwtRule {
    let keys = match (&written.keys, &written.key_uri) {
        (Some(keys), _) => KeySource::Inline(Arc::clone(keys)),
        (None, Some(uri)) => KeySource::Uri(Arc::clone(uri)),
        (None, None) => KeySource::Discovery,
    };
    let headers = written.headers.iter().map(|(name, prefix)| TokenHeader {
        name: Arc::clone(name),
        prefix: Arc::clone(prefix),
    });
    let claim_headers = written
        .claim_headers
        .iter()
        .map(|(header, claim)| ClaimHeader {
            header: Arc::clone(header),
            claim: Arc::clone(claim),
        });
    JwtRule {
        issuer: written.issuer.clone(),
        audiences: written.audiences.clone(),
        keys,
        headers: headers.collect(),
        params: written.params.clone(),
        cookies: written.cookies.clone(),
        forwards_token: written.forwards_token,
        payload_header: written.payload_header.clone(),
        claim_headers: claim_headers.collect(),
        spaced_claims: written.spaced_claims.clone(),
        timeout: written.timeout,
    }
}
