//! `weft denied`: which connections were refused, and by what.

use std::process::ExitCode;

use anyhow::Result;
use weft_admin::{DenialReport, EndReport, routes};

use super::{Manager, output, table::Table};
use crate::args::mesh::DeniedArgs;

/// Lists refusals.
pub(crate) fn run(args: &DeniedArgs) -> Result<ExitCode> {
    let manager = Manager::find(&args.instance)?;
    let mut denied: Vec<DenialReport> = manager.fetch(routes::DENIED)?;
    if let Some(since) = args.since {
        denied.retain(|one| one.seconds_ago <= since.as_secs_f64());
    }
    output::print(args.output, &denied, |denied| render(denied))?;
    Ok(ExitCode::SUCCESS)
}

fn render(denied: &[DenialReport]) -> String {
    if denied.is_empty() {
        return "no connection was refused\n".to_owned();
    }
    let mut table = Table::new(["AGO", "COUNT", "CAUSE", "FROM", "TO", "BY", "REASON"]);
    for one in denied {
        table.row([
            format!("{:.0}s", one.seconds_ago),
            one.count.to_string(),
            one.cause.clone(),
            end(&one.src),
            end(&one.dst),
            one.hop.clone(),
            one.reason.clone(),
        ]);
    }
    table.render(0)
}

/// The workload when it is known, with its identity or address behind it.
fn end(end: &EndReport) -> String {
    match (&end.namespace, &end.workload) {
        (Some(namespace), Some(workload)) => format!("{namespace}/{workload} ({})", end.addr),
        _ => end.addr.clone(),
    }
}
