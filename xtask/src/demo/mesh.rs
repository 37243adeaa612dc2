//! Steps of two nodes: encryption, identity, rotation, revocation.

mod stage;

use std::{
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;
use weft_testkit::{
    Capture, Load, Place,
    client::{self, HttpClient},
};

use self::stage::{ADMIT, HTTP_PORT, Nodes, TTL, WEB};
use super::{balancing::tell, story::Story};

const SECOND: Duration = Duration::from_secs(1);

/// Where HBONE goes, and where certificates are asked for.
const ENCRYPTED: [u16; 2] = [15008, 15012];

/// What a request carries that must not be read on the wire.
const MARKER: &str = "weft-demo-secret";

/// Two nodes, from the first to the last step.
pub(super) fn show(story: &mut Story, binary: &std::path::Path) -> Result<()> {
    let mut nodes = Nodes::set(story, binary)?;
    encrypted(story, &nodes)?;
    plain_text(story, &nodes)?;
    identity(story, &mut nodes)?;
    too_early(story, &mut nodes)?;
    rotation(story, &mut nodes)?;
    revocation(story, &nodes)?;
    manager_killed(story, &mut nodes)
}

/// What an eavesdropper sees.
fn encrypted(story: &mut Story, nodes: &Nodes) -> Result<()> {
    story.step(
        "From node to node everything is encrypted",
        &format!("requests to {WEB} that carry {MARKER:?}, the uplink captured meanwhile"),
        "TLS to port 15008 and nothing in clear; both ends see each other as without a mesh",
    )?;
    let capture = Capture::uplink(nodes.cluster.node(0))?;
    let asked = nodes.client.inside().run(|| {
        let mut http = HttpClient::connect(WEB, SECOND)?;
        let peer = http.stream().peer_addr()?;
        let path = format!("/{MARKER}");
        let answers: std::io::Result<Vec<_>> = (0..20).map(|_| http.request(&path)).collect();
        Ok::<_, std::io::Error>((peer, answers?))
    });
    let recording = capture.stop();
    if let Some((peer, answers)) = story.see_result("ask", asked.context("ask the service")) {
        let seen: Vec<_> = answers.iter().filter_map(|answer| answer.peer).collect();
        let own = seen.iter().all(|peer| peer.ip() == nodes.client.v4());
        story.see(
            peer == WEB && own && seen.len() == 20,
            &format!(
                "getpeername() is {peer}; accept() told the server of {}",
                seen.first()
                    .map_or("nobody".to_owned(), ToString::to_string)
            ),
        );
    }
    let streams = recording.streams();
    let is_encrypted = |port| ENCRYPTED.contains(&port);
    let beside = recording.frames.iter().filter(|frame| {
        !is_encrypted(frame.source.port())
            && !is_encrypted(frame.destination.port())
            && frame.destination.port() != 0
    });
    let beside = beside.count();
    let broken = streams.iter().find_map(|stream| stream.tls_records().err());
    let records: usize = streams
        .iter()
        .filter(|stream| stream.destination.port() == 15008 || stream.source.port() == 15008)
        .filter_map(|stream| stream.tls_records().ok())
        .sum();
    story.see(
        records > 20 && beside == 0 && broken.is_none(),
        &format!(
            "{} packets on the uplink: {records} TLS records to and from port 15008, {beside} \
             packets of other ports{}",
            recording.frames.len(),
            broken.map_or(String::new(), |what| format!(", no TLS: {what}"))
        ),
    );
    let found = recording.contains(MARKER.as_bytes()) || recording.contains(b"HTTP/1.1");
    story.see(
        !found,
        &format!("{MARKER:?} or an HTTP request among the bytes that passed: {found}"),
    );
    Ok(())
}

/// STRICT.
fn plain_text(story: &mut Story, nodes: &Nodes) -> Result<()> {
    story.step(
        "STRICT refuses plain text",
        "a pod that is not in the mesh connects to the server; so does the server's own node",
        "the pod is refused before a byte; the node's probe passes",
    )?;
    let to = nodes.web.at(HTTP_PORT);
    let refused = nodes.outsider.inside().run(|| client::connect(to, SECOND));
    see_refused(story, "the pod outside of the mesh", refused.err());
    let probe = nodes.cluster.node(1).inside();
    let answer = probe.run(|| client::fetch(to, "/", SECOND));
    story.see(answer.is_ok(), &format!("the probe: {}", told(answer)));
    Ok(())
}

fn see_refused(story: &mut Story, who: &str, error: Option<std::io::Error>) {
    let kind = error.as_ref().map(std::io::Error::kind);
    story.see(
        kind == Some(std::io::ErrorKind::ConnectionRefused),
        &format!(
            "{who}: {}",
            error.map_or("was let in".to_owned(), |error| error.to_string())
        ),
    );
}

/// Policy by identity.
fn identity(story: &mut Story, nodes: &mut Nodes) -> Result<()> {
    story.step(
        "Identity decides",
        &format!("an AuthorizationPolicy in {ADMIT} allows only service account `client`"),
        "the pod of that account gets through, the one of `other` does not, and weft says why",
    )?;
    nodes.admit(&["client"])?;
    let other = nodes.other.inside();
    let refused = until(5 * SECOND, || ask(&other).err());
    story.see(
        refused.is_some(),
        &format!(
            "other: {}",
            refused.map_or("was let in".to_owned(), |error| error.to_string())
        ),
    );
    let answer = ask(&nodes.client.inside());
    story.see(answer.is_ok(), &format!("client: {}", told(answer)));
    let mesh = nodes.cluster.mesh(1);
    let told = until(5 * SECOND, || {
        denied_of(&mesh.ask(&["denied", "-o", "json"]).ok()?)
    });
    if let Ok(said) = mesh.ask(&["denied"]) {
        story.quote(&format!("$ weft denied\n{said}"));
    }
    story.see(
        told.is_some(),
        &told.unwrap_or_else(|| "weft denied does not tell of it".to_owned()),
    );
    let to = format!("{}:{HTTP_PORT}", nodes.web.v4());
    let why = mesh.command(&["why", "--from", "demo/other", "--to", &to]);
    if let Some(why) = story.see_result("weft why", why) {
        let said = String::from_utf8_lossy(&why.stdout);
        story.quote(&format!("$ weft why --from demo/other --to {to}\n{said}"));
        let names_it = said.contains("demo/web") || said.contains("web");
        story.see(
            said.to_lowercase().contains("den") && names_it,
            "weft why says that the policy denies it",
        );
    }
    let mesh = nodes.cluster.mesh(1);
    if let Some(said) = story.see_result("weft policies", mesh.ask(&["policies"])) {
        story.quote(&format!("$ weft policies\n{said}"));
    }
    let decided = mesh.ask(&["policies", "-o", "json"]).ok();
    let decided = decided.and_then(|said| decided_of(&said));
    story.see(
        decided.is_some_and(|(let_in, refused)| let_in > 0 && refused > 0),
        "weft policies counts whom each rule let in, and who was refused",
    );
    Ok(())
}

/// What `weft policies` counts of the proxy: by the first rule of `web`, and as no rule allowed it.
fn decided_of(json: &str) -> Option<(u64, u64)> {
    let report: Value = serde_json::from_str(json).ok()?;
    let mut policies = report["policies"].as_array()?.iter();
    let web = policies.find(|one| one["name"] == "web")?;
    let let_in = web["rules"][0]["proxy"].as_u64()?;
    Some((let_in, report["unmatched"]["proxy"].as_u64()?))
}

/// A pod that is there before anybody knows it.
fn too_early(story: &mut Story, nodes: &mut Nodes) -> Result<()> {
    story.step(
        "A pod that starts before its policy is known waits for it",
        "weft run --hold on n2; demo/late is enrolled there, connects, and gets its manifest later",
        "the connection waits, and then goes on as demo/late; STRICT would not let it in unencrypted",
    )?;
    let near = nodes.near.at(HTTP_PORT);
    let late = nodes.cluster.pod(1, "demo/late", "late")?;
    nodes.cluster.policy().remove(&late.file())?;
    let mesh = nodes.cluster.mesh(1);
    mesh.ask(&["enrol", "--wait", "0", &late.claim()])?;
    let held = || mesh.scrape().ok()?.sum("weft_connections_held_total", &[]);
    let unknown = |said: &str| {
        let all: Value = serde_json::from_str(said).ok()?;
        let mut all = all.as_array()?.iter();
        all.find(|one| one["name"] == "late" && one["ready"] == false)?["reason"]
            .as_str()
            .map(str::to_owned)
    };
    let reason = until(5 * SECOND, || {
        unknown(&mesh.ask(&["workloads", "-o", "json"]).ok()?)
    });
    story.see(
        reason.is_some(),
        &format!(
            "enrolled, but {}",
            reason.unwrap_or_else(|| "not told of".to_owned())
        ),
    );
    let asked = late
        .inside()
        .spawn(move || client::fetch(near, "/", 20 * SECOND));
    let waits = until(5 * SECOND, || held().filter(|count| *count > 0.0));
    story.see(
        waits.is_some() && !asked.is_finished(),
        &format!("{} connection waits", waits.unwrap_or_default()),
    );
    nodes.cluster.write(&late.file(), &late.yaml())?;
    let answer = asked
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the client panicked")));
    let peer = answer.as_ref().ok().and_then(|answer| answer.peer);
    story.see(
        peer.is_some_and(|peer| peer.ip() == late.v4()),
        &format!("its manifest written: {}", told(answer)),
    );
    Ok(())
}

/// What `weft denied` says of the pod `other`.
fn denied_of(json: &str) -> Option<String> {
    let all: Value = serde_json::from_str(json).ok()?;
    let mut all = all.as_array()?.iter();
    let one = all.find(|one| one["src"]["workload"] == "other")?;
    let (hop, reason) = (one["hop"].as_str()?, one["reason"].as_str()?);
    let identity = one["src"]["identity"].as_str()?;
    Some(format!("refused by the {hop}: {identity}: {reason}"))
}

/// Certificates change under load.
fn rotation(story: &mut Story, nodes: &mut Nodes) -> Result<()> {
    story.step(
        "Certificates rotate under load",
        &format!("certificates live {TTL}; two clients connect without pause for 15 s"),
        "every certificate is replaced, and no connection fails",
    )?;
    let load = Load::start(&nodes.client.inside(), WEB, 2, Duration::from_millis(2));
    let (mut lowest, mut highest, begin) = (i64::MAX, i64::MIN, Instant::now());
    let mut renewed = 0;
    let mut before = None;
    while begin.elapsed() < 15 * SECOND {
        if let Some(left) = nodes.certificate_left() {
            lowest = lowest.min(left);
            highest = highest.max(left);
            if before.is_some_and(|before| left > before) {
                renewed += 1;
            }
            before = Some(left);
        }
        std::thread::sleep(SECOND / 5);
    }
    let outcome = load.stop();
    story.see(
        renewed >= 2 && lowest > 0,
        &format!(
            "the server's certificate was renewed {renewed} times; it had {lowest} to {highest} s \
             left"
        ),
    );
    story.see(
        outcome.failed == 0 && outcome.total() > 200,
        &format!("meanwhile: {}", tell(&outcome)),
    );
    Ok(())
}

/// A live connection ends when it is forbidden.
fn revocation(story: &mut Story, nodes: &Nodes) -> Result<()> {
    story.step(
        "A change of policy cuts what is open",
        "`client` has a connection open and is taken out of the policy",
        "the connection ends within a second",
    )?;
    let http = nodes.client.inside().run(|| {
        let mut http = HttpClient::connect(WEB, SECOND)?;
        http.request("/")?;
        Ok::<_, std::io::Error>(http)
    });
    let http = http.context("ask the service");
    let Some(http) = story.see_result("open a connection", http) else {
        return Ok(());
    };
    let begin = Instant::now();
    nodes.admit(&["nobody"])?;
    let end = end_of(http.stream());
    let took = begin.elapsed();
    story.see(
        end.is_some() && took < SECOND,
        &match end {
            Some(end) => format!("{end} {took:.0?} after the edit"),
            None => "the connection goes on".to_owned(),
        },
    );
    nodes.admit(&["client"])?;
    let back = until(5 * SECOND, || ask(&nodes.client.inside()).ok());
    story.see(back.is_some(), "put back, it connects again");
    Ok(())
}

/// How a connection ended, if it does within a few seconds.
fn end_of(mut stream: &TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(5 * SECOND)).ok()?;
    match stream.read(&mut [0]) {
        Ok(0) => Some("an end".to_owned()),
        Ok(_) => None,
        Err(error) => match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => None,
            _ => Some(error.to_string()),
        },
    }
}

