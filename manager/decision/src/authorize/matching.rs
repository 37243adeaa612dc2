//! Whether a rule fits.

use std::{borrow::Cow, fmt};

use serde_json::Value;
use weft_model::policy::{
    Action, Condition, OneOf, Operation, PathMatch, RequestPrincipal, Rule, ServiceAccount, Source,
    TextMatch,
};

use super::{Attributes, HttpAttributes};
use crate::path;

/// What of a rule does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Miss {
    /// No source of `from`; of the last one, this field.
    From(&'static str),
    /// No operation of `to`; of the last one, this field.
    To(&'static str),
    /// This condition of `when`.
    When(usize),
    /// An ALLOW rule that only a request can answer, where there is none.
    NeedsRequest,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(field) => write!(f, "from.source.{field}"),
            Self::To(field) => write!(f, "to.operation.{field}"),
            Self::When(index) => write!(f, "when[{index}]"),
            Self::NeedsRequest => f.write_str("HTTP attributes"),
        }
    }
}

/// What policies see.
pub(super) struct Seen<'a> {
    pub(super) attributes: &'a Attributes<'a>,
    /// The request, where it is looked into.
    pub(super) http: Option<HttpAttributes<'a>>,
    /// Its path without query, made regular.
    pub(super) path: Option<&'a str>,
}

/// Who a principal is, as far as it follows Istio's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity<'a> {
    pub(super) trust_domain: &'a str,
    pub(super) namespace: &'a str,
    pub(super) account: &'a str,
}

impl<'a> Identity<'a> {
    /// `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; pairs of other keys may stand between and after.
    fn parse(principal: &'a str) -> Option<Self> {
        let mut parts = principal.split('/');
        let trust_domain = parts.next().filter(|domain| !domain.is_empty())?;
        let (mut namespace, mut account) = (None, None);
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            match key {
                "ns" if namespace.is_none() => namespace = Some(value),
                "sa" if account.is_none() => account = Some(value),
                _ => {}
            }
        }
        Some(Self {
            trust_domain,
            namespace: namespace?,
            account: account?,
        })
    }
}

impl Seen<'_> {
    /// Whether a rule of a policy fits, else what does not.
    pub(super) fn fits(&self, rule: &Rule, action: &Action) -> Result<(), Miss> {
        if self.http.is_none() && *action == Action::Allow && !rule.http_attributes().is_empty() {
            return Err(Miss::NeedsRequest);
        }
        any(&rule.from, |source| self.source(source)).map_err(Miss::From)?;
        any(&rule.to, |operation| self.operation(operation)).map_err(Miss::To)?;
        let mut conditions = rule.when.iter();
        match conditions.position(|condition| !self.condition(condition)) {
            Some(index) => Err(Miss::When(index)),
            None => Ok(()),
        }
    }

    fn source(&self, source: &Source) -> Result<(), &'static str> {
        let Attributes {
            source: from,
            principal,
            ..
        } = *self.attributes;
        need(text(&source.principals, principal), "principals")?;
        need(
            text(&source.trust_domains, self.identity(|id| id.trust_domain)),
            "trustDomains",
        )?;
        need(
            text(&source.namespaces, self.identity(|id| id.namespace)),
            "namespaces",
        )?;
        need(self.account(&source.service_accounts), "serviceAccounts")?;
        need(
            source.addresses.fits(|range| range.contains(from)),
            "ipBlocks",
        )?;
        if self.http.is_none() {
            return Ok(());
        }
        let remote = self.attributes.remote.unwrap_or(from);
        need(
            source.remote_addresses.fits(|range| range.contains(remote)),
            "remoteIpBlocks",
        )?;
        need(
            self.request_principal(&source.request_principals),
            "requestPrincipals",
        )
    }

    fn operation(&self, operation: &Operation) -> Result<(), &'static str> {
        let port = self.attributes.port;
        need(operation.ports.fits(|other| *other == port), "ports")?;
        let (Some(http), Some(path)) = (self.http, self.path) else {
            return Ok(());
        };
        let authority = http.authority.to_ascii_lowercase();
        need(text(&operation.hosts, Some(&authority)), "hosts")?;
        need(text(&operation.methods, Some(http.method)), "methods")?;
        let fits = |wanted: &PathMatch| match wanted {
            PathMatch::Text(wanted) => wanted.fits(path),
            PathMatch::Template(pieces) => path::fits_template(path, pieces),
        };
        need(operation.paths.fits(fits), "paths")
    }

    pub(super) fn condition(&self, condition: &Condition) -> bool {
        let Attributes {
            source,
            remote,
            destination,
            port,
            ..
        } = *self.attributes;
        let Some(http) = self.http.filter(|_| condition.needs_request()) else {
            return match condition {
                Condition::SourceAddress(ranges) => ranges.fits(|range| range.contains(source)),
                Condition::SourceNamespace(wanted) => {
                    text(wanted, self.identity(|id| id.namespace))
                }
                Condition::SourcePrincipal(wanted) => text(wanted, self.attributes.principal),
                Condition::SourceServiceAccount(wanted) => self.account(wanted),
                Condition::SourceTrustDomain(wanted) => {
                    text(wanted, self.identity(|id| id.trust_domain))
                }
                Condition::DestinationAddress(ranges) => {
                    ranges.fits(|range| range.contains(destination))
                }
                Condition::DestinationPort(ports) => ports.fits(|other| *other == port),
                Condition::Never => false,
                // Nothing answers: stricter rules pass it over, an ALLOW rule never came here.
                _ => true,
            };
        };
        match condition {
            Condition::RemoteAddress(ranges) => {
                let remote = remote.unwrap_or(source);
                ranges.fits(|range| range.contains(remote))
            }
            Condition::ServerName(wanted) => text(wanted, self.attributes.server_name),
            Condition::Header(name, wanted) => text(wanted, header(&http, name).as_deref()),
            Condition::RequestPrincipal(wanted) => self.request_principal(wanted),
            Condition::Audiences(wanted) => claim(wanted, http.claims, &["aud"]),
            Condition::Presenter(wanted) => claim(wanted, http.claims, &["azp"]),
            Condition::Claim(path, wanted) => claim(wanted, http.claims, path),
            _ => true,
        }
    }

    pub(super) fn identity<'s>(&'s self, part: fn(Identity<'s>) -> &'s str) -> Option<&'s str> {
        Identity::parse(self.attributes.principal?).map(part)
    }

    fn account(&self, wanted: &OneOf<ServiceAccount>) -> bool {
        wanted.fits(|wanted| self.is_account(wanted))
    }

    pub(super) fn is_account(&self, wanted: &ServiceAccount) -> bool {
        let identity = self.attributes.principal.and_then(Identity::parse);
        identity.is_some_and(|identity| {
            *wanted.namespace == *identity.namespace && *wanted.name == *identity.account
        })
    }

    fn request_principal(&self, wanted: &OneOf<RequestPrincipal>) -> bool {
        wanted.fits(|wanted| self.is_request_principal(wanted))
    }

    pub(super) fn is_request_principal(&self, wanted: &RequestPrincipal) -> bool {
        let claims = self.http.and_then(|http| http.claims);
        let claim = |name| claims.and_then(|claims| claims.get(name)?.as_str());
        match (claim("iss"), claim("sub")) {
            (Some(issuer), Some(subject)) => {
                wanted.issuer.fits(issuer) && wanted.subject.fits(subject)
            }
            _ => false,
        }
    }
}

