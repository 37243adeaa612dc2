//! What clients dial and what both ends see: families, ports, and every kind of address.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use bpf_tests::{
    Scene,
    scene::{PORT, documents, service, v4, v6, vip, vip6},
    wait_for,
};
use weft_testkit::{
    Place,
    client::{self, HttpClient, UdpClient, fetch, mapped},
    load::ask_times,
    manifest::{Service, pod_yaml},
};

const SECOND: Duration = Duration::from_secs(1);

/// Asks over HTTP: who answered, whom the client sees, and whether the server saw the client.
fn who(place: &Place, to: SocketAddr) -> (String, SocketAddr) {
    place.run(|| {
        let mut http = HttpClient::connect(to, 5 * SECOND).unwrap();
        let answer = http.request("/").unwrap();
        let own = http.stream().local_addr().unwrap();
        assert_eq!(mapped(answer.peer.unwrap()), mapped(own), "dialling {to}");
        (answer.server, http.stream().peer_addr().unwrap())
    })
}

fn said(answer: std::io::Result<(String, SocketAddr)>) -> (String, SocketAddr) {
    answer.unwrap()
}

#[test]
fn both_ends_see_true_addresses_in_every_family() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _servers = [
        scene.http_at((v4(1), PORT).into(), 4),
        scene.http_at((v6(1), PORT).into(), 6),
    ];
    let _datagrams = [scene.udp(v4(1), "b4"), scene.udp(v6(1), "b6")];
    let service = Service::new("shop", "dual")
        .address(vip(1).ip())
        .address(vip6(1).ip())
        .tcp("http", 80, PORT)
        .udp("dns", 53, PORT)
        .backend("b", &[v4(1), v6(1)]);
    scene.write("dual.yaml", &service.yaml());
    scene.start();
    let inside = scene.inside();
    for (to, server) in [(vip(1), "b4"), (vip6(1), "b6"), (mapped(vip(1)), "b4")] {
        assert_eq!(who(&inside, to), (server.to_owned(), to));

        let to = SocketAddr::new(to.ip(), 53);
        inside.run(|| {
            let unconnected = UdpClient::new(to, 5 * SECOND).unwrap();
            for text in ["one", "two"] {
                let answer = said(unconnected.ask(to, text));
                assert_eq!(answer, (format!("{server} {text}"), to));
            }
            let connected = UdpClient::new(to, 5 * SECOND).unwrap();
            let socket = connected.socket();
            socket.connect(to).unwrap();
            assert_eq!(socket.peer_addr().unwrap(), to);
            socket.send(b"three").unwrap();
            let mut buffer = [0; 64];
            let (length, source) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], format!("{server} three").as_bytes());
            assert_eq!(source, to);
        });
    }
    // A port that the service does not have is not the service's.
    let other = SocketAddr::new(vip(1).ip(), 81);
    let error = inside.run(|| client::connect(other, SECOND)).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

#[test]
fn named_ports_and_several_ports_lead_where_the_pods_say() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let at = |number: u8, port: u16| SocketAddr::from((v4(number), port));
    let _servers = [
        scene.http_at(at(1, 9001), 1),
        scene.http_at(at(2, 9002), 2),
        scene.http_at(at(1, 9100), 3),
    ];
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: named, namespace: shop}}\nspec:\n  \
         clusterIP: {}\n  selector: {{app: named}}\n  ports:\n  \
         - {{name: web, port: 80, targetPort: web}}\n  - {{name: admin, port: 81, targetPort: 9100}}\n",
        vip(1).ip()
    );
    // The same name is another number in either pod.
    let slice = |number: u8, port: u16| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
             name: named-{number}\n  namespace: shop\n  \
             labels: {{kubernetes.io/service-name: named}}\naddressType: IPv4\nports:\n\
             - {{name: web, port: {port}, protocol: TCP}}\n{}endpoints:\n- addresses: [{}]\n",
            if number == 1 {
                "- {name: admin, port: 9100, protocol: TCP}\n"
            } else {
                ""
            },
            v4(number)
        )
    };
    scene.write(
        "named.yaml",
        &documents([service, slice(1, 9001), slice(2, 9002)]),
    );
    scene.start();
    let inside = scene.inside();
    let outcome = ask_times(&inside, vip(1), 6);
    let want: BTreeMap<String, u64> = [("b1".to_owned(), 3), ("b2".to_owned(), 3)].into();
    assert_eq!((outcome.failed, outcome.answered), (0, want));
    let admin = SocketAddr::new(vip(1).ip(), 81);
    assert_eq!(ask_times(&inside, admin, 4).answered["b3"], 4);
}

