//! Steps in which something dies, and what is left of it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use weft_testkit::{Snapshot, client, load::ask_times};

use super::{
    balancing::{load, tell},
    stage::Stage,
    story::Story,
};

const SECOND: Duration = Duration::from_secs(1);

/// A backend dies, is ejected, comes back.
pub(super) fn backend_killed(story: &mut Story, stage: &mut Stage) -> Result<()> {
    story.step(
        "A backend dies",
        "kill -9 of the process of v2, its endpoint still listed as ready; 200 connections",
        "three failures in a row eject it (the DestinationRule says so), then none fails",
    )?;
    let before = ejections(stage)?;
    let pid = stage.servers[1].kill()?;
    let hit = ask_times(&stage.client, stage.web(), 100);
    let after = ask_times(&stage.client, stage.web(), 100);
    story.see(
        (1..=6).contains(&hit.failed),
        &format!("first 100 after the death of process {pid}: {}", tell(&hit)),
    );
    story.see(
        after.failed == 0 && after.answered.len() == 2,
        &format!("next 100: {}", tell(&after)),
    );
    let ejected = await_ejection(stage, before)?;
    story.see(
        ejected > before,
        &format!("weft_ejections_total grew from {before} to {ejected}"),
    );
    if let Ok((_, status)) = stage.mesh.get("/state/status") {
        story.quote(&first_event(&status));
    }

    story.step(
        "It comes back",
        "v2 is started again; requests go on",
        "after baseEjectionTime (3 s) v2 gets connections again, none fails",
    )?;
    stage.servers[1].start()?;
    let begin = Instant::now();
    let load = load(stage)?;
    std::thread::sleep(5 * SECOND);
    let outcome = load.stop();
    story.see(
        outcome.failed == 0 && outcome.answered.contains_key("v2"),
        &format!("within {:.0?}: {}", begin.elapsed(), tell(&outcome)),
    );
    Ok(())
}

fn ejections(stage: &Stage) -> Result<f64> {
    let metrics = stage.mesh.scrape()?;
    Ok(metrics.sum("weft_ejections_total", &[]).unwrap_or(0.0))
}

