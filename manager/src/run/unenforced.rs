//! What is understood, but what this version's data plane does not act on yet: said of each object,
//! so that nobody takes a policy that is read for one that protects, or a route for one that leads.

use weft_api::{Kind, Object, PolicyScope, Resource, Store};
use weft_model::{Mesh, Origin, Problem, Severity};

/// Policies that hold for enrolled workloads.
const OF_ENROLLED: [Kind; 3] = [
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RateLimitPolicy,
];

/// Routes and gateways: traffic goes as if they were not there.
const ROUTES: [Kind; 9] = [
    Kind::VirtualService,
    Kind::IstioGateway,
    Kind::Gateway,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TcpRoute,
    Kind::TlsRoute,
    Kind::UdpRoute,
    Kind::BackendTlsPolicy,
];

/// What is said of [`OF_ENROLLED`].
const NOBODY_ENROLLED: &str =
    "is not enforced here, where no workload is enrolled (weft enrol): traffic passes";

/// What is said of policies that are for waypoints and gateways.
const ATTACHED: &str = "with targetRefs is not enforced yet: traffic passes";

/// A problem for each policy of a local file, where no workload of this node is enrolled.
pub(crate) fn local_problems(local: &Mesh) -> Vec<Problem> {
    let policies = local.policies.authorization.values();
    let origins = policies.map(|policy| policy.author.origin.clone());
    origins
        .map(|origin| problem(origin, NOBODY_ENROLLED))
        .collect()
}

fn problem(origin: Origin, what: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        code: "not-enforced",
        path: String::new(),
        line: origin.line,
        message: format!("{} {what} as if it were not there", origin.kind),
        origin,
    }
}

fn origin(object: &Object) -> Origin {
    Origin {
        kind: object.key.kind.name().into(),
        namespace: object.key.namespace.clone(),
        name: object.key.name.clone(),
        file: object.file.clone(),
        line: object.line,
    }
}

/// A problem for each such object; `enrolled` is whether any workload of this node is.
pub(crate) fn problems(store: &Store, enrolled: bool) -> Vec<Problem> {
    let policies = OF_ENROLLED.map(|kind| (kind, NOBODY_ENROLLED));
    let policies = policies.into_iter().filter(|_| !enrolled);
    let requests = [(
        Kind::RequestAuthentication,
        "is not enforced yet: traffic passes",
    )];
    let is_attached = |object: &Object| match &object.resource {
        Resource::AuthorizationPolicy(policy) => matches!(policy.scope, PolicyScope::Targets(_)),
        _ => false,
    };
    let attached = store.objects(Kind::AuthorizationPolicy);
    let attached = attached.filter(|object| enrolled && is_attached(object));
    let mut problems: Vec<Problem> = attached
        .map(|object| problem(origin(object), ATTACHED))
        .collect();
    let routes = ROUTES.map(|kind| (kind, "is not acted on yet: traffic goes"));
    for (kind, what) in policies.chain(requests).chain(routes) {
        for object in store.objects(kind) {
            problems.push(problem(origin(object), what));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_or_route_that_does_nothing_says_so() {
        let mut store = Store::default();
        let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
            metadata: {name: closed, namespace: shop}\nspec: {}\n---\n\
            apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
            metadata: {name: web, namespace: shop}\n\
            spec: {hosts: [web], tcp: [{route: [{destination: {host: web}}]}]}\n";
        store.put_file("a.yaml", text);
        let found: Vec<String> = problems(&store, false)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            "warning: a.yaml:1: AuthorizationPolicy shop/closed: AuthorizationPolicy is not \
             enforced here, where no workload is enrolled (weft enrol): traffic passes as if it \
             were not there",
            "warning: a.yaml:6: VirtualService shop/web: VirtualService is not acted on yet: \
             traffic goes as if it were not there",
        ];
        assert_eq!(found, expected);
        assert_eq!(
            problems(&store, true).len(),
            1,
            "of enrolled workloads it holds"
        );
    }

    #[test]
    fn a_policy_for_a_waypoint_does_nothing_for_enrolled_workloads_either() {
        let mut store = Store::default();
        let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
            metadata: {name: get, namespace: shop}\n\
            spec: {targetRefs: [{kind: Service, group: \"\", name: web}], rules: [{}]}\n";
        store.put_file("a.yaml", text);
        let found: Vec<String> = problems(&store, true)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = "warning: a.yaml:1: AuthorizationPolicy shop/get: AuthorizationPolicy with \
            targetRefs is not enforced yet: traffic passes as if it were not there";
        assert_eq!(found, [expected]);
        assert_eq!(problems(&store, false).len(), 1, "once is enough");
    }
}
