//! `sessionPersistence` of a rule.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::syntax;

/// How a session stays with its backend.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct SessionPersistence {
    /// What carries the session.
    pub by: Persistence,
    /// How long a session lasts at most.
    pub absolute_timeout: Option<Duration>,
}

/// What carries a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// A cookie.
    Cookie {
        /// Name; the implementation's choice when absent.
        name: Option<Arc<str>>,
        /// Path.
        path: Arc<str>,
        /// Whether it outlives the browser's session.
        is_permanent: bool,
    },
    /// A header with this name.
    Header(Arc<str>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    r#type: Arc<str>,
    #[serde(default, deserialize_with = "duration")]
    absolute_timeout: Option<Duration>,
    cookie: Option<WrittenCookie>,
    header: Option<WrittenHeader>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenCookie {
    name: Option<Arc<str>>,
    path: Arc<str>,
    lifetime_type: Arc<str>,
}

#[derive(Deserialize)]
struct WrittenHeader {
    name: Arc<str>,
}

impl TryFrom<Written> for SessionPersistence {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let by = match (&*written.r#type, written.cookie, written.header) {
            ("Cookie", Some(cookie), _) => Persistence::Cookie {
                name: cookie.name,
                path: cookie.path,
                is_permanent: &*cookie.lifetime_type == "Permanent",
            },
            ("Header", _, Some(header)) => Persistence::Header(header.name),
            _ => return Err("cookie or header must be specified"),
        };
        Ok(Self {
            by,
            absolute_timeout: written.absolute_timeout,
        })
    }
}

/// A duration in the notation of GEP-2257, a part of Go's.
pub(super) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let duration = syntax::duration(&text);
    let duration = duration.ok_or_else(|| D::Error::custom("not a duration: write 1h, 1m, 1s"))?;
    Ok(Some(duration))
}
