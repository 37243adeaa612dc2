//! The reference of fields, `FIELDS.md`: made from what the readers know. `cargo xtask gen` writes
//! it (`UPDATE=1`), `cargo xtask gen --check` holds it against what they know now.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};
use weft_api::{
    Store,
    fields::{Field, KindFields, Reach, State, fields},
};

const HEAD: &str = "# Fields

Every kind and field that Weft knows, and what becomes of it. Made from what the readers know by
`cargo xtask gen`; do not edit. `weft explain KIND.path` prints the same.

- *used*: it counts, as far as the kind does (said below each kind's name);
- *reported*: it is read and checked, and a warning says that nothing acts on it;
- *refused*: an object that sets it is not taken.

A field that is not here is reported as unknown, except in kinds of Kubernetes' own, whose other
fields are nothing to a mesh. `[]` stands for each item of a list, `*` for any key.
";

fn render() -> String {
    let mut out = HEAD.to_owned();
    for table in fields() {
        let (kind, versions) = (table.kind, table.versions.join(", "));
        let group = match kind.group() {
            "" => "core",
            group => group,
        };
        let reach = table.reach.in_words();
        write!(
            out,
            "\n## {kind}, {group} {versions}\n\n{reach}\n\n| field | type | default | state | meaning |\n| --- | --- | --- | --- | --- |\n"
        )
        .unwrap();
        for field in &table.fields {
            line(&mut out, field);
        }
    }
    out
}

fn line(out: &mut String, field: &Field) {
    let state = match &field.state {
        State::Used => "used".to_owned(),
        State::Reported(why) => format!("reported: {why}"),
        State::Refused(why) => format!("refused: {why}"),
    };
    let default = field.default.as_ref();
    let default = default.map_or(String::new(), |default| {
        format!("`{}`", default.replace('`', ""))
    });
    let cells = [
        format!("`{}`", field.path),
        field.shape.clone(),
        default,
        state,
        field.meaning.unwrap_or("").to_owned(),
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    writeln!(out, "| {} |", cells.join(" | ")).unwrap();
}

#[test]
fn the_reference_says_what_the_readers_know() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("FIELDS.md");
    let found = render();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &found).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == found,
        "FIELDS.md is not what the readers know; run cargo xtask gen and read the difference"
    );
}

/// An object of a kind with a field at a path; the first version is the oldest.
fn object(table: &KindFields, path: &str, value: Value) -> Value {
    let version = table.versions[0];
    let api_version = match table.kind.group() {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    let mut nested = value;
    for step in path.split('.').rev() {
        let (key, lists) = (step.trim_end_matches("[]"), step.matches("[]").count());
        for _ in 0..lists {
            nested = json!([nested]);
        }
        let key = if key == "*" { "8080" } else { key };
        nested = json!({ key: nested });
    }
    let mut object = json!({
        "apiVersion": api_version, "kind": table.kind.name(),
        "metadata": {"name": "a", "namespace": "a"},
    });
    for (key, value) in nested.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

#[test]
fn a_field_that_is_not_listed_is_never_taken_in_silence() {
    let mut asked = 0;
    for table in fields() {
        assert!(!table.fields.is_empty(), "{} has no fields", table.kind);
        if table.reach == Reach::Kubernetes {
            continue;
        }
        for field in table.fields.iter().filter(|field| field.shape == "object") {
            asked += 1;
            let object = object(&table, &field.path, json!({"notListed": 1}));
            let mut store = Store::default();
            store.put_file("a.json", &object.to_string());
            let found: Vec<String> = store.problems().map(ToString::to_string).collect();
            assert!(
                store.problems().any(|it| it.path.contains("notListed")),
                "{} {}: takes any field in silence: {found:#?}",
                table.kind,
                field.path
            );
        }
    }
    assert!(asked > 200, "only {asked} objects were asked");
}

/// What the table says of a field.
fn state<'t>(tables: &'t [KindFields], kind: &str, path: &str) -> &'t State {
    let mut of_kind = tables.iter().filter(|it| it.kind.name() == kind);
    let found = of_kind.find_map(|it| it.fields.iter().find(|field| field.path == path));
    let found = found.unwrap_or_else(|| panic!("{kind} has no {path}"));
    &found.state
}

