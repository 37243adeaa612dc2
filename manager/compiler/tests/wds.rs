//! Golden cases of workload discovery: `manager/tests/cases/NAME/in.yaml` becomes the messages of
//! `wds.json`. `UPDATE=1 cargo test -p weft-compiler` rewrites the latter; review reads the
//! difference.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use weft_api::Store;
use weft_compiler::{Settings, wds};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases")
}

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
    let update = std::env::var_os("UPDATE").is_some();
    let cases = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = 0;
    for case in cases.filter(|case| case.join("wds.json").exists()) {
        found += 1;
        let messages = messages(&fs::read_to_string(case.join("in.yaml")).unwrap());
        let text = serde_json::to_string_pretty(&messages).unwrap() + "\n";
        if update {
            fs::write(case.join("wds.json"), &text).unwrap();
        }
        let golden = fs::read_to_string(case.join("wds.json")).unwrap();
        assert!(golden == text, "{} differs; found:\n{text}", case.display());
    }
    assert!(found > 0, "the cases are not where they should be");
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
