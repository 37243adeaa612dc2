//! Outlier detection from what the kernel sees: refused connects and resets before an answer.

use std::{collections::BTreeMap, io::Write, net::SocketAddr, time::Duration};

use bpf_tests::{
    Scene,
    scene::{PORT, documents, service, v4, vip},
    wait_for,
};
use weft_testkit::{
    Place,
    client::{connect, fetch},
    load::ask_times,
    manifest::destination_rule,
    server::{Fault, Faulty},
};

const SECOND: Duration = Duration::from_secs(1);

fn policy(backends: &[u8], percent: u8, base: &str) -> String {
    let detection = format!(
        "outlierDetection: {{consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: {base}, \
         maxEjectionPercent: {percent}}}"
    );
    documents([
        service("web", 1, backends).yaml(),
        destination_rule("shop", "web", "web", &detection),
    ])
}

/// Asks until that many have failed; how often it had to ask.
fn ask_until_failed(place: &Place, to: SocketAddr, failures: u32) -> u32 {
    place.run(|| {
        let (mut asked, mut failed) = (0, 0);
        while failed < failures {
            assert!(asked < 500, "{failed} of {asked} failed");
            asked += 1;
            failed += u32::from(fetch(to, "/", SECOND).is_err());
        }
        asked
    })
}

#[test]
fn a_dead_backend_is_ejected_told_of_and_tried_again_when_its_time_is_up() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _well = scene.http(1);
    let ill = scene.http(2);
    scene.write("web.yaml", &policy(&[1, 2], 100, "4s"));
    scene.start();
    let inside = scene.inside();
    assert_eq!(ask_times(&inside, vip(1), 10).failed, 0);

    drop(ill);
    // Round robin: every second one fails, and after three nobody gets there.
    assert!(ask_until_failed(&inside, vip(1), 3) <= 6);
    wait_for("the ejection", || {
        scene.metric("weft_ejections_total", &[]) == 1.0
    });
    let outcome = ask_times(&inside, vip(1), 40);
    assert_eq!((outcome.failed, outcome.answered["b1"]), (0, 40));

    let status = scene.status();
    assert_eq!(status["ejected"], 1);
    let event = &status["events"][0];
    assert_eq!(event["cause"], "connect_failed", "{event}");
    assert_eq!(event["backend"], format!("{}:{PORT}", v4(2)), "{event}");
    assert_eq!(event["workload"], "shop/web-b2", "{event}");
    let ejected = [("state", "ejected"), ("destination_service_name", "web")];
    assert_eq!(scene.metric("weft_backends", &ejected), 1.0);
    let report = scene.ask(&["service", "get", "web", "--namespace", "shop"]);
    let endpoints = report["ports"][0]["pools"][0]["endpoints"].clone();
    assert_eq!(endpoints[1]["state"], "ejected", "{endpoints}");
    assert!(scene.mesh().log().contains("ejected for"));

    // An ejection outlives the manager, and so does its end.
    scene.mesh().kill().unwrap();
    scene.mesh().restart().unwrap();
    assert_eq!(ask_times(&inside, vip(1), 4).failed, 0);
    let _ill = scene.http(2);
    wait_for("the backend to be tried again", || {
        ask_times(&inside, vip(1), 4).answered.contains_key("b2")
    });
    wait_for("status to say so", || scene.status()["ejected"] == 0);
    let outcome = ask_times(&inside, vip(1), 20);
    let even: BTreeMap<String, u64> = [("b1".to_owned(), 10), ("b2".to_owned(), 10)].into();
    assert_eq!((outcome.failed, outcome.answered), (0, even));
}

#[test]
fn a_backend_that_resets_before_it_answers_is_ejected() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _well = scene.http(1);
    let outside = scene.outside();
    let _ill = Faulty::start(&outside, (v4(2), PORT).into(), Fault::ResetOnData).unwrap();
    scene.write("web.yaml", &policy(&[1, 2], 100, "60s"));
    scene.start();
    let inside = scene.inside();
    assert!(ask_until_failed(&inside, vip(1), 3) <= 6);
    wait_for("the ejection", || {
        scene.metric("weft_ejections_total", &[]) == 1.0
    });
    let outcome = ask_times(&inside, vip(1), 30);
    assert_eq!((outcome.failed, outcome.answered["b1"]), (0, 30));
    assert_eq!(scene.status()["events"][0]["cause"], "reset");
    // Without outlier detection it is taken back at once.
    scene.write("web.yaml", &service("web", 1, &[1, 2]).yaml());
    wait_for("the backend to be taken back", || {
        ask_times(&inside, vip(1), 2).failed > 0
    });
}

#[test]
fn a_client_that_aborts_is_nothing_against_the_backend() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _well = scene.http(1);
    scene.write("web.yaml", &policy(&[1], 100, "60s"));
    scene.start();
    let inside = scene.inside();
    inside.run(|| {
        for _ in 0..10 {
            // RST by the client, before and after it has said something.
            let mut stream = connect(vip(1), SECOND).unwrap();
            weft_testkit::server::reset_on_close(&stream);
            stream.write_all(b"GET / HTTP").unwrap();
        }
    });
    assert_eq!(ask_times(&inside, vip(1), 10).failed, 0);
    assert_eq!(scene.status()["ejected"], 0);
    assert_eq!(scene.metric("weft_ejections_total", &[]), 0.0);
}

#[test]
fn no_more_than_the_allowed_share_is_ejected() {
    let Some(mut scene) = Scene::or_skip(4) else {
        return;
    };
    let _well = [scene.http(1), scene.http(2)];
    // Both dead ones would go, were one in four not the limit.
    scene.write("web.yaml", &policy(&[1, 2, 3, 4], 25, "60s"));
    scene.start();
    let inside = scene.inside();
    ask_until_failed(&inside, vip(1), 12);
    wait_for("the refusal of an ejection", || {
        scene.metric("weft_ejections_refused_total", &[]) > 0.0
    });
    assert_eq!(scene.metric("weft_ejections_total", &[]), 1.0);
    assert_eq!(scene.status()["ejected"], 1);
    // One of the three that are left is dead, and goes on being asked.
    let outcome = ask_times(&inside, vip(1), 30);
    assert!((5..=15).contains(&outcome.failed), "{outcome:?}");
}
