//! `cargo xtask gen-wire`: the code of the gRPC messages, from `manager/wire/proto` into
//! `manager/wire/gen`. Needs no protoc.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{say::step, workspace};

/// Definitions that others do not import.
const FILES: [&str; 2] = ["ca.proto", "workload.proto"];

/// Whether to write.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a file is not what it would be.
    #[arg(long)]
    check: bool,
}

/// Writes the code, or checks it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check { check() } else { write() }
}

/// Writes the code of the messages.
pub(crate) fn write() -> Result<()> {
    step("code of messages", || {
        let folder = workspace::root().join("manager/wire/gen");
        for (name, text) in generate()? {
            fs::write(folder.join(&name), text).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(())
    })
}

/// Fails when the code is not that of the definitions.
pub(crate) fn check() -> Result<()> {
    step("code of messages", || {
        let wanted = generate()?;
        let found = read(&workspace::root().join("manager/wire/gen"))?;
        ensure!(
            wanted == found,
            "manager/wire/gen is not what manager/wire/proto says; run cargo xtask gen-wire"
        );
        Ok(())
    })
}

fn generate() -> Result<BTreeMap<String, String>> {
    let root = workspace::root();
    let definitions = protox::compile(FILES, [root.join("manager/wire/proto")])
        .context("the definitions do not compile")?;
    let folder = root.join("target/gen-wire");
    // What a definition no longer says must not come from an earlier run.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).context("cannot make target/gen-wire")?;
    tonic_prost_build::configure()
        .out_dir(&folder)
        .btree_map(".")
        .client_mod_attribute(".", "#[cfg(feature = \"service\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"service\")]")
        .compile_fds(definitions)
        .context("no code can be made of the definitions")?;
    read(&folder)
}

fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry.context("cannot read a folder's entry")?;
        let text = fs::read_to_string(entry.path())
            .with_context(|| format!("cannot read {}", entry.path().display()))?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    Ok(files)
}
