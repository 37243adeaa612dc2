//! Services that share workloads: IST0116, IST0137.
//!
//! Istio looks at Deployments. Where there are only pods they stand for them, by the name of the
//! workload; the message is about the first pod of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Kind, KnownPod, Object, Protocol, Resource, Service, TargetPort};

use super::{Analysis, full_text, list_text};
use crate::workloads::owner_name;

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let mut first_pods: BTreeMap<(Arc<str>, Arc<str>), KnownPod<'_>> = BTreeMap::new();
    for known in &analysis.pods {
        let namespace = Arc::clone(&known.object.key.namespace);
        let name = owner_name(known.object, known.pod);
        first_pods.entry((namespace, name)).or_insert(*known);
    }
    let services = analysis.each(Kind::Service, |resource| match resource {
        Resource::Service(service) => Some(&**service),
        _ => None,
    });
    for ((namespace, name), pod) in first_pods {
        let over = services.iter().filter(|(object, service)| {
            object.key.namespace == namespace && service.selector.select(pod.labels)
        });
        let over: Vec<(String, &Service)> = over
            .map(|(object, service)| (full_text(object), *service))
            .collect();
        protocols(analysis, pod.object, &name, &over);
        targets(analysis, pod.object, &name, &over);
    }
}

/// IST0116: one port, several transports.
fn protocols(analysis: &mut Analysis<'_>, pod: &Object, name: &str, over: &[(String, &Service)]) {
    let mut ports: BTreeMap<u16, Vec<(Protocol, &String)>> = BTreeMap::new();
    for (service, written) in over {
        for port in &written.ports {
            let spoken = ports.entry(port.number).or_default();
            spoken.push((port.protocol, service));
        }
    }
    for (port, spoken) in ports {
        let protocols: BTreeSet<&Protocol> = spoken.iter().map(|(protocol, _)| protocol).collect();
        if protocols.len() < 2 {
            continue;
        }
        let mut services: Vec<&String> = spoken.iter().map(|(_, service)| *service).collect();
        services.sort();
        let text = format!(
            "This deployment {name} is associated with multiple services using port {port} but \
             different protocols: {}",
            list_text(services)
        );
        analysis.say("IST0116", pod, text);
    }
}

/// IST0137: one port of the pods under several numbers.
fn targets(analysis: &mut Analysis<'_>, pod: &Object, name: &str, over: &[(String, &Service)]) {
    let mut targets: BTreeMap<String, BTreeMap<u16, &String>> = BTreeMap::new();
    for (service, written) in over {
        for port in &written.ports {
            let target = match &port.target {
                TargetPort::Number(number) => number.to_string(),
                TargetPort::Name(name) => name.to_string(),
            };
            let numbers = targets.entry(target).or_default();
            numbers.insert(port.number, service);
        }
    }
    for (target, numbers) in targets.into_iter().filter(|(_, numbers)| numbers.len() > 1) {
        let mut services: Vec<&String> = numbers.values().copied().collect();
        services.sort();
        let text = format!(
            "This deployment {name} is associated with multiple services {} using targetPort \
             {target:?} but different ports: {}.",
            list_text(services),
            list_text(numbers.keys())
        );
        analysis.say("IST0137", pod, text);
    }
}
