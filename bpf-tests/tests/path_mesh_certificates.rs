//! Certificates of a mesh of two nodes: rotated under load, missing, expired, of others.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a test's set-up may panic, and effects come in time"
)]

use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bpf_tests::{
    MeshScene,
    mesh::{PORT, ask, vip},
    wait_for,
};
use weft_testkit::{
    Load, client,
    cluster::Pod,
    server::{Echo, Http},
    weft::{WeftOptions, offline},
};

const SECOND: Duration = Duration::from_secs(1);

/// Life of a certificate in these tests.
const TTL: &str = "10s";

fn http(pod: &Pod) -> Http {
    Http::start(&pod.inside(), pod.at(PORT), pod.account()).unwrap()
}

fn short_lived(_node: usize, options: WeftOptions) -> WeftOptions {
    options.argument("--cert-ttl").argument(TTL)
}

fn load(scene: &MeshScene, to: SocketAddr) -> Load {
    let load = Load::start(&scene.client.inside(), to, 2, Duration::from_millis(5));
    assert!(load.wait_for(20, 20 * SECOND), "the load does not begin");
    load
}

#[test]
fn certificates_rotate_under_load_without_a_failed_request() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start_with(short_lived);
    scene.strict();
    let _web = http(&scene.web);
    let before = certificate(&mut scene);
    let load = load(&scene, vip(1));
    // Three lives, with the pooled connections' certificates long expired at the end.
    std::thread::sleep(24 * SECOND);
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}");
    assert!(outcome.total() > 500, "{outcome:?}");
    let after = certificate(&mut scene);
    assert!(before <= 10 && after > 0, "{before} {after}");
}

/// Seconds that the server's certificate still has.
fn certificate(scene: &mut MeshScene) -> i64 {
    let list = scene.ask(1, &["workloads"]);
    list[0]["certificate_expires_seconds"].as_i64().unwrap()
}

#[test]
fn the_mesh_lives_on_while_the_authority_is_away_and_refuses_when_certificates_have_expired() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start_with(short_lived);
    scene.strict();
    let web = http(&scene.web);
    let client = scene.client.inside();
    assert_eq!(ask(&client, vip(1)).unwrap().0, "web");
    scene.cluster.reach_authority(false).unwrap();
    // At most half of its life is used up.
    for _ in 0..10 {
        assert_eq!(ask(&client, vip(1)).unwrap().0, "web");
        std::thread::sleep(SECOND / 5);
    }
    wait_for("the certificate to expire", || certificate(&mut scene) < 0);
    std::thread::sleep(SECOND);
    let accepted = web.service().accepted();
    assert!(
        ask(&client, vip(1)).is_err(),
        "an expired certificate is believed"
    );
    assert_eq!(web.service().accepted(), accepted);
    scene.cluster.reach_authority(true).unwrap();
    wait_for("a new certificate", || ask(&client, vip(1)).is_ok());
}

#[test]
fn a_server_with_another_identity_than_expected_is_not_talked_to() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    // The second node believes that `web` runs as somebody else.
    scene.cluster.part_policies().unwrap();
    scene.start();
    scene.strict();
    let web = http(&scene.web);
    assert_eq!(ask(&scene.client.inside(), vip(1)).unwrap().0, "web");
    let pod = scene.web.yaml();
    let wrong = pod.replace("serviceAccountName: web", "serviceAccountName: mallory");
    assert_ne!(pod, wrong);
    let written = scene.cluster.write_second("pod-shop-web.yaml", &wrong);
    written.unwrap();
    wait_for("the other identity", || {
        scene.ask(1, &["workloads"])[0]["identity"]
            .as_str()
            .is_some_and(|identity| identity.ends_with("/sa/mallory"))
    });
    let client = scene.client.inside();
    wait_for("the server to be refused", || ask(&client, vip(1)).is_err());
    let accepted = web.service().accepted();
    for _ in 0..5 {
        assert!(ask(&client, vip(1)).is_err());
    }
    assert_eq!(web.service().accepted(), accepted);
}

