//! The object in the hands of others: what bpftool makes of it.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{path::Path, process::Command};

use weft_testkit::Rig;

/// Mounts a bpffs of its own, and takes it away again.
struct Bpffs(std::path::PathBuf);

impl Bpffs {
    fn mount(path: std::path::PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        run("mount", &["-t", "bpf", "bpf", path.to_str().unwrap()]);
        Self(path)
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn object() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = std::env::var_os("WEFT_BPF_DIR").map_or(root.join("target/bpf"), Into::into);
    folder.join("weft.bpf.o")
}

#[test]
fn bpftool_loads_every_program_and_shows_named_fields() {
    let Some(rig) = Rig::or_skip() else { return };
    let fs = Bpffs::mount(rig.directory().join("bpffs"));
    let pins = |name: &str| fs.0.join(name).to_str().unwrap().to_owned();
    let (programs, maps) = (pins("programs"), pins("maps"));
    let object = object();
    let load = [
        "prog",
        "loadall",
        object.to_str().unwrap(),
        &programs,
        "pinmaps",
        &maps,
    ];
    run("bpftool", &load);
    let loaded = std::fs::read_dir(&programs).unwrap().count();
    assert_eq!(
        loaded, 14,
        "nine cgroup hooks, two of tc, two of sk_lookup, one iterator"
    );
    for name in weft_abi::names::maps::ALL {
        assert!(Path::new(&maps).join(name).exists(), "{name}");
    }
    let services = format!("{maps}/SERVICES");
    // 10.96.0.10 port 80 (0x50 0x00) over TCP, scope 0; pool 7, no slots.
    let key = "0 0 0 0 0 0 0 0 0 0 255 255 10 96 0 10 80 0 6 0";
    let value = "7 0 0 0 1 0 0 0 0 0 0 0 255 255 255 255 0 0 0 0 0 0 0 0";
    let mut update = vec!["map", "update", "pinned", &services, "key"];
    update.extend(key.split(' '));
    update.push("value");
    update.extend(value.split(' '));
    run("bpftool", &update);
    let dump = run("bpftool", &["-j", "map", "dump", "pinned", &services]);
    let entries: serde_json::Value = serde_json::from_str(&dump).unwrap();
    let entry = &entries[0]["formatted"];
    assert_eq!(entry["key"]["port"], 80);
    assert_eq!(entry["key"]["protocol"], 6);
    assert_eq!(entry["key"]["address"]["bytes"][12], 10);
    assert_eq!(entry["value"]["id"], 7);
    assert_eq!(entry["value"]["max_connections"], u32::MAX);
}
