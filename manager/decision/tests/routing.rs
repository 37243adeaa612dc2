//! Which rule a request meets.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use weft_decision::{
    Client, Connection, HttpAnswer, Request, Router, StreamAnswer, explain::request_checks,
};
use weft_model::{
    Origin, Protocol,
    route::{
        Destination, Dialect, Gateway, GatewayName, HeaderEdits, HeaderMatch, HostPattern,
        HostTable, HttpAction, HttpMatch, HttpRoute, HttpRule, Listener, ListenerProtocol,
        PathMatch, RouteTables, Source, StreamMatch, StreamRoute, StringMatch, Target, Visibility,
    },
};

fn origin(name: &str) -> Origin {
    Origin {
        kind: "VirtualService".into(),
        namespace: "shop".into(),
        name: name.into(),
        file: "a.yaml".into(),
        line: 1,
    }
}

fn destination(host: &str) -> Destination {
    Destination {
        host: host.into(),
        target: Target::Invalid {
            reason: "only a test".into(),
            status: 503,
        },
        subset: None,
        port: None,
        weight: 1,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    }
}

fn route(index: usize, matching: HttpMatch) -> HttpRoute {
    let rule = HttpRule {
        origin: origin("r"),
        index,
        name: "".into(),
        action: HttpAction::Forward(vec![destination("b")]),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        rewrite: None,
        timeout: None,
        retries: None,
        fault: None,
        mirrors: Vec::new(),
        cors: None,
        session: None,
    };
    HttpRoute {
        matching,
        rule: Arc::new(rule),
    }
}

fn table(http: Vec<HttpRoute>) -> HostTable {
    HostTable {
        origins: vec![origin("r")],
        dialect: Dialect::Istio,
        visibility: Visibility::All,
        port: None,
        http,
        tls: Vec::new(),
        tcp: Vec::new(),
        udp: Vec::new(),
    }
}

fn mesh(hosts: Vec<(&str, Vec<HostTable>)>) -> Router {
    let hosts = hosts.into_iter().map(|(host, tables)| {
        let tables: Vec<_> = tables.into_iter().map(Arc::new).collect();
        (HostPattern::new(host), tables.into())
    });
    Router::new(&RouteTables {
        mesh: hosts.collect(),
        ..RouteTables::default()
    })
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix {
        path: path.into(),
        ignore_case: false,
    }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact {
        path: path.into(),
        ignore_case: false,
    }
}

fn at_path(path: PathMatch) -> HttpMatch {
    HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    }
}

fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
    Request {
        host,
        port: 80,
        scheme: "http",
        method: "GET",
        path,
        authority: host,
        headers: &[],
        claims: None,
    }
}

fn chosen(router: &Router, client: &Client<'_>, request: &Request<'_>) -> Option<usize> {
    router
        .mesh_http(client, request)
        .route
        .map(|(position, _)| position)
}

#[test]
fn the_most_specific_host_decides_and_then_the_first_rule() {
    let router = mesh(vec![
        ("*", vec![table(vec![route(0, HttpMatch::default())])]),
        (
            "*.example.com",
            vec![table(vec![route(1, at_path(exact("/x")))])],
        ),
        (
            "a.example.com",
            vec![table(vec![route(2, HttpMatch::default())])],
        ),
    ]);
    let client = Client::default();
    let rule = |host, path| {
        let found = router.mesh_http(&client, &request(host, path));
        found.route.map(|(_, route)| route.rule.index)
    };
    assert_eq!(rule("a.example.com", "/"), Some(2));
    assert_eq!(rule("b.example.com", "/x"), Some(1));
    assert_eq!(rule("x.b.example.com", "/x"), Some(1));
    assert_eq!(rule("b.example.com", "/y"), None, "no wider host is asked");
    assert_eq!(rule("example.com", "/"), Some(0));
}

#[test]
fn no_rule_is_404_and_no_table_is_the_service_itself() {
    let router = mesh(vec![(
        "a",
        vec![table(vec![route(0, at_path(exact("/x")))])],
    )]);
    let client = Client::default();
    let answer = |host| router.mesh_http(&client, &request(host, "/")).answer;
    assert!(matches!(answer("a"), HttpAnswer::NotFound));
    assert!(matches!(answer("b"), HttpAnswer::PassThrough));
}

