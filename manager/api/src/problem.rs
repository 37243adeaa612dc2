//! What is wrong with what a user wrote, and where.

use std::{fmt, sync::Arc};

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Taken, but probably not what was meant, or in part not supported.
    Warning,
    /// Not taken, wholly or in the part named; the last good version stays in force.
    Error,
}

/// Where an object was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// Kind, empty when the document could not be read.
    pub kind: Arc<str>,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Name, empty when the document could not be read.
    pub name: Arc<str>,
    /// File name as given to the store.
    pub file: Arc<str>,
    /// Line of the object's first key, from 1.
    pub line: u32,
}

/// Something wrong with what a user wrote.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Stable code: `syntax`, `invalid-object`, `invalid-field`, `unknown-field`, `unknown-kind`,
    /// `suspicious-field`, `not-supported`, `conflict`, `no-address`.
    pub code: &'static str,
    /// The object.
    pub origin: Origin,
    /// Field path such as `spec.ports[0].port`, empty when the whole object is meant.
    pub path: String,
    /// Line of that field (of its nearest parent that is written down), from 1.
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
        let Origin {
            kind,
            namespace,
            name,
            file,
            ..
        } = &self.origin;
        write!(f, "{severity}: {file}:{}: ", self.line)?;
        match (kind.is_empty(), namespace.is_empty()) {
            (true, _) => {}
            (false, true) => write!(f, "{kind} {name}: ")?,
            (false, false) => write!(f, "{kind} {namespace}/{name}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
