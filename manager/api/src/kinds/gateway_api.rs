//! The Gateway API (`gateway.networking.k8s.io`), one file per kind.
//!
//! Every kind has a schema with the limits, patterns, defaults and rules of its published
//! CustomResourceDefinition (experimental channel). An object is checked against it, filled with the
//! defaults, and only then becomes a type; so types hold no field that is absent by mistake.

pub(crate) mod backend_tls_policy;
pub(crate) mod filter;
pub(crate) mod gateway;
pub(crate) mod gateway_class;
pub(crate) mod grpc_route;
pub(crate) mod http_route;
pub(crate) mod label_selector;
pub(crate) mod persistence;
pub(crate) mod reference;
pub(crate) mod reference_grant;
pub(crate) mod stream_route;

pub use backend_tls_policy::{
    AlternativeName, AlternativeNameType, BackendTlsPolicy, BackendValidation,
};
pub use filter::{
    Cors, ExternalAuth, ExternalAuthGrpc, ExternalAuthHttp, Filter, ForwardBody, Header,
    HeaderModifier, PathModifier, RequestMirror, RequestRedirect, UrlRewrite,
};
pub use gateway::{
    AllowedRoutes, FrontendSettings, FrontendValidation, Gateway, GatewayAddress,
    GatewayBackendTls, GatewayFrontendTls, GatewayTls, Infrastructure, Listener, ListenerTls,
    NamespacesFrom, PortSettings, RouteKind, RouteNamespaces, TlsMode,
};
pub use gateway_class::GatewayClass;
pub use grpc_route::{GrpcMethodMatch, GrpcRoute, GrpcRouteMatch, GrpcRouteRule};
pub use http_route::{
    HttpPathMatch, HttpRoute, HttpRouteMatch, HttpRouteRule, MatchType, NamedMatch, PathMatchType,
    Retry, Timeouts,
};
pub use label_selector::{LabelSelector, Requirement, SelectorOperator};
pub use persistence::{Persistence, SessionPersistence};
pub use reference::{Backend, BackendRef, LocalRef, ObjectRef, ParentRef, PolicyTargetRef};
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant};
pub use stream_route::{StreamRoute, StreamRouteRule, TlsRoute};

/// The API group.
pub const GROUP: &str = "gateway.networking.k8s.io";

mod read;
mod schema;

pub(crate) use read::{
    backend_tls_policy as read_backend_tls_policy, gateway as read_gateway,
    gateway_class as read_gateway_class, grpc_route as read_grpc_route,
    http_route as read_http_route, reference_grant as read_reference_grant,
    tcp_route as read_tcp_route, tls_route as read_tls_route, udp_route as read_udp_route,
};
