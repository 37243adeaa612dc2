//! `cargo xtask fuzz`: cargo-fuzz over the targets of manager/fuzz.

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::{
    say::{self, step},
    setup::Install,
    workspace,
};

const FOLDER: &str = "manager/fuzz";

/// Where inputs that mean something are, for targets that would take long to find any.
const SEEDS: [(&str, &str); 2] = [
    ("yaml", "manager/tests"),
    ("local_xds", "manager/tests/local_xds"),
];

/// What to fuzz, and how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One target; all in turn when absent.
    target: Option<String>,
    /// Seconds per target.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    #[command(flatten)]
    install: Install,
}

/// Fuzzes; a crash is an error, its input stays under manager/fuzz/artifacts.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    // The sanitizers are unstable options; stable compilers carry their runtimes all the same.
    let _bootstrap = sh.push_env("RUSTC_BOOTSTRAP", "1");
    if workspace::program(sh, "cargo-fuzz").is_none() {
        install(sh, args.install)?;
    }
    let list = cmd!(sh, "cargo fuzz list --fuzz-dir {FOLDER}")
        .quiet()
        .read()?;
    let targets: Vec<&str> = list.split_whitespace().collect();
    let chosen = choose(&targets, args.target.as_deref())?;
    let time = format!("-max_total_time={}", args.seconds);
    for target in chosen {
        let corpus = format!("{FOLDER}/corpus/{target}");
        sh.create_dir(&corpus)?;
        let seeds = seeds(target);
        step(&format!("fuzz {target} for {} s", args.seconds), || {
            // Lengths grow faster than libFuzzer would have them: runs here are short.
            let run = cmd!(
                sh,
                "cargo fuzz run --fuzz-dir {FOLDER} {target} {corpus} {seeds...}"
            );
            run.args(["--", &time, "-len_control=10"])
                .run()
                .with_context(|| format!("{target} crashed; see {FOLDER}/artifacts/{target}"))
        })?;
    }
    say::result("no crash found");
    Ok(())
}

fn seeds(target: &str) -> Option<&'static str> {
    let seeds = SEEDS.iter().find(|(of, _)| *of == target);
    seeds.map(|(_, folder)| *folder)
}

fn choose<'a>(targets: &[&'a str], wanted: Option<&str>) -> Result<Vec<&'a str>> {
    let chosen: Vec<&str> = targets
        .iter()
        .copied()
        .filter(|&target| wanted.is_none_or(|name| name == target))
        .collect();
    if chosen.is_empty() {
        bail!("no such fuzz target; there are: {}", targets.join(", "));
    }
    Ok(chosen)
}

fn install(sh: &Shell, install: Install) -> Result<()> {
    if install.no_install {
        bail!("cargo-fuzz is missing; install it with: cargo install --locked cargo-fuzz");
    }
    step("install cargo-fuzz (drives libFuzzer)", || {
        Ok(cmd!(sh, "cargo install --locked cargo-fuzz")
            .env_remove("RUSTC_BOOTSTRAP")
            .run()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_targets_are_fuzzed_unless_one_is_named() {
        assert_eq!(
            choose(&["yaml", "packet"], None).unwrap(),
            ["yaml", "packet"]
        );
        assert_eq!(choose(&["yaml", "packet"], Some("yaml")).unwrap(), ["yaml"]);
    }

    #[test]
    fn an_unknown_target_is_refused_with_the_known_ones() {
        let error = choose(&["yaml", "packet"], Some("yml"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("yaml, packet"), "{error}");
    }
}