/// Encryption does not silently go away.
fn manager_killed(story: &mut Story, nodes: &mut Nodes) -> Result<()> {
    story.step(
        "The manager of the client's node dies",
        "kill -9 of weft on n1; the client connects to the other node and to its own",
        "what has to be encrypted is refused, what stays on the node goes on under its policy",
    )?;
    nodes.cluster.mesh(0).kill()?;
    let client = nodes.client.inside();
    see_refused(
        story,
        "to the other node",
        client.run(|| client::connect(WEB, SECOND)).err(),
    );
    let near = nodes.near.at(HTTP_PORT);
    let answer = client.run(|| client::fetch(near, "/", SECOND));
    story.see(
        answer.is_ok(),
        &format!("on the same node: {}", told(answer)),
    );
    let refused = nodes
        .outsider
        .inside()
        .run(|| client::connect(near, SECOND));
    see_refused(story, "plain text from outside of the mesh", refused.err());
    let restarted = nodes.cluster.mesh(0).restart();
    if story.see_result("start weft again", restarted).is_some() {
        let back = until(10 * SECOND, || ask(&client).ok());
        story.see(back.is_some(), "weft starts again: the other node answers");
    }
    Ok(())
}

/// An answer, or why there is none.
fn told(answer: std::io::Result<client::Response>) -> String {
    match answer {
        Ok(answer) => answer.body.trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

fn ask(place: &Place) -> std::io::Result<client::Response> {
    place.run(|| client::fetch(WEB, "/", SECOND))
}

/// Tries until there is something, for so long.
fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let found = look();
        if found.is_some() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(SECOND / 50);
    }
}
