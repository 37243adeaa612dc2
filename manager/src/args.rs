//! The command line. Doc comments are the help.

pub(crate) mod ca;
pub(crate) mod convert;
pub(crate) mod mesh;
pub(crate) mod offline;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};

/// Exit code of a wrong command line (`EX_USAGE` of sysexits.h).
pub(crate) const USAGE: u8 = 64;

/// A service mesh without sidecars: load balancing, policy and metrics in the kernel, identities and
/// encryption between nodes.
///
/// Exit codes: 0 done, 1 a negative answer (not found, not ready), 2 nothing could be asked or done,
/// 64 wrong usage.
#[derive(Parser, Debug)]
#[command(name = "weft", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Subcommands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Serve the policy of a directory on this host
    Run(Box<RunArgs>),
    /// Show whether the manager and its kernel half are well
    Status(StatusArgs),
    /// Show services and their endpoints
    Service(ServiceArgs),
    /// Watch traffic live, by service and by client and server
    Top(TopArgs),
    /// Read the BPF maps, with names for ids; needs root, but no running manager
    Map(MapArgs),
    /// Bind a workload to its network namespace: from then on its traffic is the mesh's
    Enrol(mesh::EnrolArgs),
    /// List the workloads enrolled on this node
    Workloads(mesh::WorkloadsArgs),
    /// List the authorization policies in force on this node, and how often each rule decided
    ///
    /// Rules are numbered from 0, in the order of `spec.rules`. Connections are counted since the manager
    /// started, where they were decided: in the kernel, or by the proxy those that came through HBONE.
    Policies(mesh::PoliciesArgs),
    /// Show which connections were refused, and by what
    Denied(mesh::DeniedArgs),
    /// Check whether this host can serve, and whether it does
    Doctor(DoctorArgs),
    /// Remove everything from the kernel and from the state directory, the certificate authority made
    /// there included: a later start makes a new root. To keep one, give it with `weft run --ca`
    Uninstall(UninstallArgs),
    /// Check resources in files, without a cluster
    Validate(offline::ValidateArgs),
    /// Print what a field of a resource means, and whether it is acted on
    Explain(offline::ExplainArgs),
    /// Print what resources in files become in other forms
    Convert(convert::ConvertArgs),
    /// Look for what is probably not meant in files, with the codes of istioctl analyze
    Analyze(offline::AnalyzeArgs),
    /// Explain what happens to a request or connection, asking the running manager or files
    Why(Box<offline::WhyArgs>),
    /// Make, use and show a certificate authority in files
    Ca(ca::CaArgs),
    /// Dial the canary address; the manager runs this where it wants to know whether hooks work
    #[command(hide = true)]
    Canary,
}

/// `weft run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Directory with YAML files of Kubernetes', Istio's, the Gateway API's and weft's resources
    /// (the kinds and fields: weft explain). It is watched; edits apply live
    #[arg(value_name = "DIR", required_unless_present = "local_xds")]
    pub(crate) directory: Option<PathBuf>,

    /// File of workloads, services and policies as ztunnel takes it (LOCAL_XDS_PATH), alone or
    /// beside DIR, whose resources hold where both name the same. It is watched as DIR is
    #[arg(long, value_name = "FILE")]
    pub(crate) local_xds: Option<PathBuf>,

    /// Cgroup whose sockets are served: a path, or relative to the cgroup v2 root [default: the root]
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Interface on which node ports, load balancer and external addresses are served to other
    /// hosts; may be given several times
    #[arg(long = "interface", value_name = "IF")]
    pub(crate) interfaces: Vec<String>,

    /// Name of this node, as in the nodeName of endpoints [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,

    /// Where to serve metrics, probes and state over HTTP
    /// [default: 127.0.0.1:15020, or nowhere when that is taken]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) admin: Option<SocketAddr>,

    /// State directory: pins, admin socket, lock, names, the last good text of each file
    /// [default: /run/weft/default for the root cgroup, else one named after the cgroup]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Room for this many endpoints, counted once per service port; fixed while pinned maps exist
    #[arg(long, value_name = "N", default_value_t = 262_144,
          value_parser = clap::value_parser!(u32).range(16..=16_000_000))]
    pub(crate) max_backends: u32,

    /// Room for this many service addresses and ports; fixed while pinned maps exist
    #[arg(long, value_name = "N", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(16..=4_000_000))]
    pub(crate) max_services: u32,

    /// How long TCP connections to a removed endpoint may go on; UDP sockets are closed at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) connection_grace: u64,

    /// Load the kernel programs with tracing, and print what they say
    #[arg(long)]
    pub(crate) trace_kernel: bool,

    #[command(flatten)]
    pub(crate) mesh: mesh::MeshArgs,

    #[command(flatten)]
    pub(crate) identity: ca::IdentityArgs,

    /// How to write the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

