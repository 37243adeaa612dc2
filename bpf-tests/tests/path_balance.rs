//! How connections are shared among backends, seen by real clients and servers.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use bpf_tests::{
    Scene,
    scene::{PORT, documents, service, v4, vip},
    wait_for,
};
use rustix::net::{AddressFamily, SocketType};
use weft_testkit::{
    Load, Place,
    load::ask_times,
    manifest::destination_rule,
    server::{Echo, Http},
};

const SECOND: Duration = Duration::from_secs(1);

fn rule(host: &str, balancer: &str) -> String {
    destination_rule("shop", host, host, &format!("loadBalancer: {balancer}"))
}

/// The name an echo server greets with, and the connection.
fn dial(to: SocketAddr, from: Option<IpAddr>) -> (String, TcpStream) {
    let family = if to.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
    if let Some(from) = from {
        rustix::net::bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    }
    rustix::net::connect(&socket, &to).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(5 * SECOND)).unwrap();
    let mut name = [0; 3];
    stream.read_exact(&mut name).unwrap();
    (String::from_utf8_lossy(&name).trim().to_owned(), stream)
}

fn echoes(scene: &Scene, count: u8) -> Vec<Echo> {
    (1..=count)
        .map(|number| scene.echo(v4(number), &format!("b{number}")))
        .collect()
}

#[test]
fn round_robin_is_exact_random_is_even_and_weights_are_kept() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<Http> = (1..=3).map(|number| scene.http(number)).collect();
    let weighted = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: weighted, namespace: shop}}\nspec:\n  hosts: [weighted.example.com]\n  \
         addresses: [240.0.0.1]\n  location: MESH_EXTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: TCP, targetPort: {PORT}}}]\n  endpoints:\n  \
         - {{address: {}, weight: 1}}\n  - {{address: {}, weight: 2}}\n  - {{address: {}, weight: 5}}\n",
        v4(1),
        v4(2),
        v4(3)
    );
    scene.write(
        "all.yaml",
        &documents([
            service("turns", 1, &[1, 2, 3]).yaml(),
            rule("turns", "{simple: ROUND_ROBIN}"),
            service("dice", 2, &[1, 2, 3]).yaml(),
            rule("dice", "{simple: RANDOM}"),
            service("unsaid", 3, &[1, 2, 3]).yaml(),
            weighted,
        ]),
    );
    scene.start();
    let inside = scene.inside();

    let outcome = ask_times(&inside, vip(1), 30);
    let even: BTreeMap<String, u64> = (1..=3).map(|n| (format!("b{n}"), 10)).collect();
    assert_eq!((outcome.failed, outcome.answered), (0, even.clone()));
    // Also when several ask at once.
    let together = Load::start(&inside, vip(1), 3, Duration::ZERO);
    assert!(together.wait_for(60, 20 * SECOND));
    let outcome = together.stop();
    let (most, least) = (
        outcome.answered.values().max().unwrap(),
        outcome.answered.values().min().unwrap(),
    );
    assert!(outcome.failed == 0 && most - least <= 1, "{outcome:?}");
    // Round robin unless told otherwise.
    assert_eq!(ask_times(&inside, vip(3), 30).answered, even);

    let outcome = ask_times(&inside, vip(2), 300);
    assert_eq!(outcome.failed, 0);
    for server in ["b1", "b2", "b3"] {
        // Five standard deviations.
        let share = outcome.share(server);
        assert!((share - 1.0 / 3.0).abs() < 0.14, "{outcome:?}");
    }
    assert_ne!(
        outcome.answered,
        BTreeMap::from([("b1".into(), 100), ("b2".into(), 100), ("b3".into(), 100)])
    );

    let outcome = ask_times(&inside, "240.0.0.1:80".parse().unwrap(), 160);
    let want = [("b1", 20), ("b2", 40), ("b3", 100)];
    let want: BTreeMap<String, u64> = want.map(|(name, n)| (name.to_owned(), n)).into();
    assert_eq!((outcome.failed, outcome.answered), (0, want));
}

#[test]
fn least_connections_prefers_backends_with_fewer_open_connections() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers = echoes(&scene, 3);
    let yaml = documents([
        service("least", 1, &[1, 2, 3]).yaml(),
        rule("least", "{simple: LEAST_REQUEST}"),
    ]);
    scene.write("least.yaml", &yaml);
    scene.start();
    let inside = scene.inside();
    let open = |count: usize| -> Vec<(String, TcpStream)> {
        inside.run(|| (0..count).map(|_| dial(vip(1), None)).collect())
    };
    let shares = |open: &[(String, TcpStream)]| {
        let mut shares = BTreeMap::<String, usize>::new();
        for (name, _) in open {
            *shares.entry(name.clone()).or_default() += 1;
        }
        shares
    };
    let mut held = open(60);
    let even = shares(&held);
    assert!(
        even.len() == 3 && even.values().all(|count| (17..=23).contains(count)),
        "{even:?}"
    );
    held.retain(|(name, _)| name != "b2");
    wait_for("closed connections to be counted", || {
        scene.metric("weft_active_connections", &[]) == held.len() as f64
    });
    let next = shares(&open(20));
    // 13 are expected; a third would be 7.
    assert!(next.get("b2").copied().unwrap_or(0) >= 8, "{next:?}");
    drop(held);
    wait_for("no connection to be open", || {
        scene.metric("weft_active_connections", &[]) == 0.0
    });
}

