//! Where something was written, and what is wrong with it.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// The object that something comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Origin {
    /// Kind, such as `Service`.
    pub kind: Arc<str>,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// File it was read from, empty when it did not come from a file.
    pub file: Arc<str>,
    /// Line of the document's first key, from 1; 0 when unknown.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Taken, but probably not what was meant, or in part not supported.
    Warning,
    /// Not taken; what was good before stays in force.
    Error,
}

/// Something wrong with what a user wrote.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Stable code, such as `invalid-field` or an Istio analyzer code.
    pub code: &'static str,
    /// The object.
    pub origin: Origin,
    /// Field path such as `spec.ports[0].targetPort`, empty when the whole object is meant.
    pub path: String,
    /// Line of that field, from 1; 0 when unknown.
    pub line: u32,
    /// What is wrong, without a full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: ")?;
        if !self.origin.file.is_empty() {
            write!(
                f,
                "{}:{}: ",
                self.origin.file,
                self.line.max(self.origin.line)
            )?;
        }
        if !self.origin.kind.is_empty() {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
