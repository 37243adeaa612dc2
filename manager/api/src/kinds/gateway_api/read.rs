//! From a document to a type: schema, then what the schema cannot say.

use serde_json::Value;

use super::{
    Backend, Filter, Gateway, GrpcRoute, HttpRoute, MatchType, NamedMatch, PathMatchType,
    StreamRoute, TlsRoute,
    schema::{self, stream_route},
};
use crate::{Resource, Severity, decode::Reading, object::Metadata, path::At, re2, schema::Schema};

const SPEC: At<'_> = At::top("spec");

const NO_DEFAULT_GATEWAYS: &str =
    "default Gateways are not supported yet; name the parents in parentRefs";

pub(crate) fn gateway_class(
    object: &Value,
    _: &Metadata,
    cx: &mut Reading<'_>,
) -> Option<Resource> {
    let class = cx.conform(object, "spec", &schema::small::GATEWAY_CLASS)?;
    Some(Resource::GatewayClass(Box::new(class)))
}

pub(crate) fn gateway(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let gateway: Gateway = cx.conform(object, "spec", &schema::gateway::SPEC)?;
    cx.not_acted_on(
        object,
        &[
            (
                "spec.defaultScope",
                "default Gateways are not supported yet",
            ),
            (
                "spec.allowedListeners",
                "ListenerSets are not supported yet; none attaches",
            ),
            (
                "spec.infrastructure.labels",
                "nothing is created for a Gateway that could have them",
            ),
            (
                "spec.infrastructure.annotations",
                "nothing is created for a Gateway that could have them",
            ),
            ("spec.listeners[].tls.options", "no option is known"),
            (
                "spec.tls.frontend",
                "client certificates are not checked yet",
            ),
            (
                "spec.tls.backend",
                "is not supported yet; backends see no certificate",
            ),
        ],
    );
    for (index, listener) in gateway.listeners.iter().enumerate() {
        let list = SPEC.key("listeners");
        let at = list.index(index);
        let routes = at.key("allowedRoutes");
        let at = routes.key("namespaces");
        let selector = listener.allowed_routes.namespaces.selector.as_ref();
        if let Some(fault) = selector.and_then(|selector| selector.fault()) {
            cx.warn(
                at.key("selector"),
                format_args!("chooses no namespace: {fault}"),
            );
        }
    }
    Some(Resource::Gateway(Box::new(gateway)))
}

pub(crate) fn http_route(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let route: HttpRoute = cx.conform(object, "spec", &schema::http_route::SPEC)?;
    for (index, rule) in route.rules.iter().enumerate() {
        let list = SPEC.key("rules");
        let at = list.index(index);
        for (index, matching) in rule.matches.iter().enumerate() {
            let list = at.key("matches");
            let at = list.index(index);
            if matching.path.match_type == PathMatchType::RegularExpression {
                let at = at.key("path");
                regex(&matching.path.value, at.key("value"), cx);
            }
            named(&matching.headers, at.key("headers"), cx);
            named(&matching.query_params, at.key("queryParams"), cx);
        }
        filters(&rule.filters, at, cx);
        backends(&rule.backends, at, cx);
    }
    route_is_not_default(object, cx);
    Some(Resource::HttpRoute(Box::new(route)))
}

pub(crate) fn grpc_route(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let route: GrpcRoute = cx.conform(object, "spec", &schema::grpc_route::SPEC)?;
    for (index, rule) in route.rules.iter().enumerate() {
        let list = SPEC.key("rules");
        let at = list.index(index);
        for (index, matching) in rule.matches.iter().enumerate() {
            let list = at.key("matches");
            let at = list.index(index);
            if let Some(method) = &matching.method
                && method.match_type == MatchType::RegularExpression
            {
                let at = at.key("method");
                for (key, value) in [("service", &method.service), ("method", &method.method)] {
                    if let Some(value) = value {
                        regex(value, at.key(key), cx);
                    }
                }
            }
            named(&matching.headers, at.key("headers"), cx);
        }
        filters(&rule.filters, at, cx);
        backends(&rule.backends, at, cx);
    }
    route_is_not_default(object, cx);
    Some(Resource::GrpcRoute(Box::new(route)))
}

