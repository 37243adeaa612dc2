//! Whether the tokens of a request are believed (RFC 7519), as Envoy's `jwt_authn` judges them.

mod base64;
mod claims;
mod keys;
mod location;
mod token;

use serde_json::Value;
use weft_model::policy::{JwtRule, Policies, RequestAuthentication};

pub use keys::{KeySet, KeySetError};
pub use location::TokenPlace;

use crate::subject::Subject;
use token::Token;

/// Clocks may differ by this much, seconds: Envoy's default.
const SKEW: i64 = 60;

/// A request, as far as tokens are looked for in it.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// Method.
    pub method: &'a str,
    /// `http://HOST/PATH`, for the challenge.
    pub url: &'a str,
    /// Query without question mark.
    pub query: &'a str,
    /// Headers: names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What the tokens of a request say.
#[derive(Clone, PartialEq, Debug)]
pub enum Authentication<'p> {
    /// No rule holds, or there is no token: nobody is named, nothing is refused.
    Anonymous,
    /// A token is believed.
    Verified(Box<Verified<'p>>),
    /// A token is not believed: the request ends here.
    Refused(Refusal<'p>),
}

/// A token that is believed.
#[derive(Clone, PartialEq, Debug)]
pub struct Verified<'p> {
    /// The policy and the rule that believe it.
    pub policy: &'p RequestAuthentication,
    /// Index of the rule in `jwtRules`.
    pub rule: usize,
    /// Its claims, with lists for claims of words.
    pub claims: Value,
    /// Where it stood; to be taken away unless the rule forwards it.
    pub place: TokenPlace,
    /// Headers to set: names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Why a request ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal<'p> {
    /// 401, or 403 for the wrong audience.
    pub status: u16,
    /// What is wrong; the body of the answer.
    pub fault: TokenFault,
    /// `WWW-Authenticate`.
    pub challenge: String,
    /// The policy and rule that came closest.
    pub decided_by: (&'p RequestAuthentication, usize),
}

/// What is wrong with a token. The texts are Envoy's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the text of each says what it is")]
pub enum TokenFault {
    Missing,
    UnknownIssuer,
    BadForm,
    BadHeaderBase64,
    BadHeaderJson,
    BadAlgorithm,
    UnsupportedAlgorithm,
    BadPayloadBase64,
    BadPayloadJson,
    BadSignatureBase64,
    NotYetValid,
    Expired,
    WrongAudience,
    NoKeys,
    NoValidKey,
    NoMatchingKey,
    NotVerified,
}

impl TokenFault {
    /// The body of the answer.
    pub fn body(self) -> &'static str {
        match self {
            Self::Missing => "Jwt is missing",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::BadForm => {
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            }
            Self::BadHeaderBase64 => "Jwt header is an invalid Base64url encoded",
            Self::BadHeaderJson => "Jwt header is an invalid JSON",
            Self::BadAlgorithm => "Jwt header [alg] field is required and must be a string",
            Self::UnsupportedAlgorithm => "Jwt header [alg] is not supported",
            Self::BadPayloadBase64 => "Jwt payload is an invalid Base64url encoded",
            Self::BadPayloadJson => "Jwt payload is an invalid JSON",
            Self::BadSignatureBase64 => "Jwt signature is an invalid Base64url encoded",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Expired => "Jwt is expired",
            Self::WrongAudience => "Audiences in Jwt are not allowed",
            Self::NoKeys => "Jwks remote fetch is failed",
            Self::NoValidKey => "Jwks doesn't have any valid public key",
            Self::NoMatchingKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::NotVerified => "Jwt verification fails",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::WrongAudience => 403,
            _ => 401,
        }
    }
}

/// Judges the tokens of a request to `subject` at `now`, seconds since 1970. `keys` knows the keys
/// of a rule; none when they could not be fetched.
pub fn authenticate<'p, 'k>(
    policies: &'p Policies,
    subject: &Subject<'_>,
    request: &TokenRequest<'_>,
    now: i64,
    keys: impl Fn(&'p JwtRule) -> Option<&'k KeySet>,
) -> Authentication<'p> {
    if is_preflight(request) {
        return Authentication::Anonymous;
    }
    let held = policies.request.values().map(|policy| &**policy);
    let held = held.filter(|policy| subject.is_in(&policy.scope));
    let rules = held.flat_map(|policy| {
        let rules = policy.rules.iter().enumerate();
        rules.map(move |(index, rule)| (policy, index, rule))
    });
    let mut worst: Option<(TokenFault, (&RequestAuthentication, usize))> = None;
    for (policy, index, rule) in rules {
        for (text, place) in location::tokens(rule, request) {
            let judged = judge(rule, &text, now, || keys(rule));
            match judged {
                Ok(token) => {
                    let claims = claims::spread(token.claims, rule);
                    let headers = claims::headers(&claims, &token.payload, rule);
                    return Authentication::Verified(Box::new(Verified {
                        policy,
                        rule: index,
                        claims,
                        place,
                        headers,
                    }));
                }
                // Of several faults, one of a rule that knows the issuer says most.
                Err(fault) if worst.is_none_or(|(known, _)| known == TokenFault::UnknownIssuer) => {
                    worst = Some((fault, (policy, index)));
                }
                Err(_) => {}
            }
        }
    }
    let Some((fault, decided_by)) = worst else {
        return Authentication::Anonymous;
    };
    let error = ", error=\"invalid_token\"";
    Authentication::Refused(Refusal {
        status: fault.status(),
        fault,
        challenge: format!("Bearer realm=\"{}\"{error}", request.url),
        decided_by,
    })
}

/// Browsers send no token when they ask what they may send.
fn is_preflight(request: &TokenRequest<'_>) -> bool {
    let has = |name| {
        let mut headers = request.headers.iter();
        headers.any(|(other, value)| *other == name && !value.is_empty())
    };
    request.method == "OPTIONS" && has("origin") && has("access-control-request-method")
}

fn judge<'k>(
    rule: &JwtRule,
    text: &str,
    now: i64,
    keys: impl FnOnce() -> Option<&'k KeySet>,
) -> Result<Token, TokenFault> {
    let token = Token::parse(text)?;
    if let Some(issuer) = &rule.issuer
        && token.text("iss") != Some(&**issuer)
    {
        return Err(TokenFault::UnknownIssuer);
    }
    if token
        .time("nbf")
        .is_some_and(|from| now.saturating_add(SKEW) < from)
    {
        return Err(TokenFault::NotYetValid);
    }
    if token
        .time("exp")
        .is_some_and(|until| now.saturating_sub(SKEW) > until)
    {
        return Err(TokenFault::Expired);
    }
    if !rule.audiences.is_empty() && !names_one(&token, rule) {
        return Err(TokenFault::WrongAudience);
    }
    keys().ok_or(TokenFault::NoKeys)?.verify(&token)?;
    Ok(token)
}

/// Envoy compares audiences without scheme and trailing slash.
fn names_one(token: &Token, rule: &JwtRule) -> bool {
    fn bare(audience: &str) -> &str {
        let audience = audience
            .strip_prefix("http://")
            .or(audience.strip_prefix("https://"))
            .unwrap_or(audience);
        audience.strip_suffix('/').unwrap_or(audience)
    }
    let allowed = |named: &str| {
        rule.audiences
            .iter()
            .any(|audience| bare(audience) == bare(named))
    };
    match token.claims.get("aud") {
        Some(Value::String(named)) => allowed(named),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(allowed),
        _ => false,
    }
}
