//! Who may depend on whom. Anything absent from the table is forbidden: a new arrow is a decision.

use super::{
    Problems,
    metadata::{Member, Workspace},
};

/// One crate's row.
struct Row {
    name: &'static str,
    /// Crates of this workspace.
    ours: &'static [&'static str],
    /// Everybody else's crates.
    outside: &'static [&'static str],
}

const TABLE: [Row; 18] = [
    Row {
        name: "weft-abi",
        ours: &[],
        outside: &["aya"],
    },
    Row {
        name: "weft-logic",
        ours: &["weft-abi"],
        outside: &[],
    },
    Row {
        name: "weft-ebpf",
        ours: &["weft-abi", "weft-logic"],
        outside: &["aya-ebpf", "aya-log-ebpf"],
    },
    Row {
        name: "weft-api",
        ours: &[],
        outside: &[
            "ipnet",
            "k8s-openapi",
            "regex",
            "saphyr-parser",
            "serde",
            "serde_ignored",
            "serde_json",
            "serde_path_to_error",
            "thiserror",
        ],
    },
    Row {
        name: "weft-model",
        ours: &[],
        outside: &["ipnet", "serde"],
    },
    Row {
        name: "weft-compiler",
        ours: &["weft-api", "weft-model"],
        outside: &["serde_json"],
    },
    Row {
        name: "weft-decision",
        ours: &["weft-logic", "weft-model"],
        outside: &["aws-lc-rs", "ipnet", "regex", "serde", "serde_json"],
    },
    Row {
        name: "weft-lower",
        // Rule sets and mTLS modes are tables of what `weft-decision` decides: one matcher, so that
        // kernel, proxy and `weft why` cannot differ.
        ours: &["weft-abi", "weft-decision", "weft-logic", "weft-model"],
        outside: &["serde", "serde_json", "thiserror"],
    },
    Row {
        name: "weft-identity",
        ours: &[],
        outside: &[
            "pem",
            "rcgen",
            "rustls",
            "rustls-webpki",
            "thiserror",
            "time",
            "x509-parser",
        ],
    },
    Row {
        name: "weft-wire",
        ours: &[],
        // tonic only with the feature `service`.
        outside: &["prost", "prost-types", "tonic", "tonic-prost"],
    },
    Row {
        name: "weft-loader",
        ours: &["weft-abi", "weft-lower"],
        outside: &[
            "aya",
            "aya-log",
            "libc",
            "log",
            "netlink-packet-core",
            "netlink-packet-sock-diag",
            "netlink-sys",
            "rustix",
            "thiserror",
            "tracing",
        ],
    },
    Row {
        name: "weft-proxy",
        ours: &["weft-identity"],
        outside: &[
            "aws-lc-rs",
            "rustix",
            "rustls",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Row {
        name: "weft-telemetry",
        ours: &["weft-abi", "weft-model"],
        outside: &["jiff", "prometheus-client", "serde", "serde_json"],
    },
    Row {
        name: "weft-admin",
        ours: &["weft-model", "weft-telemetry"],
        outside: &[
            "http-body-util",
            "hyper",
            "hyper-util",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Row {
        name: "weft-testkit",
        ours: &["weft-api", "weft-model"],
        outside: TOOLS,
    },
    Row {
        name: "weft",
        ours: &[
            "weft-abi",
            "weft-admin",
            "weft-api",
            "weft-compiler",
            "weft-decision",
            "weft-identity",
            "weft-loader",
            "weft-logic",
            "weft-lower",
            "weft-model",
            "weft-proxy",
            "weft-telemetry",
            "weft-wire",
        ],
        outside: &[
            "anyhow",
            "aws-lc-rs",
            "clap",
            "crossterm",
            "hyper-util",
            "if-addrs",
            "jiff",
            "notify",
            "ratatui",
            "rustix",
            "rustls",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tokio-stream",
            "tonic",
            "tracing",
            "tracing-subscriber",
        ],
    },
    Row {
        name: "bpf-tests",
        ours: &[
            "weft-abi",
            "weft-loader",
            "weft-logic",
            "weft-lower",
            "weft-model",
            "weft-testkit",
        ],
        outside: &["anyhow", "aya", "libc", "rustix", "serde_json"],
    },
    Row {
        name: "xtask",
        ours: &["weft-testkit"],
        outside: XTASK,
    },
];

/// What tests and tools may use beside our crates.
const TOOLS: &[&str] = &[
    "anyhow",
    "clap",
    "libc",
    "rustix",
    "serde_json",
    "signal-hook",
    "xshell",
];

/// What xtask uses beside those: it makes the code of the messages.
const XTASK: &[&str] = &[
    "anyhow",
    "clap",
    "libc",
    "protox",
    "rustix",
    "serde_json",
    "signal-hook",
    "tonic-prost-build",
    "xshell",
];

/// Who may depend on aya: bpf(2) has one owner. The same as in deny.toml.
const AYA: [&str; 4] = ["aya-log", "bpf-tests", "weft-abi", "weft-loader"];

pub(super) fn check(workspace: &Workspace, problems: &mut Problems) {
    for (name, member) in &workspace.members {
        match TABLE.iter().find(|row| row.name == name) {
            Some(row) => problems.extend(forbidden(row, member)),
            None => problems.push(format!("{name} has no row in tidy's dependency table")),
        }
    }
    for row in TABLE
        .iter()
        .filter(|row| !workspace.members.contains_key(row.name))
    {
        problems.push(format!(
            "{} is gone, its row in tidy's table is not",
            row.name
        ));
    }
    let users = workspace
        .foreign
        .iter()
        .map(|package| (&package.name, &package.dependencies));
    for (name, dependencies) in users {
        if dependencies.iter().any(|it| it == "aya") && !AYA.contains(&name.as_str()) {
            problems.push(format!(
                "{name} depends on aya; only {} may",
                AYA.join(", ")
            ));
        }
    }
}

fn forbidden(row: &Row, member: &Member) -> Vec<String> {
    let allowed = |name: &&String| {
        let aya = name.as_str() != "aya" || AYA.contains(&row.name);
        aya && (row.ours.contains(&name.as_str()) || row.outside.contains(&name.as_str()))
    };
    let forbidden = member.dependencies.iter().filter(|name| !allowed(name));
    forbidden
        .map(|name| format!("{} may not depend on {name}", row.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn problems(package: &str, dependencies: &[&str]) -> Problems {
        let mut members = BTreeMap::new();
        for row in &TABLE {
            members.insert(row.name.to_owned(), member(&[]));
        }
        members.insert(package.to_owned(), member(dependencies));
        let mut problems = Problems::new();
        check(
            &Workspace {
                members,
                foreign: Vec::new(),
            },
            &mut problems,
        );
        problems
    }

    fn member(dependencies: &[&str]) -> Member {
        let dependencies = dependencies.iter().map(|&name| name.to_owned()).collect();
        Member {
            folder: "x".to_owned(),
            dependencies,
        }
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_refused() {
        assert_eq!(
            problems("weft-compiler", &["weft-api", "weft-abi"]),
            ["weft-compiler may not depend on weft-abi"]
        );
        assert!(problems("weft-compiler", &["weft-api", "weft-model"]).is_empty());
    }

    #[test]
    fn an_outside_crate_needs_a_place_in_the_table() {
        assert_eq!(
            problems("weft-model", &["tokio"]),
            ["weft-model may not depend on tokio"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_refused() {
        assert_eq!(
            problems("weft-new", &[]),
            ["weft-new has no row in tidy's dependency table"]
        );
    }
}
