//! Steps that show where connections go.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use weft_testkit::{
    Load,
    client::{self, HttpClient, UdpClient},
    load::{Outcome, ask_times},
};

use super::{
    stage::{CLOCK, STORE, Stage, WEB_FILE},
    story::Story,
};

const SECOND: Duration = Duration::from_secs(1);

/// One address, three servers.
pub(super) fn split(story: &mut Story, stage: &Stage) -> Result<()> {
    let web = stage.web();
    story.step(
        "Three versions behind one address",
        &format!("300 connections to {web}, an address that nobody has"),
        "a third to each version, none fails",
    )?;
    if let Ok(said) = stage
        .client
        .output("curl", &["-s", "-m", "5", &format!("http://{web}/")])
    {
        story.quote(&format!("curl http://{web}/   ->   {}", said.trim()));
    }
    let outcome = ask_times(&stage.client, web, 300);
    let even = ["v1", "v2", "v3"]
        .iter()
        .all(|version| (0.28..=0.39).contains(&outcome.share(version)));
    story.see(even && outcome.failed == 0, &tell(&outcome));
    Ok(())
}

/// The client keeps its view, and so does the server.
pub(super) fn peer_name(story: &mut Story, stage: &Stage) -> Result<()> {
    let web = stage.web();
    story.step(
        "Nobody notices",
        "getpeername() on the client's socket; the server says whom it sees",
        &format!("the client talks to {web}, the server sees the client's own address: no NAT"),
    )?;
    let seen = stage.client.run(|| {
        let mut http = HttpClient::connect(web, SECOND)?;
        Ok::<_, std::io::Error>((http.stream().peer_addr()?, http.request("/")?))
    });
    let seen = seen.context("ask the service");
    if let Some((peer, answer)) = story.see_result("ask", seen) {
        let client = answer.peer.map(|peer| peer.ip());
        story.see(
            peer == web && client == Some(stage.client_address),
            &format!("getpeername() is {peer}; {}", answer.body.trim()),
        );
    }
    Ok(())
}

/// IPv6, and IPv4 from an IPv6 socket.
pub(super) fn ipv6(story: &mut Story, stage: &Stage) -> Result<()> {
    let (store, mapped) = (SocketAddr::from(STORE), client::mapped(stage.web()));
    story.step(
        "IPv6, and IPv4 in IPv6 sockets (as Java and Go use them)",
        &format!("60 connections to {store}, 60 to {mapped}"),
        "both are balanced, none fails",
    )?;
    for (target, versions) in [(store, 2), (mapped, 3)] {
        let outcome = ask_times(&stage.client, target, 60);
        let balanced = outcome.answered.len() == versions && outcome.failed == 0;
        story.see(balanced, &format!("{target}: {}", tell(&outcome)));
    }
    Ok(())
}

/// Datagrams.
pub(super) fn udp(story: &mut Story, stage: &Stage) -> Result<()> {
    let clock = SocketAddr::from(CLOCK);
    story.step(
        "UDP",
        &format!("40 sockets each send a datagram to {clock}, connected and not"),
        "both versions answer, and every answer comes from the address that was asked",
    )?;
    let asked = stage.client.run(|| ask_clock(clock));
    if let Some((versions, sources)) = story.see_result("ask", asked) {
        story.see(
            versions.len() == 2 && sources.iter().eq([&clock]),
            &format!("answered by {versions:?}, from {sources:?}"),
        );
    }
    Ok(())
}

