//! `weft uninstall`.

use std::{fs, path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use weft_loader::Lock;

use crate::{
    args::UninstallArgs,
    cmd::{instance, output},
    run::{ACCEPTED, enrolment},
};

/// How long a manager has to end.
const PATIENCE: u32 = 100;

/// What was removed.
#[derive(Serialize)]
struct Removed {
    state: String,
    stopped_manager: Option<u32>,
    links: usize,
    programs: usize,
    maps: usize,
}

/// Ends the manager if there is one, then removes everything.
pub(crate) fn run(args: &UninstallArgs) -> anyhow::Result<ExitCode> {
    let state = instance::installed(args.instance.state.as_deref())?;
    let stopped_manager = stop_manager(&state)?;
    let report = weft_loader::uninstall(&state)?;
    for file in [
        "names.json",
        "names.json.new",
        "identities.json",
        "identities.json.new",
        "admin.sock",
        "workload.sock",
    ] {
        drop(fs::remove_file(state.join(file)));
    }
    // With the mesh ends the authority that was made for it; one given with --ca stays.
    for folder in [ACCEPTED, enrolment::DIRECTORY, "ca"] {
        drop(fs::remove_dir_all(state.join(folder)));
    }
    // Only if empty: it may hold what is not ours.
    drop(fs::remove_dir(&state));
    if args.instance.state.is_none() {
        drop(fs::remove_dir(instance::ROOT));
    }
    let removed = Removed {
        state: state.display().to_string(),
        stopped_manager,
        links: report.links,
        programs: report.programs,
        maps: report.maps,
    };
    output::print(args.output, &removed, |removed| {
        format!(
            "removed {} links, {} programs and {} maps of {}\n",
            removed.links, removed.programs, removed.maps, removed.state
        )
    })
}

fn stop_manager(state: &Path) -> anyhow::Result<Option<u32>> {
    let Some(holder) = Lock::holder(state)? else {
        return Ok(None);
    };
    let pid = i32::try_from(holder)
        .ok()
        .and_then(Pid::from_raw)
        .context("no valid pid in lock")?;
    kill_process(pid, Signal::TERM)
        .with_context(|| format!("cannot end the manager, process {holder}"))?;
    for _ in 0..PATIENCE {
        if Lock::holder(state)?.is_none() {
            return Ok(Some(holder));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("the manager, process {holder}, does not end; end it and try again")
}
