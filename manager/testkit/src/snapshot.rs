//! Which BPF objects exist, to see that nothing stays behind.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// BPF programs, maps and links by kernel id, and mounted BPF file systems.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    items: BTreeSet<String>,
}

impl Snapshot {
    /// Everything in the kernel, whoever made it. Needs `bpftool`.
    ///
    /// # Errors
    /// When `bpftool` is missing or fails.
    pub fn take() -> Result<Self> {
        let mut items = BTreeSet::new();
        for kind in ["prog", "map", "link"] {
            for object in bpftool(&[kind, "show"])?.as_array().into_iter().flatten() {
                items.extend(item(kind, object));
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("read mountinfo")?;
        let bpffs = mounts.lines().filter(|line| line.contains(" - bpf "));
        items.extend(bpffs.filter_map(|line| Some(format!("bpffs {}", line.split(' ').nth(4)?))));
        Ok(Self { items })
    }

    /// Programs attached to a cgroup, and the maps they use. Unlike [`Self::take`] this sees
    /// nothing of others on the same machine.
    ///
    /// # Errors
    /// When `bpftool` is missing or fails.
    pub fn of_cgroup(cgroup: &Path) -> Result<Self> {
        let mut items = BTreeSet::new();
        let path = cgroup.to_string_lossy();
        let attached = bpftool(&["cgroup", "show", &path])?;
        for program in attached.as_array().into_iter().flatten() {
            let Some(id) = program["id"].as_u64() else {
                continue;
            };
            let program = bpftool(&["prog", "show", "id", &id.to_string()])?;
            items.extend(item("prog", &program));
            for map in program["map_ids"].as_array().into_iter().flatten() {
                if let Some(id) = map.as_u64() {
                    let map = bpftool(&["map", "show", "id", &id.to_string()])?;
                    items.extend(item("map", &map));
                }
            }
        }
        Ok(Self { items })
    }

    /// What of this still exists.
    ///
    /// # Errors
    /// When `bpftool` is missing or fails.
    pub fn still_there(&self) -> Result<Vec<String>> {
        let now = Self::take()?;
        Ok(self.items.intersection(&now.items).cloned().collect())
    }

    /// What `self` has and `before` had not.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.items.difference(&before.items).cloned().collect()
    }

    /// The objects, as `prog 12 weft_connect4`.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(String::as_str)
    }

    /// How many of one kind: `prog`, `map`, `link` or `bpffs`.
    pub fn count(&self, kind: &str) -> usize {
        let kinds = self.items().filter_map(|item| item.split(' ').next());
        kinds.filter(|own| *own == kind).count()
    }
}

fn item(kind: &str, object: &Value) -> Option<String> {
    let name = object["name"].as_str().unwrap_or("-");
    Some(format!("{kind} {} {name}", object["id"].as_u64()?))
}

fn bpftool(args: &[&str]) -> Result<Value> {
    let output = Command::new("bpftool")
        .arg("-j")
        .args(args)
        .output()
        .context("run bpftool (package bpftool)")?;
    ensure!(
        output.status.success(),
        "bpftool {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stdout).trim()
    );
    if output.stdout.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).context("read bpftool's JSON")
}
