//! Golden cases: in `manager/tests/cases/NAME/authz.txt` each line with `?` asks and the line with
//! `>` below it answers, under the resources of `in.yaml`. `UPDATE=1` rewrites the answers; review
//! reads the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value;
use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_decision::{
    Attributes, GatewaySubject, HttpAttributes, Layer, Subject,
    authorize::{self, authorize},
    mtls,
};
use weft_model::{ServiceName, policy::Policies};
use weft_testkit::cases::{Golden, folders, inputs};

fn policies(case: &Path) -> Policies {
    let mut store = Store::default();
    for (name, text) in inputs(case) {
        store.put_file(&name, &text);
    }
    let keys: Vec<_> = store.keys().cloned().collect();
    let mut compiler = Compiler::new(Settings::default());
    compiler.update(&store, &keys);
    compiler.mesh().policies.clone()
}

/// A question in words `key=value`.
struct Question<'q>(Vec<(&'q str, &'q str)>);

impl<'q> Question<'q> {
    fn parse(line: &'q str) -> Self {
        let words = line.split_whitespace();
        Self(words.map(|word| word.split_once('=').unwrap()).collect())
    }

    fn all(&self, key: &str) -> impl Iterator<Item = &'q str> {
        let found = self.0.iter().filter(move |(other, _)| *other == key);
        found.map(|(_, value)| *value)
    }

    fn one(&self, key: &str) -> Option<&'q str> {
        self.all(key).next()
    }
}

fn answer(policies: &Policies, line: &str) -> String {
    let question = Question::parse(line);
    let labels: Vec<_> = question
        .all("label")
        .map(|label| label.split_once('=').unwrap())
        .collect();
    let services = question.all("service").map(|name| {
        let (namespace, hostname) = name.split_once('/').unwrap();
        ServiceName {
            namespace: namespace.into(),
            hostname: hostname.into(),
        }
    });
    let services: Vec<_> = services.collect();
    let gateway = question.one("gateway").map(|name| GatewaySubject {
        name,
        class: "weft",
    });
    let subject = Subject {
        namespace: question.one("ns").unwrap_or("shop"),
        labels: &labels,
        services: &services,
        gateway,
    };
    let headers: Vec<_> = question
        .all("header")
        .map(|pair| pair.split_once(':').unwrap())
        .collect();
    let claims: Option<Value> = question
        .one("claims")
        .map(|text| serde_json::from_str(text).unwrap());
    let http = question.one("method").map(|method| HttpAttributes {
        method,
        authority: question.one("host").unwrap_or("web.shop"),
        path: question.one("path").unwrap_or("/"),
        headers: &headers,
        claims: claims.as_ref(),
    });
    let attributes = Attributes {
        principal: question.one("principal"),
        source: question
            .one("source")
            .unwrap_or("10.0.0.1")
            .parse()
            .unwrap(),
        remote: question
            .one("remote")
            .map(|address| address.parse().unwrap()),
        destination: "10.0.0.9".parse().unwrap(),
        port: question.one("port").unwrap_or("8080").parse().unwrap(),
        server_name: question.one("sni"),
        http,
    };
    let layer = match question.one("layer") {
        Some("l4") => Layer::L4,
        _ => Layer::L7,
    };
    let verdict = authorize(policies, &subject, &attributes, layer);
    for considered in &verdict.considered {
        let policy = considered.policy;
        let checks = authorize::checks(policy, &attributes, layer, policies.mesh.normalization);
        let first = checks
            .iter()
            .position(|rule| rule.iter().all(|check| check.fits));
        assert_eq!(
            first, considered.rule,
            "explaining {} agrees with deciding",
            policy.author.name
        );
    }
    let word = if verdict.is_allowed { "allow" } else { "deny" };
    let mut text = format!("{word} {:?}", verdict.reason);
    if let Some((policy, rule)) = verdict.decided_by {
        text += &format!(" by {} rule {rule:?}", policy.author.name);
    }
    for (provider, considered) in verdict.external() {
        text += &format!(", {provider} is asked by {}", considered.policy.author.name);
    }
    for considered in verdict.audited() {
        text += &format!(", audited by {}", considered.policy.author.name);
    }
    let dry_run = verdict.dry_run();
    if dry_run.denied || dry_run.allowed.is_some() {
        text += &format!(
            ", dry run denied {} allowed {:?}",
            dry_run.denied, dry_run.allowed
        );
    }
    let peer = mtls(policies, &subject, attributes.port);
    if let Some(policy) = peer.decided_by {
        text += &format!("; mtls {} by {}", peer.mode.name(), policy.author.name);
    }
    text
}

fn render(case: &Path, asked: &str) -> String {
    let policies = policies(case);
    let mut out = String::new();
    for line in asked.lines().filter(|line| !line.starts_with('>')) {
        out += &format!("{line}\n");
        if let Some(question) = line.strip_prefix('?') {
            out += &format!("> {}\n", answer(&policies, question));
        }
    }
    out
}

#[test]
fn each_case_answers_as_written() {
    let mut golden = Golden::new("authz.txt");
    let mut cases = folders(env!("CARGO_MANIFEST_DIR"), "../tests/cases", 20);
    cases.retain(|case| case.join("authz.txt").exists());
    assert!(cases.len() >= 5, "only {} cases ask", cases.len());
    for case in cases {
        let asked = golden.written(&case);
        golden.hold(&case, &render(&case, &asked));
    }
    golden.finish();
}
