//! OpenSSL's command, as a second opinion.

use std::{fs, path::Path, process::Command};

/// A folder to run openssl in; says why when it is not there.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
pub(crate) fn openssl() -> Option<std::path::PathBuf> {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return None;
    }
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).expect("a folder");
    Some(dir)
}

pub(crate) fn write(dir: &Path, name: &str, text: &[u8]) {
    fs::write(dir.join(name), text).expect(name);
}

/// What it prints, on either stream; what went wrong as well.
pub(crate) fn run(dir: &Path, line: &str) -> String {
    let output = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(dir)
        .output()
        .expect("openssl runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
        + &if !output.status.success() {
            String::from_utf8_lossy(&output.stderr).into_owned()
        } else {
            String::new()
        }
}