#[test]
fn a_server_of_another_trust_domain_is_not_talked_to() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.cluster.part_policies().unwrap();
    let config = "apiVersion: v1\nkind: ConfigMap\n\
                  metadata: {name: istio, namespace: istio-system}\n\
                  data:\n  mesh: |\n    trustDomain: elsewhere.example\n";
    scene.cluster.write_second("mesh.yaml", config).unwrap();
    let elsewhere = scene.cluster.rig().directory().join("elsewhere");
    let shown = elsewhere.to_string_lossy();
    let (init, domain) = (["ca", "init", "--dir"], "elsewhere.example");
    offline(&[&init[..], &[&shown, "--trust-domain", domain]].concat()).unwrap();
    scene
        .cluster
        .start_with(|node, options| match node {
            0 => options,
            _ => ["--ca-address", "--ca-root", "--ca-token-file"]
                .iter()
                .fold(options, |options, flag| options.without(flag))
                .argument("--ca")
                .argument(&elsewhere.to_string_lossy()),
        })
        .unwrap();
    scene.strict();
    let web = http(&scene.web);
    for _ in 0..5 {
        assert!(ask(&scene.client.inside(), vip(1)).is_err());
    }
    assert_eq!(web.service().accepted(), 0);
}

#[test]
fn a_root_is_replaced_under_load_with_both_in_force_meanwhile() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start_with(short_lived);
    scene.strict();
    let _web = http(&scene.web);
    let load = load(&scene, vip(1));
    let directory = scene.cluster.authority().unwrap().to_owned();
    let next = directory.with_extension("next");
    offline(&["ca", "init", "--dir", &next.to_string_lossy()]).unwrap();
    let read = |directory: &std::path::Path, file: &str| {
        std::fs::read_to_string(directory.join(file)).unwrap()
    };
    let replace = |file: &str, text: &str| {
        let draft = directory.join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, directory.join(file)).unwrap();
    };
    let (old, new) = (
        read(&directory, "root-cert.pem"),
        read(&next, "root-cert.pem"),
    );
    // Both roots are believed; then the new one signs; then the old one is gone.
    replace("root-cert.pem", &format!("{old}{new}"));
    std::thread::sleep(10 * SECOND);
    for file in ["ca-cert.pem", "ca-key.pem", "cert-chain.pem"] {
        if next.join(file).exists() {
            replace(file, &read(&next, file));
        }
    }
    std::thread::sleep(10 * SECOND);
    replace("root-cert.pem", &new);
    std::thread::sleep(10 * SECOND);
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}");
    assert_eq!(ask(&scene.client.inside(), vip(1)).unwrap().0, "web");
}

fn openssl(args: &[&str]) -> String {
    let mut command = Command::new("openssl");
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The certificate that a proxy shows, in a file.
fn shown(scene: &MeshScene, pod: &Pod) -> PathBuf {
    let at = SocketAddr::new(pod.at(PORT).ip(), 15_008).to_string();
    let connect = ["s_client", "-alpn", "h2", "-connect", &at];
    let shown = scene.outsider.inside().run(|| openssl(&connect));
    let file = scene.cluster.rig().directory().join("shown.pem");
    std::fs::write(&file, shown).unwrap();
    file
}

/// Has openssl write a revocation list beside the authority's files.
fn revoke_with_openssl(authority: &Path, certificate: &Path) {
    let certificate = certificate.to_string_lossy();
    let printed = openssl(&["x509", "-noout", "-serial", "-in", &certificate]);
    let serial = printed.trim().strip_prefix("serial=").unwrap();
    let path = |name: &str| authority.join(name).to_string_lossy().into_owned();
    let index = format!("R\t401231235959Z\t250101000000Z\t{serial}\tunknown\t/CN=x\n");
    std::fs::write(path("index"), index).unwrap();
    let config = format!(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\n\
         crlnumber = {}\ncrl_extensions = ext\ndefault_md = sha256\ndefault_crl_days = 1\n\
         [ext]\nauthorityKeyIdentifier = keyid\n",
        path("index"),
        path("number")
    );
    std::fs::write(path("number"), "01\n").unwrap();
    std::fs::write(path("config"), config).unwrap();
    let (key, certificate) = (path("ca-key.pem"), path("ca-cert.pem"));
    let list = openssl(&[
        "ca",
        "-gencrl",
        "-config",
        &path("config"),
        "-keyfile",
        &key,
        "-cert",
        &certificate,
    ]);
    std::fs::write(path("draft"), list).unwrap();
    std::fs::rename(path("draft"), path("ca-crl.pem")).unwrap();
}

/// Makes the signature of a list a wrong one.
fn forge(list: &Path) {
    let der = list.with_extension("der");
    let (from, to) = (list.to_string_lossy(), der.to_string_lossy());
    openssl(&["crl", "-in", &from, "-outform", "DER", "-out", &to]);
    let mut bytes = std::fs::read(&der).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&der, bytes).unwrap();
    let draft = list.with_extension("draft");
    let forged = draft.to_string_lossy();
    openssl(&["crl", "-inform", "DER", "-in", &to, "-out", &forged]);
    std::fs::rename(draft, list).unwrap();
}

