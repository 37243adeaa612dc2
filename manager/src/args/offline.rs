//! Commands that answer from files, without a cluster, a manager or root.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::Output;

/// What is read.
#[derive(Args, Clone, Debug)]
pub(crate) struct Files {
    /// File or directory with YAML or JSON, or - for standard input; may be given several times
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        required = true
    )]
    pub(crate) files: Vec<PathBuf>,
}

/// `weft validate`. Exit codes: 0 all documents are valid, 1 some are not, 2 nothing could be read.
#[derive(Args, Clone, Debug)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) files: Files,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft explain`. Exit codes: 0 printed, 1 there is no such kind or field.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    /// Kind, with the field where one is meant, such as virtualservice.spec.http.retries; all kinds
    /// when absent
    #[arg(value_name = "KIND[.PATH]")]
    pub(crate) field: Option<String>,

    /// API group and version, such as networking.istio.io/v1, or the group alone; Gateway is of two
    #[arg(long, value_name = "GROUP[/VERSION]", requires = "field")]
    pub(crate) api_version: Option<String>,

    /// All fields below, not only the next ones
    #[arg(long, requires = "field")]
    pub(crate) recursive: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft analyze`. Exit codes as those of istioctl: 0 nothing at or above the threshold, 79
/// something, 65 a document is no YAML; 2 nothing could be read. They are the same with -o json, where
/// istioctl exits with 0. What Istio installs, such as pods with istio=ingressgateway, need not be in
/// the files; where no workload is, nothing is said of selectors that choose none.
#[derive(Args, Clone, Debug)]
pub(crate) struct AnalyzeArgs {
    #[command(flatten)]
    pub(crate) files: Files,

    /// Only messages about objects of this namespace
    #[arg(short, long, value_name = "NS", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,

    /// Messages about objects of all namespaces; so it is without --namespace
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,

    /// Messages of at least this level, shown or not, make the exit code 79
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        ignore_case = true,
        default_value = "error"
    )]
    pub(crate) failure_threshold: Level,

    /// Show messages of at least this level
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        ignore_case = true,
        default_value = "info"
    )]
    pub(crate) output_threshold: Level,

    /// Do not show messages of a code for objects, as CODE=KIND NAME.NAMESPACE or CODE=KIND
    /// NAMESPACE/NAME, with * for any text; may be given several times
    #[arg(short = 'S', long, value_name = "CODE=OBJECT", value_parser = suppression)]
    pub(crate) suppress: Vec<(String, String)>,

    /// Documents that are no YAML do not make the exit code 65
    #[arg(long)]
    pub(crate) ignore_unknown: bool,

    /// List all codes: those looked for, and why the others are not
    #[arg(short = 'L', long, visible_alias = "list-analyzers", exclusive = true)]
    pub(crate) list_codes: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

fn suppression(written: &str) -> Result<(String, String), &'static str> {
    match written.split_once('=') {
        Some((code, object)) if !object.contains('=') => Ok((code.to_owned(), object.to_owned())),
        _ => Err("write it as CODE=OBJECT, such as \"IST0101=VirtualService *.default\""),
    }
}

/// Level of a message.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Level {
    /// Worth knowing
    Info,
    /// Probably not what was meant
    Warning,
    /// Does not work
    Error,
}

/// What a client speaks.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spoken {
    /// Requests
    Http,
    /// A connection that is not looked into
    Tcp,
    /// Datagrams
    Udp,
}

/// `weft why`. Exit codes: 0 allowed, 1 denied, 2 nothing could be asked.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = crate::cmd::why::reference::text())]
pub(crate) struct WhyArgs {
    /// File or directory with YAML or JSON, or - for standard input; may be given several times
    /// [default: ask the running manager]
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) instance: super::Instance,

    /// Client: namespace and workload or pod
    #[arg(long, value_name = "NS/WORKLOAD", required_unless_present = "gateway")]
    pub(crate) from: Option<String>,

    /// Gateway at whose listener the traffic arrives
    #[arg(long, value_name = "NS/NAME", conflicts_with = "from")]
    pub(crate) gateway: Option<String>,

    /// Host, or address, that is asked for, with the port where it matters
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) to: String,

    /// What the client speaks [default: what the port or the listener says]
    #[arg(long, value_name = "PROTOCOL", value_enum)]
    pub(crate) protocol: Option<Spoken>,

    /// HTTP method; makes it a request where the port does not say so
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// Path with query; makes it a request where the port does not say so
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,

    /// Request header, as NAME=VALUE; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<String>,

    /// http or https [default: what the port or the listener speaks]
    #[arg(long, value_name = "SCHEME")]
    pub(crate) scheme: Option<String>,

    /// Address of the client [default: that of its pod]
    #[arg(long, value_name = "ADDR")]
    pub(crate) source_ip: Option<IpAddr>,

    /// Token in the Authorization header, whose signature is checked
    #[arg(long, value_name = "TOKEN")]
    pub(crate) jwt: Option<String>,

    /// Server name of a TLS connection that is not opened
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,

    #[command(flatten)]
    pub(crate) output: Output,
}
