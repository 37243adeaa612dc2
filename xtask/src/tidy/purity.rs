//! Pure crates know no clock, socket, file, kernel or cluster.

use anyhow::Result;
use xshell::{Shell, cmd};

use super::{Problems, metadata::Workspace, sources::Source};

/// Crates that decide and never act.
const PURE: [&str; 9] = [
    "weft-abi",
    "weft-logic",
    "weft-api",
    "weft-model",
    "weft-compiler",
    "weft-decision",
    "weft-lower",
    "weft-identity",
    "weft-wire",
];

/// Crates whose presence anywhere below a pure crate means it can act.
const ACTING: [&str; 14] = [
    "aya",
    "aya-ebpf",
    "aya-log",
    "aya-obj",
    "getrandom",
    "hyper",
    "mio",
    "netlink-sys",
    "nix",
    "notify",
    "rand",
    "rustix",
    "socket2",
    "tokio",
];

/// Ways of the standard library to act, or to see the world.
const WORLDLY: [&str; 10] = [
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "RandomState",
];

pub(super) fn check(
    sh: &Shell,
    workspace: &Workspace,
    sources: &[Source],
    problems: &mut Problems,
) -> Result<()> {
    for package in PURE {
        // Asked per package: over the whole workspace, features add up and aya is below abi.
        let tree = cmd!(
            sh,
            "cargo tree --locked -p {package} -e normal --prefix none"
        );
        for name in acting(&tree.quiet().read()?) {
            problems.push(format!("{package} is pure, but {name} is in its tree"));
        }
        let folder = format!("{}/src/", workspace.members[package].folder);
        for source in sources
            .iter()
            .filter(|source| source.path.starts_with(&folder))
        {
            problems.extend(worldly(source));
        }
    }
    Ok(())
}

fn acting(tree: &str) -> Vec<&str> {
    let mut names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| ACTING.contains(name));
    names
}

fn worldly(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let lines = source.code().lines().enumerate();
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter_map(|(number, line)| {
        let word = WORLDLY.into_iter().find(|&word| line.contains(word))?;
        Some(format!(
            "{}:{}: {word} in a pure crate",
            source.path,
            number + 1
        ))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_deep_in_the_tree_is_seen() {
        let tree = "weft-model v0.1.0 (/src/manager/model)\nserde v1.0.2\ntokio v1.5.0 (*)\n";
        assert_eq!(acting(tree), ["tokio"]);
        assert!(acting("weft-model v0.1.0\nserde v1.0.2\ntokio-like v1.0.0").is_empty());
    }

    #[test]
    fn a_file_access_is_seen_in_code_but_not_in_tests_or_comments() {
        let text = "// std::fs is not for us\nuse std::fs;\n#[cfg(test)]\nmod tests {\n use std::env;\n}\n";
        let source = Source {
            path: "a/src/lib.rs".to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(
            worldly(&source),
            ["a/src/lib.rs:2: std::fs in a pure crate"]
        );
        let tests = Source {
            path: "a/src/lib/tests.rs".to_owned(),
            text: text.to_owned(),
        };
        assert!(worldly(&tests).is_empty());
    }
}