#[test]
fn a_pod_dialled_by_its_own_address_is_reached_and_counted() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _server = scene.http(1);
    let headless = Service::new("shop", "headless")
        .tcp("http", PORT, PORT)
        .backend("b1", &[v4(1)]);
    let client = scene.client().v4();
    scene.write(
        "headless.yaml",
        &documents([
            headless.yaml(),
            pod_yaml("shop", "caller", "caller", "v1", &[client.into()]),
        ]),
    );
    scene.start();
    let pod = SocketAddr::from((v4(1), PORT));
    assert_eq!(ask_times(&scene.inside(), pod, 5).answered["b1"], 5);
    let labels = [
        ("source_workload", "caller"),
        ("destination_workload", "headless-b1"),
    ];
    wait_for("five connections to be counted", || {
        scene.metric("istio_tcp_connections_closed_total", &labels) == 5.0
    });
    assert_eq!(
        scene.metric("istio_tcp_connections_opened_total", &labels),
        5.0
    );
}

#[test]
fn node_ports_external_and_load_balancer_addresses_work_from_local_sockets() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.http(1), scene.http(2)];
    let _datagrams = scene.udp(v4(1), "u1");
    let outside = [Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(203, 0, 113, 10)];
    let yaml = |backends: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: public, namespace: shop}}\nspec:\n  \
             type: LoadBalancer\n  clusterIP: {}\n  externalIPs: [{}]\n  ports:\n  \
             - {{name: http, port: 80, targetPort: {PORT}, nodePort: 30080}}\n  \
             - {{name: dns, port: 53, targetPort: {PORT}, nodePort: 30053, protocol: UDP}}\n\
             status: {{loadBalancer: {{ingress: [{{ip: {}}}]}}}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: public\n  \
             namespace: shop\n  labels: {{kubernetes.io/service-name: public}}\n\
             addressType: IPv4\nports:\n- {{name: http, port: {PORT}, protocol: TCP}}\n\
             - {{name: dns, port: {PORT}, protocol: UDP}}\nendpoints:\n{backends}",
            vip(1).ip(),
            outside[0],
            outside[1]
        )
    };
    scene.write("public.yaml", &yaml(&format!("- addresses: [{}]\n", v4(1))));
    scene.start();
    let inside = scene.inside();
    let node = SocketAddr::from((scene.client().v4(), 30080));
    let addresses = [(outside[0], 80).into(), (outside[1], 80).into(), node];
    for to in addresses {
        assert_eq!(who(&inside, to), ("b1".to_owned(), to));
        assert_eq!(who(&inside, mapped(to)), ("b1".to_owned(), mapped(to)));
    }
    for to in [(outside[0], 53), (scene.client().v4(), 30053)].map(SocketAddr::from) {
        let answer = inside.run(|| UdpClient::new(to, 5 * SECOND)?.ask(to, "hello"));
        assert_eq!(said(answer), ("u1 hello".to_owned(), to));
    }
    // Edits reach all of them.
    scene.apply("public.yaml", &yaml(&format!("- addresses: [{}]\n", v4(2))));
    for to in addresses {
        assert_eq!(who(&inside, to).0, "b2");
    }
}

#[test]
fn internal_traffic_policy_local_keeps_to_this_node_and_refuses_when_it_has_none() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.http(1), scene.http(2)];
    let yaml = |here: u8| {
        let endpoint = |number: u8| {
            let node = if number == here { "here" } else { "there" };
            format!("- addresses: [{}]\n  nodeName: {node}\n", v4(number))
        };
        documents([
            Service::new("shop", "local")
                .address(vip(1).ip())
                .tcp("http", 80, PORT)
                .spec("internalTrafficPolicy: Local")
                .yaml(),
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: local\n  \
                 namespace: shop\n  labels: {{kubernetes.io/service-name: local}}\n\
                 addressType: IPv4\nports:\n- {{name: http, port: {PORT}, protocol: TCP}}\n\
                 endpoints:\n{}{}",
                endpoint(1),
                endpoint(2)
            ),
        ])
    };
    scene.write("local.yaml", &yaml(2));
    scene.start_with(|options| options.node("here"));
    let inside = scene.inside();
    assert_eq!(ask_times(&inside, vip(1), 6).answered["b2"], 6);
    scene.apply("local.yaml", &yaml(1));
    assert_eq!(ask_times(&inside, vip(1), 6).answered["b1"], 6);
    scene.apply("local.yaml", &yaml(9));
    let error = inside.run(|| TcpStream::connect(vip(1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_backend_that_dials_its_own_service_reaches_itself() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _servers = [
        scene.http_at((v4(1), PORT).into(), 4),
        scene.http_at((v6(1), PORT).into(), 6),
    ];
    let service = service("self", 1, &[1]).address(vip6(1).ip());
    let service = service.backend("six", &[v6(1)]);
    scene.write("self.yaml", &service.yaml());
    scene.start();
    let server = scene.server().clone();
    let itself = scene.rig().inside(&server);
    for (to, name) in [(vip(1), "b4"), (vip6(1), "b6")] {
        let (source, answer) = itself.run(|| {
            let from: IpAddr = if to.is_ipv4() { v4(1) } else { v6(1) };
            (from, fetch(to, "/", 5 * SECOND).unwrap())
        });
        assert_eq!(answer.server, name, "from {source}");
    }
}
