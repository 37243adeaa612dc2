//! A token in its three parts (RFC 7515).

use serde_json::Value;

use super::{TokenFault, base64};

/// A token that is well-formed; nothing in it is believed yet.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) algorithm: Algorithm,
    /// Header `kid`.
    pub(super) key_id: Option<String>,
    pub(super) claims: Value,
    /// The payload as sent, base64url.
    pub(super) payload: String,
    /// What is signed.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
}

/// Header `alg`. Shared secrets and `none` prove nothing here and are not supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

impl Token {
    pub(super) fn parse(text: &str) -> Result<Self, TokenFault> {
        let mut parts = text.split('.');
        let (Some(head), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::BadForm);
        };
        let bytes = base64::decode(head).ok_or(TokenFault::BadHeaderBase64)?;
        let header = object(&bytes).ok_or(TokenFault::BadHeaderJson)?;
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.ok_or(TokenFault::BadAlgorithm)?;
        let algorithm = Algorithm::parse(algorithm).ok_or(TokenFault::UnsupportedAlgorithm)?;
        let bytes = base64::decode(payload).ok_or(TokenFault::BadPayloadBase64)?;
        let claims = object(&bytes).ok_or(TokenFault::BadPayloadJson)?;
        // A time that is no number would otherwise count as none.
        let is_time = |name: &str| claims.get(name).is_none_or(Value::is_number);
        if !["exp", "nbf", "iat"].into_iter().all(is_time) {
            return Err(TokenFault::BadPayloadJson);
        }
        let bytes = base64::decode(signature).ok_or(TokenFault::BadSignatureBase64)?;
        let key_id = header.get("kid").and_then(Value::as_str);
        Ok(Self {
            algorithm,
            key_id: key_id.map(str::to_owned),
            claims,
            payload: payload.to_owned(),
            signed: format!("{head}.{payload}"),
            signature: bytes,
        })
    }

    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// Seconds since 1970; fractions do not count.
    pub(super) fn time(&self, claim: &str) -> Option<i64> {
        let claim = self.claims.get(claim)?;
        claim
            .as_i64()
            .or_else(|| claim.as_f64().map(|seconds| seconds as i64))
    }
}

fn object(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    value.is_object().then_some(value)
}
