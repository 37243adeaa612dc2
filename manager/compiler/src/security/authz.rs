//! `AuthorizationPolicy`.

use std::{net::IpAddr, sync::Arc};

use weft_api::{
    AuthorizationCondition, AuthorizationOperation, AuthorizationRule, AuthorizationSource, Object,
    Resource, Values,
};
use weft_model::policy::{
    Action, AddressRange, AuthorizationPolicy, Condition, OneOf, Operation, PathMatch,
    RequestPrincipal, Rule, ServiceAccount, Source, TextMatch,
};

use super::{Compiling, author, principals, scope};
use crate::Settings;

pub(super) fn policy(cx: &mut Compiling<'_>, object: &Object) -> Option<AuthorizationPolicy> {
    let Resource::AuthorizationPolicy(written) = &object.resource else {
        return None;
    };
    let action = match &written.action {
        weft_api::Action::Allow => Action::Allow,
        weft_api::Action::Deny => Action::Deny,
        weft_api::Action::Audit => Action::Audit,
        weft_api::Action::Custom(provider) => Action::Custom(Arc::clone(provider)),
    };
    let scope = scope::scope(cx, object, &written.scope);
    let policy = Reader {
        settings: cx.settings,
        namespace: &object.key.namespace,
        is_allow: action == Action::Allow,
    };
    Some(AuthorizationPolicy {
        author: author(object),
        scope,
        action,
        is_dry_run: written.is_dry_run,
        rules: written.rules.iter().map(|rule| policy.rule(rule)).collect(),
    })
}

struct Reader<'a> {
    settings: &'a Settings,
    namespace: &'a Arc<str>,
    is_allow: bool,
}

impl Reader<'_> {
    fn rule(&self, written: &AuthorizationRule) -> Rule {
        let conditions = written.when.iter();
        Rule {
            from: written
                .from
                .iter()
                .map(|source| self.source(source))
                .collect(),
            to: written.to.iter().map(operation).collect(),
            when: conditions
                .filter_map(|condition| self.condition(condition))
                .collect(),
        }
    }

    fn source(&self, written: &AuthorizationSource) -> Source {
        Source {
            principals: self.principals(&written.principals),
            trust_domains: self.trust_domains(&written.trust_domains),
            namespaces: texts(&written.namespaces),
            service_accounts: self.accounts(&written.service_accounts),
            addresses: ranges(&written.ip_blocks),
            remote_addresses: ranges(&written.remote_ip_blocks),
            request_principals: each(&written.request_principals, |text| {
                vec![request_principal(text)]
            }),
        }
    }

    fn principals(&self, written: &Values) -> OneOf<TextMatch> {
        each(written, |text| {
            let all = principals::with_aliases(self.settings, text);
            all.iter()
                .map(|principal| TextMatch::parse(principal))
                .collect()
        })
    }

    fn trust_domains(&self, written: &Values) -> OneOf<TextMatch> {
        each(written, |text| {
            let all = principals::domain_with_aliases(self.settings, text);
            all.iter().map(|domain| TextMatch::parse(domain)).collect()
        })
    }

    fn accounts(&self, written: &Values) -> OneOf<ServiceAccount> {
        each(written, |text| {
            let (namespace, name) = match text.split_once('/') {
                Some((namespace, name)) => (namespace.into(), name.into()),
                None => (Arc::clone(self.namespace), Arc::clone(text)),
            };
            vec![ServiceAccount { namespace, name }]
        })
    }

    /// None for a key that cannot be asked here. Such a condition is passed over, but in an ALLOW
    /// rule it must fit nothing.
    fn condition(&self, written: &AuthorizationCondition) -> Option<Condition> {
        let values = &written.values;
        Some(match &*written.key {
            "source.ip" => Condition::SourceAddress(ranges(values)),
            "remote.ip" => Condition::RemoteAddress(ranges(values)),
            "source.namespace" => Condition::SourceNamespace(texts(values)),
            "source.principal" => Condition::SourcePrincipal(self.principals(values)),
            "source.serviceAccount" => Condition::SourceServiceAccount(self.accounts(values)),
            "source.trustDomain" => Condition::SourceTrustDomain(self.trust_domains(values)),
            "destination.ip" => Condition::DestinationAddress(ranges(values)),
            "destination.port" => Condition::DestinationPort(ports(values)),
            "connection.sni" => Condition::ServerName(texts(values)),
            "request.auth.principal" => {
                Condition::RequestPrincipal(each(values, |text| vec![request_principal(text)]))
            }
            "request.auth.audiences" => Condition::Audiences(texts(values)),
            "request.auth.presenter" => Condition::Presenter(texts(values)),
            key => match (
                in_brackets(key, "request.headers"),
                in_brackets(key, "request.auth.claims"),
            ) {
                (Some(name), _) => {
                    Condition::Header(name.to_ascii_lowercase().into(), texts(values))
                }
                (None, Some(path)) => {
                    let path = path.split("][").map(Arc::from).collect();
                    Condition::Claim(path, texts(values))
                }
                (None, None) if self.is_allow => Condition::Never,
                (None, None) => return None,
            },
        })
    }
}