fn revoke_with_weft(authority: &Path, certificate: &Path) {
    let (dir, file) = (authority.to_string_lossy(), certificate.to_string_lossy());
    let revoke = ["ca", "revoke", "--dir", &dir, "--certificate", &file];
    let told = offline(&revoke).unwrap();
    assert!(told.starts_with("revoked  serial "), "{told}");
}

#[test]
fn a_revoked_certificate_cuts_live_connections_within_a_second_and_carries_no_new_ones() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    cuts(&mut scene, revoke_with_weft);
}

#[test]
fn lists_are_renewed_a_forged_one_is_told_and_one_of_openssl_cuts_live_connections() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    let authority = scene.cluster.authority().unwrap().to_owned();
    let (dir, list) = (authority.to_string_lossy(), authority.join("ca-crl.pem"));
    let renew = ["ca", "revoke", "--dir", &dir, "--renew"];
    offline(&[&renew[..], &["--ttl", "4s"]].concat()).unwrap();
    wait_for("the manager to renew the list", || {
        let shown = offline(&["ca", "show", "--dir", &dir]).unwrap();
        shown.contains("list   number 2 ")
    });
    offline(&renew).unwrap();
    forge(&list);
    wait_for("the list to be told of", || {
        let problems = scene.ask(0, &["status", "--problems"]);
        problems.as_array().unwrap().iter().any(|problem| {
            problem["code"] == "revocation-list"
                && problem["origin"]["file"] == *list.to_string_lossy()
                && problem["message"]
                    .as_str()
                    .unwrap()
                    .contains("not signed by")
        })
    });
    cuts(&mut scene, revoke_with_openssl);
}

fn cuts(scene: &mut MeshScene, revoke: fn(&Path, &Path)) {
    scene.strict();
    let _web = Echo::start(&scene.web.inside(), scene.web.at(PORT), "").unwrap();
    let _near = Echo::start(&scene.near.inside(), scene.near.at(PORT), "").unwrap();
    let client = scene.client.inside();
    let patience = 20 * SECOND;
    let talk = |to| client.run(|| client::connect(to, patience)).unwrap();
    let (mut cut, mut kept) = (talk(vip(1)), talk(vip(2)));
    for stream in [&mut cut, &mut kept] {
        assert_eq!(client::round_trip(stream, b"one").unwrap(), b"one");
    }
    let authority = scene.cluster.authority().unwrap().to_owned();
    revoke(&authority, &shown(scene, &scene.web));
    let began = Instant::now();
    assert!(!matches!(cut.read(&mut [0]), Ok(1..)));
    let took = began.elapsed();
    assert!(took < SECOND, "cut after {took:?}");
    let fresh = client.run(|| {
        let mut stream = client::connect(vip(1), patience)?;
        client::round_trip(&mut stream, b"two")
    });
    assert!(fresh.is_err(), "a revoked certificate is believed");
    wait_for("the refusals to be told", || {
        scene.denied(0, "revoked").len() >= 2
    });
    let told = scene.denied(0, "revoked").remove(0);
    assert_eq!(told["dst"]["workload"], "web", "{told}");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.to_lowercase().contains("revoked"), "{told}");
    assert_eq!(client::round_trip(&mut kept, b"two").unwrap(), b"two");
}
