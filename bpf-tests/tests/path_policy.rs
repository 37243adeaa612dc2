//! Live edits of the policy directory.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    fs,
    io::{ErrorKind, Write},
    time::Duration,
};

use bpf_tests::{
    Scene,
    scene::{documents, service, vip},
    wait_for,
};
use serde_json::Value;
use weft_testkit::{
    Load,
    client::connect,
    load::ask_times,
    manifest::{Service, destination_rule},
    server::Http,
};

const SECOND: Duration = Duration::from_secs(1);

/// `weft status --problems -o json`, and whether its exit code says that there are errors.
fn problems(scene: &mut Scene) -> (Vec<Value>, bool) {
    let args = ["status", "--problems", "-o", "json"];
    let output = scene.mesh().command(&args).unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    (
        all.as_array().unwrap().clone(),
        output.status.code() == Some(1),
    )
}

/// The problem that a file has.
fn problem_of(scene: &mut Scene, file: &str) -> Value {
    let mut found = Value::Null;
    wait_for("the problem to be told of", || {
        let (all, errors) = problems(scene);
        let here = |one: &&Value| one["origin"]["file"].as_str().unwrap().ends_with(file);
        found = all.iter().find(here).cloned().unwrap_or_default();
        errors && !found.is_null()
    });
    found
}

fn entries(scene: &mut Scene, map: &str) -> Vec<String> {
    let dump = scene.ask(&["map", "dump", map]);
    dump.as_array()
        .unwrap_or_else(|| dump["entries"].as_array().unwrap())
        .iter()
        .map(Value::to_string)
        .collect()
}

#[test]
fn an_edit_touches_only_the_entries_it_changes() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<Http> = (1..=3).map(|number| scene.http(number)).collect();
    let bystanders = (2..=40).map(|number| {
        Service::new("shop", &format!("s{number}"))
            .address(vip(number).ip())
            .tcp("http", 80, 8080)
            .backend("v", &[bpf_tests::scene::v4(1)])
            .without_pods()
            .yaml()
    });
    scene.write("others.yaml", &documents(bystanders));
    scene.write("web.yaml", &service("web", 1, &[1, 2]).yaml());
    scene.start();
    let inside = scene.inside();
    assert_eq!(ask_times(&inside, vip(1), 4).answered.len(), 2);
    let before = ["SERVICES", "BACKENDS"].map(|map| entries(&mut scene, map));

    scene.apply("web.yaml", &service("web", 1, &[1, 3]).yaml());
    assert_eq!(ask_times(&inside, vip(1), 4).answered["b3"], 2);
    let last = scene.status()["last_change"].clone();
    let writes = last["writes"].as_u64().unwrap();
    // State and backend, its slots, the service, the freed backend, two pods' addresses.
    assert!((3..=24).contains(&writes), "{last}");
    assert!(last["effect_seconds"].as_f64().is_some(), "{last}");
    let after = ["SERVICES", "BACKENDS"].map(|map| entries(&mut scene, map));
    let changed = |map: usize| {
        let gone = before[map].iter().filter(|one| !after[map].contains(one));
        gone.count()
    };
    assert!(changed(0) <= 1 && changed(1) <= 2, "{before:?} {after:?}");

    // Comments and order are no change.
    let generation = scene.generation();
    let yaml = format!("# nothing\n{}", service("web", 1, &[1, 3]).yaml());
    scene.write("web.yaml", &yaml);
    scene.apply("web2.yaml", &service("web2", 50, &[1]).yaml());
    assert_eq!(scene.generation(), generation + 1);
}

