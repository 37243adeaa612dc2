//! Claims about reading files: what is taken, what is refused, and where it is said to be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use weft_api::{Kind, ObjectKey, Resource, Severity, Store};

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        kind,
        namespace: "default".into(),
        name: name.into(),
    }
}

fn service(name: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: 10.0.0.1\n  ports:\n  - port: {port}\n"
    )
}

fn problems(text: &str) -> Vec<String> {
    let mut store = Store::default();
    store.put_file("a.yaml", text);
    store.problems().map(ToString::to_string).collect()
}

fn port_of(store: &Store, name: &str) -> u16 {
    let object = store.object(&key(Kind::Service, name)).unwrap();
    let Resource::Service(service) = &object.resource else {
        panic!("not a Service")
    };
    service.ports[0].number
}

#[test]
fn an_error_names_file_line_object_and_field() {
    let text = format!("# first\n---\n{}", service("web", "99999"));
    let expected = "error: a.yaml:9: Service default/web: spec.ports[0].port: 99999 is not between 1 and 65535";
    assert_eq!(problems(&text), [expected]);
    let text = service("web", "http");
    let [problem] = <[String; 1]>::try_from(problems(&text)).unwrap();
    assert!(
        problem
            .starts_with("error: a.yaml:7: Service default/web: spec.ports[0].port: invalid type"),
        "{problem}"
    );
}

#[test]
fn a_broken_document_costs_only_itself() {
    let mut store = Store::default();
    let text = format!(
        "{}---\nkind: [\n---\n{}",
        service("a", "80"),
        service("b", "81")
    );
    store.put_file("a.yaml", &text);
    assert_eq!((port_of(&store, "a"), port_of(&store, "b")), (80, 81));
    let problem = store.problems().next().unwrap();
    assert_eq!(
        (problem.severity, problem.code),
        (Severity::Error, "syntax")
    );
    assert!((9..=11).contains(&problem.line), "{problem}");
}

#[test]
fn an_invalid_edit_keeps_the_last_good_version() {
    let mut store = Store::default();
    store.put_file("a.yaml", &service("web", "80"));
    let outcome = store.put_file("a.yaml", &service("web", "0"));
    assert_eq!(outcome.changed, []);
    assert_eq!(port_of(&store, "web"), 80);
    assert_eq!(store.problems().count(), 1);
    let outcome = store.put_file("a.yaml", &service("web", "81"));
    assert_eq!(outcome.changed, [key(Kind::Service, "web")]);
    assert_eq!((port_of(&store, "web"), store.problems().count()), (81, 0));
}

#[test]
fn a_torn_file_keeps_what_it_supplied_before_until_it_is_whole_again() {
    let mut store = Store::default();
    store.put_file(
        "a.yaml",
        &format!("{}---\n{}", service("a", "80"), service("b", "80")),
    );
    let outcome = store.put_file("a.yaml", &format!("{}---\n\tkind: x\n", service("a", "82")));
    assert_eq!(outcome.changed, [key(Kind::Service, "a")]);
    assert_eq!((port_of(&store, "a"), port_of(&store, "b")), (82, 80));
    let outcome = store.put_file("a.yaml", &service("a", "82"));
    assert_eq!(outcome.changed, [key(Kind::Service, "b")]);
    assert!(store.object(&key(Kind::Service, "b")).is_none());
}

#[test]
fn of_one_object_in_two_files_the_first_by_name_wins_and_the_other_takes_over() {
    let mut store = Store::default();
    store.put_file("b.yaml", &service("web", "2"));
    let outcome = store.put_file("a.yaml", &service("web", "1"));
    assert_eq!(outcome.changed, [key(Kind::Service, "web")]);
    assert_eq!(port_of(&store, "web"), 1);
    let problem = store.problems().next().unwrap().to_string();
    assert_eq!(
        problem,
        "error: b.yaml:1: Service default/web: is written twice; the one at a.yaml:1 is in force, this one is not"
    );
    // An edit of the loser changes nothing.
    assert_eq!(store.put_file("b.yaml", &service("web", "3")).changed, []);
    assert_eq!(
        store.remove_file("a.yaml").changed,
        [key(Kind::Service, "web")]
    );
    assert_eq!((port_of(&store, "web"), store.problems().count()), (3, 0));
    assert_eq!(
        store.remove_file("b.yaml").changed,
        [key(Kind::Service, "web")]
    );
    assert_eq!(store.keys().count(), 0);
}

