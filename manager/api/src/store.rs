//! The last good state of every object, by the files they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    Kind, Labels, Object, ObjectKey, Pod, Problem, Resource, Severity,
    document::{self, Contents},
    intern::Interner,
};

/// All objects, each in its last good version.
///
/// - An object that is not valid leaves its last good version in force.
/// - If a part of a file cannot be read at all, what the file supplied before stays in force unless
///   it appears in the rest.
/// - Of one object in several files, the one in the first file by name is in force; when that goes,
///   the next takes over.
#[derive(Clone, Default, Debug)]
pub struct Store {
    /// By identity: each file's version, in the order of file names; the first is in force.
    objects: BTreeMap<ObjectKey, Vec<Arc<Object>>>,
    files: BTreeMap<Arc<str>, FileState>,
    /// Of objects that stand in several files.
    conflicts: BTreeMap<ObjectKey, Vec<Problem>>,
    interner: Interner,
}

#[derive(Clone, Default, Debug)]
struct FileState {
    keys: BTreeSet<ObjectKey>,
    problems: Vec<Problem>,
}

/// What an edit of a file did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileOutcome {
    /// Objects whose version in force is new, different, gone, or stands elsewhere now, in
    /// ascending order. All others are as they were, their lines included.
    pub changed: Vec<ObjectKey>,
}

/// Kinds that make pods.
const TEMPLATES: [Kind; 3] = [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];

/// A pod, or what the pods of a workload will be.
#[derive(Clone, Copy, Debug)]
pub struct KnownPod<'s> {
    /// The pod, or its Deployment, StatefulSet or DaemonSet.
    pub object: &'s Arc<Object>,
    /// Labels of the pod.
    pub labels: &'s Labels,
    /// The pod; without addresses where it is not there yet.
    pub pod: &'s Pod,
}

impl<'s> KnownPod<'s> {
    /// What an object is, if it is a pod or makes some.
    pub fn of(object: &'s Arc<Object>) -> Option<Self> {
        let (labels, pod) = match &object.resource {
            Resource::Pod(pod) => (&object.labels, &**pod),
            Resource::PodTemplate(template) => (&template.labels, &template.pod),
            _ => return None,
        };
        Some(Self {
            object,
            labels,
            pod,
        })
    }
}

impl Store {
    /// Takes the text of a file, new or changed. Problems are in [`Self::problems`].
    pub fn put_file(&mut self, file: &str, text: &str) -> FileOutcome {
        let file: Arc<str> = Arc::from(file);
        let contents = document::read(&file, text, &mut self.interner);
        self.commit(&file, contents)
    }

    /// Forgets a file. Objects that only it supplied are gone.
    pub fn remove_file(&mut self, file: &str) -> FileOutcome {
        let file: Arc<str> = Arc::from(file);
        let outcome = self.commit(&file, Contents::default());
        self.files.remove(&file);
        outcome
    }

    /// The version of an object that is in force.
    pub fn object(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.objects.get(key)?.first()
    }

    /// All objects of a kind in force, in ascending (namespace, name).
    pub fn objects(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        let least = ObjectKey {
            kind,
            namespace: Arc::from(""),
            name: Arc::from(""),
        };
        self.objects
            .range(least..)
            .take_while(move |(key, _)| key.kind == kind)
            .filter_map(|(_, versions)| versions.first())
    }

