//! From a value to a type, with every complaint on its path.

use std::{fmt, net::IpAddr};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Severity,
    fields::{self, Found},
    intern::Interner,
    path::{At, FieldPath, Segment},
    proto,
    syntax::{self, AddressFault},
};

/// A complaint about one object, before its lines are looked up.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) path: FieldPath,
    pub(crate) message: String,
}

/// What goes along while an object is read.
pub(crate) struct Reading<'a> {
    pub(crate) interner: &'a mut Interner,
    pub(crate) findings: Vec<Finding>,
    /// Whether the object cannot be taken.
    pub(crate) is_rejected: bool,
    /// Where to list the fields that are known, instead of reading.
    pub(crate) walked: Option<Vec<Found>>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(interner: &'a mut Interner) -> Self {
        Self {
            interner,
            findings: Vec::new(),
            is_rejected: false,
            walked: None,
        }
    }

    /// The object cannot be taken because of a field.
    pub(crate) fn reject(&mut self, at: At<'_>, message: impl fmt::Display) {
        self.is_rejected = true;
        self.find(Severity::Error, "invalid-field", at.into(), message);
    }

    /// Rejects the object if `verdict` is false.
    pub(crate) fn require(&mut self, verdict: bool, at: At<'_>, message: impl fmt::Display) {
        if !verdict {
            self.reject(at, message);
        }
    }

    /// The object is taken without what this field asks for.
    pub(crate) fn not_supported(&mut self, at: At<'_>, message: impl fmt::Display) {
        self.find(Severity::Warning, "not-supported", at.into(), message);
    }

    /// The object is taken, but the field is probably not what was meant.
    pub(crate) fn warn(&mut self, at: At<'_>, message: impl fmt::Display) {
        self.find(Severity::Warning, "suspicious-field", at.into(), message);
    }

    pub(crate) fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        path: FieldPath,
        message: impl fmt::Display,
    ) {
        self.findings.push(Finding {
            severity,
            code,
            path,
            message: message.to_string(),
        });
    }

    /// Decodes the field `at` of `object`; one that is absent or null counts as `{}`. A field that
    /// the type does not know is a warning; one that does not fit rejects the object.
    pub(crate) fn field<T: DeserializeOwned>(
        &mut self,
        object: &Value,
        at: &'static str,
    ) -> Option<T> {
        let empty = Value::Object(serde_json::Map::new());
        let value = object
            .get(at)
            .filter(|value| !value.is_null())
            .unwrap_or(&empty);
        self.decode(value, FieldPath::from(At::top(at)))
    }

    /// Lists the fields of a type where that is asked for, instead of reading it.
    fn is_walk<T: DeserializeOwned>(&mut self, at: &'static str) -> bool {
        let Some(walked) = &mut self.walked else {
            return false;
        };
        walked.extend(fields::of_type::<T>(at));
        true
    }

    /// As [`Self::field`], for a type whose fields are in the reference.
    pub(crate) fn own_field<T: DeserializeOwned>(
        &mut self,
        object: &Value,
        at: &'static str,
    ) -> Option<T> {
        if self.is_walk::<T>(at) {
            return None;
        }
        self.field(object, at)
    }

    /// As [`Self::own_field`], for a message of Istio, where null stands for unset.
    pub(crate) fn message<T: DeserializeOwned>(
        &mut self,
        object: &Value,
        at: &'static str,
    ) -> Option<T> {
        if self.is_walk::<T>(at) {
            return None;
        }
        let value = match object.get(at) {
            Some(value) if !value.is_null() => proto::without_nulls(value),
            _ => Value::Object(serde_json::Map::new()),
        };
        self.decode(&value, FieldPath::from(At::top(at)))
    }

    /// As [`Self::message`], for one that stands in a text `at`.
    pub(crate) fn embedded<T: DeserializeOwned>(&mut self, value: &Value, at: At<'_>) -> Option<T> {
        self.decode(&proto::without_nulls(value), FieldPath::from(at))
    }

    /// Decodes the whole object.
    pub(crate) fn whole<T: DeserializeOwned>(&mut self, object: &Value) -> Option<T> {
        self.decode(object, FieldPath::default())
    }

    fn decode<T: DeserializeOwned>(&mut self, value: &Value, base: FieldPath) -> Option<T> {
        let mut track = serde_path_to_error::Track::new();
        let mut unknown = Vec::new();
        let result = serde_ignored::deserialize(
            serde_path_to_error::Deserializer::new(value, &mut track),
            |path| unknown.push(ignored_path(&base, &path)),
        );
        for path in unknown.into_iter().filter(|path| !is_envelope(path)) {
            self.find(Severity::Warning, "unknown-field", path, "no such field");
        }
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.is_rejected = true;
                let path = failed_path(base, &track.path());
                self.find(Severity::Error, "invalid-field", path, error);
                None
            }
        }
    }

    /// An address in text form.
    pub(crate) fn address(&mut self, at: At<'_>, text: &str) -> Option<IpAddr> {
        let Ok(address) = text.parse::<IpAddr>() else {
            self.reject(at, format_args!("{text:?} is not an IP address"));
            return None;
        };
        match syntax::address_fault(address) {
            Some(AddressFault::Unusable(why)) => {
                self.reject(at, format_args!("{address} {why}"));
                None
            }
            Some(AddressFault::Unusual(why)) => {
                self.warn(at, format_args!("{address} {why}"));
                Some(address)
            }
            None => Some(address),
        }
    }

    /// A port number, 1 to 65535.
    pub(crate) fn port(&mut self, at: At<'_>, number: i64) -> Option<u16> {
        let port = u16::try_from(number).ok().filter(|port| *port != 0);
        self.require(
            port.is_some(),
            at,
            format_args!("{number} is not between 1 and 65535"),
        );
        port
    }

    /// Says so of every field in `table` that the object sets. `[]` stands for each item.
    pub(crate) fn not_acted_on(&mut self, object: &Value, table: &[(&str, &str)]) {
        for (pattern, reason) in table {
            let mut paths = Vec::new();
            matches(
                object,
                pattern.split('.'),
                &FieldPath::default(),
                &mut paths,
            );
            for path in paths {
                self.find(Severity::Warning, "not-supported", path, reason);
            }
        }
    }
}

