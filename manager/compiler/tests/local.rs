//! A local file beside resources: what changes is said, and is all that changes.

use std::sync::Arc;

use weft_api::{Store, local_xds};
use weft_compiler::{Compiler, Settings, local_mesh};
use weft_model::{Change, Mesh};

const FILE: &str = "workloads:
- {name: web, namespace: shop, workloadIps: [10.0.0.1], protocol: HBONE}
services:
- {name: web, namespace: shop, hostname: web.shop.svc.cluster.local, vips: [/10.96.0.1], ports: {80: 8080}}
policies:
- {name: guard, namespace: shop, scope: Namespace, action: Deny, rules: []}
";

const RESOURCES: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: pod, namespace: shop},
 spec: {serviceAccountName: other}, status: {podIP: 10.0.0.1, phase: Running}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
 spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guard, namespace: shop}
spec: {}
";

struct Both {
    store: Store,
    compiler: Compiler,
    /// What changes alone make of nothing.
    replica: Mesh,
}

impl Both {
    fn new() -> Self {
        Self {
            store: Store::default(),
            compiler: Compiler::new(Settings::default()),
            replica: Mesh::default(),
        }
    }

    fn follow(&mut self, change: &Change) {
        self.replica.apply(change);
        assert_eq!(&self.replica, self.compiler.mesh());
    }

    fn resources(&mut self, text: &str) {
        let changed = self.store.put_file("in.yaml", text).changed;
        let changed: Vec<_> = changed.into_iter().collect();
        let change = self.compiler.update(&self.store, &changed);
        self.follow(&change);
    }

    fn local(&mut self, text: &str) -> Change {
        let (config, problems) = local_xds::read("local.yaml", text);
        let config = config.unwrap_or_else(|| panic!("{problems:?}"));
        let change = self
            .compiler
            .update_local(local_mesh(&config, "local.yaml"));
        self.follow(&change);
        change
    }

    /// Files that the address, the service and the policy come from.
    fn origins(&self) -> Vec<Arc<str>> {
        let mesh = self.compiler.mesh();
        let instances = mesh.instances.values().map(|it| &it.origin);
        let services = mesh.services.values().map(|it| &it.origin);
        let policies = mesh.policies.authorization.values();
        let policies = policies.map(|it| &it.author.origin);
        let origins = instances.chain(services).chain(policies);
        origins.map(|origin| Arc::clone(&origin.file)).collect()
    }
}

#[test]
fn resources_hide_what_the_file_also_names_and_uncover_it_when_they_go() {
    let local = ["local.yaml"; 3].map(Arc::from);
    let resources = ["in.yaml"; 3].map(Arc::from);
    let mut both = Both::new();
    both.local(FILE);
    assert_eq!(both.origins(), local);
    assert!(both.local(FILE).is_empty(), "the same file changes nothing");
    both.resources(RESOURCES);
    assert_eq!(both.origins(), resources);
    let hidden = both.compiler.problems(&both.store);
    let hidden: Vec<String> = hidden
        .iter()
        .filter(|problem| &*problem.origin.file == "local.yaml")
        .map(ToString::to_string)
        .collect();
    assert_eq!(hidden.len(), 3, "{hidden:?}");
    let service =
        "Service shop/web: its host name is also that of Service shop/web (in.yaml:5), which holds";
    assert!(hidden.iter().any(|it| it.ends_with(service)), "{hidden:?}");

    let gone = both.local("workloads: []\n");
    assert!(gone.is_empty(), "what is hidden is not missed: {gone:?}");
    both.local(FILE);
    both.resources("");
    assert_eq!(both.origins(), local);
    both.local("workloads: []\n");
    assert_eq!(both.origins(), [] as [Arc<str>; 0]);
}
