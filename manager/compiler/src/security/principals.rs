//! Trust domains and their aliases, as Istio's `trustdomain.Bundle` writes them out.

use std::{borrow::Cow, sync::Arc};

use crate::Settings;

/// What stands in a policy for the trust domain of the mesh, whatever that is.
const LOCAL: &str = "cluster.local";

/// A principal with every trust domain that means the same.
pub(super) fn with_aliases<'p>(settings: &Settings, principal: &'p str) -> Vec<Cow<'p, str>> {
    let parts: Vec<&str> = principal.split('/').collect();
    let &[domain, _, _, _, _] = parts.as_slice() else {
        // Whatever this is, it names no trust domain.
        return vec![principal.into()];
    };
    let known = || domains(settings);
    let is_ours = known().any(|known| fits(known, domain)) || domain == LOCAL;
    if domain == "*" || !is_ours {
        return vec![principal.into()];
    }
    let mut all: Vec<Cow<'p, str>> = Vec::new();
    for known in known() {
        let next: Cow<'p, str> = match domain.strip_prefix('*') {
            Some(suffix) if known.ends_with(suffix) => principal.into(),
            _ if **known == *domain => principal.into(),
            _ => format!("{known}{}", &principal[domain.len()..]).into(),
        };
        if !all.contains(&next) {
            all.push(next);
        }
    }
    all
}

/// A trust domain with every one that means the same.
pub(super) fn domain_with_aliases(settings: &Settings, domain: &Arc<str>) -> Vec<Arc<str>> {
    if domains(settings).any(|known| known == domain) {
        domains(settings).cloned().collect()
    } else {
        vec![Arc::clone(domain)]
    }
}

fn domains(settings: &Settings) -> impl Iterator<Item = &Arc<str>> {
    std::iter::once(&settings.trust_domain).chain(&settings.trust_domain_aliases)
}

fn fits(known: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => known.ends_with(suffix),
        (None, Some(prefix)) => known.starts_with(prefix),
        (None, None) => known == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(principal: &str) -> Vec<String> {
        let settings = Settings {
            trust_domain: "new-td".into(),
            trust_domain_aliases: vec!["old-td".into(), "other".into()],
            ..Settings::default()
        };
        let all = with_aliases(&settings, principal);
        all.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn a_principal_of_the_mesh_gets_every_alias() {
        let all = ["new-td/ns/a/sa/b", "old-td/ns/a/sa/b", "other/ns/a/sa/b"];
        assert_eq!(expanded("old-td/ns/a/sa/b"), all);
        assert_eq!(expanded("cluster.local/ns/a/sa/b"), all);
        assert_eq!(
            expanded("*-td/ns/a/sa/b"),
            ["*-td/ns/a/sa/b", "other/ns/a/sa/b"]
        );
    }

    #[test]
    fn other_principals_stay_as_they_are() {
        for principal in ["far/ns/a/sa/b", "*/ns/a/sa/b", "*", "odd/sa/b"] {
            assert_eq!(expanded(principal), [principal]);
        }
    }
}
