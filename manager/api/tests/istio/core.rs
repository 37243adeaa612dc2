use weft_api::{
    Resource, Store,
    mesh_config::{NormalizationType, OutboundMode},
};

fn store(text: &str) -> Store {
    let mut store = Store::default();
    store.put_file("a.yaml", text);
    store
}

fn said(store: &Store) -> String {
    let lines: Vec<_> = store.problems().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn what_a_secret_holds_is_never_told() {
    // `c2VjcmV0` is `secret`.
    let good = "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/tls, \
        data: {tls.crt: c2VjcmV0, tls.key: ''}, stringData: {other: hushhush}}";
    let store_ = store(good);
    let object = store_.object(store_.keys().next().unwrap()).unwrap();
    let Resource::Secret(secret) = &object.resource else {
        panic!()
    };
    let keys: Vec<_> = secret.keys.iter().map(|key| &**key).collect();
    assert_eq!(keys, ["other", "tls.crt", "tls.key"]);
    assert!(secret.empty.contains("tls.key") && secret.empty.len() == 1);
    let shown = format!("{object:?}");
    assert!(
        !shown.contains("hush") && !shown.contains("secret\"") && !shown.contains("c2V"),
        "{shown}"
    );
    for (data, expected) in [
        (
            "data: {a: 'not base64: hush'}",
            "data.a: the value is not base64",
        ),
        ("data: {a: [hush]}", "data.a: the value is not base64"),
        ("data: hush", "data: must be an object"),
        (
            "stringData: {a: {b: hush}}",
            "stringData.a: the value is not a text",
        ),
        ("data: {'a b': ''}", "is not a valid config key"),
        ("type: kubernetes.io/tls", "needs the key tls.crt"),
    ] {
        let said = said(&store(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: a}}, {data}}}"
        )));
        assert!(said.contains(expected), "{data}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

fn mesh(mesh: &str) -> Store {
    let lines: Vec<_> = mesh.lines().map(|line| format!("    {line}")).collect();
    store(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n{}\n",
        lines.join("\n")
    ))
}

#[test]
fn the_mesh_configuration_is_read_from_its_config_map() {
    let store = mesh(
        "trustDomain: example.org\ntrustDomainAliases: [old.org]\nrootNamespace: mesh-root\nenableAutoMtls: false\n\
         outboundTrafficPolicy: {mode: REGISTRY_ONLY}\npathNormalization: {normalization: MERGE_SLASHES}\n\
         connectTimeout: 3s\ndefaultHttpRetryPolicy: {attempts: 5}\nmeshMTLS: {minProtocolVersion: TLSV1_3}\n\
         extensionProviders:\n- name: authz\n  envoyExtAuthzGrpc: {service: a.b, port: 9000}\n",
    );
    assert_eq!(said(&store), "");
    let object = store.object(store.keys().next().unwrap()).unwrap();
    let Resource::ConfigMap(map) = &object.resource else {
        panic!()
    };
    let config = map.mesh.as_ref().unwrap();
    assert_eq!(
        (&*config.trust_domain, &*config.trust_domain_aliases[0]),
        ("example.org", "old.org")
    );
    assert_eq!(
        (&*config.root_namespace, config.enable_auto_mtls),
        ("mesh-root", Some(false))
    );
    assert_eq!(
        config.outbound_traffic_policy.mode,
        OutboundMode::RegistryOnly
    );
    assert_eq!(
        config.path_normalization.normalization,
        NormalizationType::MergeSlashes
    );
    assert_eq!(config.connect_timeout.unwrap().as_secs(), 3);
    assert_eq!(
        config.default_http_retry_policy.as_ref().unwrap().attempts,
        5
    );
    assert_eq!(
        (
            &*config.extension_providers[0].name,
            &*config.extension_providers[0].kind
        ),
        ("authz", "envoyExtAuthzGrpc")
    );
}

#[test]
fn a_bad_mesh_configuration_is_refused_where_it_is_wrong() {
    for (text, expected) in [
        (
            "trustDomain: a..b",
            "data.mesh.trustDomain: trustDomain: invalid domain name",
        ),
        (
            "rootNamespace: A",
            "data.mesh.rootNamespace: \"A\" is not a valid namespace",
        ),
        (
            "connectTimeout: 1us",
            "data.mesh.connectTimeout: must be a valid duration greater than 1ms",
        ),
        (
            "extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]",
            "duplicate extension provider name a",
        ),
        (
            "extensionProviders: [{name: a}]",
            "extension provider kind not set",
        ),
        (
            "extensionProviders: [{name: a, datadog: {}}]",
            "this kind of provider is not supported",
        ),
        ("outboundTrafficPolicy: {mode: X}", "unknown variant `X`"),
        ("noSuchField: 1", "data.mesh.noSuchField: no such field"),
        (
            "defaultConfig: {discoveryAddress: a.b:15012}",
            "data.mesh.defaultConfig: is about Istio's own proxies or control plane and has no effect",
        ),
        ("[", "data.mesh"),
        ("just a text", "the mesh configuration must be an object"),
    ] {
        let said = said(&mesh(text));
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn service_accounts_are_read() {
    let store = store("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}");
    assert_eq!((store.keys().count(), said(&store).as_str()), (1, ""));
}
