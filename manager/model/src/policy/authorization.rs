//! `AuthorizationPolicy`: rules over sources, operations and conditions.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use super::{Author, Scope};

/// An authorization policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuthorizationPolicy {
    /// Who wrote it.
    pub author: Author,
    /// What it holds for.
    pub scope: Scope,
    /// What happens when a rule fits.
    pub action: Action,
    /// Annotation `istio.io/dry-run`: only reported, never enforced.
    pub is_dry_run: bool,
    /// Any that fits is enough. None at all: nothing fits.
    pub rules: Vec<Rule>,
}

/// What happens when a rule of a policy fits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub enum Action {
    /// An external authorizer is asked, by its name in the mesh configuration.
    Custom(Arc<str>),
    /// Refused.
    Deny,
    /// Let through.
    Allow,
    /// Let through and written down.
    Audit,
}

impl Action {
    /// As Istio writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Custom(_) => "CUSTOM",
            Self::Deny => "DENY",
            Self::Allow => "ALLOW",
            Self::Audit => "AUDIT",
        }
    }
}

/// A rule: some source, some operation, and all conditions. An empty list fits all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Rule {
    /// `from`: one of these.
    pub from: Vec<Source>,
    /// `to`: one of these.
    pub to: Vec<Operation>,
    /// `when`: all of these.
    pub when: Vec<Condition>,
}

impl Rule {
    /// Names of what the rule asks that only a request can answer, in ascending order, as Istio's
    /// status names them.
    pub fn http_attributes(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        names.extend(
            self.from
                .iter()
                .flat_map(Source::http_attributes)
                .map(Into::into),
        );
        names.extend(
            self.to
                .iter()
                .flat_map(Operation::http_attributes)
                .map(Into::into),
        );
        let when = self.when.iter().filter(|when| when.needs_request());
        names.extend(when.map(|when| when.to_string()));
        names.sort();
        names.dedup();
        names
    }
}

/// Some of `any` (when there are any), and none of `none`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OneOf<T> {
    /// `values`.
    pub any: Vec<T>,
    /// `notValues`.
    pub none: Vec<T>,
}

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            none: Vec::new(),
        }
    }
}

impl<T> OneOf<T> {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// Whether what is asked fits, when `fits` says whether one item does.
    pub fn fits(&self, fits: impl Fn(&T) -> bool) -> bool {
        (self.any.is_empty() || self.any.iter().any(&fits)) && !self.none.iter().any(fits)
    }
}

/// Where a request comes from. All that is asked must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Source {
    /// `principals`: `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, trust domain aliases written out.
    pub principals: OneOf<TextMatch>,
    /// `trustDomains`, aliases written out.
    pub trust_domains: OneOf<TextMatch>,
    /// `namespaces`.
    pub namespaces: OneOf<TextMatch>,
    /// `serviceAccounts`.
    pub service_accounts: OneOf<ServiceAccount>,
    /// `ipBlocks`: the address packets come from.
    pub addresses: OneOf<AddressRange>,
    /// `remoteIpBlocks`: the address the first trusted proxy saw.
    pub remote_addresses: OneOf<AddressRange>,
    /// `requestPrincipals`.
    pub request_principals: OneOf<RequestPrincipal>,
}

impl Source {
    fn http_attributes(&self) -> Vec<&'static str> {
        named([
            ("remoteIpBlocks", !self.remote_addresses.any.is_empty()),
            ("notRemoteIpBlocks", !self.remote_addresses.none.is_empty()),
            ("requestPrincipals", !self.request_principals.any.is_empty()),
            (
                "notRequestPrincipals",
                !self.request_principals.none.is_empty(),
            ),
        ])
    }
}

/// What a request is for. All that is asked must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Operation {
    /// `hosts`, in lower case.
    pub hosts: OneOf<TextMatch>,
    /// `ports`: where the workload listens.
    pub ports: OneOf<u16>,
    /// `methods`.
    pub methods: OneOf<TextMatch>,
    /// `paths`.
    pub paths: OneOf<PathMatch>,
}

impl Operation {
    fn http_attributes(&self) -> Vec<&'static str> {
        named([
            ("hosts", !self.hosts.any.is_empty()),
            ("notHosts", !self.hosts.none.is_empty()),
            ("methods", !self.methods.any.is_empty()),
            ("notMethods", !self.methods.none.is_empty()),
            ("paths", !self.paths.any.is_empty()),
            ("notPaths", !self.paths.none.is_empty()),
        ])
    }
}

