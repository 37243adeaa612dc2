//! The driver of the binary: a mesh comes, works, is killed, comes again, and goes.

#![expect(clippy::disallowed_types, reason = "an edit must take effect in time")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use weft_testkit::{
    Load, Place, PolicyDirectory, Rig, Snapshot, Weft, load::ask_times, manifest::Service,
    server::Http, weft,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_mesh_serves_while_its_manager_is_dead_and_leaves_nothing() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    if let Err(error) = weft::binary() {
        println!("skipped: {error}");
        return;
    }
    let (client, server) = (rig.host("client").unwrap(), rig.host("server").unwrap());
    let outside = Place::outside(&server);
    let servers = ["v1", "v2"].map(|name| Http::start(&outside, (server.v4(), 0).into(), name));
    let [one, two] = servers.map(Result::unwrap);
    let vip = SocketAddr::from((Ipv4Addr::new(10, 96, 0, 1), 80));
    let yaml = |port| {
        Service::new("shop", "web")
            .address(Ipv4Addr::new(10, 96, 0, 1))
            .tcp("http", 80, port)
            .backend("v1", &[server.v4().into()])
            .yaml()
    };
    let policy = PolicyDirectory::new(rig.directory().join("policy")).unwrap();
    policy
        .write("web.yaml", &yaml(one.address().port()))
        .unwrap();

    let mut mesh = Weft::on(&rig, Place::outside(&client), policy.path())
        .unwrap()
        .start()
        .unwrap();
    let footprint = Snapshot::of_cgroup(rig.cgroup().path()).unwrap();
    assert!(footprint.count("prog") > 0 && footprint.count("map") > 0);
    let inside = rig.inside(&client);
    let outcome = ask_times(&inside, vip, 20);
    assert_eq!(
        (outcome.answered["v1"], outcome.failed),
        (20, 0),
        "{outcome:?}"
    );
    // Outside of the cgroup the address is nobody's.
    assert_eq!(ask_times(&Place::outside(&client), vip, 3).failed, 3);

    let load = Load::start(&inside, vip, 2, Duration::from_millis(1));
    mesh.kill().unwrap();
    assert!(load.wait_for(100, 20 * SECOND));
    mesh.restart().unwrap();
    policy
        .write("web.yaml", &yaml(two.address().port()))
        .unwrap();
    assert!(load.wait_for(200, 20 * SECOND));
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}\n{}", mesh.log());
    assert!(outcome.answered.contains_key("v2"), "{outcome:?}");
    assert!(!mesh.scrape().unwrap().is_empty());
    assert!(mesh.ask(&["status"]).unwrap().contains("ready"));

    mesh.uninstall().unwrap();
    let deadline = std::iter::repeat_n(Duration::from_millis(50), 60);
    let left = || footprint.still_there().unwrap();
    deadline
        .take_while(|_| !left().is_empty())
        .for_each(std::thread::sleep);
    assert_eq!(left(), Vec::<String>::new());
    assert_eq!(ask_times(&inside, vip, 3).failed, 3);
}

/// Two files change, the second one while the manager is busy with the first.
#[test]
fn no_edit_is_lost_however_close_two_come() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    if let Err(error) = weft::binary() {
        println!("skipped: {error}");
        return;
    }
    let (client, server) = (rig.host("client").unwrap(), rig.host("server").unwrap());
    let outside = Place::outside(&server);
    let servers = ["v0", "v1"].map(|name| Http::start(&outside, (server.v4(), 0).into(), name));
    let ports = servers
        .each_ref()
        .map(|server| server.as_ref().unwrap().address().port());
    let policy = PolicyDirectory::new(rig.directory().join("policy")).unwrap();
    let write = |name: &str, last: u8, version: usize| {
        let yaml = Service::new("shop", name)
            .address(Ipv4Addr::new(10, 96, 0, last))
            .tcp("http", 80, ports[version])
            .backend("v", &[server.v4().into()])
            .without_pods()
            .yaml();
        policy.write(&format!("{name}.yaml"), &yaml).unwrap();
    };
    write("one", 1, 0);
    write("two", 2, 0);
    let mesh = Weft::on(&rig, Place::outside(&client), policy.path())
        .unwrap()
        .start()
        .unwrap();
    let inside = rig.inside(&client);
    for round in 1..=150 {
        let (version, want) = (round % 2, format!("v{}", round % 2));
        write("one", 1, version);
        // From none to longer than a change takes.
        std::thread::sleep(Duration::from_micros(40 * round as u64));
        write("two", 2, version);
        let deadline = Instant::now() + SECOND;
        for last in [1, 2] {
            let vip = SocketAddr::from((Ipv4Addr::new(10, 96, 0, last), 80));
            while ask_times(&inside, vip, 1).answered.get(&want) != Some(&1) {
                assert!(
                    Instant::now() < deadline,
                    "round {round}: the edit of service {last} has no effect\n{}",
                    mesh.log()
                );
            }
        }
    }
}
