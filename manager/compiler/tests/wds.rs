//! Golden cases of workload discovery: `manager/tests/cases/NAME/in.yaml` becomes the messages of
//! `wds.json`. `UPDATE=1 cargo test -p weft-compiler` rewrites the latter; review reads the
//! difference.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weft_api::Store;
use weft_compiler::{Settings, wds};
use weft_testkit::cases::{Golden, folders, inputs};

fn messages(text: &str) -> BTreeMap<String, Value> {
    let mut store = Store::default();
    store.put_file("in.yaml", text);
    let messages = wds::messages(&store, &Settings::default()).into_iter();
    messages
        .map(|message| (message.name, message.body))
        .collect()
}

#[test]
fn each_case_becomes_the_messages_that_istiod_makes() {
    let mut golden = Golden::new("wds.json");
    let mut cases = folders(env!("CARGO_MANIFEST_DIR"), "../tests/cases", 20);
    cases.retain(|case| case.join("wds.json").exists());
    assert!(cases.len() >= 4, "only {} cases are converted", cases.len());
    for case in cases {
        let [(_, text)] = &inputs(&case)[..] else {
            panic!("{} has several files", case.display());
        };
        let text = serde_json::to_string_pretty(&messages(text)).unwrap() + "\n";
        golden.hold(&case, &text);
    }
    golden.finish();
}

fn peers(rules: &[(&str, &str, &str)]) -> BTreeMap<String, Value> {
    let documents = rules.iter().map(|(namespace, name, spec)| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    });
    messages(&documents.collect::<Vec<_>>().join("---\n"))
}

const PORTS: &str = "foo/converted_peer_authentication_workload";

#[test]
fn strict_ports_of_a_permissive_workload_are_groups_of_their_own() {
    let all = peers(&[(
        "foo",
        "workload",
        "{selector: {matchLabels: {app: a}}, mtls: {mode: PERMISSIVE}, \
         portLevelMtls: {8080: {mode: STRICT}, 9090: {mode: STRICT}, 9091: {mode: DISABLE}}}",
    )]);
    let group = |port: u16| {
        json!({"rules": [{"matches": [
            {"destinationPorts": [port], "notPrincipals": [{"presence": {}}]}
        ]}]})
    };
    let expected = json!({
        "action": "DENY", "groups": [group(8080), group(9090)],
        "name": "converted_peer_authentication_workload", "namespace": "foo",
        "scope": "WORKLOAD_SELECTOR",
    });
    assert_eq!(all[PORTS], expected);
}

#[test]
fn ports_that_a_strict_workload_leaves_open_are_excepted_from_one_rule() {
    let all = peers(&[(
        "foo",
        "workload",
        "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, \
         portLevelMtls: {8080: {mode: STRICT}, 9090: {mode: PERMISSIVE}}}",
    )]);
    let expected = json!([{"rules": [
        {"matches": [{"notPrincipals": [{"presence": {}}]}]},
        {"matches": [{"notDestinationPorts": [9090]}]},
    ]}]);
    assert_eq!(all[PORTS]["groups"], expected);
}

#[test]
fn ports_that_change_nothing_are_not_converted() {
    for spec in [
        "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, \
          portLevelMtls: {8080: {mode: STRICT}}}",
        "{selector: {matchLabels: {app: a}}, mtls: {mode: PERMISSIVE}, \
          portLevelMtls: {8080: {mode: DISABLE}}}",
        "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}",
        "{mtls: {mode: STRICT}}",
    ] {
        let all = peers(&[("foo", "workload", spec)]);
        let names: Vec<_> = all.keys().collect();
        assert_eq!(
            names,
            ["istio-system/istio_converted_static_strict"],
            "{spec}"
        );
    }
}

#[test]
fn below_a_strict_mesh_istiod_names_policies_that_it_does_not_send() {
    let mesh = ("istio-system", "default", "{mtls: {mode: STRICT}}");
    let closed = "{selector: {matchLabels: {app: a}}, mtls: {mode: PERMISSIVE}, \
                  portLevelMtls: {8080: {mode: STRICT}}}";
    let opened = "{selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: PERMISSIVE}}}";
    let unset = ("foo", "default", "{mtls: {mode: UNSET}}");
    let permissive = ("foo", "default", "{mtls: {mode: PERMISSIVE}}");
    let is_sent = |rules: &[_]| peers(rules).contains_key(PORTS);
    assert!(!is_sent(&[mesh, ("foo", "workload", closed)]));
    assert!(!is_sent(&[mesh, unset, ("foo", "workload", closed)]));
    assert!(is_sent(&[mesh, permissive, ("foo", "workload", closed)]));
    assert!(is_sent(&[mesh, ("foo", "workload", opened)]));
    assert!(!is_sent(&[mesh, unset, ("foo", "workload", opened)]));
}
