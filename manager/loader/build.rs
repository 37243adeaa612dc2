//! Embeds the kernel objects when they have been built: `OUT_DIR/objects.rs` holds one constant per
//! object, empty when its file is missing, so that everything else builds without a BPF toolchain.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-env-changed=WEFT_BPF_DIR");
    let directory = env::var_os("WEFT_BPF_DIR").map_or_else(default_directory, PathBuf::from);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut code = fs::File::create(out.join("objects.rs"))?;
    embed(&mut code, &directory.join("weft.bpf.o"), "DEFAULT")?;
    embed(&mut code, &directory.join("weft-trace.bpf.o"), "TRACE")
}

/// `target/bpf` of the workspace.
fn default_directory() -> PathBuf {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    manifest.join("../../target/bpf")
}

fn embed(code: &mut impl Write, object: &Path, name: &str) -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={}", object.display());
    let value = match object.canonicalize() {
        Ok(path) => format!("aya::include_bytes_aligned!({path:?})"),
        Err(_missing) => "&[]".to_owned(),
    };
    writeln!(code, "pub(crate) const {name}: &[u8] = {value};")
}
