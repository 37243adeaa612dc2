//! `weft doctor`: can this host serve, and does it?

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::Serialize;
use weft_loader::{BpfDir, CGROUP_HOOKS, Cgroup, Lock, Support, TC_HOOKS};

use crate::{
    args::DoctorArgs,
    cmd::{NEGATIVE, instance, output, table::Table},
    run,
};

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// Well.
    Ok,
    /// Not well, and nothing works without it.
    Failed,
    /// Not well, but only what the check names suffers.
    Warning,
}

/// One check.
#[derive(Serialize)]
struct Check {
    check: String,
    verdict: Verdict,
    detail: String,
}

/// The whole answer.
#[derive(Serialize)]
struct Diagnosis {
    healthy: bool,
    checks: Vec<Check>,
}

/// Exit code 1 when something failed.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut checks = features();
    let wanted = args.cgroup.clone().unwrap_or_else(|| PathBuf::from("/"));
    let cgroup = Cgroup::resolve(&wanted);
    match &cgroup {
        Ok(cgroup) => {
            checks.push(ok("cgroup", cgroup.path().display().to_string()));
            let state = instance::installed(args.instance.state.as_deref()).ok();
            checks.extend(hooks(cgroup, state.as_deref(), &args.interfaces));
            if let Some(state) = &state {
                checks.extend(installation(cgroup, state));
            }
        }
        Err(error) => checks.push(failed("cgroup", error.to_string())),
    }
    let healthy = checks.iter().all(|check| check.verdict != Verdict::Failed);
    let diagnosis = Diagnosis { healthy, checks };
    output::print(args.output, &diagnosis, text)?;
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NEGATIVE)
    })
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut table = Table::new(["CHECK", "", "DETAIL"]);
    for check in &diagnosis.checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Warning => "warning",
        };
        table.row([
            check.check.clone(),
            verdict.to_owned(),
            check.detail.clone(),
        ]);
    }
    table.render(0)
}

fn features() -> Vec<Check> {
    let features = weft_loader::features::probe_all().into_iter();
    features
        .map(|feature| {
            let check = format!("kernel: {}", feature.name);
            match feature.support {
                Support::Present(detail) => ok(&check, detail),
                Support::Missing(reason) => {
                    let detail = format!("{reason}; needed for {}", feature.needed_for);
                    if feature.required {
                        failed(&check, detail)
                    } else {
                        warning(&check, detail)
                    }
                }
            }
        })
        .collect()
}

/// What is attached where sockets of this cgroup are, ours and others'.
fn hooks(cgroup: &Cgroup, state: Option<&Path>, interfaces: &[String]) -> Vec<Check> {
    let pins = state.and_then(|state| BpfDir::find(state).ok().flatten());
    let attached = match cgroup.attached(pins.as_ref()) {
        Ok(attached) => attached,
        Err(error) => return vec![failed("hooks", error.to_string())],
    };
    let mut checks = Vec::new();
    for hook in CGROUP_HOOKS {
        let here = || attached.iter().filter(|program| program.hook == hook.name);
        let check = format!("hook: {}", hook.name);
        let own: Vec<u32> = here()
            .filter(|program| program.own)
            .map(|program| program.id)
            .collect();
        let others: Vec<String> = here()
            .filter(|program| !program.own)
            .map(|program| format!("{} (id {})", program.name, program.id))
            .collect();
        checks.push(match (own.as_slice(), pins.is_some()) {
            ([id], _) => ok(&check, format!("program {id}")),
            ([], false) => ok(&check, "free; nothing installed here".to_owned()),
            ([], true) => failed(&check, "our program is not attached here".to_owned()),
            (several, _) => failed(&check, format!("{} of our programs", several.len())),
        });
        if !others.is_empty() {
            let detail = format!(
                "also attached: {}; whoever runs last decides the destination",
                others.join(", ")
            );
            let weft = others.iter().any(|name| name.starts_with("weft_"));
            checks.push(if weft {
                failed(&check, detail)
            } else {
                warning(&check, detail)
            });
        }
    }
    for interface in interfaces {
        checks.extend(uplink(interface, pins.as_ref()));
    }
    checks
}

fn uplink(interface: &str, pins: Option<&BpfDir>) -> Vec<Check> {
    let check = format!("interface: {interface}");
    if !Path::new("/sys/class/net").join(interface).exists() {
        return vec![failed(
            &check,
            "no such interface in this network namespace".to_owned(),
        )];
    }
    let Some(pins) = pins else {
        return vec![ok(&check, "there; nothing installed here".to_owned())];
    };
    let pinned = |program: &str| pins.link(&format!("{program}@{interface}")).exists();
    if TC_HOOKS.iter().all(|hook| pinned(hook.program)) {
        vec![ok(&check, "tc programs attached".to_owned())]
    } else {
        vec![failed(
            &check,
            format!("no tc programs; run with --interface {interface}"),
        )]
    }
}

/// The manager, and whether a connection from the cgroup is balanced.
fn installation(cgroup: &Cgroup, state: &Path) -> Vec<Check> {
    let place = state.display();
    let manager = match Lock::holder(state) {
        Ok(Some(pid)) => ok("manager", format!("process {pid}, state in {place}")),
        Ok(None) => {
            let detail = format!("not running; the kernel goes on with what is in {place}");
            return vec![
                warning("manager", detail),
                warning("canary", "needs a running manager to answer".to_owned()),
            ];
        }
        Err(error) => failed("manager", error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let dialled = match runtime {
        Ok(runtime) => runtime.block_on(run::canary::check(cgroup.path())),
        Err(error) => Err(error.into()),
    };
    let canary = match dialled {
        Ok(()) => ok(
            "canary",
            "a connect to the reserved address is balanced".to_owned(),
        ),
        Err(error) => failed("canary", format!("{error:#}")),
    };
    vec![manager, canary]
}

fn ok(check: &str, detail: String) -> Check {
    Check {
        check: check.to_owned(),
        verdict: Verdict::Ok,
        detail,
    }
}

fn failed(check: &str, detail: String) -> Check {
    Check {
        check: check.to_owned(),
        verdict: Verdict::Failed,
        detail,
    }
}

fn warning(check: &str, detail: String) -> Check {
    Check {
        check: check.to_owned(),
        verdict: Verdict::Warning,
        detail,
    }
}