    /// All objects of a kind in force in a namespace, in ascending name.
    pub fn objects_in<'s>(
        &'s self,
        kind: Kind,
        namespace: &Arc<str>,
    ) -> impl Iterator<Item = &'s Arc<Object>> + use<'s> {
        let namespace = Arc::clone(namespace);
        let least = ObjectKey {
            kind,
            namespace: Arc::clone(&namespace),
            name: Arc::from(""),
        };
        self.objects
            .range(least..)
            .take_while(move |(key, _)| key.kind == kind && key.namespace == namespace)
            .filter_map(|(_, versions)| versions.first())
    }

    /// All pods, and of each Deployment, StatefulSet and DaemonSet that has none here, one as its
    /// template has it.
    pub fn pods(&self) -> impl Iterator<Item = KnownPod<'_>> {
        self.pods_of(|kind| self.objects(kind))
    }

    /// [`Self::pods`] of a namespace.
    pub fn pods_in(&self, namespace: &Arc<str>) -> impl Iterator<Item = KnownPod<'_>> {
        self.pods_of(|kind| self.objects_in(kind, namespace))
    }

    fn pods_of<'s, I: Iterator<Item = &'s Arc<Object>>>(
        &'s self,
        of_kind: impl Fn(Kind) -> I,
    ) -> impl Iterator<Item = KnownPod<'s>> {
        let pods = of_kind(Kind::Pod).filter_map(KnownPod::of);
        let templates = TEMPLATES.into_iter().flat_map(of_kind);
        let missing = templates.filter_map(KnownPod::of).filter(|template| {
            let mut pods = self.objects_in(Kind::Pod, &template.object.key.namespace);
            !pods.any(|pod| template.labels.select(&pod.labels))
        });
        pods.chain(missing)
    }

    /// Identities of all objects, in ascending order.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.objects.keys()
    }

    /// What is wrong now: by file, in the order of the file, then objects that stand in several.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let in_files = self.files.values().flat_map(|state| &state.problems);
        in_files.chain(self.conflicts.values().flatten())
    }

    /// Names of the files taken.
    pub fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.keys()
    }

    fn commit(&mut self, file: &Arc<str>, contents: Contents) -> FileOutcome {
        let Contents {
            objects,
            rejected,
            is_torn,
            mut problems,
        } = contents;
        let mut state = self.files.remove(file).unwrap_or_default();
        let mut next: BTreeMap<ObjectKey, Option<Object>> = BTreeMap::new();
        for object in objects {
            if let Some(Some(first)) = next.get(&object.key) {
                problems.push(written_twice(&object, first));
                continue;
            }
            next.insert(object.key.clone(), Some(object));
        }
        let kept = rejected
            .iter()
            .chain(is_torn.then_some(&state.keys).into_iter().flatten());
        for key in kept {
            if state.keys.contains(key) && !next.contains_key(key) {
                next.insert(key.clone(), None);
            }
        }
        let mut changed: BTreeSet<ObjectKey> = BTreeSet::new();
        for gone in state.keys.iter().filter(|key| !next.contains_key(*key)) {
            if self.retract(file, gone) {
                changed.insert(gone.clone());
            }
        }
        state.keys = next.keys().cloned().collect();
        for (key, object) in next {
            let Some(object) = object else { continue };
            if self.claim(file, object) {
                changed.insert(key);
            }
        }
        problems.sort_by_key(|problem| problem.line);
        state.problems = problems;
        self.files.insert(Arc::clone(file), state);
        self.interner.prune();
        FileOutcome {
            changed: changed.into_iter().collect(),
        }
    }

    /// Takes a file's version of an object. True if another version is in force now.
    fn claim(&mut self, file: &Arc<str>, object: Object) -> bool {
        let key = object.key.clone();
        let versions = self.objects.entry(key.clone()).or_default();
        let is_changed = match versions.binary_search_by(|version| version.file.cmp(file)) {
            Ok(at) if *versions[at] == object => false,
            Ok(at) => {
                versions[at] = Arc::new(object);
                at == 0
            }
            Err(at) => {
                versions.insert(at, Arc::new(object));
                versions.shrink_to_fit();
                at == 0
            }
        };
        self.judge(&key);
        is_changed
    }

    /// Takes back a file's version of an object. True if another version is in force now.
    fn retract(&mut self, file: &Arc<str>, key: &ObjectKey) -> bool {
        let Some(versions) = self.objects.get_mut(key) else {
            return false;
        };
        let Ok(at) = versions.binary_search_by(|version| version.file.cmp(file)) else {
            return false;
        };
        versions.remove(at);
        if versions.is_empty() {
            self.objects.remove(key);
        }
        self.judge(key);
        at == 0
    }

    /// Writes down who loses where an object stands in several files.
    fn judge(&mut self, key: &ObjectKey) {
        match self.objects.get(key).map(Vec::as_slice) {
            Some([winner, losers @ ..]) if !losers.is_empty() => {
                let problems = losers
                    .iter()
                    .map(|loser| written_twice(loser, winner))
                    .collect();
                self.conflicts.insert(key.clone(), problems);
            }
            _ => drop(self.conflicts.remove(key)),
        }
    }
}

fn written_twice(loser: &Object, winner: &Object) -> Problem {
    Problem {
        severity: Severity::Error,
        code: "conflict",
        origin: loser.origin(),
        path: String::new(),
        line: loser.line,
        message: format!(
            "is written twice; the one at {}:{} is in force, this one is not",
            winner.file, winner.line
        ),
    }
}