/// Whether some item fits, or there is none; else what of the last one does not.
fn any<T>(items: &[T], fits: impl Fn(&T) -> Result<(), &'static str>) -> Result<(), &'static str> {
    let mut outcome = Ok(());
    for item in items {
        outcome = fits(item);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn need(fits: bool, field: &'static str) -> Result<(), &'static str> {
    if fits { Ok(()) } else { Err(field) }
}

/// What is not there fits nothing.
fn text(wanted: &OneOf<TextMatch>, found: Option<&str>) -> bool {
    wanted.fits(|wanted| found.is_some_and(|found| wanted.fits(found)))
}

/// A header's values, joined as Envoy does; names with a colon are parts of the request line.
pub(super) fn header<'a>(http: &HttpAttributes<'a>, name: &str) -> Option<Cow<'a, str>> {
    match name {
        ":method" => return Some(http.method.into()),
        ":path" => return Some(http.path.into()),
        ":authority" | "host" => return Some(http.authority.into()),
        _ => {}
    }
    let mut values = http.headers.iter().filter(|(other, _)| *other == name);
    let (_, first) = values.next()?;
    let mut joined = Cow::Borrowed(*first);
    for (_, value) in values {
        let joined = joined.to_mut();
        joined.push(',');
        joined.push_str(value);
    }
    Some(joined)
}

fn claim(wanted: &OneOf<TextMatch>, claims: Option<&Value>, path: &[impl AsRef<str>]) -> bool {
    let found = claim_at(claims, path);
    wanted.fits(|wanted| claim_fits(wanted, found))
}

pub(super) fn claim_at<'c>(
    claims: Option<&'c Value>,
    path: &[impl AsRef<str>],
) -> Option<&'c Value> {
    let steps = path.iter();
    steps.fold(claims, |found, step| found?.get(step.as_ref()))
}

/// A claim is a text, or a list of which one must fit.
pub(super) fn claim_fits(wanted: &TextMatch, found: Option<&Value>) -> bool {
    match found {
        Some(Value::String(text)) => wanted.fits(text),
        Some(Value::Array(items)) => {
            let mut texts = items.iter().filter_map(Value::as_str);
            texts.any(|text| wanted.fits(text))
        }
        _ => false,
    }
}
