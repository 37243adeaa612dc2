//! The rig itself: what tests rely on without looking.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use weft_testkit::{
    Load, Place, PolicyDirectory, Rig,
    client::{self, HttpClient},
    server::{Echo, Fault, Faulty, Http, UdpEcho},
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn hosts_of_the_switch_reach_each_other_in_both_families_and_nothing_else() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let (a, b) = (rig.host("a").unwrap(), rig.host("b").unwrap());
    let client = rig.inside(&a);
    for address in [
        SocketAddr::from((b.v4(), 8080)),
        SocketAddr::from((b.v6(), 8080)),
    ] {
        let server = Http::start(&Place::outside(&b), address, "one").unwrap();
        let answer = client
            .run(|| client::fetch(server.address(), "/", SECOND))
            .unwrap();
        assert_eq!((answer.status, answer.server.as_str()), (200, "one"));
        let peer = answer.peer.unwrap().ip();
        assert!(peer == a.v4() || peer == a.v6(), "{peer}");
        let mapped = client.run(|| client::fetch(client::mapped(address), "/", SECOND));
        assert_eq!(mapped.unwrap().server, "one");
    }
    let vip = SocketAddr::from((Ipv4Addr::new(10, 96, 0, 1), 80));
    let nowhere = client.run(|| client::connect(vip, SECOND)).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn threads_and_processes_run_in_the_cgroup_and_siblings_do_not() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let a = rig.host("a").unwrap();
    let (inside, outside) = (rig.inside(&a), Place::outside(&a));
    let sibling = Place::inside(&a, &rig.sibling_cgroup("plain").unwrap());
    let name = rig
        .cgroup()
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let of_thread =
        |place: &Place| place.run(|| std::fs::read_to_string("/proc/thread-self/cgroup"));
    let of_process = |place: &Place| place.output("cat", &["/proc/self/cgroup"]);
    let ends = |text: String, end: &str| {
        text.lines()
            .any(|line| line.starts_with("0::") && line.ends_with(end))
    };
    assert!(ends(of_thread(&inside).unwrap(), &format!("/{name}")));
    assert!(ends(of_process(&inside).unwrap(), &format!("/{name}")));
    assert!(!ends(of_thread(&outside).unwrap(), &format!("/{name}")));
    assert!(!ends(of_process(&outside).unwrap(), &format!("/{name}")));
    assert!(ends(
        of_thread(&sibling).unwrap(),
        &format!("/{name}-plain")
    ));
    let devices = inside.output("cat", &["/proc/net/dev"]).unwrap();
    assert!(devices.contains("eth0"), "{devices}");
}

#[test]
fn nothing_is_left_after_a_panic() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let a = rig.host("gone").unwrap();
    let (namespace, cgroup) = (a.path(), rig.cgroup().path().to_owned());
    let directory = rig.directory().to_owned();
    assert!(namespace.exists() && cgroup.exists() && directory.exists());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _inside = (rig, a);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    for path in [&namespace, &cgroup, &directory] {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn what_a_dead_process_left_is_swept() {
    let Some(_rig) = Rig::or_skip() else { return };
    // Larger than any process id the kernel gives (PID_MAX_LIMIT is 2^22).
    let name = "weft-4999999-0-left";
    let namespace = Path::new("/run/netns").join(name);
    std::process::Command::new("ip")
        .args(["netns", "add", name])
        .status()
        .unwrap();
    assert!(namespace.exists());
    weft_testkit::sweep();
    assert!(!namespace.exists());
}

#[test]
fn servers_greet_echo_and_stop_with_their_connections() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let (a, b) = (rig.host("a").unwrap(), rig.host("b").unwrap());
    let (client, place) = (rig.inside(&a), Place::outside(&b));
    let echo = Echo::start(&place, (b.v4(), 0).into(), "first").unwrap();
    let to = echo.address();
    assert_eq!(
        client.run(|| client::greeting(to, SECOND)).unwrap(),
        "first"
    );
    let mut stream = client.run(|| client::connect(to, SECOND)).unwrap();
    let mut answers = [0; 11];
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(&answers, b"first\nhello");
    echo.service().reset_connections();
    let reset = client::round_trip(&mut stream, b"hello").unwrap_err();
    assert!(
        matches!(
            reset.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{reset}"
    );
    drop(echo);
    let gone = client.run(|| client::connect(to, SECOND)).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);

    let udp = UdpEcho::start(&place, (b.v6(), 0).into(), "second").unwrap();
    let to = udp.address();
    let asked = client.run(|| client::UdpClient::new(to, SECOND)?.ask(to, "x"));
    assert_eq!(asked.unwrap(), ("second x".to_owned(), to));
    let asked = client.run(|| client::ask_connected(to, "y", SECOND));
    assert_eq!(asked.unwrap(), "second y");
}

