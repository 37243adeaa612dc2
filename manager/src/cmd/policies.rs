//! `weft policies`: what authorization is in force here, and what it decided.

use std::process::ExitCode;

use anyhow::Result;
use weft_admin::{AuthorizationReport, Decided, routes};

use super::{Manager, output, table::Table};
use crate::args::mesh::PoliciesArgs;

/// Lists policies with their rules.
pub(crate) fn run(args: &PoliciesArgs) -> Result<ExitCode> {
    let manager = Manager::find(&args.instance)?;
    let report: AuthorizationReport = manager.fetch(routes::POLICIES)?;
    output::print(args.output, &report, render)?;
    Ok(ExitCode::SUCCESS)
}

fn render(report: &AuthorizationReport) -> String {
    if report.policies.is_empty() {
        return "no AuthorizationPolicy holds for a workload enrolled here\n".to_owned();
    }
    let mut table = Table::new([
        "NAMESPACE",
        "NAME",
        "ACTION",
        ">RULE",
        ">KERNEL",
        ">PROXY",
        "WORKLOADS",
    ]);
    for policy in &report.policies {
        let action = match policy.dry_run {
            true => format!("{} (dry-run)", policy.action),
            false => policy.action.clone(),
        };
        let mut row = |rule: String, decided: [String; 2]| {
            let [kernel, proxy] = decided;
            table.row([
                policy.origin.namespace.clone(),
                policy.origin.name.clone(),
                action.clone(),
                rule,
                kernel,
                proxy,
                policy.workloads.join(","),
            ]);
        };
        for (number, decided) in policy.rules.iter().enumerate() {
            let counts = [decided.kernel.to_string(), decided.proxy.to_string()];
            row(number.to_string(), counts);
        }
        if policy.rules.is_empty() {
            row(String::new(), [String::new(), String::new()]);
        }
    }
    let mut text = table.render(0);
    for (what, decided) in [
        ("refused, as no rule allowed them", &report.unmatched),
        (
            "would be refused, as no rule in dry-run allowed them",
            &report.dry_run_unmatched,
        ),
        ("decided by further rules", &report.uncounted),
    ] {
        let Decided { kernel, proxy } = decided;
        if kernel + proxy > 0 {
            text.push_str(&format!(
                "{what}: {kernel} in the kernel, {proxy} by the proxy\n"
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use weft_admin::{Origin, PolicyInForce};

    use super::*;

    #[test]
    fn every_rule_has_a_line() {
        let policy = |name: &str, dry_run, rules: &[Decided]| PolicyInForce {
            origin: Origin {
                namespace: "shop".into(),
                name: name.into(),
                ..Origin::default()
            },
            action: "ALLOW".into(),
            dry_run,
            workloads: vec!["shop/near".into(), "shop/web".into()],
            rules: rules.to_vec(),
        };
        let decided = |kernel, proxy| Decided { kernel, proxy };
        let report = AuthorizationReport {
            policies: vec![
                policy("clients", false, &[decided(12, 0), decided(0, 3)]),
                policy("nobody", true, &[]),
            ],
            unmatched: decided(2, 1),
            dry_run_unmatched: decided(0, 0),
            uncounted: decided(0, 7),
        };
        let text = "\
NAMESPACE  NAME     ACTION           RULE  KERNEL  PROXY  WORKLOADS
shop       clients  ALLOW               0      12      0  shop/near,shop/web
shop       clients  ALLOW               1       0      3  shop/near,shop/web
shop       nobody   ALLOW (dry-run)     -       -      -  shop/near,shop/web
refused, as no rule allowed them: 2 in the kernel, 1 by the proxy
decided by further rules: 0 in the kernel, 7 by the proxy
";
        assert_eq!(render(&report), text);
    }
}
