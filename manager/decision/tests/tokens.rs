//! Tokens are believed as Envoy believes them. Keys are made here, signatures are real.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
        RsaKeyPair,
    },
};
use serde_json::{Value, json};
use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_decision::{Authentication, KeySet, Subject, TokenRequest, authenticate};
use weft_model::policy::{KeySource, Policies};

const NOW: i64 = 1_700_000_000;

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut held = 0_u32;
        for at in 0..3 {
            held = held << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..=chunk.len() {
            out.push(char::from(DIGITS[(held >> (18 - 6 * at) & 63) as usize]));
        }
    }
    out
}

/// What makes a signature of a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key set with one key, and how it signs.
struct Signer {
    algorithm: &'static str,
    keys: Value,
    sign: Sign,
}

impl Signer {
    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = base64(pair.public_key().as_ref());
        Self {
            algorithm: "EdDSA",
            keys: json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one"}]}),
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    fn elliptic(
        algorithm: &'static str,
        curve: &str,
        signing: &'static EcdsaSigningAlgorithm,
    ) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (base64(x), base64(y));
        Self {
            algorithm,
            keys: json!({"keys": [{"kty": "EC", "crv": curve, "x": x, "y": y, "kid": "one"}]}),
            sign: Box::new(move |message| {
                pair.sign(&SystemRandom::new(), message)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            }),
        }
    }

    fn rsa(
        pair: &Arc<RsaKeyPair>,
        algorithm: &'static str,
        padding: &'static dyn RsaEncoding,
    ) -> Self {
        // DER of a key of 2048 bits: a sequence of n, after nine bytes of head, and e.
        let der = pair.public_key().as_ref();
        let (n, e) = (base64(&der[9..265]), base64(&der[267..]));
        let pair = Arc::clone(pair);
        Self {
            algorithm,
            keys: json!({"keys": [{"kty": "RSA", "n": n, "e": e, "kid": "one"}]}),
            sign: Box::new(move |message| {
                let mut proof = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut proof)
                    .unwrap();
                proof
            }),
        }
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "kid": "one", "typ": "JWT"});
        self.signed(&header, claims)
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| base64(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let proof = (self.sign)(signed.as_bytes());
        format!("{signed}.{}", base64(&proof))
    }
}

fn policies(rules: &Value) -> Policies {
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": "jwt", "namespace": "shop"}, "spec": {"jwtRules": rules},
    });
    let mut store = Store::default();
    store.put_file("in.yaml", &policy.to_string());
    assert_eq!(store.problems().next(), None);
    let keys: Vec<_> = store.keys().cloned().collect();
    let mut compiler = Compiler::new(Settings::default());
    compiler.update(&store, &keys);
    compiler.mesh().policies.clone()
}

fn rule(signer: &Signer) -> Value {
    json!({"issuer": "me", "jwks": signer.keys.to_string()})
}

#[derive(Clone, Copy)]
struct Sent<'a> {
    method: &'a str,
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

