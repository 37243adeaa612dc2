//! The command line of `weft convert`.

use clap::{Args, ValueEnum};

use super::offline::Files;

/// `weft convert`. Exit codes: 0 converted, 1 some documents are not valid and were left out, 2
/// nothing could be read.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub(crate) files: Files,

    /// What to print
    #[arg(long, value_name = "FORM", value_enum)]
    pub(crate) to: Form,
}

/// What resources become.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Istio's workload discovery: istio.security.Authorization and istio.workload.Address messages
    Wds,
    /// Status of all Gateway API objects: conditions, parents, listeners, supported features
    Status,
}