fn ask_clock(clock: SocketAddr) -> Result<(BTreeSet<String>, BTreeSet<SocketAddr>)> {
    let (mut versions, mut sources) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..20 {
        let (said, source) = UdpClient::new(clock, SECOND)?.ask(clock, "?")?;
        versions.insert(first_word(&said));
        sources.insert(source);
        versions.insert(first_word(&client::ask_connected(clock, "?", SECOND)?));
    }
    Ok((versions, sources))
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Edits under load.
pub(super) fn live_edit(story: &mut Story, stage: &Stage) -> Result<()> {
    story.step(
        "A policy file is edited while requests run",
        &format!("v3 is taken out of {WEB_FILE}, then put back"),
        "the next connections follow within milliseconds, none fails",
    )?;
    stage.write_web(&["v1", "v2"])?;
    let gone = watch(stage, |version| version == "v3", false);
    if let Some(after) = story.see_result("take v3 out", gone) {
        story.see(
            after < SECOND,
            &format!(
                "the last connection to v3 began {} after the edit",
                millis(after)
            ),
        );
    }
    stage.write_web(&["v1", "v2", "v3"])?;
    let back = watch(stage, |version| version == "v3", true);
    if let Some(after) = story.see_result("put v3 back", back) {
        story.see(
            after < SECOND,
            &format!(
                "the first answer of v3 came {} after the edit",
                millis(after)
            ),
        );
    }
    if let Ok((_, status)) = stage.mesh.get("/state/status") {
        story.quote(&last_change(&status));
    }
    stick(story, stage)
}

/// What `/state/status` says of the last change.
fn last_change(status: &str) -> String {
    let change = serde_json::from_str::<serde_json::Value>(status)
        .map(|status| status["last_change"].clone())
        .unwrap_or_default();
    format!("weft says of its last change: {change}")
}

/// A DestinationRule changes how a backend is chosen.
fn stick(story: &mut Story, stage: &Stage) -> Result<()> {
    story.step(
        "A DestinationRule makes clients stick",
        "loadBalancer: {consistentHash: {useSourceIp: true}}, then taken back",
        "all connections of this client go to one version, then to all three again",
    )?;
    stage.write_rule("loadBalancer: {consistentHash: {useSourceIp: true}}\n")?;
    let stuck = eventually(stage, |outcome| outcome.answered.len() == 1);
    story.see(
        stuck.answered.len() == 1 && stuck.failed == 0,
        &tell(&stuck),
    );
    stage.write_rule("")?;
    let spread = eventually(stage, |outcome| outcome.answered.len() == 3);
    story.see(
        spread.answered.len() == 3 && spread.failed == 0,
        &tell(&spread),
    );
    Ok(())
}

/// Half a file harms nobody.
pub(super) fn broken_edit(story: &mut Story, stage: &Stage) -> Result<()> {
    story.step(
        "A broken edit",
        &format!("{WEB_FILE} is overwritten with what is not YAML, then repaired"),
        "an error that names file and line; the last good state stays in force",
    )?;
    stage
        .policy
        .write(WEB_FILE, "apiVersion: v1\nkind: Service\nspec: {ports: [\n")?;
    let deadline = Instant::now() + 5 * SECOND;
    let mut problems = String::new();
    while Instant::now() < deadline && !problems.contains(WEB_FILE) {
        std::thread::sleep(Duration::from_millis(20));
        if let Ok((_, body)) = stage.mesh.get("/state/problems") {
            problems = body;
        }
    }
    let named = problems.contains(WEB_FILE);
    story.see(named, &first_problem(&problems));
    let outcome = ask_times(&stage.client, stage.web(), 60);
    story.see(
        outcome.failed == 0 && outcome.answered.len() == 3,
        &format!("meanwhile: {}", tell(&outcome)),
    );
    stage.write_web(&["v1", "v2", "v3"])
}

/// The first of `/state/problems`, for people.
fn first_problem(problems: &str) -> String {
    let list: serde_json::Value = serde_json::from_str(problems).unwrap_or_default();
    let first = &list[0];
    match first["message"].as_str() {
        None => "no problem is told".to_owned(),
        Some(message) => format!(
            "{} line {}: {message}",
            first["origin"]["file"].as_str().unwrap_or("?"),
            first["line"]
        ),
    }
}

/// Connects again and again for at most 2 s after an edit. When waiting for a version to come,
/// gives the time until its first answer; when waiting for it to go, the time of the start of the
/// last connection that met it, once it was not met for 300 ms.
fn watch(stage: &Stage, meant: fn(&str) -> bool, come: bool) -> Result<Duration> {
    let (web, begin) = (stage.web(), Instant::now());
    stage.client.run(|| {
        let mut last = Duration::ZERO;
        while begin.elapsed() < 2 * SECOND {
            let started = begin.elapsed();
            let answer = client::fetch(web, "/", SECOND).context("a request failed")?;
            if meant(&answer.server) {
                last = started;
                if come {
                    return Ok(begin.elapsed());
                }
            } else if !come && started > last + Duration::from_millis(300) {
                return Ok(last);
            }
        }
        anyhow::bail!("the edit has no effect after 2 s")
    })
}

/// Asks until the outcome of 60 requests is as wanted, at most 3 s; gives the last outcome.
fn eventually(stage: &Stage, wanted: impl Fn(&Outcome) -> bool) -> Outcome {
    let deadline = Instant::now() + 3 * SECOND;
    loop {
        let outcome = ask_times(&stage.client, stage.web(), 60);
        if wanted(&outcome) || Instant::now() > deadline {
            return outcome;
        }
    }
}

/// An outcome for people.
pub(super) fn tell(outcome: &Outcome) -> String {
    let mut parts: Vec<String> = outcome
        .answered
        .iter()
        .map(|(server, count)| format!("{server} {count}"))
        .collect();
    parts.push(format!("failed {}", outcome.failed));
    if let Some(first) = outcome.failures.first() {
        parts.push(format!("first failure {first}"));
    }
    parts.join(", ")
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// A load that has begun.
///
/// # Errors
/// When no request finishes.
pub(super) fn load(stage: &Stage) -> Result<Load> {
    let load = Load::start(&stage.client, stage.web(), 4, Duration::from_millis(1));
    ensure!(load.wait_for(100, 10 * SECOND), "the load does not begin");
    Ok(load)
}
