//! Debian's kernels, fetched and unpacked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::{
    say::{self, step},
    setup,
};

/// The newest kernel of a series, `None` when the package sources have none.
pub(super) fn fetch(sh: &Shell, series: &str, folder: &Path) -> Result<Option<PathBuf>> {
    let names = cmd!(sh, "apt-cache pkgnames linux-image-").quiet().read()?;
    let Some(package) = newest(sh, series, &names)? else {
        say::progress(format_args!(
            "no linux-image of series {series} in the package sources"
        ));
        return Ok(None);
    };
    let unpacked = folder.join(&package);
    if let Some(kernel) = image(&unpacked) {
        return Ok(Some(kernel));
    }
    step(&format!("fetch {package}"), || {
        unpack(sh, &package, folder, &unpacked)
    })?;
    let kernel = image(&unpacked).with_context(|| format!("{package} holds no /boot/vmlinuz-*"))?;
    Ok(Some(kernel))
}

fn unpack(sh: &Shell, package: &str, folder: &Path, unpacked: &Path) -> Result<()> {
    let downloads = folder.join("deb").join(package);
    sh.create_dir(&downloads)?;
    // apt's own user cannot write below a private home; the warning about it is harmless.
    let _there = sh.push_dir(&downloads);
    cmd!(sh, "apt-get download -q {package}").run()?;
    let archives = sh.read_dir(&downloads)?;
    let archive = archives.last().context("apt-get left no package")?;
    cmd!(sh, "dpkg -x {archive} {unpacked}").run()?;
    Ok(sh.remove_path(&downloads)?)
}

fn image(unpacked: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(unpacked.join("boot")).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| {
        path.file_name()
            .is_some_and(|it| it.to_string_lossy().starts_with("vmlinuz"))
    })
}

fn newest(sh: &Shell, series: &str, names: &str) -> Result<Option<String>> {
    let mut packages = of_series(series, names);
    // A name is known to apt as soon as something depends on it; only some can be had.
    packages.retain(|name| setup::is_offered(sh, name));
    let unsorted = packages.join("\n");
    let sorted = cmd!(sh, "sort -V").stdin(&unsorted).quiet().read()?;
    Ok(sorted
        .lines()
        .last()
        .filter(|name| !name.is_empty())
        .map(str::to_owned))
}

/// Debian's cloud images of a series: small, no modules needed, serial line and BTF built in.
fn of_series<'a>(series: &str, names: &'a str) -> Vec<&'a str> {
    let prefix = format!("linux-image-{series}.");
    let versioned = |name: &&str| name.starts_with(&prefix) && name.ends_with("-cloud-amd64");
    names.lines().filter(versioned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_its_own_kernels_only() {
        let names = "linux-image-6.1.0-50-cloud-amd64\nlinux-image-6.12.9+deb12-cloud-amd64\n\
                     linux-image-6.1.0-50-amd64\nlinux-image-6.1.0-50-cloud-amd64-dbg\n\
                     linux-image-6.12-cloud-amd64\n";
        assert_eq!(
            of_series("6.1", names),
            ["linux-image-6.1.0-50-cloud-amd64"]
        );
        assert_eq!(
            of_series("6.12", names),
            ["linux-image-6.12.9+deb12-cloud-amd64"]
        );
    }
}
