//! Rules on files: size, place of `unsafe`, no trace of the machine they were written on.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Problems;

/// Lines of code a file may have, its unit tests aside.
const MAX_LINES: usize = 500;

/// Longer files, each with the reason.
const LONG: [(&str, &str); 1] = [(
    "manager/wire/gen/_.rs",
    "generated from the SPIFFE Workload API, which has no package",
)];

/// Folders whose code may be unsafe: what talks to the kernel, and `Pod` for the map types.
const UNSAFE: [&str; 4] = ["ebpf/src/", "ebpf/abi/", "manager/loader/", "manager/fuzz/"];

/// What marks text as bound to one machine or one registry. In halves: this file is checked too.
const TRACES: [(&str, &str); 9] = [
    ("/work", "/"),
    ("/home", "/"),
    ("/Users", "/"),
    ("crates", ".io"),
    ("deb.debian", ".org"),
    ("apt.llvm", ".org"),
    ("static.rust-lang", ".org"),
    ("archive.ubuntu", ".com"),
    ("ghcr", ".io"),
];

/// Folders at the root, or anywhere, that hold no source.
const NO_SOURCE: [&str; 6] = [
    ".git",
    "target",
    "corpus",
    "artifacts",
    "coverage",
    "node_modules",
];

/// One text file of the checkout.
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// Every text file below a folder. The file system is asked and not git, which refuses a
    /// checkout that belongs to somebody else.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let mut sources = Vec::new();
        collect(root, "", &mut sources)?;
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(sources)
    }

    /// Whether the file holds nothing but tests.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The text before its unit tests.
    pub(super) fn code(&self) -> &str {
        self.text
            .split("\n#[cfg(test)]\nmod ")
            .next()
            .unwrap_or_default()
    }
}

pub(super) fn check(sources: &[Source], problems: &mut Problems) {
    for source in sources {
        problems.extend(traces(source));
        if source.path.ends_with(".rs") {
            problems.extend(length(source));
            problems.extend(unsafety(source));
        }
        if source.path.ends_with("/mod.rs") {
            problems.push(format!("{}: modules are foo.rs beside foo/", source.path));
        }
    }
}

/// Reports files that may be long, but are gone.
pub(super) fn check_list(sources: &[Source], problems: &mut Problems) {
    for (path, _) in LONG {
        if !sources.iter().any(|source| source.path == path) {
            problems.push(format!(
                "{path} may be long, but is gone; strike it from the list"
            ));
        }
    }
}

fn collect(root: &Path, below: &str, sources: &mut Vec<Source>) -> Result<()> {
    let folder = root.join(below);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot read {path}"))?;
        if kind.is_dir() && !NO_SOURCE.contains(&name.as_str()) {
            collect(root, &path, sources)?;
        } else if kind.is_file()
            // Editors' backups come and go, and binary files have no lines.
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

fn traces(source: &Source) -> Vec<String> {
    // Cargo writes the registry into the lock file; that is not ours to change.
    if source.path.ends_with("Cargo.lock") || source.path == "LICENSE" {
        return Vec::new();
    }
    let found = |(start, end): &(&str, &str)| {
        let trace = format!("{start}{end}");
        let line = source.text.lines().position(|line| line.contains(&trace))?;
        Some(format!("{}:{}: names {trace}", source.path, line + 1))
    };
    TRACES.iter().filter_map(found).collect()
}

fn length(source: &Source) -> Option<String> {
    let lines = source.code().lines().count();
    let listed = LONG.iter().any(|(path, _)| *path == source.path);
    (lines > MAX_LINES && !listed)
        .then(|| format!("{}: {lines} lines, split at {MAX_LINES}", source.path))
}

/// Every crate root forbids unsafe code, where it has no business.
fn unsafety(source: &Source) -> Option<String> {
    let path = source.path.as_str();
    let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    let may = UNSAFE.iter().any(|folder| path.starts_with(folder));
    let forbids = source.text.contains("#![forbid(unsafe_code)]");
    (is_root && !may && !forbids).then(|| format!("{path}: lacks #![forbid(unsafe_code)]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Problems {
        let mut problems = Problems::new();
        check(
            &[Source {
                path: path.to_owned(),
                text: text.to_owned(),
            }],
            &mut problems,
        );
        problems
    }

    #[test]
    fn a_file_is_measured_without_its_unit_tests() {
        let code = "fn a() {}\n".repeat(MAX_LINES);
        let tests = "\n#[cfg(test)]\nmod tests {\n".to_owned() + &"fn b() {}\n".repeat(100) + "}\n";
        assert!(breaches("manager/model/src/mesh.rs", &(code.clone() + &tests)).is_empty());
        assert_eq!(
            breaches("manager/model/src/mesh.rs", &(code + "fn c() {}\n")).len(),
            1
        );
    }

    #[test]
    fn a_crate_root_forbids_unsafe_code_unless_it_talks_to_the_kernel() {
        assert_eq!(breaches("manager/model/src/lib.rs", "mod mesh;\n").len(), 1);
        assert!(breaches("manager/model/src/lib.rs", "#![forbid(unsafe_code)]\n").is_empty());
        assert!(breaches("manager/loader/src/lib.rs", "mod link;\n").is_empty());
    }

    #[test]
    fn a_path_of_one_machine_is_found_with_its_line() {
        let text = format!("first\nsee {}/me/notes\n", "/home");
        let found = breaches("README.md", &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("README.md:2:"), "{found:?}");
        assert!(breaches("Cargo.lock", &text).is_empty());
    }

    #[test]
    fn a_mod_rs_is_refused() {
        assert_eq!(breaches("manager/src/cmd/mod.rs", "").len(), 1);
    }
}
