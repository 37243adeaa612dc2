//! `cargo xtask demo`: the mesh at work on real processes, explained line by line.
//!
//! Everything happens in namespaces without a default route and in a cgroup made for it. Each step
//! says what is done and what is expected, then what was seen. With `--once` it ends by itself,
//! with exit code 1 when anything expected was not seen.

#![expect(
    clippy::disallowed_types,
    reason = "the demo tells how long things take"
)]

mod balancing;
mod interrupt;
mod lifecycle;
mod mesh;
pub(crate) mod serve;
mod stage;
mod story;

use std::{
    io::{BufRead, IsTerminal},
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use anyhow::{Result, ensure};
use weft_testkit::Snapshot;
use xshell::{Shell, cmd};

use crate::{
    ebpf, say,
    setup::{self, Install},
    workspace,
};
use interrupt::Interrupt;
use stage::Stage;
use story::Story;

/// How to show it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// End by itself; exit code 1 when anything promised was not seen.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    install: Install,
}

/// Builds everything (but no binary when `WEFT_BIN` names one) and shows it.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<ExitCode> {
    ensure!(
        workspace::is_root(),
        "the demo makes network namespaces and loads programs into the kernel, so it needs root: \
         run `sudo -E cargo xtask demo`"
    );
    build(sh, args.install)?;
    let interrupt = Interrupt::watch()?;
    let mut story = Story::new(interrupt.clone());
    let outcome = show(args, &mut story, &interrupt);
    if interrupt.is_set() {
        say::progress("interrupted; everything the demo made is removed");
        return Ok(ExitCode::FAILURE);
    }
    outcome?;
    Ok(story.verdict())
}

fn build(sh: &Shell, install: Install) -> Result<()> {
    let toolchain = say::step("setup", || setup::everything(sh, install))?;
    if std::env::var_os("WEFT_BIN").is_some() {
        return Ok(());
    }
    ebpf::build(sh, &toolchain)?;
    say::step("build weft", || Ok(cmd!(sh, "cargo build -p weft").run()?))
}

fn show(args: &Args, story: &mut Story, interrupt: &Interrupt) -> Result<()> {
    let mut stage = Stage::set(story, &weft_testkit::weft::binary()?)?;
    let footprint = Snapshot::of_cgroup(stage.rig.cgroup().path())?;

    balancing::split(story, &stage)?;
    balancing::peer_name(story, &stage)?;
    balancing::ipv6(story, &stage)?;
    balancing::udp(story, &stage)?;
    balancing::live_edit(story, &stage)?;
    balancing::broken_edit(story, &stage)?;
    lifecycle::backend_killed(story, &mut stage)?;
    lifecycle::manager_killed(story, &mut stage)?;
    lifecycle::evidence(story, &stage)?;
    if !args.once {
        by_hand(story, &stage, interrupt);
    }
    let binary = stage.binary.clone();
    lifecycle::clean_up(story, stage, &footprint)?;
    mesh::show(story, &binary)
}

/// Keeps the mesh up until Enter or Ctrl-C.
fn by_hand(story: &Story, stage: &Stage, interrupt: &Interrupt) {
    story.say("");
    story.say("The mesh stays up. In another terminal, as root:");
    let weft = stage.binary.display();
    let state = stage.mesh.state().display();
    let client = &stage.client;
    for (what, line) in [
        (
            "ask the service",
            client.shell_line(&format!("curl -s http://{}/", stage::WEB.0)),
        ),
        ("look around as the client", client.shell_line("sh")),
        (
            "watch live",
            format!(
                "{} {weft} top --state {state}",
                client.namespace().nsenter()
            ),
        ),
        (
            "ask the mesh",
            format!("{weft} service get demo/web --state {state}"),
        ),
        (
            "read the maps",
            format!("{weft} map dump SERVICES --state {state}"),
        ),
        (
            "change the mesh: edit and save",
            stage.policy.file(stage::WEB_FILE).display().to_string(),
        ),
    ] {
        story.say(&format!("  {what}:\n      {line}"));
    }
    story.say("Enter or Ctrl-C ends the demo and removes everything.");
    wait_for_enter(interrupt);
    interrupt.clear();
}

fn wait_for_enter(interrupt: &Interrupt) {
    let (enter, entered) = mpsc::channel();
    if std::io::stdin().is_terminal() {
        std::thread::spawn(move || {
            let read = std::io::stdin().lock().read_line(&mut String::new());
            drop(read.map(|_| enter.send(())));
        });
    } else {
        // Nobody can press Enter; the sender must live, or the channel would read as pressed.
        std::mem::forget(enter);
    }
    while !interrupt.is_set() {
        if entered.recv_timeout(Duration::from_millis(100)).is_ok() {
            return;
        }
    }
}
