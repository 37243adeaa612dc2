//! SPIFFE ids of the form that Istio gives to service accounts.

use std::{fmt, str::FromStr, sync::Arc};

use crate::SpiffeIdError;

/// The longest id that the SPIFFE standard lets every implementation rely on, in bytes.
const LONGEST: usize = 2048;

/// The longest trust domain, in bytes.
const LONGEST_DOMAIN: usize = 255;

/// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeId {
    trust_domain: Arc<str>,
    namespace: Arc<str>,
    service_account: Arc<str>,
}

impl SpiffeId {
    /// An id of its parts.
    ///
    /// # Errors
    /// When a part is empty, too long, or has a character that SPIFFE forbids there.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeIdError> {
        check_domain(trust_domain)?;
        check_segment(namespace)?;
        check_segment(service_account)?;
        let length = "spiffe:///ns//sa/".len()
            + trust_domain.len()
            + namespace.len()
            + service_account.len();
        if length > LONGEST {
            return Err(SpiffeIdError::TooLong(length));
        }
        Ok(Self {
            trust_domain: trust_domain.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        })
    }

    /// The trust domain, in lower case.
    pub fn trust_domain(&self) -> &Arc<str> {
        &self.trust_domain
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// The Kubernetes service account.
    pub fn service_account(&self) -> &Arc<str> {
        &self.service_account
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.service_account
        )
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    /// Reads an id strictly: one form, no query, no escapes, no other scheme or case of it.
    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > LONGEST {
            return Err(SpiffeIdError::TooLong(text.len()));
        }
        let rest = text
            .strip_prefix("spiffe://")
            .ok_or(SpiffeIdError::Scheme)?;
        let mut parts = rest.split('/');
        let trust_domain = parts.next().unwrap_or_default();
        check_domain(trust_domain)?;
        let path = [parts.next(), parts.next(), parts.next(), parts.next()];
        match (path, parts.next()) {
            ([Some("ns"), Some(namespace), Some("sa"), Some(account)], None) => {
                Self::new(trust_domain, namespace, account)
            }
            _ => Err(SpiffeIdError::Path),
        }
    }
}

fn check_domain(domain: &str) -> Result<(), SpiffeIdError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    if domain.is_empty() || domain.len() > LONGEST_DOMAIN || !domain.bytes().all(allowed) {
        return Err(SpiffeIdError::TrustDomain);
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), SpiffeIdError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    // SPIFFE forbids relative segments, so that no two spellings mean one id.
    if segment.is_empty() || matches!(segment, "." | "..") || !segment.bytes().all(allowed) {
        return Err(SpiffeIdError::Segment);
    }
    Ok(())
}

/// The trust domains whose members belong to this mesh: its own, and former or other names of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustDomains {
    own: Arc<str>,
    aliases: Arc<[Arc<str>]>,
}

impl TrustDomains {
    /// The mesh's own trust domain and its aliases.
    ///
    /// # Errors
    /// When one of them is no trust domain.
    pub fn new<'a>(
        own: &str,
        aliases: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, SpiffeIdError> {
        check_domain(own)?;
        let aliases: Vec<Arc<str>> = aliases
            .into_iter()
            .map(|alias| check_domain(alias).map(|()| alias.into()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            own: own.into(),
            aliases: aliases.into(),
        })
    }

    /// The mesh's own.
    pub fn own(&self) -> &Arc<str> {
        &self.own
    }

    /// The other names of it.
    pub fn aliases(&self) -> &[Arc<str>] {
        &self.aliases
    }

    /// Whether a peer of `domain` may take part.
    pub fn contains(&self, domain: &str) -> bool {
        *self.own == *domain || self.aliases.iter().any(|alias| **alias == *domain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_read_and_written_alike() {
        let text = "spiffe://cluster.local/ns/shop/sa/cart";
        let id: SpiffeId = text.parse().expect(text);
        assert_eq!(id.to_string(), text);
        assert_eq!(
            (
                &**id.trust_domain(),
                &**id.namespace(),
                &**id.service_account()
            ),
            ("cluster.local", "shop", "cart")
        );
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for wrong in [
            "",
            "spiffe://",
            "spiffe:///ns/a/sa/b",
            "SPIFFE://td/ns/a/sa/b",
            "https://td/ns/a/sa/b",
            "spiffe://TD/ns/a/sa/b",
            "spiffe://td:1/ns/a/sa/b",
            "spiffe://u@td/ns/a/sa/b",
            "spiffe://td/ns/a/sa/b/",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns//sa/b",
            "spiffe://td/ns/../sa/b",
            "spiffe://td/ns/a/sa/b?x",
            "spiffe://td/ns/a/sa/b#x",
            "spiffe://td/ns/a%20/sa/b",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/sa/b/ns/a",
            "spiffe://td",
            "spiffe://td/ns/a\0/sa/b",
        ] {
            assert!(wrong.parse::<SpiffeId>().is_err(), "{wrong}");
        }
        let long = format!("spiffe://td/ns/a/sa/{}", "b".repeat(2048));
        assert!(matches!(
            long.parse::<SpiffeId>(),
            Err(SpiffeIdError::TooLong(_))
        ));
    }

    #[test]
    fn an_alias_belongs_and_a_prefix_does_not() {
        let domains = TrustDomains::new("mesh.a", ["mesh.b"]).expect("domains");
        assert!(domains.contains("mesh.a") && domains.contains("mesh.b"));
        assert!(!domains.contains("mesh") && !domains.contains("mesh.a.b"));
        assert!(TrustDomains::new("mesh/a", []).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was_or_refused(text in "\\PC*|spiffe://[a-z.]{1,9}/ns/[a-zA-Z.]{1,4}/sa/\\PC{1,4}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
