//! Which rules of a route can be done.

use weft_api::{
    Resource,
    gateway_api::{Backend, Filter},
};

use super::{Refusal, Route};

/// A rule that cannot be done. Requests for it are to be answered with 500.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BrokenRule {
    /// Position in `spec.rules`.
    pub(crate) index: usize,
    /// Why.
    pub(crate) refusal: Refusal,
}

impl Route<'_> {
    /// Whether no rule can be done.
    pub(super) fn is_broken(&self) -> bool {
        let (broken, count) = self.broken_rules();
        !broken.is_empty() && broken.len() == count
    }

    /// Rules that cannot be done, and how many there are in all.
    pub(crate) fn broken_rules(&self) -> (Vec<BrokenRule>, usize) {
        match &self.object.resource {
            Resource::HttpRoute(route) => {
                let rules = route.rules.iter();
                broken(rules.map(|rule| (&rule.filters[..], &rule.backends[..])))
            }
            Resource::GrpcRoute(route) => {
                let rules = route.rules.iter();
                broken(rules.map(|rule| (&rule.filters[..], &rule.backends[..])))
            }
            Resource::TcpRoute(route) | Resource::UdpRoute(route) => {
                (Vec::new(), route.rules.len())
            }
            Resource::TlsRoute(route) => (Vec::new(), route.rules.len()),
            _ => (Vec::new(), 0),
        }
    }
}

fn broken<'r>(
    rules: impl ExactSizeIterator<Item = (&'r [Filter], &'r [Backend])>,
) -> (Vec<BrokenRule>, usize) {
    let count = rules.len();
    let fault = |(index, (filters, backends))| {
        let refusal = fault(filters, backends)?;
        Some(BrokenRule { index, refusal })
    };
    (rules.enumerate().filter_map(fault).collect(), count)
}

fn fault(filters: &[Filter], backends: &[Backend]) -> Option<Refusal> {
    let of_rule = filters.iter().find_map(unsupported);
    let mut of_backends = backends.iter().flat_map(|backend| &backend.filters);
    of_rule.or_else(|| of_backends.find_map(|filter| of_backend(filter, filters)))
}

fn unsupported(filter: &Filter) -> Option<Refusal> {
    let message = match filter {
        Filter::ExternalAuth(_) => "filter ExternalAuth is not supported yet".to_owned(),
        Filter::ExtensionRef(reference) => format!(
            "filter ExtensionRef names {} {} ({}), which is not known",
            reference.kind, reference.name, reference.group
        ),
        _ => return None,
    };
    Some(Refusal::new("UnsupportedValue", message))
}

/// Filters of one backend may change headers; whatever decides about the whole request stands at
/// the rule.
fn of_backend(filter: &Filter, of_rule: &[Filter]) -> Option<Refusal> {
    let is = |wanted: fn(&Filter) -> bool| of_rule.iter().any(wanted);
    let name = match filter {
        Filter::RequestHeaderModifier(_) | Filter::ResponseHeaderModifier(_) => return None,
        Filter::RequestRedirect(_) if is(|filter| matches!(filter, Filter::UrlRewrite(_))) => {
            let message =
                "filter RequestRedirect of a backend and URLRewrite of its rule exclude each other";
            return Some(Refusal::new("IncompatibleFilters", message));
        }
        Filter::RequestRedirect(_) => "RequestRedirect",
        Filter::UrlRewrite(_) => "URLRewrite",
        Filter::RequestMirror(_) => "RequestMirror",
        Filter::Cors(_) => "CORS",
        Filter::ExternalAuth(_) | Filter::ExtensionRef(_) => return unsupported(filter),
    };
    let message =
        format!("filter {name} of a single backend is not supported yet; set it for the rule");
    Some(Refusal::new("UnsupportedValue", message))
}