/// Which backend each source address gets, asked twice.
fn sticky(place: &Place, to: SocketAddr, sources: &[Option<IpAddr>]) -> Vec<String> {
    place.run(|| {
        let names = sources.iter().map(|source| {
            let (one, two) = (dial(to, *source).0, dial(to, *source).0);
            assert_eq!(one, two, "from {source:?}");
            one
        });
        names.collect()
    })
}

#[test]
fn a_source_address_keeps_its_backend_over_restarts_and_when_others_go() {
    let Some(mut scene) = Scene::or_skip(4) else {
        return;
    };
    let _servers = echoes(&scene, 4);
    let yaml = |backends: &[u8]| {
        documents([
            service("hash", 1, backends).yaml(),
            rule("hash", "{consistentHash: {useSourceIp: true}}"),
        ])
    };
    scene.write("hash.yaml", &yaml(&[1, 2, 3, 4]));
    let sources: Vec<IpAddr> = (1..=24)
        .map(|n| Ipv4Addr::new(10, 77, 50, n).into())
        .collect();
    for source in &sources {
        let address = format!("{source}/16");
        scene.client().address("eth0", &address).unwrap();
    }
    let other = scene.rig().host("other").unwrap();
    let other = scene.rig().inside(&other);
    scene.start();
    let inside = scene.inside();
    let bound: Vec<Option<IpAddr>> = sources.iter().copied().map(Some).collect();
    let all = |scene: &Scene| {
        let mut names = sticky(&scene.inside(), vip(1), &bound);
        names.extend(sticky(&inside, vip(1), &[None]));
        names.extend(sticky(&other, vip(1), &[None]));
        names
    };
    let before = all(&scene);
    let used: BTreeSet<&String> = before.iter().collect();
    assert_eq!(used.len(), 4, "{before:?}");

    scene.mesh().kill().unwrap();
    assert_eq!(all(&scene), before);
    scene.mesh().restart().unwrap();
    assert_eq!(all(&scene), before);

    scene.apply("hash.yaml", &yaml(&[1, 2, 4]));
    let after = all(&scene);
    assert!(!after.contains(&"b3".to_owned()));
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| *before != "b3" && before != after)
        .count();
    // Maglev moves few besides those that must; rehashing would move half of them.
    assert!(moved <= 4, "{moved} moved: {before:?} {after:?}");
    scene.apply("hash.yaml", &yaml(&[1, 2, 3, 4]));
    assert_eq!(all(&scene), before);
}

#[test]
fn client_affinity_holds_until_its_timeout_and_follows_a_backend_that_goes() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers = echoes(&scene, 3);
    let yaml = |seconds: u32, backends: &[u8]| {
        service("sticky", 1, backends)
            .spec("sessionAffinity: ClientIP")
            .spec(&format!(
                "sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}"
            ))
            .yaml()
    };
    scene.write("sticky.yaml", &yaml(10_800, &[1, 2, 3]));
    scene.start();
    let inside = scene.inside();
    let ask = || {
        inside.run(|| {
            (0..12)
                .map(|_| dial(vip(1), None).0)
                .collect::<BTreeSet<_>>()
        })
    };
    let first = ask();
    assert_eq!(first.len(), 1, "{first:?}");
    scene.mesh().kill().unwrap();
    scene.mesh().restart().unwrap();
    assert_eq!(ask(), first, "a restart forgets no client");

    let gone: u8 = first.first().unwrap()[1..].parse().unwrap();
    let left: Vec<u8> = [1, 2, 3].into_iter().filter(|n| *n != gone).collect();
    scene.apply("sticky.yaml", &yaml(10_800, &left));
    let second = ask();
    assert!(second.len() == 1 && second != first, "{second:?}");

    // With one second, a client that pauses longer is shared out anew.
    scene.apply("sticky.yaml", &yaml(1, &[1, 2, 3]));
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        let now = ask();
        assert_eq!(now.len(), 1, "{now:?}");
        seen.extend(now);
        if seen.len() > 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1_200));
    }
    panic!("eight pauses, and always {seen:?}");
}
