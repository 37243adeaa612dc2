//! What rules of a policy ask, and what was there.

use serde_json::Value;
use weft_model::policy::{
    Action, AddressRange, Condition, OneOf, Operation, PathMatch, PathPiece, RequestPrincipal,
    Rule, ServiceAccount, Source, TextMatch,
};

use super::matching::{Seen, header};
use crate::{
    explain::{Check, list, quoted},
    path,
};

impl Seen<'_> {
    /// Everything a rule asks. Of `from` and of `to` one item is enough: if one fits, only that one
    /// is told, else all are. What only a request can answer is left out where there is none and the
    /// action is not ALLOW, for there it is passed over.
    pub(super) fn checks(&self, rule: &Rule, action: &Action) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.http.is_none() && *action == Action::Allow {
            checks.extend(rule.http_attributes().into_iter().map(|field| Check {
                field,
                asked: "a request that is looked into".to_owned(),
                found: None,
                fits: false,
            }));
        }
        let from = rule.from.iter().enumerate();
        checks.extend(one_is_enough(from.map(|(index, source)| {
            self.of_source(&format!("from[{index}].source"), source)
        })));
        let to = rule.to.iter().enumerate();
        checks.extend(one_is_enough(to.map(|(index, operation)| {
            self.of_operation(&format!("to[{index}].operation"), operation)
        })));
        for (index, condition) in rule.when.iter().enumerate() {
            self.of_condition(&format!("when[{index}]"), condition, &mut checks);
        }
        checks
    }

    fn of_source(&self, at: &str, source: &Source) -> Vec<Check> {
        let mut sides = Sides::new(at);
        let from = self.attributes.source;
        let principal = self.attributes.principal;
        sides.text("principals", &source.principals, principal);
        let domain = self.identity(|identity| identity.trust_domain);
        sides.text("trustDomains", &source.trust_domains, domain);
        let namespace = self.identity(|identity| identity.namespace);
        sides.text("namespaces", &source.namespaces, namespace);
        sides.add(
            "serviceAccounts",
            &source.service_accounts,
            self.account_text(),
            |wanted| self.is_account(wanted),
        );
        let found = Some(from.to_string());
        sides.add("ipBlocks", &source.addresses, found, |range| {
            range.contains(from)
        });
        if self.http.is_some() {
            let remote = self.attributes.remote.unwrap_or(from);
            let found = Some(remote.to_string());
            let wanted = &source.remote_addresses;
            sides.add("remoteIpBlocks", wanted, found, |range| {
                range.contains(remote)
            });
            let wanted = &source.request_principals;
            sides.add(
                "requestPrincipals",
                wanted,
                self.request_principal_text(),
                |wanted| self.is_request_principal(wanted),
            );
        }
        sides.checks
    }

    fn of_operation(&self, at: &str, operation: &Operation) -> Vec<Check> {
        let mut sides = Sides::new(at);
        let port = self.attributes.port;
        sides.add("ports", &operation.ports, Some(port.to_string()), |other| {
            *other == port
        });
        if let (Some(http), Some(found)) = (self.http, self.path) {
            let authority = http.authority.to_ascii_lowercase();
            sides.text("hosts", &operation.hosts, Some(&authority));
            sides.text("methods", &operation.methods, Some(http.method));
            let fits = |wanted: &PathMatch| match wanted {
                PathMatch::Text(wanted) => wanted.fits(found),
                PathMatch::Template(pieces) => path::fits_template(found, pieces),
            };
            sides.add("paths", &operation.paths, Some(quoted(found)), fits);
        }
        sides.checks
    }

    fn of_condition(&self, at: &str, condition: &Condition, checks: &mut Vec<Check>) {
        let mut sides = Sides::new(at);
        let key = condition.to_string();
        let of = self.attributes;
        let request = self.http.filter(|_| condition.needs_request());
        if condition.needs_request() && request.is_none() {
            return;
        }
        let claims = request.and_then(|http| http.claims);
        match condition {
            Condition::SourceAddress(wanted) => {
                let found = Some(of.source.to_string());
                sides.key(&key, wanted, found, |range| range.contains(of.source));
            }
            Condition::DestinationAddress(wanted) => {
                let found = Some(of.destination.to_string());
                sides.key(&key, wanted, found, |range| range.contains(of.destination));
            }
            Condition::RemoteAddress(wanted) => {
                let remote = of.remote.unwrap_or(of.source);
                let found = Some(remote.to_string());
                sides.key(&key, wanted, found, |range| range.contains(remote));
            }
            Condition::SourceNamespace(wanted) => {
                sides.key_text(&key, wanted, self.identity(|identity| identity.namespace));
            }
            Condition::SourceTrustDomain(wanted) => {
                sides.key_text(
                    &key,
                    wanted,
                    self.identity(|identity| identity.trust_domain),
                );
            }
            Condition::SourcePrincipal(wanted) => sides.key_text(&key, wanted, of.principal),
            Condition::SourceServiceAccount(wanted) => {
                sides.key(&key, wanted, self.account_text(), |wanted| {
                    self.is_account(wanted)
                });
            }
            Condition::DestinationPort(wanted) => {
                let found = Some(of.port.to_string());
                sides.key(&key, wanted, found, |other| *other == of.port);
            }
            Condition::ServerName(wanted) => sides.key_text(&key, wanted, of.server_name),
            Condition::Header(name, wanted) => {
                let found = request.and_then(|http| header(&http, name).map(|v| v.into_owned()));
                sides.key_text(&key, wanted, found.as_deref());
            }
            Condition::RequestPrincipal(wanted) => {
                let found = self.request_principal_text();
                sides.key(&key, wanted, found, |wanted| {
                    self.is_request_principal(wanted)
                });
            }
            Condition::Audiences(wanted) => sides.claim(&key, wanted, claims, &["aud"]),
            Condition::Presenter(wanted) => sides.claim(&key, wanted, claims, &["azp"]),
            Condition::Claim(path, wanted) => sides.claim(&key, wanted, claims, path),
            Condition::Never => sides.checks.push(Check {
                field: at.to_owned(),
                asked: key,
                found: None,
                fits: false,
            }),
        }
        checks.append(&mut sides.checks);
    }

    fn account_text(&self) -> Option<String> {
        let namespace = self.identity(|identity| identity.namespace)?;
        let account = self.identity(|identity| identity.account)?;
        Some(quoted(&format!("{namespace}/{account}")))
    }

    fn request_principal_text(&self) -> Option<String> {
        let claims = self.http?.claims?;
        let claim = |name: &str| claims.get(name)?.as_str();
        Some(quoted(&format!("{}/{}", claim("iss")?, claim("sub")?)))
    }
}

