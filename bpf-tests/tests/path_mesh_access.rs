//! The access log of a mesh of two nodes.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use bpf_tests::{
    MeshScene,
    mesh::{PATIENCE, PORT, vip},
    wait_for,
};
use serde_json::Value;
use weft_testkit::{client, server::Echo};

/// Lines of the access log of a node about connections to a workload.
fn lines_of(log: &Path, workload: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["dst.workload"] == workload)
        .collect()
}

/// Five bytes to the server, eight back.
fn talk(mut stream: TcpStream) {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    client::round_trip(&mut stream, b"hello").unwrap();
}

#[test]
fn the_access_log_has_what_the_kernel_carried_and_what_the_proxy_did() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    let logs = [0, 1].map(|node| {
        scene
            .cluster
            .rig()
            .directory()
            .join(format!("access-{node}"))
    });
    scene.start_with(|node, options| {
        let path = logs[node].to_string_lossy();
        let options = options.argument("--log").argument("json");
        options.argument("--access-log").argument(&path)
    });
    let _servers = [&scene.web, &scene.near]
        .map(|pod| Echo::start(&pod.inside(), pod.at(PORT), "hi").unwrap());
    // From outside of the mesh, and from the node itself.
    let outside = [
        (scene.outsider.inside(), "outsider"),
        (scene.cluster.node(1).inside(), ""),
    ];
    for (from, _) in &outside {
        let stream = from.run(|| client::connect(scene.web.at(PORT), PATIENCE));
        talk(stream.unwrap());
    }
    wait_for("lines of what was accepted", || {
        lines_of(&logs[1], "web").len() == outside.len()
    });
    let lines = lines_of(&logs[1], "web");
    for (_, workload) in &outside {
        let client = |line: &&Value| line["src.workload"].as_str().unwrap_or_default() == *workload;
        let line = lines.iter().find(client).unwrap();
        assert_eq!(line["direction"], "inbound", "{line}");
        assert!(line.get("src.identity").is_none(), "{line}");
        assert_eq!(
            (&line["bytes_sent"], &line["bytes_recv"]),
            (&8.into(), &5.into()),
            "{line}"
        );
    }
    scene.strict();
    for to in [vip(1), vip(2)] {
        let stream = scene.client.inside().run(|| client::connect(to, PATIENCE));
        talk(stream.unwrap());
    }
    wait_for("lines of both connections", || {
        !lines_of(&logs[0], "near").is_empty() && !lines_of(&logs[0], "web").is_empty()
    });
    let line = lines_of(&logs[0], "near").remove(0);
    let near = scene.near.at(PORT).to_string();
    for (field, value) in [
        ("src.workload", "client"),
        ("src.identity", &scene.client.identity()),
        ("dst.identity", &scene.near.identity()),
        ("dst.addr", near.as_str()),
        ("dst.service", "near.shop.svc.cluster.local"),
        ("direction", "outbound"),
        ("response_flags", "-"),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert_eq!(
        (&line["bytes_sent"], &line["bytes_recv"]),
        (&5.into(), &8.into()),
        "{line}"
    );
    assert!(line.get("dst.hbone_addr").is_none(), "{line}");
    // What the kernel refuses.
    let (near_pod, client) = (scene.near.clone(), scene.client.clone());
    scene.admit(&near_pod, &[&client]);
    let refused = scene
        .other
        .inside()
        .run(|| client::connect(near_pod.at(PORT), PATIENCE));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    wait_for("a line of the refusal", || {
        let lines = lines_of(&logs[0], "near");
        lines.iter().any(|line| line["direction"] == "inbound")
    });
    let lines = lines_of(&logs[0], "near");
    let line = lines.iter().find(|line| line["direction"] == "inbound");
    let line = line.unwrap();
    assert_eq!(line["response_flags"], "DENY", "{line}");
    assert_eq!(line["src.workload"], "other", "{line}");
    assert_eq!(line["src.identity"], scene.other.identity(), "{line}");
    let policy = line["policy"].as_str().unwrap();
    assert!(policy.starts_with("no ALLOW rule matched"), "{line}");
    // A server that nobody runs.
    let nobody = SocketAddr::new(scene.near.at(PORT).ip(), PORT + 1);
    let error = scene
        .client
        .inside()
        .run(|| client::connect(nobody, PATIENCE))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    wait_for("a line of the connect that failed", || {
        let lines = lines_of(&logs[0], "near");
        let failed = |line: &&Value| line["response_flags"] == "CONNECT";
        lines.iter().filter(failed).count() == 2
    });
    // That event came last: the proxy's connection is not told of a second time by the kernel, nor
    // one within the node by its server.
    let lines = lines_of(&logs[0], "near");
    let inbound = lines.iter().filter(|line| line["direction"] == "inbound");
    assert_eq!((lines.len(), inbound.count()), (4, 1), "{lines:?}");
    let lines = lines_of(&logs[0], "web");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].get("dst.hbone_addr").is_some(), "{lines:?}");
}