fn route_is_not_default(object: &Value, cx: &mut Reading<'_>) {
    cx.not_acted_on(
        object,
        &[
            ("spec.useDefaultGateways", NO_DEFAULT_GATEWAYS),
            (
                "spec.rules[].sessionPersistence",
                "is not supported yet; requests of a session go anywhere",
            ),
        ],
    );
}

fn named(matches: &[NamedMatch], list: At<'_>, cx: &mut Reading<'_>) {
    for (index, matching) in matches.iter().enumerate() {
        if matching.match_type == MatchType::RegularExpression {
            let at = list.index(index);
            regex(&matching.value, at.key("value"), cx);
        }
    }
}

fn regex(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if let Err(fault) = re2::translate(text) {
        cx.reject(at, fault);
    }
}

fn backends(backends: &[Backend], rule: At<'_>, cx: &mut Reading<'_>) {
    let list = rule.key("backendRefs");
    for (index, backend) in backends.iter().enumerate() {
        filters(&backend.filters, list.index(index), cx);
    }
}

/// Filters that nothing acts on. A request that would need them is answered with 500, so that none
/// is skipped in silence.
fn filters(filters: &[Filter], parent: At<'_>, cx: &mut Reading<'_>) {
    let list = parent.key("filters");
    for (index, filter) in filters.iter().enumerate() {
        let name = match filter {
            Filter::ExternalAuth(_) => "ExternalAuth",
            Filter::ExtensionRef(_) => "ExtensionRef",
            _ => continue,
        };
        cx.not_supported(
            list.index(index),
            format_args!(
                "{name} is not supported yet; requests to this rule are answered with 500"
            ),
        );
    }
}

pub(crate) fn tcp_route(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let route = stream(object, cx)?;
    Some(Resource::TcpRoute(Box::new(route)))
}

pub(crate) fn udp_route(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let route = stream(object, cx)?;
    Some(Resource::UdpRoute(Box::new(route)))
}

fn stream(object: &Value, cx: &mut Reading<'_>) -> Option<StreamRoute> {
    let schema = of_version(object, &stream_route::SPEC, &stream_route::ALPHA_SPEC);
    let route: StreamRoute = cx.conform(object, "spec", schema)?;
    only_one_rule(route.rules.len(), cx);
    cx.not_acted_on(object, &[("spec.useDefaultGateways", NO_DEFAULT_GATEWAYS)]);
    Some(route)
}

pub(crate) fn tls_route(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let schema = of_version(
        object,
        &stream_route::TLS_SPEC,
        &stream_route::TLS_ALPHA_SPEC,
    );
    let route: TlsRoute = cx.conform(object, "spec", schema)?;
    only_one_rule(route.rules.len(), cx);
    cx.not_acted_on(object, &[("spec.useDefaultGateways", NO_DEFAULT_GATEWAYS)]);
    Some(Resource::TlsRoute(Box::new(route)))
}

/// The rules of v1alpha2 are wider.
fn of_version(object: &Value, newer: &'static Schema, alpha: &'static Schema) -> &'static Schema {
    let version = object.get("apiVersion").and_then(Value::as_str);
    if version.is_some_and(|version| version.ends_with("/v1alpha2")) {
        alpha
    } else {
        newer
    }
}

/// Rules of these routes have no matches, so the first takes all.
fn only_one_rule(count: usize, cx: &mut Reading<'_>) {
    let list = SPEC.key("rules");
    for index in 1..count {
        let message = "is never reached: the first rule takes all connections";
        cx.find(
            Severity::Warning,
            "suspicious-field",
            list.index(index).into(),
            message,
        );
    }
}

pub(crate) fn reference_grant(
    object: &Value,
    _: &Metadata,
    cx: &mut Reading<'_>,
) -> Option<Resource> {
    let grant = cx.conform(object, "spec", &schema::small::REFERENCE_GRANT)?;
    Some(Resource::ReferenceGrant(Box::new(grant)))
}

pub(crate) fn backend_tls_policy(
    object: &Value,
    _: &Metadata,
    cx: &mut Reading<'_>,
) -> Option<Resource> {
    let policy = cx.conform(object, "spec", &schema::backend_tls_policy::SPEC)?;
    cx.not_acted_on(
        object,
        &[
            ("spec.options", "no option is known"),
            (
                "spec.validation",
                "has its status, but connections to backends are not encrypted by it yet",
            ),
        ],
    );
    Some(Resource::BackendTlsPolicy(Box::new(policy)))
}