#[test]
fn a_table_that_a_client_does_not_see_is_not_asked() {
    let mut hidden = table(vec![route(7, HttpMatch::default())]);
    hidden.visibility = Visibility::Namespaces([Arc::from("team")].into());
    let router = mesh(vec![(
        "a",
        vec![hidden, table(vec![route(8, HttpMatch::default())])],
    )]);
    let rule = |namespace| {
        let client = Client {
            namespace,
            ..Client::default()
        };
        let found = router.mesh_http(&client, &request("a", "/"));
        found.route.map(|(_, route)| route.rule.index)
    };
    assert_eq!(rule("team"), Some(7));
    assert_eq!(rule("other"), Some(8));
}

#[test]
fn whole_segments_are_not_a_prefix_of_text() {
    let router = mesh(vec![(
        "a",
        vec![table(vec![route(
            0,
            at_path(PathMatch::Segments("/v2/".into())),
        )])],
    )]);
    let rule = |path| chosen(&router, &Client::default(), &request("a", path));
    assert_eq!(rule("/v2"), Some(0));
    assert_eq!(rule("/v2/x"), Some(0));
    assert_eq!(rule("/v2?x"), Some(0));
    assert_eq!(rule("/v2example"), None);
}

#[test]
fn headers_are_all_of_them_and_without_headers_none() {
    let matching = HttpMatch {
        headers: vec![(
            "x-user".into(),
            HeaderMatch::Value(StringMatch::Regex("ja.*".into())),
        )],
        without_headers: vec![("x-bot".into(), HeaderMatch::Present)],
        query: vec![(
            "v".into(),
            HeaderMatch::Value(StringMatch::Exact("2".into())),
        )],
        ..HttpMatch::default()
    };
    let router = mesh(vec![("a", vec![table(vec![route(0, matching)])])]);
    let fits = |path, headers: &[(&str, &str)]| {
        let request = Request {
            headers,
            ..request("a", path)
        };
        chosen(&router, &Client::default(), &request).is_some()
    };
    assert!(fits("/?v=2", &[("x-user", "jason")]));
    assert!(
        !fits("/?v=2", &[("x-user", "ajason")]),
        "a regex matches the whole value"
    );
    assert!(!fits("/?v=2", &[("x-user", "jason"), ("x-bot", "")]));
    assert!(!fits("/?v=3", &[("x-user", "jason")]));
    assert!(!fits("/?v=2", &[]));
}

#[test]
fn a_rule_for_some_clients_is_passed_over_for_others() {
    let of_v2 = HttpMatch {
        source: Source {
            namespace: Some("team".into()),
            labels: vec![("version".into(), "v2".into())],
        },
        ..HttpMatch::default()
    };
    let http = vec![route(0, of_v2), route(1, HttpMatch::default())];
    let router = mesh(vec![("a", vec![table(http)])]);
    let rule =
        |namespace, labels| chosen(&router, &Client { namespace, labels }, &request("a", "/"));
    assert_eq!(rule("team", &[("app", "x"), ("version", "v2")]), Some(0));
    assert_eq!(rule("team", &[("version", "v1")]), Some(1));
    assert_eq!(rule("else", &[("version", "v2")]), Some(1));
}

#[test]
fn connections_are_routed_by_server_name_then_by_address() {
    let stream = |index, matching| StreamRoute {
        origin: origin("s"),
        index,
        matching,
        destinations: vec![destination("d")],
    };
    let mut both = table(Vec::new());
    both.tls = vec![stream(
        0,
        StreamMatch {
            sni: vec![HostPattern::new("*.example.com")],
            port: Some(443),
            ..StreamMatch::default()
        },
    )];
    both.tcp = vec![stream(
        1,
        StreamMatch {
            destination_subnets: vec!["10.0.0.0/8".into()],
            ..StreamMatch::default()
        },
    )];
    let router = mesh(vec![("*", vec![both])]);
    let rule = |sni, port, address: &str| {
        let connection = Connection {
            host: "x",
            address: address.parse().ok(),
            port,
            sni,
            protocol: Protocol::Tcp,
        };
        let decision = router.mesh_stream(&Client::default(), &connection);
        assert_eq!(
            decision.route.is_none(),
            decision.answer == StreamAnswer::PassThrough
        );
        decision.route.map(|route| route.index)
    };
    assert_eq!(rule(Some("a.example.com"), 443, "192.0.2.1"), Some(0));
    assert_eq!(rule(Some("a.example.com"), 444, "192.0.2.1"), None);
    assert_eq!(rule(None, 443, "10.1.2.3"), Some(1));
}