fn one_is_enough(items: impl Iterator<Item = Vec<Check>>) -> Vec<Check> {
    let mut all = Vec::new();
    for item in items {
        if item.iter().all(|check| check.fits) {
            return item;
        }
        all.extend(item);
    }
    all
}

/// Both sides of what is asked: `values`, and `notValues` with its own name.
struct Sides<'a> {
    at: &'a str,
    checks: Vec<Check>,
}

impl<'a> Sides<'a> {
    fn new(at: &'a str) -> Self {
        Self {
            at,
            checks: Vec::new(),
        }
    }

    fn add<T: Written>(
        &mut self,
        name: &str,
        wanted: &OneOf<T>,
        found: Option<String>,
        fits: impl Fn(&T) -> bool,
    ) {
        let (first, rest) = name.split_at(1);
        let not = format!("not{}{rest}", first.to_uppercase());
        let fields = [format!("{}.{name}", self.at), format!("{}.{not}", self.at)];
        self.both(fields, wanted, &found, fits);
    }

    fn key<T: Written>(
        &mut self,
        key: &str,
        wanted: &OneOf<T>,
        found: Option<String>,
        fits: impl Fn(&T) -> bool,
    ) {
        let fields = [
            format!("{}.{key} values", self.at),
            format!("{}.{key} notValues", self.at),
        ];
        self.both(fields, wanted, &found, fits);
    }

    fn both<T: Written>(
        &mut self,
        [field, not_field]: [String; 2],
        wanted: &OneOf<T>,
        found: &Option<String>,
        fits: impl Fn(&T) -> bool,
    ) {
        let sides = [
            (field, &wanted.any, wanted.any.iter().any(&fits)),
            (not_field, &wanted.none, !wanted.none.iter().any(&fits)),
        ];
        for (field, items, fits) in sides {
            if !items.is_empty() {
                self.checks.push(Check {
                    field,
                    asked: list(items.iter().map(Written::written)),
                    found: found.clone(),
                    fits,
                });
            }
        }
    }

    fn text(&mut self, name: &str, wanted: &OneOf<TextMatch>, found: Option<&str>) {
        let fits = |wanted: &TextMatch| found.is_some_and(|found| wanted.fits(found));
        self.add(name, wanted, found.map(quoted), fits);
    }

    fn key_text(&mut self, key: &str, wanted: &OneOf<TextMatch>, found: Option<&str>) {
        let fits = |wanted: &TextMatch| found.is_some_and(|found| wanted.fits(found));
        self.key(key, wanted, found.map(quoted), fits);
    }

    fn claim(
        &mut self,
        key: &str,
        wanted: &OneOf<TextMatch>,
        claims: Option<&Value>,
        path: &[impl AsRef<str>],
    ) {
        let found = super::matching::claim_at(claims, path);
        let text = found.map(Value::to_string);
        let fits = |wanted: &TextMatch| super::matching::claim_fits(wanted, found);
        self.key(key, wanted, text, fits);
    }
}

/// As users write it.
trait Written {
    fn written(&self) -> String;
}

impl Written for TextMatch {
    fn written(&self) -> String {
        quoted(&match self {
            Self::Exact(text) => text.to_string(),
            Self::Prefix(text) => format!("{text}*"),
            Self::Suffix(text) => format!("*{text}"),
            Self::Present => "*".to_owned(),
        })
    }
}

impl Written for u16 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for AddressRange {
    fn written(&self) -> String {
        format!("{}/{}", self.address, self.prefix_length)
    }
}

impl Written for ServiceAccount {
    fn written(&self) -> String {
        quoted(&format!("{}/{}", self.namespace, self.name))
    }
}

impl Written for RequestPrincipal {
    fn written(&self) -> String {
        let part = |text: &TextMatch| text.written().trim_matches('"').to_owned();
        quoted(&format!("{}/{}", part(&self.issuer), part(&self.subject)))
    }
}

impl Written for PathMatch {
    fn written(&self) -> String {
        let pieces = match self {
            Self::Text(text) => return text.written(),
            Self::Template(pieces) => pieces,
        };
        let text: Vec<&str> = pieces
            .iter()
            .map(|piece| match piece {
                PathPiece::Literal(text) => &**text,
                PathPiece::One => "{*}",
                PathPiece::Any => "{**}",
            })
            .collect();
        quoted(&text.concat())
    }
}
