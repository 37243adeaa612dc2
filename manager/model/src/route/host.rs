//! Which host and which client a table is for.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// A host name, or all with an ending. Greater is less specific.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HostPattern {
    /// This host, in lower case.
    Exact(Arc<str>),
    /// Hosts with this ending, which begins with a dot: written `*.example.com`.
    Suffix(Arc<str>),
    /// Every host, written `*`.
    Any,
}

impl HostPattern {
    /// Reads what stands in a resource, already resolved to a full name.
    pub fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            None => Self::Exact(text.into()),
            Some("") => Self::Any,
            Some(suffix) => Self::Suffix(suffix.into()),
        }
    }

    /// Whether a host (in lower case, without port) fits.
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Any => true,
        }
    }

    /// Whether every host that fits `other` fits this.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Exact(host)) => self.fits(host),
            (Self::Suffix(suffix), Self::Suffix(other)) => other.ends_with(&**suffix),
            _ => false,
        }
    }

    /// The narrower of two of which one covers the other.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// The more specific, the greater: exact before suffixes, long before short.
    pub fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Exact(host) => (2, host.len()),
            Self::Suffix(suffix) => (1, suffix.len()),
            Self::Any => (0, 0),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Clients that see something.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub enum Visibility {
    /// Everybody.
    #[default]
    All,
    /// Clients in these namespaces.
    Namespaces(BTreeSet<Arc<str>>),
}

impl Visibility {
    /// Whether clients of a namespace see it.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_of_two_hosts_is_where_they_meet() {
        let meet = |a: &str, b: &str| {
            let meeting = HostPattern::new(a).meet(&HostPattern::new(b));
            meeting.map(|host| host.to_string())
        };
        assert_eq!(
            meet("*.example.com", "A.example.com").as_deref(),
            Some("a.example.com")
        );
        assert_eq!(meet("*", "*.com").as_deref(), Some("*.com"));
        assert_eq!(
            meet("*.com", "*.example.com").as_deref(),
            Some("*.example.com")
        );
        assert_eq!(meet("a.com", "b.com"), None);
        assert_eq!(meet("*.example.com", "example.com"), None);
    }
}