fn matches<'p>(
    value: &Value,
    mut pattern: impl Iterator<Item = &'p str> + Clone,
    path: &FieldPath,
    found: &mut Vec<FieldPath>,
) {
    let Some(step) = pattern.next() else {
        if !value.is_null() {
            found.push(path.clone());
        }
        return;
    };
    let (key, each) = step
        .strip_suffix("[]")
        .map_or((step, false), |key| (key, true));
    let Some(value) = value.get(key) else { return };
    let mut path = path.clone();
    path.0.push(Segment::Key(key.into()));
    match value.as_array() {
        Some(items) if each => {
            for (index, item) in items.iter().enumerate() {
                let mut path = path.clone();
                path.0.push(Segment::Index(index));
                matches(item, pattern.clone(), &path, found);
            }
        }
        _ => matches(value, pattern, &path, found),
    }
}

/// Whether a field is one that every object has, and that is read apart from the rest.
fn is_envelope(path: &FieldPath) -> bool {
    matches!(path.0.as_slice(), [Segment::Key(key)]
        if matches!(&**key, "apiVersion" | "kind" | "metadata"))
}

fn failed_path(mut base: FieldPath, path: &serde_path_to_error::Path) -> FieldPath {
    use serde_path_to_error::Segment as Failed;
    for segment in path {
        match segment {
            Failed::Seq { index } => base.0.push(Segment::Index(*index)),
            Failed::Map { key } => base.0.push(Segment::Key(key.as_str().into())),
            Failed::Enum { .. } | Failed::Unknown => {}
        }
    }
    base
}

fn ignored_path(base: &FieldPath, path: &serde_ignored::Path<'_>) -> FieldPath {
    use serde_ignored::Path;
    let mut segments = Vec::new();
    let mut next = path;
    loop {
        next = match next {
            Path::Root => break,
            Path::Seq { parent, index } => {
                segments.push(Segment::Index(*index));
                parent
            }
            Path::Map { parent, key } => {
                segments.push(Segment::Key(key.as_str().into()));
                parent
            }
            Path::Some { parent }
            | Path::NewtypeStruct { parent }
            | Path::NewtypeVariant { parent } => parent,
        };
    }
    FieldPath(
        base.0
            .iter()
            .cloned()
            .chain(segments.into_iter().rev())
            .collect(),
    )
}