fn named<const N: usize>(names: [(&'static str, bool); N]) -> Vec<&'static str> {
    let set = names.into_iter().filter(|(_, is_set)| *is_set);
    set.map(|(name, _)| name).collect()
}

/// One of `when`: what is asked, with the values it may have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Condition {
    /// `source.ip`.
    SourceAddress(OneOf<AddressRange>),
    /// `remote.ip`.
    RemoteAddress(OneOf<AddressRange>),
    /// `source.namespace`.
    SourceNamespace(OneOf<TextMatch>),
    /// `source.principal`.
    SourcePrincipal(OneOf<TextMatch>),
    /// `source.serviceAccount`.
    SourceServiceAccount(OneOf<ServiceAccount>),
    /// `source.trustDomain`.
    SourceTrustDomain(OneOf<TextMatch>),
    /// `destination.ip`.
    DestinationAddress(OneOf<AddressRange>),
    /// `destination.port`.
    DestinationPort(OneOf<u16>),
    /// `connection.sni`.
    ServerName(OneOf<TextMatch>),
    /// `request.headers[NAME]`, the name in lower case.
    Header(Arc<str>, OneOf<TextMatch>),
    /// `request.auth.principal`.
    RequestPrincipal(OneOf<RequestPrincipal>),
    /// `request.auth.audiences`.
    Audiences(OneOf<TextMatch>),
    /// `request.auth.presenter`.
    Presenter(OneOf<TextMatch>),
    /// `request.auth.claims[A][B]`, from the outside in.
    Claim(Vec<Arc<str>>, OneOf<TextMatch>),
    /// What nothing here can answer; it never fits.
    Never,
}

impl Condition {
    /// Whether only a request can answer.
    pub fn needs_request(&self) -> bool {
        match self {
            Self::SourceAddress(_)
            | Self::SourceNamespace(_)
            | Self::SourcePrincipal(_)
            | Self::SourceServiceAccount(_)
            | Self::SourceTrustDomain(_)
            | Self::DestinationAddress(_)
            | Self::DestinationPort(_)
            | Self::Never => false,
            Self::RemoteAddress(_)
            | Self::ServerName(_)
            | Self::Header(..)
            | Self::RequestPrincipal(_)
            | Self::Audiences(_)
            | Self::Presenter(_)
            | Self::Claim(..) => true,
        }
    }
}

impl fmt::Display for Condition {
    /// The key as Istio writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceAddress(_) => "source.ip",
            Self::RemoteAddress(_) => "remote.ip",
            Self::SourceNamespace(_) => "source.namespace",
            Self::SourcePrincipal(_) => "source.principal",
            Self::SourceServiceAccount(_) => "source.serviceAccount",
            Self::SourceTrustDomain(_) => "source.trustDomain",
            Self::DestinationAddress(_) => "destination.ip",
            Self::DestinationPort(_) => "destination.port",
            Self::ServerName(_) => "connection.sni",
            Self::RequestPrincipal(_) => "request.auth.principal",
            Self::Audiences(_) => "request.auth.audiences",
            Self::Presenter(_) => "request.auth.presenter",
            Self::Never => "a key that is not supported",
            Self::Header(name, _) => return write!(f, "request.headers[{name}]"),
            Self::Claim(path, _) => {
                f.write_str("request.auth.claims")?;
                return path.iter().try_for_each(|step| write!(f, "[{step}]"));
            }
        })
    }
}

/// How a text is compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub enum TextMatch {
    /// Is this.
    Exact(Arc<str>),
    /// `abc*`: begins so.
    Prefix(Arc<str>),
    /// `*abc`: ends so.
    Suffix(Arc<str>),
    /// `*`: is there and not empty.
    Present,
}

impl TextMatch {
    /// As Istio reads it: an asterisk at the front wins over one at the end.
    pub fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::Present;
        }
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(suffix), _) => Self::Suffix(suffix.into()),
            (None, Some(prefix)) => Self::Prefix(prefix.into()),
            (None, None) => Self::Exact(text.into()),
        }
    }

    /// Whether a text fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Present => !text.is_empty(),
        }
    }
}

/// Issuer and subject of a token, as `ISSUER/SUBJECT` means them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RequestPrincipal {
    /// Claim `iss`.
    pub issuer: TextMatch,
    /// Claim `sub`.
    pub subject: TextMatch,
}

/// A Kubernetes service account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// Addresses with the same first bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct AddressRange {
    /// An address of the range.
    pub address: IpAddr,
    /// How many bits count, at most 32 or 128.
    pub prefix_length: u8,
}

impl AddressRange {
    /// Whether an address is in the range. An IPv4 address mapped into IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let length = u32::from(self.prefix_length);
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(address)) => {
                // A range written as `::ffff:10.0.0.0/104` counts its bits from the front of IPv6.
                let length = if self.address.is_ipv6() {
                    length.saturating_sub(96)
                } else {
                    length
                };
                let differing = u32::from(range) ^ u32::from(address);
                differing.leading_zeros() >= length
            }
            (IpAddr::V6(range), IpAddr::V6(address)) => {
                (u128::from(range) ^ u128::from(address)).leading_zeros() >= length
            }
            _ => false,
        }
    }
}

/// How a path is compared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum PathMatch {
    /// As any text.
    Text(TextMatch),
    /// A template with `{*}` and `{**}`, in pieces.
    Template(Vec<PathPiece>),
}

/// A piece of a path template.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum PathPiece {
    /// This text.
    Literal(Arc<str>),
    /// `{*}`: one or more characters of one segment.
    One,
    /// `{**}`: any characters, slashes too, or none.
    Any,
}

impl PathMatch {
    /// As Istio reads it: with `{*}` or `{**}` in it, it is a template.
    pub fn parse(text: &str) -> Self {
        if !text.contains("{*}") && !text.contains("{**}") {
            return Self::Text(TextMatch::parse(text));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("{*") {
            let (piece, length) = match &rest[at + 2..] {
                tail if tail.starts_with('}') => (PathPiece::One, 3),
                tail if tail.starts_with("*}") => (PathPiece::Any, 4),
                _ => break,
            };
            if at > 0 {
                pieces.push(PathPiece::Literal(rest[..at].into()));
            }
            pieces.push(piece);
            rest = &rest[at + length..];
        }
        if !rest.is_empty() {
            pieces.push(PathPiece::Literal(rest.into()));
        }
        Self::Template(pieces)
    }
}