#[test]
fn faulty_servers_fail_as_named() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let (a, b) = (rig.host("a").unwrap(), rig.host("b").unwrap());
    let (client, place) = (rig.inside(&a), Place::outside(&b));
    let greet = |fault| {
        let server = Faulty::start(&place, (b.v4(), 0).into(), fault).unwrap();
        let to = server.address();
        client
            .run(|| client::greeting(to, SECOND / 5))
            .unwrap_err()
            .kind()
    };
    assert_eq!(greet(Fault::Refuse), ErrorKind::ConnectionRefused);
    assert_eq!(greet(Fault::Reset), ErrorKind::ConnectionReset);
    assert_eq!(greet(Fault::Stall), ErrorKind::WouldBlock);
    let server = Faulty::start(&place, (b.v4(), 0).into(), Fault::ResetOnData).unwrap();
    let mut stream = client
        .run(|| client::connect(server.address(), SECOND))
        .unwrap();
    let reset = client::round_trip(&mut stream, b"x").unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_load_counts_answers_by_server_and_notes_failures() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let (a, b) = (rig.host("a").unwrap(), rig.host("b").unwrap());
    let server = Http::start(&Place::outside(&b), (b.v4(), 0).into(), "v1").unwrap();
    let load = Load::start(
        &rig.inside(&a),
        server.address(),
        2,
        Duration::from_millis(1),
    );
    assert!(load.wait_for(50, 10 * SECOND));
    drop(server);
    assert!(load.wait_for(4, 10 * SECOND));
    let outcome = load.stop();
    assert!(outcome.answered["v1"] >= 48, "{outcome:?}");
    assert!(
        outcome.failed > 0 && !outcome.failures.is_empty(),
        "{outcome:?}"
    );
}

#[test]
fn connections_are_kept_between_requests() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let (a, b) = (rig.host("a").unwrap(), rig.host("b").unwrap());
    let server = Http::start(&Place::outside(&b), (b.v4(), 0).into(), "v1").unwrap();
    let mut client = rig
        .inside(&a)
        .run(|| HttpClient::connect(server.address(), SECOND))
        .unwrap();
    let peers: Vec<_> = (0..3).map(|_| client.request("/").unwrap().peer).collect();
    assert_eq!(peers[0], Some(client.stream().local_addr().unwrap()));
    assert!(peers.iter().all(|peer| *peer == peers[0]));
    assert_eq!(server.service().accepted(), 1);
}

#[test]
fn policy_files_are_replaced_in_one_step() {
    let Some(rig) = Rig::or_skip() else { return };
    let policy = PolicyDirectory::new(rig.directory().join("policy")).unwrap();
    policy.write("web.yaml", "a: 1\n").unwrap();
    policy.write("web.yaml", "a: 2\n").unwrap();
    let names: Vec<_> = std::fs::read_dir(policy.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["web.yaml"]);
    assert_eq!(
        std::fs::read_to_string(policy.file("web.yaml")).unwrap(),
        "a: 2\n"
    );
    policy.remove("web.yaml").unwrap();
    assert!(!policy.file("web.yaml").exists());
}
