//! What a policy holds for.

use std::sync::Arc;

use weft_api::{Kind, Object, ObjectKey, PolicyScope, Resource, TargetKind, TargetRef};
use weft_model::{
    Problem, ServiceName, Severity,
    policy::{Scope, Target},
};

use super::Compiling;
use crate::problems;

pub(super) fn scope(cx: &mut Compiling<'_>, object: &Object, written: &PolicyScope) -> Scope {
    let namespace = &object.key.namespace;
    let is_root = *namespace == cx.settings.root_namespace;
    match written {
        PolicyScope::Workloads(labels) if !labels.is_empty() => Scope::Workloads {
            namespace: (!is_root).then(|| Arc::clone(namespace)),
            labels: labels.iter().cloned().collect(),
        },
        PolicyScope::Targets(refs) => {
            let mut targets: Vec<Target> = Vec::new();
            for target in refs {
                targets.extend(resolve(cx, object, target));
            }
            targets.sort();
            targets.dedup();
            Scope::Targets(targets)
        }
        _ if is_root => Scope::Mesh,
        _ => Scope::Namespace(Arc::clone(namespace)),
    }
}

fn resolve(cx: &mut Compiling<'_>, object: &Object, target: &TargetRef) -> Vec<Target> {
    let namespace = &object.key.namespace;
    let key = |kind| ObjectKey {
        kind,
        namespace: Arc::clone(namespace),
        name: Arc::clone(&target.name),
    };
    let found = match target.kind {
        TargetKind::Service => {
            let service = cx.settings.service_name(namespace, &target.name);
            let exists = cx.store.object(&key(Kind::Service)).is_some();
            exists.then(|| vec![Target::Service(service)])
        }
        TargetKind::ServiceEntry => {
            let entry = cx.store.object(&key(Kind::ServiceEntry));
            entry.and_then(|entry| match &entry.resource {
                Resource::ServiceEntry(entry) => {
                    let hosts = entry.hosts.iter().map(|host| {
                        Target::Service(ServiceName {
                            namespace: Arc::clone(namespace),
                            hostname: Arc::clone(host),
                        })
                    });
                    Some(hosts.collect())
                }
                _ => None,
            })
        }
        // Whether it exists is said where gateways are checked.
        TargetKind::Gateway => Some(vec![Target::Gateway {
            namespace: Arc::clone(namespace),
            name: Arc::clone(&target.name),
        }]),
        TargetKind::GatewayClass if *namespace == cx.settings.root_namespace => {
            Some(vec![Target::GatewayClass(Arc::clone(&target.name))])
        }
        TargetKind::GatewayClass => {
            let root = &cx.settings.root_namespace;
            let message =
                format!("a GatewayClass can be targeted from the root namespace {root} only");
            cx.problem(
                object,
                Severity::Error,
                "invalid-field",
                "spec.targetRefs",
                message,
            );
            return Vec::new();
        }
    };
    found.unwrap_or_else(|| {
        let kind = match target.kind {
            TargetKind::ServiceEntry => "ServiceEntry",
            _ => "Service",
        };
        let message = format!("{kind} {namespace}/{} was not found", target.name);
        cx.problem(
            object,
            Severity::Warning,
            "TargetNotFound",
            "spec.targetRefs",
            message,
        );
        Vec::new()
    })
}

impl Compiling<'_> {
    pub(super) fn problem(
        &mut self,
        object: &Object,
        severity: Severity,
        code: &'static str,
        path: &str,
        message: String,
    ) {
        self.problems.push(Problem {
            severity,
            code,
            origin: problems::origin(object),
            path: path.to_owned(),
            line: 0,
            message,
        });
    }
}
