//! Random policies of a small world, so that they meet.

use std::{net::IpAddr, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::select};
use weft_model::{
    Origin,
    policy::{
        Action, AddressRange, Author, AuthorizationPolicy, Condition, OneOf, Operation, Policies,
        PolicyName, RequestPrincipal, Rule, Scope, ServiceAccount, Source, TextMatch,
    },
};

pub(crate) const PRINCIPALS: [Option<&str>; 9] = [
    None,
    Some("cluster.local/ns/shop/sa/web"),
    Some("cluster.local/ns/shop/sa/api"),
    Some("cluster.local/ns/bank/sa/web"),
    Some("other.td/ns/shop/sa/web"),
    Some("other.td/ns/bank/sa/teller"),
    Some("cluster.local/odd"),
    Some("/ns/shop/sa/web"),
    Some(""),
];
pub(crate) const ADDRESSES: [&str; 9] = [
    "10.0.0.1",
    "10.0.1.1",
    "10.1.0.1",
    "192.168.0.1",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "2001:db8:1::1",
    "::1",
    "0.0.0.0",
];
const RANGES: [&str; 14] = [
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.0.1/32",
    "0.0.0.0/0",
    "192.168.0.7/16",
    "::ffff:10.0.0.0/104",
    "::ffff:10.0.0.0/90",
    "2001:db8::/32",
    "2001:db8::/48",
    "2001:db8::1/128",
    "::/0",
    "::/64",
    "::/96",
];
pub(crate) const PORTS: [u16; 4] = [80, 443, 8080, 9000];

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn range(text: &str) -> AddressRange {
    let (prefix, length) = text.split_once('/').unwrap();
    AddressRange {
        address: address(prefix),
        prefix_length: length.parse().unwrap(),
    }
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(
    item: impl Strategy<Value = T> + Clone + 'static,
) -> BoxedStrategy<OneOf<T>> {
    prop_oneof![
        3 => Just(OneOf::default()),
        2 => (vec(item.clone(), 0..3), vec(item, 0..2)).prop_map(|(any, none)| OneOf { any, none }),
    ]
    .boxed()
}

fn text(texts: &'static [&'static str]) -> impl Strategy<Value = TextMatch> + Clone {
    select(texts).prop_map(TextMatch::parse)
}

fn principals() -> BoxedStrategy<OneOf<TextMatch>> {
    one_of(text(&[
        "cluster.local/ns/shop/sa/web",
        "cluster.local/ns/*",
        "*/sa/web",
        "*",
        "nobody/ns/x/sa/y",
    ]))
}

fn namespaces() -> BoxedStrategy<OneOf<TextMatch>> {
    one_of(text(&["shop", "bank", "sh*", "*k", "*", "none"]))
}

fn domains() -> BoxedStrategy<OneOf<TextMatch>> {
    one_of(text(&["cluster.local", "other*", "*.td", "*"]))
}

fn accounts() -> BoxedStrategy<OneOf<ServiceAccount>> {
    let account = (
        select(&["shop", "bank"][..]),
        select(&["web", "teller"][..]),
    );
    one_of(account.prop_map(|(namespace, name)| ServiceAccount {
        namespace: namespace.into(),
        name: name.into(),
    }))
}

fn ranges() -> BoxedStrategy<OneOf<AddressRange>> {
    one_of(select(&RANGES[..]).prop_map(range))
}

fn ports() -> BoxedStrategy<OneOf<u16>> {
    one_of(select(&PORTS[..]))
}

fn source() -> impl Strategy<Value = Source> {
    let who = (principals(), domains(), namespaces(), accounts());
    (who, ranges(), any::<prop::sample::Index>()).prop_map(|(who, addresses, rare)| {
        let (principals, trust_domains, namespaces, service_accounts) = who;
        let asks_request = rare.index(8) == 0;
        Source {
            principals,
            trust_domains,
            namespaces,
            service_accounts,
            addresses,
            remote_addresses: OneOf::default(),
            request_principals: OneOf {
                any: Vec::from_iter(asks_request.then_some(RequestPrincipal {
                    issuer: TextMatch::Present,
                    subject: TextMatch::Present,
                })),
                none: Vec::new(),
            },
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let methods = prop_oneof![
        6 => Just(OneOf::default()),
        1 => Just(OneOf { any: vec![TextMatch::parse("GET")], none: vec![] }),
    ];
    (ports(), methods).prop_map(|(ports, methods)| Operation {
        ports,
        methods,
        ..Operation::default()
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => ranges().prop_map(Condition::SourceAddress),
        4 => namespaces().prop_map(Condition::SourceNamespace),
        4 => principals().prop_map(Condition::SourcePrincipal),
        4 => accounts().prop_map(Condition::SourceServiceAccount),
        4 => domains().prop_map(Condition::SourceTrustDomain),
        4 => ranges().prop_map(Condition::DestinationAddress),
        4 => ports().prop_map(Condition::DestinationPort),
        1 => ranges().prop_map(Condition::RemoteAddress),
        1 => namespaces().prop_map(Condition::ServerName),
        1 => Just(Condition::Never),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let parts = (
        vec(source(), 0..4),
        vec(operation(), 0..3),
        vec(condition(), 0..3),
    );
    parts.prop_map(|(from, to, when)| Rule { from, to, when })
}

fn scope() -> impl Strategy<Value = Scope> {
    let labels = || vec![("app".into(), "web".into())];
    prop_oneof![
        Just(Scope::Mesh),
        Just(Scope::Namespace("shop".into())),
        Just(Scope::Namespace("bank".into())),
        Just(Scope::Workloads {
            namespace: None,
            labels: labels()
        }),
        Just(Scope::Workloads {
            namespace: Some("shop".into()),
            labels: labels()
        }),
        Just(Scope::Targets(Vec::new())),
    ]
}

pub(crate) fn policy() -> impl Strategy<Value = AuthorizationPolicy> {
    let action = prop_oneof![
        6 => Just(Action::Allow),
        4 => Just(Action::Deny),
        2 => Just(Action::Audit),
        1 => Just(Action::Custom("a".into())),
        1 => Just(Action::Custom("b".into())),
    ];
    let dry = prop_oneof![3 => Just(false), 1 => Just(true)];
    (scope(), action, dry, vec(rule(), 0..4)).prop_map(|(scope, action, is_dry_run, rules)| {
        AuthorizationPolicy {
            author: author("default", "p"),
            scope,
            action,
            is_dry_run,
            rules,
        }
    })
}

pub(crate) fn author(namespace: &str, name: &str) -> Author {
    Author {
        name: PolicyName {
            namespace: namespace.into(),
            name: name.into(),
        },
        origin: Origin {
            kind: "AuthorizationPolicy".into(),
            namespace: namespace.into(),
            name: name.into(),
            file: "a.yaml".into(),
            line: 1,
        },
        created: None,
    }
}

pub(crate) fn all(policies: Vec<AuthorizationPolicy>) -> Policies {
    let mut all = Policies::default();
    for (index, mut policy) in policies.into_iter().enumerate() {
        policy.author = author("default", &format!("p{index}"));
        all.authorization
            .insert(policy.author.name.clone(), Arc::new(policy));
    }
    all
}
