//! What is understood, but what this version's data plane does not enforce yet: said of each object,
//! so that nobody takes a policy that is read for one that protects.

use weft_model::{Mesh, Origin, Problem, Severity};

/// A problem for each security policy.
pub(crate) fn problems(mesh: &Mesh) -> impl Iterator<Item = Problem> {
    let policies = &mesh.policies;
    let authorization = policies.authorization.values().map(|policy| &policy.author);
    let peers = policies.peer.values().map(|policy| &policy.author);
    let tokens = policies.request.values().map(|policy| &policy.author);
    let authors = authorization.chain(peers).chain(tokens);
    authors.map(|author| unenforced(&author.origin))
}

fn unenforced(origin: &Origin) -> Problem {
    Problem {
        severity: Severity::Warning,
        code: "not-enforced",
        origin: origin.clone(),
        path: String::new(),
        line: 0,
        message: format!(
            "{} is not enforced yet: traffic passes as if it were not there",
            origin.kind
        ),
    }
}

#[cfg(test)]
mod tests {
    use weft_api::Store;
    use weft_compiler::{Compiler, Settings};

    use super::*;

    #[test]
    fn a_policy_that_protects_nothing_says_so() {
        let mut store = Store::default();
        let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
            metadata: {name: closed, namespace: shop}\nspec: {}\n";
        let changed = store.put_file("a.yaml", text).changed;
        let mut compiler = Compiler::new(Settings::default());
        compiler.update(&store, &changed);
        let found: Vec<String> = problems(compiler.mesh()).map(|p| p.to_string()).collect();
        let expected = "warning: a.yaml:1: AuthorizationPolicy shop/closed: \
            AuthorizationPolicy is not enforced yet: traffic passes as if it were not there";
        assert_eq!(found, [expected]);
    }
}