fn gateway(listeners: Vec<Listener>) -> (Router, GatewayName) {
    let name = GatewayName {
        is_gateway_api: true,
        namespace: "infra".into(),
        name: "gw".into(),
    };
    let gateway = Gateway {
        origin: origin("gw"),
        listeners,
    };
    let tables = RouteTables {
        gateways: [(name.clone(), Arc::new(gateway))].into(),
        ..RouteTables::default()
    };
    (Router::new(&tables), name)
}

fn listener(hostname: &str, index: usize) -> Listener {
    let table = table(vec![route(index, HttpMatch::default())]);
    Listener {
        name: "l".into(),
        port: 80,
        protocol: ListenerProtocol::Http,
        hostname: HostPattern::new(hostname),
        https_redirect: false,
        tables: BTreeMap::from([(HostPattern::new(hostname), Arc::new(table))]),
    }
}

#[test]
fn a_gateway_takes_a_request_at_its_most_specific_listener_only() {
    let mut empty = listener("b.example.com", 9);
    empty.tables.clear();
    let mut secure = listener("s.example.com", 9);
    secure.https_redirect = true;
    let listeners = vec![
        listener("*", 0),
        listener("*.example.com", 1),
        empty,
        secure,
    ];
    let (router, name) = gateway(listeners);
    let decide = |host, port| {
        let request = Request {
            port,
            ..request(host, "/")
        };
        router.gateway_http(&name, &Client::default(), &request)
    };
    let rule = |host| decide(host, 80).route.map(|(_, route)| route.rule.index);
    assert_eq!(rule("a.example.com"), Some(1));
    assert_eq!(rule("other.org"), Some(0));
    assert!(matches!(
        decide("b.example.com", 80).answer,
        HttpAnswer::NotFound
    ));
    assert!(matches!(
        decide("other.org", 81).answer,
        HttpAnswer::NoListener
    ));
    let HttpAnswer::Redirect(location) = decide("s.example.com", 80).answer else {
        panic!("not redirected");
    };
    assert_eq!(
        (location.scheme.as_deref(), location.status),
        (Some("https"), 301)
    );
}

fn path() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![Just("a"), Just("b"), Just("A"), Just("ab")],
        0..4,
    )
    .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn matching() -> impl Strategy<Value = HttpMatch> {
    let path = (0..6_u8, path()).prop_map(|(kind, path)| {
        let text: Arc<str> = path.into();
        let any = |ignore_case| (Arc::clone(&text), ignore_case);
        Some(match kind {
            0 => return None,
            1 => exact(&text),
            2 => prefix(&text),
            3 => PathMatch::Segments(text),
            4 => PathMatch::Regex(format!("{text}.?").into()),
            _ => {
                let (path, ignore_case) = any(true);
                PathMatch::Prefix { path, ignore_case }
            }
        })
    });
    let header = prop_oneof![
        2 => Just(None),
        1 => "[xy]".prop_map(|v| Some(HeaderMatch::Value(StringMatch::Exact(v.into())))),
        1 => Just(Some(HeaderMatch::Present)),
    ];
    (path, header).prop_map(|(path, header)| HttpMatch {
        path,
        headers: header
            .into_iter()
            .map(|value| ("h".into(), value))
            .collect(),
        ..HttpMatch::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn the_index_finds_what_explaining_every_rule_in_order_finds(
        matches in vec(matching(), 0..24),
        path in path(),
        values in vec("[xyz]", 0..3),
    ) {
        let http = matches.into_iter().enumerate().map(|(index, m)| route(index, m)).collect();
        let table = table(http);
        let headers: Vec<_> = values.iter().map(|value| ("h", value.as_str())).collect();
        let request = Request { headers: &headers, ..request("a", &path) };
        let client = Client::default();
        let fits = |route: &HttpRoute| {
            let checks = request_checks("uri", &route.matching, &client, &request);
            checks.iter().all(|check| check.fits)
        };
        let first = table.http.iter().position(fits);
        let router = mesh(vec![("a", vec![table])]);
        prop_assert_eq!(chosen(&router, &client, &request), first);
    }
}
