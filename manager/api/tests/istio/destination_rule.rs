use weft_api::{
    Resource,
    traffic::{ClientTlsMode, HashAlgorithm, HashKey},
};

use crate::{table, taken};

const V: &str = "networking.istio.io/v1";
const KIND: &str = "DestinationRule";

fn rows(wrap: impl Fn(&str) -> String, rows: &[(&str, &str)]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(fields, expected)| (wrap(fields), *expected))
        .collect();
    let rows: Vec<_> = rows
        .iter()
        .map(|(spec, expected)| (spec.as_str(), *expected))
        .collect();
    table(V, KIND, &rows);
}

#[test]
fn traffic_policies_are_judged_wherever_they_stand() {
    let cases = [
        (
            "tls: {mode: MUTUAL}",
            "client certificate required for mutual tls",
        ),
        (
            "tls: {mode: MUTUAL, clientCertificate: c}",
            "private key required for mutual tls",
        ),
        (
            "tls: {mode: MUTUAL, clientCertificate: c, privateKey: k}",
            "",
        ),
        ("tls: {mode: MUTUAL, credentialName: s}", ""),
        (
            "tls: {mode: SIMPLE, credentialName: s, caCertificates: c}",
            "If credentialName is set",
        ),
        (
            "tls: {mode: SIMPLE, subjectAltNames: ['']}",
            "must not be empty",
        ),
        ("tls: {mode: WRONG}", "unknown variant `WRONG`"),
        ("tunnel: {targetHost: a, targetPort: 80}", ""),
        (
            "tunnel: {protocol: SOCKS, targetHost: a, targetPort: 80}",
            "tunnel protocol must be",
        ),
        ("tunnel: {targetPort: 80}", "tunnel target host is required"),
        (
            "tunnel: {targetHost: a, targetPort: 0}",
            "is not between 1 and 65535",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 80, b/*: 20}}]}}",
            "",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 80}}]}}",
            "total locality weight 80 != 100",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 0, b/*: 100}}]}}",
            "locality weight must be in range [1, 100]",
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failover: [{from: a, to: b}]}}",
            "can not simultaneously specify 'distribute' and 'failover'",
        ),
        (
            "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}",
            "must specify different regions",
        ),
        (
            "loadBalancer: {warmup: {duration: 30s, minimumPercent: 101}}",
            "warmup.minimumPercent value should be in range [0, 100]",
        ),
        (
            "loadBalancer: {warmup: {duration: 30s, aggression: 0.5}}",
            "warmup.aggression should be greater than or equal to 1",
        ),
        (
            "loadBalancer: {warmup: {aggression: 1}}",
            "duration is required",
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: c, attributes: [{value: v}]}}}",
            "name required for HttpCookie attribute",
        ),
        (
            "loadBalancer: {zoneAwareLbSetting: {minClusterSize: 0}}",
            "must be at least 1",
        ),
        (
            "outlierDetection: {outlierDetectionHttpErrorCodes: [99]}",
            "99 is not between 100 and 599",
        ),
        (
            "retryBudget: {percent: 101}",
            "percentage 101 is not in range",
        ),
        (
            "connectionPool: {http: {http2KeepAlive: {interval: 1us}}}",
            "must be a valid duration greater than 1ms",
        ),
        (
            "connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}",
            "use client protocol must not be true when H2UpgradePolicy is UPGRADE",
        ),
    ];
    rows(
        |policy| format!("host: a, trafficPolicy: {{{policy}}}"),
        &cases,
    );
    rows(
        |policy| format!("host: a, subsets: [{{name: v1, trafficPolicy: {{{policy}}}}}]"),
        &cases,
    );
    rows(
        |policy| {
            format!(
                "host: a, trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, {policy}}}]}}"
            )
        },
        &cases[..7],
    );
}

#[test]
fn a_rule_for_some_clients_stays_in_its_namespace() {
    let rule = |export: &str| {
        format!(
            "host: a, trafficPolicy: {{tls: {{mode: SIMPLE}}}}, workloadSelector: {{matchLabels: {{a: b}}}}, exportTo: [{export}]"
        )
    };
    rows(
        rule,
        &[
            ("", ""),
            ("'.'", ""),
            ("n", ""),
            (
                "other",
                "destination rule with workload selector cannot have exportTo beyond current namespace",
            ),
        ],
    );
}

#[test]
fn subsets_hashes_and_tls_are_kept() {
    let spec = "host: a, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}, subsets: \
        [{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, \
        loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {}}}}}]";
    let Resource::DestinationRule(rule) = taken(V, KIND, spec) else {
        panic!()
    };
    let hash = rule.policy.hash.as_ref().unwrap();
    assert_eq!(hash.key, HashKey::Header("x-user".into()));
    assert_eq!(hash.algorithm, HashAlgorithm::Ring { minimum_size: 1024 });
    let subset = &rule.subsets[0];
    assert_eq!(
        (&*subset.name, &**subset.labels.value("version").unwrap()),
        ("v1", "v1")
    );
    let policy = subset.policy.as_ref().unwrap();
    assert_eq!(
        policy.tls.as_ref().unwrap().mode,
        ClientTlsMode::IstioMutual
    );
    let hash = policy.hash.as_ref().unwrap();
    assert_eq!(hash.algorithm, HashAlgorithm::Maglev { table_size: 65_537 });
    assert!(matches!(&hash.key, HashKey::Cookie { ttl: Some(ttl), .. } if ttl.is_zero()));
}