#[test]
fn what_is_broken_is_named_and_everything_else_and_the_last_good_state_stay() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<Http> = (1..=3).map(|number| scene.http(number)).collect();
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    scene.write("more.yaml", &service("more", 2, &[2]).yaml());
    scene.start();
    let inside = scene.inside();
    let served = |number, by: &str| {
        let outcome = ask_times(&inside, vip(number), 3);
        assert_eq!(outcome.answered.get(by), Some(&3), "{outcome:?}");
    };
    let load = Load::start(&inside, vip(1), 2, Duration::from_millis(1));
    assert_eq!(problems(&mut scene), (vec![], false));

    // One object of a file is wrong: a field by its path. The other one of the file is taken.
    let wrong = service("web", 1, &[1])
        .yaml()
        .replace("port: 80,", "port: eighty,");
    scene.write(
        "web.yaml",
        &documents([wrong, service("beside", 3, &[3]).yaml()]),
    );
    let problem = problem_of(&mut scene, "web.yaml");
    assert_eq!(problem["severity"], "error", "{problem}");
    assert_eq!(problem["origin"]["kind"], "Service", "{problem}");
    assert_eq!(problem["origin"]["name"], "web", "{problem}");
    assert!(problem["line"].as_u64().unwrap() > 0, "{problem}");
    assert!(
        problem["path"].as_str().unwrap().starts_with("spec.ports"),
        "{problem}"
    );
    wait_for("the object beside it", || {
        ask_times(&inside, vip(3), 1).failed == 0
    });
    served(1, "b1");
    served(2, "b2");
    served(3, "b3");

    // No YAML at all.
    scene.write("more.yaml", "kind: Service\n  name: [");
    let problem = problem_of(&mut scene, "more.yaml");
    assert!(problem["line"].as_u64().unwrap() > 0, "{problem}");
    served(2, "b2");

    // A rule that makes no sense leaves the service as it was.
    scene.write(
        "rule.yaml",
        &destination_rule("shop", "web", "web", "loadBalancer: {simple: SOMETIMES}"),
    );
    let problem = problem_of(&mut scene, "rule.yaml");
    assert_eq!(problem["origin"]["kind"], "DestinationRule", "{problem}");
    served(1, "b1");

    // A manager that starts with all this goes on with what an earlier one had taken.
    scene.mesh().kill().unwrap();
    scene.mesh().restart().unwrap();
    assert!(problems(&mut scene).1);
    served(1, "b1");
    served(2, "b2");

    // Mended, all of it.
    let good = service("web", 1, &[1, 2]).yaml();
    scene.write("web.yaml", &good);
    scene.write("more.yaml", &service("more", 2, &[2, 3]).yaml());
    scene.policy().remove("rule.yaml").unwrap();
    wait_for("all to be well", || !problems(&mut scene).1);
    wait_for("the edit", || {
        ask_times(&inside, vip(1), 2).answered.len() == 2
    });
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}");
}

#[test]
fn however_an_editor_writes_a_file_no_connection_fails() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<Http> = (1..=3).map(|number| scene.http(number)).collect();
    let yaml = |backends: &[u8]| service("web", 1, backends).yaml();
    scene.write("web.yaml", &yaml(&[1]));
    scene.start();
    let inside = scene.inside();
    let load = Load::start(&inside, vip(1), 2, Duration::from_millis(1));
    let path = scene.policy().file("web.yaml");
    let serves = |name: &str| {
        wait_for("the edit", || {
            ask_times(&inside, vip(1), 2).answered.get(name) == Some(&2)
        });
    };

    // The old one away, then a new one, as vim does with `backupcopy=no`.
    fs::rename(&path, path.with_extension("yaml~")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    fs::write(&path, yaml(&[2])).unwrap();
    serves("b2");

    // In place, with a pause in the middle of it longer than any other wait.
    let text = yaml(&[3]);
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&text.as_bytes()[..text.len() / 2]).unwrap();
    file.sync_all().unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    file.write_all(&text.as_bytes()[text.len() / 2..]).unwrap();
    drop(file);
    serves("b3");

    // A file of another name takes the object over before the first one goes.
    scene.write("other.yaml", &yaml(&[1]));
    std::thread::sleep(Duration::from_millis(100));
    scene.policy().remove("web.yaml").unwrap();
    serves("b1");
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}\n{}", scene.mesh().log());

    // Hidden files and backups are nobody's policy.
    scene.write(".web.yaml.swp", "{");
    scene.write("web.yaml.bak", "{");
    scene.apply("web2.yaml", &service("web2", 2, &[2]).yaml());
    wait_for("all to be well", || !problems(&mut scene).1);

    scene.policy().remove("other.yaml").unwrap();
    wait_for("the service to go", || {
        ask_times(&inside, vip(1), 1).failed == 1
    });
    let error = inside.run(|| connect(vip(1), SECOND)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{error}");
    assert_eq!(ask_times(&inside, vip(2), 2).failed, 0);
}

