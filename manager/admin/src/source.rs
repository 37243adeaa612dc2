//! Where the state comes from.

use weft_telemetry::Format;

use crate::report::{
    AuthorizationReport, DenialReport, EnrolledReport, ProblemReport, Readiness, ServiceReport,
    ServiceSummary, StatusReport, TopReport,
};

/// The manager's state as of now. Calls may block for as long as reading maps takes: the server
/// makes them on threads that may block, several at once.
pub trait StateSource: Send + Sync + 'static {
    /// All metrics as text.
    fn metrics(&self, format: Format) -> String;

    /// Whether traffic is served as configured.
    fn readiness(&self) -> Readiness;

    /// The manager and its kernel half.
    fn status(&self) -> StatusReport;

    /// All services, by namespace and name.
    fn services(&self) -> Vec<ServiceSummary>;

    /// Services in this namespace with this short name or host name.
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceReport>;

    /// A sample of traffic.
    fn top(&self) -> TopReport;

    /// What is wrong with the configuration now.
    fn problems(&self) -> Vec<ProblemReport>;

    /// Workloads enrolled on this node, by namespace and name.
    fn workloads(&self) -> Vec<EnrolledReport>;

    /// Authorization policies in force on this node, and what they decided.
    fn policies(&self) -> AuthorizationReport;

    /// Connections refused lately, the latest first.
    fn denied(&self) -> Vec<DenialReport>;

    /// What `weft why` with these arguments answers under the configuration in force.
    ///
    /// # Errors
    /// In words, when the question makes no sense.
    fn why(&self, arguments: &[String]) -> Result<serde_json::Value, String>;

    /// What the ids in maps stand for, as in the file `names.json` of the state directory.
    fn names(&self) -> serde_json::Value;
}
