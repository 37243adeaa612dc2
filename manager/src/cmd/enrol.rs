//! `weft enrol`, `weft workloads`.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use weft_admin::{Client, EnrolledReport, routes};

use super::{Manager, NEGATIVE, instance, output, table::Table};
use crate::{
    args::mesh::{Claim, EnrolArgs, WorkloadName, WorkloadsArgs},
    run::{self, enrolment},
};

/// `weft enrol`: writes it down, and waits until the manager serves it.
pub(crate) fn run(args: &EnrolArgs) -> Result<ExitCode> {
    let state = instance::running(args.instance.state.as_deref())?;
    if args.remove {
        let name: WorkloadName = args.workload.parse().map_err(anyhow::Error::msg)?;
        let was = enrolment::remove(&state, &name).context("cannot take the enrolment back")?;
        if !was {
            tracing::warn!("{name} is not enrolled by `weft enrol`");
        }
        return Ok(ExitCode::from(if was { 0 } else { NEGATIVE }));
    }
    let claim: Claim = args.workload.parse().map_err(anyhow::Error::msg)?;
    enrolment::write(&state, &claim).context("cannot write the enrolment down")?;
    if args.wait == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    wait(&Client::new(&state), &claim, Duration::from_secs(args.wait))
}

fn wait(client: &Client, claim: &Claim, patience: Duration) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let deadline = run::now() + patience;
    loop {
        let workloads: Vec<EnrolledReport> = runtime.block_on(client.fetch(routes::WORKLOADS))?;
        let found = workloads.into_iter().find(|one| {
            one.namespace == claim.name.namespace
                && one.name == claim.name.name
                && one.netns == claim.netns.to_string_lossy()
        });
        let reason = match found {
            Some(report) if report.ready => return Ok(ExitCode::SUCCESS),
            Some(report) => report.reason,
            None => None,
        };
        if run::now() > deadline {
            let reason =
                reason.unwrap_or_else(|| "the manager has not looked at it yet".to_owned());
            bail!("{} is enrolled, but not served: {reason}", claim.name);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `weft workloads`.
pub(crate) fn list(args: &WorkloadsArgs) -> Result<ExitCode> {
    let manager = Manager::find(&args.instance)?;
    let workloads: Vec<EnrolledReport> = manager.fetch(routes::WORKLOADS)?;
    output::print(args.output, &workloads, |workloads| render(workloads))?;
    Ok(ExitCode::SUCCESS)
}

fn render(workloads: &[EnrolledReport]) -> String {
    let mut table = Table::new([
        "NAMESPACE",
        "NAME",
        "READY",
        "MTLS",
        "ADDRESSES",
        "IDENTITY",
        "NETNS",
    ]);
    for one in workloads {
        table.row([
            one.namespace.clone(),
            one.name.clone(),
            if one.ready {
                "yes".to_owned()
            } else {
                "no".to_owned()
            },
            one.mtls.clone().unwrap_or_else(|| "-".to_owned()),
            one.addresses.join(","),
            one.identity.clone().unwrap_or_else(|| "-".to_owned()),
            one.netns.clone(),
        ]);
    }
    let mut text = table.render(0);
    for one in workloads {
        if !one.excluded.is_empty() {
            let excluded = one.excluded.join(", ");
            text.push_str(&format!(
                "{}/{}: not captured: {excluded}\n",
                one.namespace, one.name
            ));
        }
        if let Some(reason) = &one.reason {
            text.push_str(&format!("{}/{}: {reason}\n", one.namespace, one.name));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_what_they_are_named_for() {
        let report = |name: &str, ready, reason: Option<&str>| EnrolledReport {
            namespace: "shop".into(),
            name: name.into(),
            netns: format!("/run/netns/{name}"),
            addresses: vec!["10.0.0.1".into(), "fd00::1".into()],
            ready,
            mtls: ready.then(|| "strict".into()),
            reason: reason.map(str::to_owned),
            ..EnrolledReport::default()
        };
        let text = "\
NAMESPACE  NAME  READY  MTLS    ADDRESSES         IDENTITY  NETNS
shop       web   yes    strict  10.0.0.1,fd00::1  -         /run/netns/web
shop       new   no     -       10.0.0.1,fd00::1  -         /run/netns/new
shop/new: nobody knows it
";
        let reports = [
            report("web", true, None),
            report("new", false, Some("nobody knows it")),
        ];
        assert_eq!(render(&reports), text);
    }
}