/// The claims of the believed token, or status and body, or neither.
type Outcome = Result<Option<Value>, (u16, &'static str)>;

fn ask(policies: &Policies, sent: Sent<'_>) -> Outcome {
    let request = TokenRequest {
        method: sent.method,
        url: "http://web/x",
        query: sent.query,
        headers: sent.headers,
    };
    let sets: Vec<(String, KeySet)> = policies
        .request
        .values()
        .flat_map(|policy| &policy.rules)
        .filter_map(|rule| match &rule.keys {
            KeySource::Inline(text) => Some((text.to_string(), KeySet::parse(text).unwrap())),
            _ => None,
        })
        .collect();
    let subject = Subject {
        namespace: "shop",
        ..Subject::default()
    };
    let answer = authenticate(policies, &subject, &request, NOW, |rule| match &rule.keys {
        KeySource::Inline(text) => sets
            .iter()
            .find(|(other, _)| **other == **text)
            .map(|(_, set)| set),
        _ => None,
    });
    match answer {
        Authentication::Anonymous => Ok(None),
        Authentication::Verified(verified) => Ok(Some(verified.claims)),
        Authentication::Refused(refusal) => {
            let expected = "Bearer realm=\"http://web/x\", error=\"invalid_token\"";
            assert_eq!(refusal.challenge, expected);
            Err((refusal.status, refusal.fault.body()))
        }
    }
}

fn bearer(policies: &Policies, token: &str) -> Outcome {
    let header = format!("Bearer {token}");
    let headers = &[("authorization", &*header)];
    ask(
        policies,
        Sent {
            method: "GET",
            query: "",
            headers,
        },
    )
}

#[test]
fn every_algorithm_of_public_keys_is_verified() {
    let pair = Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let signers = [
        Signer::ed25519(),
        Signer::elliptic(
            "ES256",
            "P-256",
            &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        ),
        Signer::elliptic(
            "ES384",
            "P-384",
            &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        ),
        Signer::elliptic(
            "ES512",
            "P-521",
            &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        ),
        Signer::rsa(&pair, "RS256", &signature::RSA_PKCS1_SHA256),
        Signer::rsa(&pair, "RS384", &signature::RSA_PKCS1_SHA384),
        Signer::rsa(&pair, "RS512", &signature::RSA_PKCS1_SHA512),
        Signer::rsa(&pair, "PS256", &signature::RSA_PSS_SHA256),
        Signer::rsa(&pair, "PS384", &signature::RSA_PSS_SHA384),
        Signer::rsa(&pair, "PS512", &signature::RSA_PSS_SHA512),
    ];
    let claims = json!({"iss": "me", "sub": "you", "exp": NOW + 100});
    for signer in &signers {
        let policies = policies(&json!([rule(signer)]));
        let token = signer.token(&claims);
        assert_eq!(
            bearer(&policies, &token),
            Ok(Some(claims.clone())),
            "{}",
            signer.algorithm
        );
        let other = json!({"iss": "me", "sub": "root", "exp": NOW + 100});
        let (_, tail) = token.rsplit_once('.').unwrap();
        let forged = signer.token(&other);
        let (head, _) = forged.rsplit_once('.').unwrap();
        let refused = Err((401, "Jwt verification fails"));
        assert_eq!(
            bearer(&policies, &format!("{head}.{tail}")),
            refused,
            "{}",
            signer.algorithm
        );
    }
}

#[test]
fn a_key_is_never_taken_for_another_kind() {
    let signer = Signer::ed25519();
    let policies = policies(&json!([rule(&signer)]));
    let claims = json!({"iss": "me"});
    for (algorithm, body) in [
        ("none", "Jwt header [alg] is not supported"),
        ("HS256", "Jwt header [alg] is not supported"),
        (
            "RS256",
            "Jwks doesn't have key to match kid or alg from Jwt",
        ),
    ] {
        let token = signer.signed(&json!({"alg": algorithm}), &claims);
        assert_eq!(bearer(&policies, &token), Err((401, body)), "{algorithm}");
    }
    let token = signer.signed(&json!({"alg": "EdDSA", "kid": "other"}), &claims);
    let body = "Jwks doesn't have key to match kid or alg from Jwt";
    assert_eq!(bearer(&policies, &token), Err((401, body)));
}

#[test]
fn no_token_passes_and_a_bad_one_does_not() {
    let signer = Signer::ed25519();
    let policies = policies(&json!([{
        "issuer": "me", "jwks": signer.keys.to_string(), "audiences": ["https://a/"],
    }]));
    let nothing = Sent {
        method: "GET",
        query: "",
        headers: &[],
    };
    assert_eq!(ask(&policies, nothing), Ok(None));
    let good = json!({"iss": "me", "aud": "a", "exp": NOW - 30, "nbf": NOW + 30});
    assert!(
        bearer(&policies, &signer.token(&good)).unwrap().is_some(),
        "clocks differ a little"
    );
    for (claims, expected) in [
        (
            json!({"iss": "you", "aud": "a"}),
            (401, "Jwt issuer is not configured"),
        ),
        (
            json!({"iss": "me", "aud": "a", "exp": NOW - 61}),
            (401, "Jwt is expired"),
        ),
        (
            json!({"iss": "me", "aud": "a", "nbf": NOW + 61}),
            (401, "Jwt not yet valid"),
        ),
        (
            json!({"iss": "me", "aud": ["b", "c"]}),
            (403, "Audiences in Jwt are not allowed"),
        ),
        (
            json!({"iss": "me"}),
            (403, "Audiences in Jwt are not allowed"),
        ),
        (
            json!({"iss": "me", "aud": "a", "exp": "soon"}),
            (401, "Jwt payload is an invalid JSON"),
        ),
    ] {
        assert_eq!(
            bearer(&policies, &signer.token(&claims)),
            Err(expected),
            "{claims}"
        );
    }
    for (token, body) in [
        (
            "a.b",
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        ("!.b.c", "Jwt header is an invalid Base64url encoded"),
        ("aaaa.b.c", "Jwt header is an invalid JSON"),
    ] {
        assert_eq!(bearer(&policies, token), Err((401, body)), "{token}");
    }
}

#[test]
fn a_token_is_found_where_rules_look_and_only_there() {
    let signer = Signer::ed25519();
    let token = signer.token(&json!({"iss": "me", "scope": "read write"}));
    let believed = Ok(Some(json!({"iss": "me", "scope": ["read", "write"]})));
    let usual = policies(&json!([rule(&signer)]));
    let query = format!("a=b&access_token={token}");
    let by_query = |query| Sent {
        method: "GET",
        query,
        headers: &[],
    };
    assert_eq!(ask(&usual, by_query(&query)), believed);
    let mut own = rule(&signer);
    own["fromHeaders"] = json!([{"name": "X-Token", "prefix": "T "}]);
    own["fromParams"] = json!(["t"]);
    own["fromCookies"] = json!(["jar"]);
    let own = policies(&json!([own]));
    assert_eq!(bearer(&own, &token), Ok(None));
    assert_eq!(ask(&own, by_query(&query)), Ok(None));
    assert_eq!(ask(&own, by_query(&format!("t={token}"))), believed);
    let (header, cookie) = (format!("T {token}"), format!("x=y; jar={token}"));
    for headers in [[("x-token", &*header)], [("cookie", &*cookie)]] {
        let sent = Sent {
            method: "GET",
            query: "",
            headers: &headers,
        };
        assert_eq!(ask(&own, sent), believed);
    }
}

#[test]
fn of_several_rules_the_one_of_the_issuer_counts() {
    let (first, second) = (Signer::ed25519(), Signer::ed25519());
    let mut other = rule(&second);
    other["issuer"] = json!("other");
    let policies = policies(&json!([rule(&first), other]));
    assert!(
        bearer(&policies, &second.token(&json!({"iss": "other"})))
            .unwrap()
            .is_some()
    );
    let expired = second.token(&json!({"iss": "other", "exp": 1}));
    assert_eq!(bearer(&policies, &expired), Err((401, "Jwt is expired")));
    let forged = first.token(&json!({"iss": "other"}));
    assert_eq!(
        bearer(&policies, &forged),
        Err((401, "Jwt verification fails"))
    );
}

#[test]
fn a_preflight_request_is_not_asked_for_a_token() {
    let signer = Signer::ed25519();
    let policies = policies(&json!([rule(&signer)]));
    let headers = [
        ("authorization", "Bearer bad"),
        ("origin", "http://a"),
        ("access-control-request-method", "GET"),
    ];
    let sent = |method, headers| Sent {
        method,
        query: "",
        headers,
    };
    assert_eq!(ask(&policies, sent("OPTIONS", &headers)), Ok(None));
    assert!(ask(&policies, sent("OPTIONS", &headers[..1])).is_err());
    assert!(ask(&policies, sent("GET", &headers)).is_err());
}
