//! The cluster without a mesh: what tests of the mesh rely on without looking.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::Ordering,
    time::Duration,
};

use weft_testkit::{
    Capture, Cluster,
    client::{self, greeting},
    exchange::{self, Exchanger},
    process,
    rig::skip_reason,
    server::{Echo, Http},
};

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn cluster() -> Option<Cluster> {
    if let Some(reason) = skip_reason() {
        println!("skipped: {reason}");
        return None;
    }
    Some(Cluster::new().expect("a cluster, as root"))
}

#[test]
fn pods_and_nodes_reach_each_other_in_both_families_and_nothing_else() {
    let Some(mut cluster) = cluster() else {
        return;
    };
    let near = cluster.pod(0, "shop/near", "near").unwrap();
    let far = cluster.pod(1, "shop/far", "far").unwrap();
    let servers: Vec<Http> = [&near, &far]
        .iter()
        .flat_map(|pod| [(pod, pod.at(8080)), (pod, pod.at6(8080))])
        .map(|(pod, address)| Http::start(&pod.outside(), address, &pod.name()).unwrap())
        .collect();
    for server in &servers {
        let places = [
            (near.inside(), near.addresses().to_vec()),
            (far.inside(), far.addresses().to_vec()),
            (cluster.node(0).inside(), Vec::new()),
            (cluster.node(1).outside(), Vec::new()),
        ];
        for (place, addresses) in places {
            let answer = place.run(|| client::fetch(server.address(), "/", SECOND));
            let peer = answer.unwrap().peer.unwrap().ip();
            assert!(addresses.is_empty() || addresses.contains(&peer), "{peer}");
        }
    }
    let vip = SocketAddr::from((Ipv4Addr::new(10, 96, 0, 1), 80));
    let nowhere = near.inside().run(|| client::connect(vip, SECOND));
    assert_eq!(
        nowhere.unwrap_err().kind(),
        std::io::ErrorKind::NetworkUnreachable
    );
}

#[test]
fn an_address_serves_another_pod_at_once() {
    let Some(mut cluster) = cluster() else {
        return;
    };
    let client = cluster.pod(0, "shop/client", "client").unwrap();
    for name in ["one", "two", "three"] {
        let pod = cluster
            .pod_at(1, 77, &format!("shop/{name}"), name)
            .unwrap();
        let echo = Echo::start(&pod.outside(), pod.at(8080), name).unwrap();
        let said = client.inside().run(|| greeting(echo.address(), 3 * SECOND));
        assert_eq!(said.unwrap(), name);
        cluster.remove_pod(&pod).unwrap();
    }
}

#[test]
fn a_capture_sees_what_passes_between_nodes_and_only_that() {
    let Some(mut cluster) = cluster() else {
        return;
    };
    let client = cluster.pod(0, "shop/client", "client").unwrap();
    let near = cluster.pod(0, "shop/near", "near").unwrap();
    let far = cluster.pod(1, "shop/far", "far").unwrap();
    let capture = Capture::uplink(cluster.node(0)).unwrap();
    for (pod, marker) in [(&near, "near-marker"), (&far, "far-marker")] {
        let echo = Echo::start(&pod.outside(), pod.at(8080), "").unwrap();
        let sent = client.inside().run(|| {
            let mut stream = client::connect(echo.address(), SECOND)?;
            client::round_trip(&mut stream, marker.as_bytes())
        });
        assert_eq!(sent.unwrap(), marker.as_bytes());
    }
    let recording = capture.stop();
    assert!(recording.contains(b"far-marker"));
    assert!(!recording.contains(b"near-marker"));
    assert!(!recording.tcp_beside(15008).is_empty());
    assert!(recording.tcp_beside(8080).is_empty());
    let streams = recording.streams();
    assert_eq!(streams.len(), 2, "{streams:?}");
    for stream in streams {
        assert_eq!(stream.bytes, b"far-marker");
        assert!(stream.is_from_start && stream.behind_gap == 0);
        assert!(stream.tls_records().is_err());
    }
}

#[test]
fn exchanges_over_plain_tcp_are_whole_and_end_as_meant() {
    let Some(mut cluster) = cluster() else {
        return;
    };
    let client = cluster.pod(0, "shop/client", "client").unwrap();
    let server = cluster.pod(1, "shop/server", "server").unwrap();
    let exchanger = Exchanger::start(&server.outside(), server.at(9000)).unwrap();
    let exchanged = exchange::storm(&client.inside(), exchanger.address(), 8, 800, 1);
    assert_eq!((exchanged.good, exchanged.bad), (800, 0), "{exchanged:?}");
    std::thread::sleep(SECOND / 5);
    let tally = exchanger.tally();
    assert_eq!(tally.broken.load(Ordering::Relaxed), 0, "{tally:?}");
    assert_eq!(tally.blunted.load(Ordering::Relaxed), 0, "{tally:?}");
    assert!(tally.resets.load(Ordering::Relaxed) > 20, "{tally:?}");
}

#[test]
fn a_process_uses_memory_and_time() {
    let own = std::process::id();
    let before = process::cpu_time(own).unwrap();
    let mut sum = 0_u64;
    while process::cpu_time(own).unwrap() < before + SECOND / 20 {
        sum = sum.wrapping_add(std::hint::black_box(1));
    }
    assert!(sum > 0 && process::resident(own).unwrap() > 1 << 20);
}
