//! The driver of the binary: a mesh comes, works, is killed, comes again, and goes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
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
