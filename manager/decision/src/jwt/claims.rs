//! What is made of the claims of a token that is believed.

use serde_json::Value;
use weft_model::policy::JwtRule;

/// Claims that are words with spaces between, always.
const SPACED: [&str; 2] = ["scope", "permission"];

/// Claims of words as lists.
pub(super) fn spread(mut claims: Value, rule: &JwtRule) -> Value {
    let named = rule.spaced_claims.iter().map(|name| &**name);
    for name in SPACED.into_iter().chain(named) {
        if let Some(claim) = claims.get_mut(name)
            && let Some(text) = claim.as_str()
        {
            let words = text.split_ascii_whitespace().map(Value::from);
            *claim = Value::Array(words.collect());
        }
    }
    claims
}

/// Headers that carry claims on.
pub(super) fn headers(claims: &Value, payload: &str, rule: &JwtRule) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(header) = &rule.payload_header {
        headers.push((header.to_string(), payload.trim_end_matches('=').to_owned()));
    }
    for wanted in &rule.claim_headers {
        let mut claim = claims.get(&*wanted.claim);
        if claim.is_none() {
            claim = wanted
                .claim
                .split('.')
                .try_fold(claims, |claim, step| claim.get(step));
        }
        let text = match claim {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(bool)) => bool.to_string(),
            Some(Value::Array(words)) => {
                // A list of words was words with spaces between.
                let Some(words) = words.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
                else {
                    continue;
                };
                words.join(" ")
            }
            _ => continue,
        };
        headers.push((wanted.header.to_string(), text));
    }
    headers
}
