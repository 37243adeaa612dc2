//! What a task tells the person who runs it: progress on stderr, results on stdout.

use std::fmt::Display;

use anyhow::{Context, Result};

/// One line of result, on stdout.
#[expect(clippy::print_stdout, reason = "a task's result is its purpose")]
pub(crate) fn result(line: impl Display) {
    println!("{line}");
}

/// One line of progress, on stderr.
#[expect(clippy::print_stderr, reason = "people watch a task run")]
pub(crate) fn progress(line: impl Display) {
    eprintln!("xtask: {line}");
}

/// An error with its causes, on stderr.
#[expect(clippy::print_stderr, reason = "the last word of a task that failed")]
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("xtask: error: {error:#}");
}

/// Runs one named step and tells its name before, and its time after it.
pub(crate) fn step<T>(name: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    #[expect(
        clippy::disallowed_types,
        reason = "people want to know where the time goes"
    )]
    let start = std::time::Instant::now();
    progress(format_args!("{name} ..."));
    let outcome = action().with_context(|| format!("step '{name}' found a problem"));
    let verdict = if outcome.is_ok() { "done" } else { "FAILED" };
    progress(format_args!(
        "{name} {verdict} in {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    outcome
}
