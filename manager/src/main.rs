//! Weft: a service mesh without sidecars. See `weft --help`.
//!
//! Reading order: [`args`] (the command line), [`run`] (the manager), [`cmd`] (what operators ask).

#![forbid(unsafe_code)]

mod args;

mod run;

mod cmd;

use std::process::ExitCode;

use args::{Command, LogFormat};

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let format = match &cli.command {
        Command::Run(arguments) => arguments.log,
        _ => LogFormat::Text,
    };
    start_log(format);
    let result = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Status(arguments) => cmd::status::run(&arguments),
        Command::Service(arguments) => cmd::service::run(&arguments),
        Command::Top(arguments) => cmd::top::run(&arguments),
        Command::Map(arguments) => cmd::map::run(&arguments),
        Command::Doctor(arguments) => cmd::doctor::run(&arguments),
        Command::Uninstall(arguments) => cmd::uninstall::run(&arguments),
        Command::Validate(arguments) => cmd::validate::run(&arguments),
        Command::Explain(arguments) => cmd::explain::run(&arguments),
        Command::Convert(arguments) => cmd::convert::run(&arguments),
        Command::Analyze(arguments) => cmd::analyze::run(&arguments),
        Command::Why(arguments) => cmd::why::run(&arguments),
        Command::Enrol(arguments) => cmd::enrol::run(&arguments),
        Command::Workloads(arguments) => cmd::enrol::list(&arguments),
        Command::Policies(arguments) => cmd::policies::run(&arguments),
        Command::Denied(arguments) => cmd::denied::run(&arguments),
        Command::Ca(arguments) => cmd::ca::run(&arguments),
        Command::Canary => Ok(run::canary::dial()),
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        cmd::exit_code(&error)
    })
}

/// Lines on stderr; `RUST_LOG` chooses which, `info` when unset.
fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let builder = builder.with_target(false);
    match format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

#[expect(clippy::print_stderr, reason = "an error is for the person who called")]
fn complain(error: &anyhow::Error) {
    eprintln!("weft: {error:#}");
}
