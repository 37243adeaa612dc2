//! The certificate authority: `weft ca`, and what `weft run` is told of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    ArgGroup, Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use weft_identity::RevocationReason;

use super::Output;

/// `weft ca`. Exit codes: 0 done, 2 it could not be done.
#[derive(Args, Clone, Debug)]
pub(crate) struct CaArgs {
    #[command(subcommand)]
    pub(crate) command: CaCommand,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft ca ...`.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum CaCommand {
    /// Make a self-signed authority, in the files that Istio plugs one in with
    Init {
        /// Directory for the files, made with mode 0700; must hold no authority yet
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,

        /// Trust domain of the mesh
        #[arg(long, value_name = "TD", default_value = "cluster.local")]
        trust_domain: String,

        /// How long the authority is valid: a number with s, m, h or d
        #[arg(long, value_name = "TIME", default_value = "3650d", value_parser = duration)]
        ttl: Duration,
    },
    /// Sign a request and print the chain, leaf first, as PEM
    Sign {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,

        /// Signing request, as PEM; only its key is taken
        #[arg(long, value_name = "FILE")]
        csr: PathBuf,

        /// Whom the certificate is for
        #[arg(long, value_name = "spiffe://TD/ns/NS/sa/SA")]
        id: String,

        /// How long it is valid: a number with s, m, h or d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        ttl: Duration,
    },
    /// Take certificates back, in the authority's revocation list: ca-crl.pem beside its files
    ///
    /// A running `weft run` with that authority reads the list again by itself: within a second tunnels
    /// of whoever shows such a certificate end, and none begins. Other nodes need the file too, as
    /// `weft run --ca-crl`. A workload's manager has another certificate signed when half of the life of
    /// the old one is over, or when it is started again. Entries stay for ever: no list says when the
    /// certificates in it end.
    Revoke(RevokeArgs),
    /// Show an authority, its roots and what it has taken back
    Show {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

/// `weft ca revoke`.
#[derive(Args, Clone, Debug)]
#[command(group(
    ArgGroup::new("what").required(true).multiple(true).args(["serials", "certificates", "renew"])
))]
pub(crate) struct RevokeArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Serial number of a certificate, in hexadecimal, with or without colons; may be given several
    /// times. Whether the authority has signed such a one is not known
    #[arg(long = "serial", value_name = "HEX", value_parser = SerialNumber::read)]
    pub(crate) serials: Vec<SerialNumber>,

    /// File with a certificate, as PEM; of a chain the first is meant; may be given several times
    #[arg(long = "certificate", value_name = "FILE")]
    pub(crate) certificates: Vec<PathBuf>,

    /// Sign the list anew even when nothing is added to it, or an empty first one. `weft run` does so
    /// by itself at half of the list's life
    #[arg(long)]
    pub(crate) renew: bool,

    /// Why, in the words of RFC 5280
    #[arg(long, value_name = "REASON", default_value = "unspecified", value_parser = reason())]
    pub(crate) reason: RevocationReason,

    /// When the next list is due: a number with s, m, h or d. Once that has passed this one still holds
    /// for Weft, but other software may refuse every certificate of the authority
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration)]
    pub(crate) ttl: Duration,
}

/// Serial number of a certificate, without leading zeros.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SerialNumber(pub(crate) Vec<u8>);

impl SerialNumber {
    fn read(text: &str) -> Result<Self, weft_identity::SerialError> {
        weft_identity::parse_serial(text).map(Self)
    }
}

fn reason() -> impl clap::builder::TypedValueParser<Value = RevocationReason> {
    let names = RevocationReason::lasting().map(RevocationReason::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RevocationReason>())
}

/// What `weft run` is told of identity.
#[derive(Args, Clone, Debug)]
pub(crate) struct IdentityArgs {
    /// Sign certificates with the authority in this directory (ca-cert.pem, ca-key.pem,
    /// root-cert.pem, cert-chain.pem) [default: one made at first start in the state directory]
    #[arg(long, value_name = "DIR", conflicts_with = "ca_address")]
    pub(crate) ca: Option<PathBuf>,

    /// Sign for other nodes too: Istio's certificate service, over TLS
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "ca_address")]
    pub(crate) ca_listen: Option<SocketAddr>,

    /// Further DNS name or address in the certificate of the service; may be given several times
    #[arg(long = "ca-name", value_name = "NAME", requires = "ca_listen")]
    pub(crate) ca_names: Vec<String>,

    /// File with who may ask the service: TOKEN and SPIFFE id in a line, or TOKEN and *node for who
    /// may ask for any id; read anew for each request
    #[arg(long, value_name = "FILE", requires = "ca_listen")]
    pub(crate) ca_token: Option<PathBuf>,

    /// Have certificates signed by the service at https://HOST:PORT
    #[arg(long, value_name = "URL", requires_all = ["ca_root", "ca_token_file"])]
    pub(crate) ca_address: Option<String>,

    /// File with the roots of that service, and of the mesh; read anew for each try
    #[arg(long, value_name = "FILE", requires = "ca_address")]
    pub(crate) ca_root: Option<PathBuf>,

    /// File with the token to show that service; read anew for each try
    #[arg(long, value_name = "FILE", requires = "ca_address")]
    pub(crate) ca_token_file: Option<PathBuf>,

    /// File with revocation lists (PEM) of authorities of the mesh, read again when it changes: peers
    /// whose certificates they take back are refused and cut off; may be given several times.
    /// ca-crl.pem in the directory of --ca, or of the built-in authority, is read too, and holds until
    /// it is removed
    #[arg(long = "ca-crl", value_name = "FILE")]
    pub(crate) ca_crls: Vec<PathBuf>,

    /// How long certificates of workloads are valid: a number with s, m, h or d; at most 90d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = workload_ttl)]
    pub(crate) cert_ttl: Duration,

    /// Socket of the SPIFFE Workload API [default: workload.sock in the state directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) workload_api: Option<PathBuf>,
}

/// The longest life of a workload's certificate, as in Istio.
pub(crate) const MAX_WORKLOAD_TTL: Duration = Duration::from_secs(90 * 86_400);

fn workload_ttl(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        ttl if ttl < Duration::from_secs(10) => Err("certificates must be valid for 10s or longer"),
        ttl if ttl > MAX_WORKLOAD_TTL => Err("certificates may be valid for 90d at most"),
        ttl => Ok(ttl),
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "not a time such as 90s, 30m, 24h or 365d, up to 36500d";
    let (number, scale) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => (number, 1),
        Some((number, "m")) => (number, 60),
        Some((number, "h")) => (number, 3600),
        Some((number, "d")) => (number, 86_400),
        _ => return Err(WRONG),
    };
    let seconds = number.parse::<u32>().ok().map(|it| u64::from(it) * scale);
    match seconds {
        Some(seconds @ 1..=3_153_600_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_bounds() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(workload_ttl("90d"), Ok(MAX_WORKLOAD_TTL));
        for wrong in ["", "h", "24", "0s", "-1h", "1.5h", "36501d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(workload_ttl("91d").is_err() && workload_ttl("9s").is_err());
    }
}