#[test]
fn what_the_table_says_of_a_field_is_what_is_said_of_an_object_that_sets_it() {
    const NETWORKING: &str = "networking.istio.io/v1";
    let gateways = "gateway.networking.k8s.io/v1";
    let security = "security.istio.io/v1";
    let port = json!([{"number": 80, "name": "http", "protocol": "HTTP"}]);
    let server =
        json!({"hosts": ["a.example.com"], "port": port[0], "defaultEndpoint": "127.0.0.1:80"});
    let route = json!([{"destination": {"host": "a"}}]);
    // Kind, spec, path of the field, where it stands in the object.
    let cases = [
        (
            NETWORKING,
            "DestinationRule",
            json!({"host": "a", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}),
            "spec.trafficPolicy.tls",
            "spec.trafficPolicy.tls",
        ),
        (
            NETWORKING,
            "DestinationRule",
            json!({"host": "a", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}),
            "spec.trafficPolicy.loadBalancer.simple",
            "spec.trafficPolicy.loadBalancer.simple",
        ),
        (
            NETWORKING,
            "ServiceEntry",
            json!({"hosts": ["a.example.com"], "ports": port, "exportTo": ["."]}),
            "spec.exportTo[]",
            "spec.exportTo[0]",
        ),
        (
            NETWORKING,
            "ServiceEntry",
            json!({"hosts": ["a.example.com"], "ports": port}),
            "spec.hosts[]",
            "spec.hosts[0]",
        ),
        (
            NETWORKING,
            "Gateway",
            json!({"servers": [server]}),
            "spec.servers[].defaultEndpoint",
            "spec.servers[0].defaultEndpoint",
        ),
        (
            NETWORKING,
            "VirtualService",
            json!({"hosts": ["a"], "http": [{"match": [{"statPrefix": "x", "uri": {"exact": "/"}}], "route": route}]}),
            "spec.http[].match[].statPrefix",
            "spec.http[0].match[0].statPrefix",
        ),
        (
            NETWORKING,
            "VirtualService",
            json!({"hosts": ["a"], "http": [{"fault": {"abort": {"http2Error": "X"}}, "route": route}]}),
            "spec.http[].fault.abort.http2Error",
            "spec.http[0].fault.abort.http2Error",
        ),
        (
            NETWORKING,
            "VirtualService",
            json!({"hosts": ["a"], "http": [{"timeout": "1s", "route": route}]}),
            "spec.http[].timeout",
            "spec.http[0].timeout",
        ),
        (
            NETWORKING,
            "Sidecar",
            json!({"egress": [{"hosts": ["*/*"]}]}),
            "spec",
            "kind",
        ),
        (
            gateways,
            "HTTPRoute",
            json!({"useDefaultGateways": "All"}),
            "spec.useDefaultGateways",
            "spec.useDefaultGateways",
        ),
        (
            security,
            "AuthorizationPolicy",
            json!({"targetRefs": [{"kind": "Service", "group": "", "name": "a", "namespace": "b"}]}),
            "spec.targetRefs[].namespace",
            "spec.targetRefs[0].namespace",
        ),
        (
            security,
            "PeerAuthentication",
            json!({"mtls": {"mode": "STRICT"}}),
            "spec.mtls.mode",
            "spec.mtls.mode",
        ),
    ];
    let tables = fields();
    let mut states = [0; 3];
    for (api_version, kind, spec, path, place) in cases {
        let object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": "a", "namespace": "a"}, "spec": spec,
        });
        let mut store = Store::default();
        store.put_file("a.json", &object.to_string());
        let said: Vec<_> = store.problems().filter(|it| it.path == place).collect();
        let all: Vec<String> = store.problems().map(ToString::to_string).collect();
        match state(&tables, kind, path) {
            State::Used => {
                states[0] += 1;
                assert!(said.is_empty(), "{kind} {path} is used: {all:?}");
            }
            State::Reported(why) => {
                states[1] += 1;
                let is_said =
                    |it: &&weft_api::Problem| it.code == "not-supported" && it.message == *why;
                assert!(said.iter().any(is_said), "{kind} {path}: {why}: {all:?}");
                assert_eq!(store.keys().count(), 1, "{kind} {path} is taken");
            }
            State::Refused(why) => {
                states[2] += 1;
                assert!(
                    said.iter().any(|it| it.message == *why),
                    "{kind} {path}: {why}: {all:?}"
                );
                assert_eq!(store.keys().count(), 0, "{kind} {path} is not taken");
            }
        }
    }
    assert_eq!(states, [4, 6, 2], "used, reported, refused");
}