fn operation(written: &AuthorizationOperation) -> Operation {
    Operation {
        hosts: each(&written.hosts, |text| {
            vec![TextMatch::parse(&text.to_ascii_lowercase())]
        }),
        ports: ports(&written.ports),
        methods: texts(&written.methods),
        paths: each(&written.paths, |text| vec![PathMatch::parse(text)]),
    }
}

fn each<T>(written: &Values, mut item: impl FnMut(&Arc<str>) -> Vec<T>) -> OneOf<T> {
    OneOf {
        any: written.any.iter().flat_map(&mut item).collect(),
        none: written.none.iter().flat_map(&mut item).collect(),
    }
}

fn texts(written: &Values) -> OneOf<TextMatch> {
    each(written, |text| vec![TextMatch::parse(text)])
}

fn ports(written: &Values) -> OneOf<u16> {
    each(written, |text| {
        vec![
            text.parse()
                .expect("ports were checked when they were read"),
        ]
    })
}

fn ranges(written: &Values) -> OneOf<AddressRange> {
    each(written, |text| {
        vec![range(text).expect("ranges were checked when they were read")]
    })
}

fn range(text: &str) -> Option<AddressRange> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix_length = match length {
        Some(length) => length.parse().ok().filter(|length| *length <= whole)?,
        None => whole,
    };
    Some(AddressRange {
        address,
        prefix_length,
    })
}

/// `ISSUER/SUBJECT`; issuers may hold slashes, and an asterisk may stand at one end.
fn request_principal(text: &Arc<str>) -> RequestPrincipal {
    let (issuer, subject) = match text.rsplit_once('/') {
        Some((issuer, subject)) => (issuer, Some(subject)),
        None => (&**text, None),
    };
    let exact = |text: &str| TextMatch::Exact(text.into());
    let (issuer, subject) = match (issuer, subject) {
        ("*", None) => (TextMatch::Present, TextMatch::Present),
        (issuer, Some(subject)) if issuer.starts_with('*') => {
            (TextMatch::parse(issuer), exact(subject))
        }
        (subject, None) if subject.starts_with('*') => {
            (TextMatch::Present, TextMatch::parse(subject))
        }
        (issuer, Some(subject)) if subject.ends_with('*') => {
            (exact(issuer), TextMatch::parse(subject))
        }
        (issuer, None) if issuer.ends_with('*') => (TextMatch::parse(issuer), TextMatch::Present),
        (issuer, subject) => (exact(issuer), exact(subject.unwrap_or(""))),
    };
    RequestPrincipal { issuer, subject }
}

fn in_brackets<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    key.strip_prefix(prefix)?
        .strip_prefix('[')?
        .strip_suffix(']')
}
