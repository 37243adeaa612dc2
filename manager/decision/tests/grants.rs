//! A ReferenceGrant that comes and goes decides anew for routes that were there before it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use weft_api::{FileOutcome, Store};
use weft_compiler::{Compiler, Settings};
use weft_decision::{Client, HttpAnswer, Request, Router};
use weft_model::{
    route::{GatewayName, Target},
    status::Status,
};

const MESH: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft}
spec: {controllerName: weft.dev/gateway-controller}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: other}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: weft, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: db, namespace: other, port: 80}]}]
";

const GRANT: &str = "\
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: '', kind: Service}]
";

struct World {
    store: Store,
    compiler: Compiler,
    router: Router,
}

impl World {
    fn take(&mut self, edit: impl FnOnce(&mut Store) -> FileOutcome) {
        let outcome = edit(&mut self.store);
        let change = self.compiler.update(&self.store, &outcome.changed);
        self.router.apply(&change.routes);
    }

    /// What the route's status says of its references, and where a request goes.
    fn told(&self) -> (&'static str, Result<String, u16>) {
        let mut statuses = self.compiler.gateway_status();
        let parents = statuses.find_map(|object| match &object.status {
            Status::Route { parents } => Some(parents),
            _ => None,
        });
        let mut conditions = parents.unwrap()[0].conditions.iter();
        let resolved = conditions.find(|it| it.condition_type == "ResolvedRefs");
        let gateway = GatewayName {
            is_gateway_api: true,
            namespace: "shop".into(),
            name: "edge".into(),
        };
        let client = Client {
            namespace: "shop",
            labels: &[],
        };
        let request = Request {
            host: "x.example.com",
            port: 80,
            scheme: "http",
            method: "GET",
            path: "/",
            authority: "x.example.com",
            ..Request::default()
        };
        let decision = self.router.gateway_http(&gateway, &client, &request);
        let HttpAnswer::Forward { destinations, .. } = decision.answer else {
            panic!("{decision:?}");
        };
        let target = match &destinations[0].target {
            Target::Invalid { status, .. } => Err(*status),
            _ => Ok(destinations[0].host.to_string()),
        };
        (resolved.unwrap().reason, target)
    }
}

#[test]
fn what_a_grant_allowed_is_refused_again_without_it() {
    let refused = ("RefNotPermitted", Err(500));
    let allowed = ("ResolvedRefs", Ok("db.other.svc.cluster.local".to_owned()));
    let mut world = World {
        store: Store::default(),
        compiler: Compiler::new(Settings::default()),
        router: Router::default(),
    };
    world.take(|store| store.put_file("mesh.yaml", MESH));
    assert_eq!(world.told(), refused);
    world.take(|store| store.put_file("grant.yaml", GRANT));
    assert_eq!(world.told(), allowed);
    world.take(|store| store.remove_file("grant.yaml"));
    assert_eq!(world.told(), refused);
    world.take(|store| store.put_file("grant.yaml", GRANT));
    world.take(|store| store.put_file("grant.yaml", &GRANT.replace("shop", "elsewhere")));
    assert_eq!(world.told(), refused);
}