/// Counters are read from the kernel from time to time; waits for that.
fn await_ejection(stage: &Stage, before: f64) -> Result<f64> {
    let deadline = Instant::now() + 5 * SECOND;
    loop {
        let now = ejections(stage)?;
        if now > before || Instant::now() > deadline {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The latest event of `/state/status`.
fn first_event(status: &str) -> String {
    let event = serde_json::from_str::<serde_json::Value>(status)
        .map(|status| status["events"][0].clone())
        .unwrap_or_default();
    format!("weft's latest event: {event}")
}

/// The manager dies under load.
pub(super) fn manager_killed(story: &mut Story, stage: &mut Stage) -> Result<()> {
    story.step(
        "The manager dies under load",
        "kill -9 of weft while four clients connect without pause; later it is started again",
        "the kernel goes on alone: no request fails, the split holds; the new one adopts",
    )?;
    let cgroup = stage.rig.cgroup().path().to_owned();
    let before = Snapshot::of_cgroup(&cgroup)?.count("prog");
    let load = load(stage)?;
    let pid = stage.mesh.pid().context("weft does not run")?;
    let at_kill = load.done();
    stage.mesh.kill()?;
    let dead = !Path::new(&format!("/proc/{pid}")).exists();
    let went_on = load.wait_for(500, 20 * SECOND);
    let alone = load.done() - at_kill;
    story.see(
        dead && went_on && load.failed() == 0,
        &format!(
            "process {pid} is gone; {alone} more requests without it, {} failed",
            load.failed()
        ),
    );
    let begin = Instant::now();
    let restarted = stage.mesh.restart();
    let took = begin.elapsed();
    let went_on = load.wait_for(500, 20 * SECOND);
    let outcome = load.stop();
    if story.see_result("start weft again", restarted).is_none() {
        return Ok(());
    }
    let adopted = stage
        .mesh
        .scrape()?
        .sum("weft_manager_starts_total", &[("mode", "adopted")]);
    story.see(
        adopted == Some(1.0),
        &format!(
            "ready again after {took:.0?}, having adopted what was there: {}",
            adopted == Some(1.0)
        ),
    );
    let balanced = ["v1", "v2", "v3"]
        .iter()
        .all(|version| outcome.share(version) > 0.2);
    story.see(
        went_on && balanced && outcome.failed == 0,
        &format!("over all of it: {}", tell(&outcome)),
    );
    let after = Snapshot::of_cgroup(&cgroup)?.count("prog");
    story.see(
        before == after && before > 0,
        &format!("programs on the cgroup: {before} before, {after} after"),
    );
    Ok(())
}

/// Metrics and commands.
pub(super) fn evidence(story: &mut Story, stage: &Stage) -> Result<()> {
    story.step(
        "Evidence",
        "GET /metrics; weft service list; weft status",
        "Istio's TCP metrics with source, service and version; commands that read well",
    )?;
    let metrics = stage.mesh.scrape()?;
    let opened = "istio_tcp_connections_opened_total";
    for version in ["v1", "v2", "v3"] {
        let labels = [
            ("destination_service_name", "web"),
            ("destination_version", version),
        ];
        let count = metrics.sum(opened, &labels);
        story.see(
            count.is_some_and(|count| count >= 100.0),
            &format!(
                "{opened}{{destination_service_name=\"web\",destination_version=\"{version}\"}} {}",
                count.map_or("is missing".to_owned(), |count| count.to_string())
            ),
        );
    }
    let source = [
        ("source_workload", "client"),
        ("destination_service_name", "web"),
    ];
    story.see(
        metrics.sum(opened, &source).is_some(),
        "the same, with source_workload=\"client\"",
    );
    let (_, text) = stage.mesh.get("/metrics")?;
    for name in [
        "weft_tcp_rtt_seconds_count",
        "weft_config_effect_seconds",
        "weft_map_entries",
    ] {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.take(2).for_each(|line| story.quote(line));
    }
    for command in [&["service", "list"][..], &["status"]] {
        story.quote(&format!("$ weft {}", command.join(" ")));
        if let Some(said) = story.see_result(&command.join(" "), stage.mesh.ask(command)) {
            story.quote(&said);
        }
    }
    Ok(())
}

/// Nothing is left.
pub(super) fn clean_up(story: &mut Story, stage: Stage, footprint: &Snapshot) -> Result<()> {
    story.step(
        "Clean up",
        "weft uninstall",
        "no program, map or pin of this mesh is left, and the address is nobody's again",
    )?;
    let (client, web, cgroup) = (
        stage.client.clone(),
        stage.web(),
        stage.rig.cgroup().path().to_owned(),
    );
    let Stage {
        mesh,
        servers,
        client: own,
        rig,
        ..
    } = stage;
    if let Some(said) = story.see_result("weft uninstall", mesh.uninstall()) {
        story.quote(&said);
    }
    let left = await_gone(footprint)?;
    let (programs, maps) = (footprint.count("prog"), footprint.count("map"));
    story.see(
        left.is_empty() && programs > 0,
        &format!(
            "of {programs} programs and {maps} maps left: {}",
            if left.is_empty() {
                "none".to_owned()
            } else {
                left.join(", ")
            }
        ),
    );
    let attached = Snapshot::of_cgroup(&cgroup)?.count("prog");
    story.see(
        attached == 0,
        &format!("programs on the cgroup: {attached}"),
    );
    let error = client.run(|| client::connect(web, SECOND)).err();
    story.see(
        error
            .as_ref()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::NetworkUnreachable),
        &format!(
            "connecting to {web}: {}",
            error.map_or("still works".to_owned(), |error| error.to_string())
        ),
    );
    let namespace = client.namespace().path();
    drop((client, own, servers, rig));
    story.see(
        !namespace.exists() && !cgroup.exists(),
        "namespaces, cgroup and files are gone",
    );
    Ok(())
}

/// The kernel frees objects a moment after the last reference; what is there after 3 s stays.
fn await_gone(footprint: &Snapshot) -> Result<Vec<String>> {
    let deadline = Instant::now() + 3 * SECOND;
    loop {
        let left = footprint.still_there()?;
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
