//! From the text of a file to objects, one document at a time: what is wrong with one costs only
//! itself.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    Object, ObjectKey, Origin, Problem, Severity,
    decode::{Finding, Reading},
    intern::Interner,
    kinds::{self, Registration},
    object::{self, Metadata},
    path::{FieldPath, Segment},
    yaml::{self, Document, lines::lines},
};

/// What a file holds.
#[derive(Default)]
pub(crate) struct Contents {
    /// Valid objects, in the order of the file.
    pub(crate) objects: Vec<Object>,
    /// Identities of objects that are not valid.
    pub(crate) rejected: Vec<ObjectKey>,
    /// Whether a part could not be read at all, so that it may have held any object.
    pub(crate) is_torn: bool,
    pub(crate) problems: Vec<Problem>,
}

/// Reads the text of a file.
pub(crate) fn read(file: &Arc<str>, text: &str, interner: &mut Interner) -> Contents {
    let mut contents = Contents::default();
    for document in yaml::documents(text) {
        let value = match document.parse() {
            Ok(value) => value,
            Err(fault) => {
                contents.is_torn = true;
                let origin = unknown_origin(file, document.first_line());
                contents.problems.push(Problem {
                    severity: Severity::Error,
                    code: "syntax",
                    origin,
                    path: String::new(),
                    line: fault.line,
                    message: fault.message,
                });
                continue;
            }
        };
        let mut sheet = Sheet {
            file,
            interner,
            contents: &mut contents,
            items: Vec::new(),
        };
        sheet.take(&value, &FieldPath::default(), 0);
        let items = sheet.items;
        settle(&document, file, items, &mut contents);
    }
    contents
}

fn unknown_origin(file: &Arc<str>, line: u32) -> Origin {
    let empty: Arc<str> = Arc::from("");
    let (kind, namespace, name) = (Arc::clone(&empty), Arc::clone(&empty), empty);
    Origin {
        kind,
        namespace,
        name,
        file: Arc::clone(file),
        line,
    }
}

/// One document on the way, before its lines are known.
struct Sheet<'a> {
    file: &'a Arc<str>,
    interner: &'a mut Interner,
    contents: &'a mut Contents,
    items: Vec<Item>,
}

/// One object of a document: a document is one, or a list of them.
struct Item {
    origin: Origin,
    /// Where in the document it starts.
    base: FieldPath,
    findings: Vec<Finding>,
    /// Where in `Contents::objects` it is, if it is valid.
    object: Option<usize>,
}

impl Sheet<'_> {
    fn take(&mut self, value: &Value, base: &FieldPath, depth: u8) {
        if value.is_null() {
            return;
        }
        let text = |key| value.get(key).and_then(Value::as_str).unwrap_or("");
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        if let Some(items) = list_items(value, kind)
            && depth < 2
        {
            for (index, item) in items.iter().enumerate() {
                let mut base = base.clone();
                base.0
                    .extend([Segment::Key("items".into()), Segment::Index(index)]);
                match with_type_of_list(item, api_version, kind) {
                    Some(item) => self.take(&item, &base, depth + 1),
                    None => self.take(item, &base, depth + 1),
                }
            }
            return;
        }
        match kinds::registration(group, kind) {
            Some(registration) if registration.versions.contains(&version) => {
                self.read(value, registration, base);
            }
            Some(registration) => {
                let served = registration.versions.join(", ");
                let message = format!("version {version:?} of {kind} is not known; use {served}");
                self.refuse(value, base, Severity::Error, "apiVersion", message);
            }
            None if !value.is_object() || kind.is_empty() || api_version.is_empty() => {
                // Whatever it was meant to be, it may be what the file supplied before.
                self.contents.is_torn = true;
                let message = "not a resource: apiVersion and kind are required".into();
                self.refuse(value, base, Severity::Error, "", message);
            }
            None => {
                let message = format!("kind {kind} ({api_version}) is not supported yet");
                self.refuse(value, base, Severity::Warning, "kind", message);
            }
        }
    }

    /// Passes over something that is not a resource of a kind that is read.
    fn refuse(
        &mut self,
        value: &Value,
        base: &FieldPath,
        severity: Severity,
        field: &str,
        message: String,
    ) {
        let code = if severity == Severity::Error {
            "invalid-object"
        } else {
            "unknown-kind"
        };
        let path = match field {
            "" => FieldPath::default(),
            field => FieldPath(vec![Segment::Key(field.into())]),
        };
        let mut item = self.item(value, false, base);
        item.findings.push(Finding {
            severity,
            code,
            path,
            message,
        });
        self.items.push(item);
    }

    fn read(&mut self, value: &Value, registration: &Registration, base: &FieldPath) {
        let mut item = self.item(value, registration.is_cluster_scoped, base);
        let mut cx = Reading::new(self.interner);
        let metadata = Metadata::read(value, registration, &mut cx);
        // With broken metadata too, all that is wrong is said at once where it can be.
        let resource = metadata
            .as_ref()
            .and_then(|metadata| (registration.read)(value, metadata, &mut cx));
        let is_rejected = cx.is_rejected;
        item.findings = cx.findings;
        match (metadata, resource) {
            (Some(metadata), Some(resource)) if !is_rejected => {
                item.object = Some(self.contents.objects.len());
                self.contents.objects.push(Object {
                    key: metadata.key,
                    labels: metadata.labels,
                    annotations: metadata.annotations,
                    created: metadata.created,
                    generation: metadata.generation,
                    file: Arc::clone(self.file),
                    line: 0,
                    resource,
                });
            }
            _ => {
                let (namespace, name) = (&item.origin.namespace, &item.origin.name);
                // Without a name it may be any object of the file.
                self.contents.is_torn |= name.is_empty();
                self.contents.rejected.push(ObjectKey {
                    kind: registration.kind,
                    namespace: Arc::clone(namespace),
                    name: Arc::clone(name),
                });
            }
        }
        self.items.push(item);
    }

    fn item(&mut self, value: &Value, cluster_scoped: bool, base: &FieldPath) -> Item {
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or("");
        let (namespace, name) = object::identity(value, cluster_scoped);
        let origin = Origin {
            kind: self.interner.name(kind),
            namespace: self.interner.name(namespace),
            name: self.interner.name(name),
            file: Arc::clone(self.file),
            line: 0,
        };
        Item {
            origin,
            base: base.clone(),
            findings: Vec::new(),
            object: None,
        }
    }
}

