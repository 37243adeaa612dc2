//! `weft status`.

use std::{fmt::Write as _, process::ExitCode};

use weft_admin::{EventReport, ProblemReport, StatusReport, routes};

use crate::{
    args::StatusArgs,
    cmd::{
        Manager, NEGATIVE,
        output::{self, latency, span},
        table::Table,
    },
};

/// Exit code 1 when not ready, or with `--problems` when there are errors.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let manager = Manager::find(&args.instance)?;
    let negative = if args.problems {
        let problems: Vec<ProblemReport> = manager.fetch(routes::PROBLEMS)?;
        output::print(args.output, &problems, |problems| problems_text(problems))?;
        problems.iter().any(|problem| problem.severity == "error")
    } else {
        let status: StatusReport = manager.fetch(routes::STATUS)?;
        output::print(args.output, &status, status_text)?;
        !status.readiness.ready
    };
    Ok(if negative {
        ExitCode::from(NEGATIVE)
    } else {
        ExitCode::SUCCESS
    })
}

fn status_text(status: &StatusReport) -> String {
    let mut text = summary(status);
    if !status.programs.is_empty() {
        let mut table = Table::new(["PROGRAM", ">RUNS", ">MEAN", "ATTACHED"]);
        for program in &status.programs {
            table.row([
                program.name.clone(),
                program.runs.to_string(),
                program
                    .mean_ns
                    .map(|ns| format!("{ns}ns"))
                    .unwrap_or_default(),
                program.attached.join(" "),
            ]);
        }
        text += &format!("\n{}", table.render(0));
    }
    if !status.maps.is_empty() {
        let mut table = Table::new(["MAP", ">ENTRIES", ">ROOM", ">FULL"]);
        for map in &status.maps {
            let full = 100.0 * map.entries as f64 / map.max_entries.max(1) as f64;
            table.row([
                map.name.clone(),
                map.entries.to_string(),
                map.max_entries.to_string(),
                format!("{full:.1}%"),
            ]);
        }
        text += &format!("\n{}", table.render(0));
    }
    if !status.events.is_empty() {
        text += &format!("\n{}", events_text(&status.events));
    }
    text
}

fn summary(status: &StatusReport) -> String {
    let mut text = format!("weft {}", status.version);
    if !status.node.is_empty() {
        text += &format!(" on {}", status.node);
    }
    text += if status.readiness.ready {
        ": ready\n"
    } else {
        ": NOT READY\n"
    };
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    for reason in &status.readiness.reasons {
        line("because", reason.clone());
    }
    let maps = if status.adopted {
        "adopted the maps it found"
    } else {
        "began with empty maps"
    };
    line(
        "manager",
        format!(
            "pid {}, up {}, {maps}",
            status.pid,
            span(status.uptime_seconds)
        ),
    );
    line("policy", status.directory.clone());
    line("config", config(status));
    line("cgroup", status.cgroup.clone());
    if !status.interfaces.is_empty() {
        line("interfaces", status.interfaces.join(" "));
    }
    line("state", status.state.clone());
    let (services, endpoints, workloads) = (status.services, status.endpoints, status.workloads);
    line(
        "serving",
        format!(
            "{services} services, {endpoints} endpoints ({} ejected), {workloads} workload addresses",
            status.ejected
        ),
    );
    if status.enrolled > 0 {
        let (enrolled, proxied) = (status.enrolled, status.proxied);
        line(
            "enrolled",
            format!("{enrolled} workloads, {proxied} connections through the proxy"),
        );
    }
    let problems = &status.problems;
    let mut found = format!("{} errors, {} warnings", problems.errors, problems.warnings);
    if problems.errors + problems.warnings > 0 {
        found += "; list them with --problems";
    }
    line("problems", found);
    for (name, count) in status.losses.iter().filter(|(_, count)| **count > 0) {
        line("lost", format!("{count} {name}"));
    }
    text
}

fn config(status: &StatusReport) -> String {
    let mut text = format!("generation {}", status.generation);
    if let Some(change) = &status.last_change {
        text += &format!(
            ", changed {} ago, {} writes",
            span(change.seconds_ago),
            change.writes
        );
        if let Some(seconds) = change.effect_seconds {
            text += &format!(", in effect after {}", latency(seconds));
        }
    }
    text
}

/// The latest failures and refusals.
pub(crate) fn events_text(events: &[EventReport]) -> String {
    let header = [
        ">AGO",
        ">COUNT",
        "WHAT",
        "SERVICE",
        "BACKEND",
        "WORKLOAD",
        ">IN A ROW",
    ];
    let mut table = Table::new(header);
    for event in events {
        table.row([
            span(event.seconds_ago),
            event.count.to_string(),
            cause(event),
            event.service.clone().unwrap_or_default(),
            event.backend.clone().unwrap_or_default(),
            event.workload.clone().unwrap_or_default(),
            event.consecutive.to_string(),
        ]);
    }
    table.render(0)
}

/// What happened, in words.
pub(crate) fn cause(event: &EventReport) -> String {
    match (event.cause.as_str(), event.errno) {
        ("connect_failed", Some(errno)) => {
            // "Connection refused (os error 111)": the number is in the JSON.
            let words = std::io::Error::from_raw_os_error(errno).to_string();
            words
                .split(" (os error")
                .next()
                .unwrap_or(&words)
                .to_lowercase()
        }
        ("connect_failed", None) => "connect failed".to_owned(),
        ("reset", _) => "reset by peer".to_owned(),
        ("no_backend", _) => "refused: no backend".to_owned(),
        ("over_limit", _) => "refused: at limit".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn problems_text(problems: &[ProblemReport]) -> String {
    let mut text = String::new();
    for problem in problems {
        let origin = &problem.origin;
        text += &format!("{}: ", problem.severity);
        if !origin.file.is_empty() {
            text += &format!("{}:{}: ", origin.file, problem.line.max(origin.line));
        }
        if !origin.kind.is_empty() {
            let slash = if origin.namespace.is_empty() { "" } else { "/" };
            text += &format!(
                "{} {}{slash}{}: ",
                origin.kind, origin.namespace, origin.name
            );
        }
        if !problem.path.is_empty() {
            text += &format!("{}: ", problem.path);
        }
        text += &format!("{} [{}]\n", problem.message, problem.code);
    }
    if text.is_empty() {
        "no problems\n".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
