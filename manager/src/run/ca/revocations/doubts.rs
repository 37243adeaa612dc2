//! What is wrong with revocation lists, for `weft status --problems` and the log.

use std::time::SystemTime;

use weft_identity::{ListSignature, RevocationList};
use weft_model::{Origin, Problem, Severity};

use super::ListFile;
use crate::run::ca::date;

/// Stable code of these problems.
const CODE: &str = "revocation-list";

/// What is wrong at `now`: files, lists of others than they say, lists whose successor is due. When no
/// authority is `known`, who has signed cannot be told. `renewal` is why the list beside the authority
/// was not renewed.
pub(super) fn of(
    files: &[ListFile],
    known: bool,
    renewal: Option<&str>,
    now: SystemTime,
) -> Vec<Problem> {
    let mut found = Vec::new();
    for file in files {
        let path = file.path.display().to_string();
        if let Some(failure) = &file.failure {
            let message = format!("{failure}; what it said before stays in force");
            found.push(problem(&path, None, Severity::Error, message));
        }
        if let Some(why) = renewal.filter(|_| file.optional) {
            let message = format!("the list cannot be renewed: {why}");
            found.push(problem(&path, None, Severity::Warning, message));
        }
        for held in file.lists.iter().filter(|_| known) {
            let verdict = verdict(held.signature).or_else(|| stale(&held.list, now));
            if let Some((severity, message)) = verdict {
                found.push(problem(&path, Some(&held.list), severity, message));
            }
        }
    }
    found
}

fn verdict(signature: ListSignature) -> Option<(Severity, String)> {
    let (severity, message) = match signature {
        ListSignature::Valid => return None,
        ListSignature::Invalid => (
            Severity::Warning,
            "the list is not signed by the authority of that name, so it takes nothing back",
        ),
        ListSignature::NotAllowed => (
            Severity::Warning,
            "the authority of that name may sign no lists (its key usage lacks cRLSign), so it takes \
             nothing back",
        ),
        ListSignature::UnknownIssuer => (
            Severity::Info,
            "no authority known here has that name; the list is asked when a peer shows one that has",
        ),
    };
    Some((severity, message.to_owned()))
}

fn stale(list: &RevocationList, now: SystemTime) -> Option<(Severity, String)> {
    (list.next_update() <= now).then(|| {
        let due = date(list.next_update());
        let message = format!(
            "its successor was due at {due}; what it takes back stays taken back, but what was since is \
             not known"
        );
        (Severity::Warning, message)
    })
}

fn problem(
    file: &str,
    list: Option<&RevocationList>,
    severity: Severity,
    message: String,
) -> Problem {
    let (kind, name) = match list {
        Some(list) => ("revocation list of", list.issuer()),
        None => ("", ""),
    };
    Problem {
        severity,
        code: CODE,
        origin: Origin {
            kind: kind.into(),
            namespace: "".into(),
            name: name.into(),
            file: file.into(),
            line: 0,
        },
        path: String::new(),
        line: 0,
        message,
    }
}
