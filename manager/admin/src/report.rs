//! The JSON that `/state/...` answers with and `-o json` prints. Fields are only ever added.

mod configured;
mod mesh;
mod service;
mod status;
mod top;

pub use mesh::{
    AuthorizationReport, Decided, DenialReport, EndReport, EnrolledReport, PolicyInForce,
    PolicyReport,
};
pub use service::{
    EndpointReport, EndpointState, FrontendReport, OutlierReport, PoolReport, PortReport,
    ServiceReport, ServiceSummary,
};
pub use status::{
    EventReport, LastChange, MapReport, Origin, ProblemCounts, ProblemReport, ProgramReport,
    Readiness, StatusReport,
};
pub use top::{BackendTotals, TopEdge, TopReport, TopService, Traffic, WorkloadRef};
