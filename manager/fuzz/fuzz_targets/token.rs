//! No key set and no token makes verification panic, and no token is believed that nobody signed.

#![no_main]

use std::{sync::Arc, time::Duration};

use libfuzzer_sys::fuzz_target;
use weft_decision::{Authentication, KeySet, Subject, TokenRequest, authenticate};
use weft_model::{
    Origin,
    policy::{Author, JwtRule, KeySource, Policies, PolicyName, RequestAuthentication, Scope},
};

fn policies() -> Policies {
    let text: Arc<str> = "x".into();
    let rule = JwtRule {
        issuer: None,
        audiences: Vec::new(),
        keys: KeySource::Discovery,
        headers: Vec::new(),
        params: Vec::new(),
        cookies: Vec::new(),
        forwards_token: false,
        payload_header: None,
        claim_headers: Vec::new(),
        spaced_claims: Vec::new(),
        timeout: Duration::ZERO,
    };
    let name = PolicyName {
        namespace: Arc::clone(&text),
        name: Arc::clone(&text),
    };
    let origin = Origin {
        kind: Arc::clone(&text),
        namespace: Arc::clone(&text),
        name: Arc::clone(&text),
        file: text,
        line: 0,
    };
    let author = Author {
        name: name.clone(),
        origin,
        created: None,
    };
    let policy = RequestAuthentication {
        author,
        scope: Scope::Mesh,
        rules: vec![rule],
    };
    let mut policies = Policies::default();
    policies.request.insert(name, Arc::new(policy));
    policies
}

fuzz_target!(|input: (&str, &str, &str)| {
    let (keys, header, query) = input;
    let Ok(keys) = KeySet::parse(keys) else {
        return;
    };
    let policies = policies();
    let request = TokenRequest {
        method: "GET",
        url: "",
        query,
        headers: &[("authorization", header)],
    };
    let answer = authenticate(&policies, &Subject::default(), &request, 0, |_| Some(&keys));
    assert!(!matches!(answer, Authentication::Verified(_)));
});