#[test]
fn objects_that_did_not_change_are_not_reported() {
    let mut store = Store::default();
    let text = format!("{}---\n{}", service("a", "80"), service("b", "80"));
    assert_eq!(store.put_file("a.yaml", &text).changed.len(), 2);
    assert_eq!(store.put_file("a.yaml", &text).changed, []);
    let edited = format!("{}---\n{}", service("a", "80"), service("b", "81"));
    assert_eq!(
        store.put_file("a.yaml", &edited).changed,
        [key(Kind::Service, "b")]
    );
}

#[test]
fn lists_are_read_item_by_item_with_their_own_lines() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec: {ports: [{port: 80}], clusterIP: 10.0.0.1}\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: b\n  spec:\n    clusterIP: 10.0.0.2\n    ports: [{port: 0}]\n";
    let mut store = Store::default();
    store.put_file("a.yaml", text);
    assert_eq!(store.object(&key(Kind::Service, "a")).unwrap().line, 4);
    let problem = store.problems().next().unwrap();
    assert_eq!((problem.line, problem.origin.line), (14, 8));
    assert_eq!(problem.path, "spec.ports[0].port");
    let typed = "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: a}\n  spec: {ports: [{port: 80}], clusterIP: 10.0.0.1}\n";
    store.put_file("a.yaml", typed);
    assert_eq!(port_of(&store, "a"), 80);
}

#[test]
fn json_is_read_and_its_duplicate_keys_are_errors() {
    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"clusterIP\": \"10.0.0.1\", \"ports\": [{\"port\": 80}]}\n}\n";
    assert_eq!(problems(json), [""; 0]);
    let twice = "{\"apiVersion\": \"v1\",\n \"apiVersion\": \"v1\"}";
    assert_eq!(
        problems(twice),
        ["error: a.yaml:2: key \"apiVersion\" is written twice"]
    );
}

#[test]
fn anchors_and_merges_work_and_cannot_explode() {
    let text = "x: &p {port: 80}\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  clusterIP: 10.0.0.1\n  ports:\n  - <<: *p\n    name: http\n";
    let mut store = Store::default();
    store.put_file("a.yaml", text);
    assert_eq!(port_of(&store, "a"), 80);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = level - 1;
        let items = vec![format!("*a{below}"); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let [problem] = <[String; 1]>::try_from(problems(&bomb)).unwrap();
    assert!(problem.contains("copy more than"), "{problem}");
    let [problem] = <[String; 1]>::try_from(problems("a: &a [*a]\n")).unwrap();
    assert!(problem.contains("error"), "{problem}");
}

#[test]
fn duplicate_keys_and_tabs_are_errors_where_they_stand() {
    let [problem] = <[String; 1]>::try_from(problems("a: 1\nb: 2\na: 3\n")).unwrap();
    assert_eq!(problem, "error: a.yaml:3: key \"a\" is written twice");
    let [problem] = <[String; 1]>::try_from(problems("a:\n\tb: 1\n")).unwrap();
    assert!(
        problem.starts_with("error: a.yaml:2: not valid YAML"),
        "{problem}"
    );
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let text = format!("{}1{}", open.repeat(5000), close.repeat(5000));
        assert!(!problems(&text).is_empty(), "{open}");
    }
}

#[test]
fn unknown_kinds_and_fields_warn_and_block_nothing() {
    let text = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a}}\nspec: {{}}\n---\n{}  typo: 1\n",
        service("web", "80")
    );
    assert_eq!(
        problems(&text),
        [
            "warning: a.yaml:2: Job default/a: kind: kind Job (batch/v1) is not supported yet",
            "warning: a.yaml:13: Service default/web: spec.typo: no such field",
        ]
    );
}

#[test]
fn comments_blank_documents_and_crlf_are_no_trouble() {
    let text = "\u{feff}# nothing\n---\n\n--- # still nothing\n...\n";
    assert_eq!(problems(text), [""; 0]);
    let crlf = service("web", "80").replace('\n', "\r\n");
    assert_eq!(problems(&crlf), [""; 0]);
}
