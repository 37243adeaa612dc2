//! The packages of the workspace and of everything they use, as cargo sees them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::{Shell, cmd};

/// All packages of the dependency graph.
pub(super) struct Workspace {
    /// Ours, by name.
    pub(super) members: BTreeMap<String, Member>,
    /// Everybody else's.
    pub(super) foreign: Vec<Foreign>,
}

/// One package of ours.
pub(super) struct Member {
    /// Its folder, relative to the root.
    pub(super) folder: String,
    /// Names of the packages it is built with, tests aside.
    pub(super) dependencies: Vec<String>,
}

/// One package of somebody else.
pub(super) struct Foreign {
    pub(super) name: String,
    /// SPDX expression.
    pub(super) licence: Option<String>,
    /// Where cargo takes it from.
    pub(super) origin: String,
    /// Names of the packages it is built with.
    pub(super) dependencies: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(super) fn load(sh: &Shell) -> Result<Self> {
        let text = cmd!(sh, "cargo metadata --format-version 1 --locked")
            .quiet()
            .read()?;
        Self::parse(&serde_json::from_str(&text).context("cargo metadata wrote no JSON")?)
            .context("cargo metadata changed its format")
    }

    pub(super) fn parse(metadata: &Value) -> Option<Self> {
        let root = metadata["workspace_root"].as_str()?;
        let mut workspace = Self {
            members: BTreeMap::new(),
            foreign: Vec::new(),
        };
        for package in metadata["packages"].as_array()? {
            let name = package["name"].as_str()?.to_owned();
            let dependencies = normal_dependencies(package)?;
            if let Some(origin) = package["source"].as_str() {
                let licence = package["license"].as_str().map(str::to_owned);
                let origin = origin.to_owned();
                workspace.foreign.push(Foreign {
                    name,
                    licence,
                    origin,
                    dependencies,
                });
            } else {
                let folder = folder(root, package["manifest_path"].as_str()?)?;
                workspace.members.insert(
                    name,
                    Member {
                        folder,
                        dependencies,
                    },
                );
            }
        }
        Some(workspace)
    }
}

fn normal_dependencies(package: &Value) -> Option<Vec<String>> {
    let normal = package["dependencies"]
        .as_array()?
        .iter()
        .filter(|it| it["kind"].is_null());
    normal
        .map(|it| Some(it["name"].as_str()?.to_owned()))
        .collect()
}

fn folder(root: &str, manifest: &str) -> Option<String> {
    let relative = manifest.strip_prefix(root)?.strip_suffix("Cargo.toml")?;
    Some(relative.trim_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_foreign_packages_are_told_apart() {
        let metadata = serde_json::json!({
            "workspace_root": "/src",
            "packages": [
                {"name": "weft-abi", "source": null, "manifest_path": "/src/ebpf/abi/Cargo.toml",
                 "dependencies": [{"name": "aya", "kind": null}, {"name": "proptest", "kind": "dev"}]},
                {"name": "aya", "source": "registry+x", "license": "MIT OR Apache-2.0",
                 "manifest_path": "/reg/aya/Cargo.toml", "dependencies": []},
            ],
        });
        let workspace = Workspace::parse(&metadata).unwrap();
        assert_eq!(workspace.members["weft-abi"].folder, "ebpf/abi");
        assert_eq!(workspace.members["weft-abi"].dependencies, ["aya"]);
        assert_eq!(workspace.foreign[0].name, "aya");
    }
}
