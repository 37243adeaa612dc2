//! One read-only HTTP surface: probes, metrics, and the manager's state as JSON, on a TCP address
//! and on a Unix socket; and the client that operator commands use.
//!
//! It changes nothing and knows nothing of maps or policy: what it shows comes from a
//! [`StateSource`], in the shapes of [`report`].
//!
//! Reading order: [`report`] (the JSON), [`source`] (where it comes from), [`routes`] (which path
//! shows what), [`server`], [`client`].

#![forbid(unsafe_code)]

pub mod report;

pub mod source;

pub mod routes;

pub mod server;

pub mod client;

pub use client::{Client, ClientError};
pub use report::{
    AuthorizationReport, BackendTotals, Decided, DenialReport, EndReport, EndpointReport,
    EndpointState, EnrolledReport, EventReport, FrontendReport, LastChange, MapReport, Origin,
    OutlierReport, PolicyInForce, PolicyReport, PoolReport, PortReport, ProblemCounts,
    ProblemReport, ProgramReport, Readiness, ServiceReport, ServiceSummary, StatusReport, TopEdge,
    TopReport, TopService, Traffic, WorkloadRef,
};
pub use server::{BindError, Limits, Listeners, bind_tcp, bind_unix, serve};
pub use source::StateSource;
