//! Problems of the whole.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::Object;
use weft_model::{Mesh, Origin, Problem, Severity};

/// Where an object was written.
pub(crate) fn origin(object: &Object) -> Origin {
    from_api_origin(object.origin())
}

fn from_api_origin(origin: weft_api::Origin) -> Origin {
    let weft_api::Origin {
        kind,
        namespace,
        name,
        file,
        line,
    } = origin;
    Origin {
        kind,
        namespace,
        name,
        file,
        line,
    }
}

/// A problem of the store as one of the model.
pub fn from_api(problem: &weft_api::Problem) -> Problem {
    Problem {
        severity: match problem.severity {
            weft_api::Severity::Info => Severity::Info,
            weft_api::Severity::Warning => Severity::Warning,
            weft_api::Severity::Error => Severity::Error,
        },
        code: problem.code,
        origin: from_api_origin(problem.origin.clone()),
        path: problem.path.clone(),
        line: problem.line,
        message: problem.message.clone(),
    }
}

/// By file and line, each once.
pub(crate) fn in_order(problems: impl Iterator<Item = Problem>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = problems.collect();
    let line = |problem: &Problem| problem.line.max(problem.origin.line);
    problems.sort_by(|a, b| {
        let place = (&a.origin.file, line(a)).cmp(&(&b.origin.file, line(b)));
        place.then_with(|| a.cmp(b))
    });
    problems.dedup();
    problems
}

/// Services that claim an address and port that another one has: the first by name keeps it.
pub(crate) fn shared_addresses(mesh: &Mesh) -> Vec<Problem> {
    let mut owners = BTreeMap::new();
    let mut problems = Vec::new();
    let mut claim = |place, service: &Arc<weft_model::Service>, what: String| {
        let owner = owners.entry(place).or_insert_with(|| Arc::clone(service));
        if owner.name != service.name {
            problems.push(Problem {
                severity: Severity::Error,
                code: "conflict",
                origin: service.origin.clone(),
                path: String::new(),
                line: 0,
                message: format!("{what} is taken by {}, which keeps it", owner.name),
            });
        }
    };
    for service in mesh.services.values() {
        for port in &service.ports {
            for frontend in &service.frontends {
                let place = (Some(frontend.address), port.number, port.protocol);
                let what = format!(
                    "{} port {}/{}",
                    frontend.address, port.number, port.protocol
                );
                claim(place, service, what);
            }
            if let Some(node_port) = port.node_port {
                let what = format!("node port {node_port}/{}", port.protocol);
                claim((None, node_port, port.protocol), service, what);
            }
        }
    }
    problems
}