/// The items of a `List` or of a typed one such as `ServiceList`.
fn list_items<'v>(value: &'v Value, kind: &str) -> Option<&'v Vec<Value>> {
    if !kind.ends_with("List") {
        return None;
    }
    match value.get("items") {
        Some(Value::Array(items)) => Some(items),
        Some(Value::Null) | None => Some(const { &Vec::new() }),
        Some(_) => None,
    }
}

/// Items of a typed list need not say their type.
fn with_type_of_list(item: &Value, api_version: &str, list_kind: &str) -> Option<Value> {
    let kind = list_kind
        .strip_suffix("List")
        .filter(|kind| !kind.is_empty())?;
    if item.get("kind").is_some() || !item.is_object() {
        return None;
    }
    let mut item = item.clone();
    item["apiVersion"] = api_version.into();
    item["kind"] = kind.into();
    Some(item)
}

/// Looks up the lines of a document's objects and findings, in one pass and only if there are any
/// that are not its first.
fn settle(document: &Document<'_>, file: &Arc<str>, items: Vec<Item>, contents: &mut Contents) {
    let mut paths: Vec<FieldPath> = Vec::new();
    for item in &items {
        paths.push(item.base.clone());
        for finding in &item.findings {
            let below = item.base.0.iter().chain(&finding.path.0);
            paths.push(FieldPath(below.cloned().collect()));
        }
    }
    let first = document.first_line();
    let lines = if paths.iter().all(|path| path.0.is_empty()) {
        vec![first; paths.len()]
    } else {
        lines(document, &paths.iter().collect::<Vec<_>>())
    };
    let mut lines = lines.into_iter();
    for item in items {
        let line = lines.next().unwrap_or(first);
        if let Some(object) = item.object {
            contents.objects[object].line = line;
        }
        let origin = Origin {
            line,
            file: Arc::clone(file),
            ..item.origin
        };
        for finding in item.findings {
            contents.problems.push(Problem {
                severity: finding.severity,
                code: finding.code,
                origin: origin.clone(),
                path: finding.path.to_string(),
                line: lines.next().unwrap_or(first),
                message: finding.message,
            });
        }
    }
}

/// The line of `spec.LIST[INDEX]` of the object that begins at a line of a text, as in
/// [`Object::line`]; that line itself when there is no such item.
pub fn item_line(text: &str, object_line: u32, list: &str, index: usize) -> u32 {
    Items::new(text).line(object_line, list, index)
}

/// Items of lists in the objects of a text.
#[derive(Debug)]
pub struct Items<'t> {
    documents: Vec<yaml::Document<'t>>,
}

impl<'t> Items<'t> {
    /// Those of a text.
    pub fn new(text: &'t str) -> Self {
        let documents = yaml::documents(text).collect();
        Self { documents }
    }

    /// As [`item_line`].
    pub fn line(&self, object_line: u32, list: &str, index: usize) -> u32 {
        let begun = |document: &yaml::Document<'_>| document.first_line() <= object_line;
        let at = self.documents.partition_point(begun);
        let Some(document) = at.checked_sub(1).and_then(|at| self.documents.get(at)) else {
            return object_line;
        };
        let mut base = FieldPath::default();
        if document.first_line() != object_line {
            let items = document.parse().ok();
            let items = items
                .as_ref()
                .and_then(|list| list.get("items")?.as_array());
            let bases: Vec<FieldPath> = (0..items.map_or(0, Vec::len))
                .map(|item| FieldPath(vec![Segment::Key("items".into()), Segment::Index(item)]))
                .collect();
            let found = lines(document, &bases.iter().collect::<Vec<_>>());
            let Some(at) = found.iter().position(|line| *line == object_line) else {
                return object_line;
            };
            base = bases[at].clone();
        }
        base.0.extend([
            Segment::Key("spec".into()),
            Segment::Key(list.into()),
            Segment::Index(index),
        ]);
        let found = lines(document, &[&base]);
        found
            .first()
            .copied()
            .unwrap_or(object_line)
            .max(object_line)
    }
}

#[cfg(test)]
mod tests {
    use super::item_line;

    #[test]
    fn an_item_of_an_object_has_its_own_line() {
        let text = "kind: A\nspec:\n  rules:\n  - a: 1\n  - a: 2\n---\n# b\nkind: B\nspec: {rules: [{}]}\n";
        assert_eq!(item_line(text, 1, "rules", 1), 5);
        assert_eq!(item_line(text, 1, "http", 1), 2, "the nearest parent");
        assert_eq!(item_line(text, 8, "rules", 0), 9);
        let list = "kind: List\nitems:\n- kind: A\n- kind: B\n  spec:\n    rules:\n    - a: 1\n";
        assert_eq!(item_line(list, 4, "rules", 0), 7);
    }
}