/// Format of the log.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Which manager is asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct Instance {
    /// State directory of the manager [default: the only one under /run/weft]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state: Option<PathBuf>,
}

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// How to print the answer
    #[arg(short, long, value_enum, value_name = "FORMAT", global = true,
          default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Format of an answer.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OutputFormat {
    /// Aligned text for people
    Table,
    /// JSON for programs
    Json,
}

/// `weft status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// List what is wrong with the configuration instead; exit code 1 when there are errors
    #[arg(long)]
    pub(crate) problems: bool,

    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft service`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    pub(crate) command: ServiceCommand,
}

/// `weft service ...`.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ServiceCommand {
    /// List services
    List {
        /// Only this namespace
        #[arg(short, long, value_name = "NS")]
        namespace: Option<String>,

        #[command(flatten)]
        instance: Instance,

        #[command(flatten)]
        output: Output,
    },
    /// Show one service with its pools and endpoints
    Get {
        /// Short name or host name, or NAMESPACE/NAME
        name: String,

        /// Its namespace
        #[arg(short, long, value_name = "NS", default_value = "default")]
        namespace: String,

        #[command(flatten)]
        instance: Instance,

        #[command(flatten)]
        output: Output,
    },
}

/// `weft top`. Rates are per second over the interval. Percentiles are of the interval, or of all
/// time when nothing was measured in it.
#[derive(Args, Clone, Debug)]
pub(crate) struct TopArgs {
    /// Print one sample and end
    #[arg(long)]
    pub(crate) once: bool,

    /// Seconds between samples
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    pub(crate) interval: f64,

    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

fn interval(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds from 0.1 to 3600"),
    }
}

/// `weft map`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MapArgs {
    #[command(subcommand)]
    pub(crate) command: MapCommand,

    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft map ...`.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum MapCommand {
    /// List the maps and how full they are
    List,
    /// Print all entries of a map; of arrays only those that are not zero
    Dump {
        /// Name of the map, in upper or lower case
        name: String,
    },
    /// Print one entry of a map
    Get {
        /// Name of the map, in upper or lower case
        name: String,

        /// Index of an array; SERVICES: ADDR:PORT/tcp, or /udp, and /uplink after it for the entry
        /// of packets from outside; WORKLOADS: ADDR; COUNTERS: its name
        key: String,
    },
}

/// `weft doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArgs {
    /// Cgroup that is or will be served [default: the cgroup v2 root]
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Interface that is or will be served; may be given several times
    #[arg(long = "interface", value_name = "IF")]
    pub(crate) interfaces: Vec<String>,

    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft uninstall`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Reads the command line. On `Err` everything has been said: end with that code.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(arguments).map_err(|error| {
        // A closed pipe is no reason for another message.
        drop(error.print());
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(USAGE),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(line: &str) -> Result<RunArgs, clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Run(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_has_the_flags_that_scripts_rely_on() {
        let line = "weft run policy --cgroup /c --interface a --interface b --node n \
            --admin 127.0.0.1:0 --state s --max-backends 100 --max-services 50 \
            --connection-grace 5 --trace-kernel --log json";
        let args = run(line).expect("all flags");
        assert_eq!(args.directory, Some(PathBuf::from("policy")));
        assert_eq!(args.interfaces, ["a", "b"]);
        assert_eq!(
            (args.max_backends, args.max_services, args.connection_grace),
            (100, 50, 5)
        );
        assert!(args.trace_kernel && args.log == LogFormat::Json);
        let defaults = run("weft run policy").expect("no flags");
        assert_eq!(defaults.connection_grace, 30);
        assert!(defaults.admin.is_none() && defaults.state.is_none());
        let local = run("weft run --local-xds mesh.yaml").expect("no directory");
        assert_eq!(local.local_xds, Some(PathBuf::from("mesh.yaml")));
        assert_eq!(local.directory, None);
        for wrong in [
            "weft run",
            "weft run p --admin nowhere",
            "weft run p --max-backends 0",
        ] {
            assert!(run(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_of_map_come_before_or_after_its_subcommand() {
        for line in [
            "weft map --state s -o json dump EDGES",
            "weft map dump EDGES -o json --state s",
        ] {
            let Command::Map(args) = Cli::try_parse_from(line.split(' ')).expect(line).command
            else {
                panic!("{line}");
            };
            assert_eq!(args.instance.state, Some(PathBuf::from("s")), "{line}");
            assert_eq!(args.output.output, OutputFormat::Json, "{line}");
        }
    }
}
