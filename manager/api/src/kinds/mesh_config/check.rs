//! Istio's verdicts on a mesh configuration (`ValidateMeshConfig` of istio/istio).

use super::MeshConfig;
use crate::{decode::Reading, path::At, syntax};

/// Kinds of providers, and whether something can use them.
const PROVIDERS: &[&str] = &[
    "prometheus",
    "envoyFileAccessLog",
    "zipkin",
    "opentelemetry",
    "envoyOtelAls",
    "envoyExtAuthzHttp",
    "envoyExtAuthzGrpc",
];

pub(super) fn mesh_config(config: &MeshConfig, at: At<'_>, cx: &mut Reading<'_>) {
    trust_domain(&config.trust_domain, true, at.key("trustDomain"), cx);
    let list = at.key("trustDomainAliases");
    for (index, alias) in config.trust_domain_aliases.iter().enumerate() {
        trust_domain(alias, false, list.index(index), cx);
    }
    let root = &*config.root_namespace;
    let message = format_args!("{root:?} is not a valid namespace");
    cx.require(
        root.is_empty() || syntax::is_label(root),
        at.key("rootNamespace"),
        message,
    );
    providers(config, at, cx);
    let list = at.key("discoverySelectors");
    for (index, selector) in config.discovery_selectors.iter().enumerate() {
        let at = list.index(index);
        let list = at.key("matchExpressions");
        for (index, expression) in selector.match_expressions.iter().enumerate() {
            let has_values = !expression.values.is_empty();
            let fits = match &*expression.operator {
                "In" | "NotIn" => has_values,
                "Exists" | "DoesNotExist" => !has_values,
                _ => false,
            };
            let message = "use In or NotIn with values, Exists or DoesNotExist without";
            cx.require(fits, list.index(index), message);
        }
    }
}

fn trust_domain(domain: &str, may_be_empty: bool, at: At<'_>, cx: &mut Reading<'_>) {
    let fits = (may_be_empty && domain.is_empty())
        || domain.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        });
    cx.require(
        fits,
        at,
        format_args!("trustDomain: invalid domain name {domain:?}"),
    );
}

fn providers(config: &MeshConfig, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("extensionProviders");
    for (index, provider) in config.extension_providers.iter().enumerate() {
        let at = list.index(index);
        cx.require(
            !provider.name.is_empty(),
            at.key("name"),
            "empty extension provider name",
        );
        let others = &config.extension_providers[..index];
        let is_new = others.iter().all(|other| other.name != provider.name);
        let message = format_args!("duplicate extension provider name {}", provider.name);
        cx.require(is_new, at.key("name"), message);
        cx.require(
            !provider.is_ambiguous,
            at,
            "only one kind of provider may be set",
        );
        if provider.kind.is_empty() {
            cx.reject(at, "extension provider kind not set");
        } else if !PROVIDERS.contains(&&*provider.kind) {
            let message = "this kind of provider is not supported";
            cx.not_supported(at.key(&provider.kind), message);
        }
    }
}
