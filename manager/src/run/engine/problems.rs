//! What is wrong now: in files, in what they mean together, in what does not fit the maps, and with
//! revocation lists.

use std::collections::BTreeSet;

use weft_abi::names::maps;
use weft_lower::Shortage;
use weft_model::{Origin, Problem, Severity};

use super::Engine;

impl Engine {
    /// Collects what is wrong now, and logs what is newly so.
    pub(crate) fn gather_problems(&mut self) {
        let mut problems = self.compiler.problems(&self.store);
        let enrolled = self.mesh_side.enrolments.open().next().is_some();
        problems.extend(crate::run::unenforced::problems(&self.store, enrolled));
        problems.extend(self.unreadable.iter().map(|(file, reason)| Problem {
            severity: Severity::Error,
            code: "unreadable",
            origin: Origin {
                kind: "".into(),
                namespace: "".into(),
                name: "".into(),
                file: file.as_str().into(),
                line: 0,
            },
            path: String::new(),
            line: 0,
            message: format!("cannot read the file: {reason}; what it held before stays in force"),
        }));
        let local = self.local().filter(|_| !enrolled);
        problems.extend(
            local
                .into_iter()
                .flat_map(crate::run::unenforced::local_problems),
        );
        problems.extend(self.local_problems.iter().cloned());
        problems.extend(self.shortages());
        problems.extend(self.mesh_side.problems().iter().cloned());
        if let Some(certificates) = self.mesh_side.certificates() {
            problems.extend(certificates.list_problems().borrow().iter().cloned());
        }
        let before: BTreeSet<&Problem> = self.problems.iter().collect();
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            let text = problem.to_string();
            // The log has its own word for how bad it is.
            let text = text
                .split_once(": ")
                .map_or(text.as_str(), |(_, text)| text);
            match problem.severity {
                Severity::Error => tracing::error!("{text}"),
                Severity::Warning => tracing::warn!("{text}"),
                Severity::Info => tracing::info!("{text}"),
            }
        }
        self.problems = problems;
        if let Some(metrics) = &self.metrics {
            let counts = weft_admin::ProblemCounts::of(&self.problems);
            metrics
                .manager()
                .problems_now(counts.errors, counts.warnings, counts.infos);
        }
    }

    /// What does not fit. Addresses without a name are one problem, however many they are.
    fn shortages(&self) -> Vec<Problem> {
        let of_address = |one: &&Shortage| matches!(one, Shortage::Workload { .. });
        let others = self.shortages.iter().filter(|one| !of_address(one));
        let mut problems: Vec<Problem> = others.map(|one| self.shortage(one)).collect();
        let mut addresses = self.shortages.iter().filter(of_address);
        if let Some(first) = addresses.next() {
            let mut problem = self.shortage(first);
            match addresses.count() {
                0 => {}
                more => problem.message += &format!(" (and for {more} more addresses)"),
            }
            problems.push(problem);
        }
        problems
    }

    fn shortage(&self, shortage: &Shortage) -> Problem {
        let service = match shortage {
            Shortage::Service { service, .. } | Shortage::Frontend { service, .. } => {
                self.compiler.mesh().services.get(service)
            }
            Shortage::Workload { .. } => None,
        };
        let origin = service.map_or_else(
            || Origin {
                kind: "".into(),
                namespace: "".into(),
                name: "".into(),
                file: "".into(),
                line: 0,
            },
            |service| service.origin.clone(),
        );
        let (code, advice) = match shortage {
            Shortage::Frontend { .. } => ("conflict", String::new()),
            Shortage::Service { map, .. } | Shortage::Workload { map, .. } => {
                ("map-full", larger(map))
            }
        };
        Problem {
            severity: Severity::Error,
            code,
            line: origin.line,
            origin,
            path: String::new(),
            message: format!("{shortage}{advice}"),
        }
    }
}

/// How a map is made larger.
fn larger(map: &str) -> String {
    let flag = match map {
        maps::SERVICES | maps::SERVICE_STATE => "--max-services",
        _ => "--max-backends",
    };
    format!(" ({flag}, which counts once `weft uninstall` has removed the pinned maps)")
}