#[test]
fn a_directory_that_is_away_empties_nothing_and_one_in_its_place_is_watched() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<Http> = (1..=3).map(|number| scene.http(number)).collect();
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    scene.start();
    let inside = scene.inside();
    let load = Load::start(&inside, vip(1), 1, Duration::from_millis(2));
    let serves = |name: &str| {
        wait_for("the edit", || {
            ask_times(&inside, vip(1), 2).answered.get(name) == Some(&2)
        });
    };
    let path = scene.policy().path().to_owned();
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    // Longer than until the next look at the whole directory.
    std::thread::sleep(6 * SECOND);
    assert_eq!(ask_times(&inside, vip(1), 2).failed, 0);
    assert!(scene.mesh().log().contains("stays in force"));

    fs::create_dir(path.with_extension("next")).unwrap();
    let yaml = service("web", 1, &[2]).yaml();
    fs::write(path.with_extension("next").join("web.yaml"), yaml).unwrap();
    fs::rename(path.with_extension("next"), &path).unwrap();
    serves("b2");
    // More edits than looks would find before the patience is over.
    let mut edits = (1..=3).cycle().take(9);
    let mut latest = 2;
    wait_for("nine edits", || {
        let name = format!("b{latest}");
        if ask_times(&inside, vip(1), 1).answered.contains_key(&name) {
            match edits.next() {
                None => return true,
                Some(next) => latest = next,
            }
            scene.write("web.yaml", &service("web", 1, &[latest]).yaml());
        }
        false
    });
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}");
}

#[test]
fn a_full_map_is_reported_and_the_last_good_state_is_kept() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<Http> = (1..=3).map(|number| scene.http(number)).collect();
    scene.write("web.yaml", &service("web", 1, &[1, 2]).yaml());
    scene.start_with(|options| options.argument("--max-backends=16"));
    let inside = scene.inside();
    let many: Vec<u8> = (1..=30).collect();
    scene.write("many.yaml", &service("many", 2, &many).yaml());
    let (mut all, mut errors) = (Vec::new(), false);
    wait_for("the shortage to be told of", || {
        (all, errors) = problems(&mut scene);
        !all.is_empty()
    });
    let text = Value::from(all).to_string();
    assert!(
        errors && text.contains("BACKENDS") && text.contains("many"),
        "{text}"
    );
    assert!(text.contains("max-backends"), "says what to do: {text}");
    assert_eq!(ask_times(&inside, vip(1), 4).answered.len(), 2);
    // The last good state of a service that grew too large.
    scene.write("web.yaml", &service("web", 1, &many).yaml());
    wait_for("the second shortage", || {
        problems(&mut scene)
            .0
            .iter()
            .any(|one| one["origin"]["name"] == "web")
    });
    let outcome = ask_times(&inside, vip(1), 4);
    assert_eq!(
        (outcome.failed, outcome.answered.len()),
        (0, 2),
        "{outcome:?}"
    );
    // What fits again is served without being written anew.
    scene.write("web.yaml", &service("web", 1, &[3]).yaml());
    scene.write("many.yaml", &service("many", 2, &[1, 2, 3]).yaml());
    wait_for("all to be served", || {
        ask_times(&inside, vip(2), 3).answered.len() == 3
            && ask_times(&inside, vip(1), 1).answered.contains_key("b3")
    });
    // Told of no longer; two Pods with one address are worth a warning.
    assert!(!problems(&mut scene).1);
}
