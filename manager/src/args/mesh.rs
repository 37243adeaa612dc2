//! `--workload`, `weft enrol`, `weft workloads`, `weft denied`.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

use super::{Instance, Output};

/// What `weft run` enrols.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct MeshArgs {
    /// Enrol the Pod or WorkloadEntry that runs in a network namespace, given as a name in
    /// /run/netns or as a path; NS is `default` when it is left out; may be given several times
    #[arg(long = "workload", value_name = "[NS/]NAME=NETNS")]
    pub(crate) workloads: Vec<Claim>,

    /// Encrypt connections between workloads of this node as well, instead of trusting the kernel's
    /// word for who the client is (requireEncryptionOnNode)
    #[arg(long)]
    pub(crate) encrypt_on_node: bool,

    /// Let connections from and to an enrolled workload wait until its policy is known, instead of
    /// refusing them; those it opens for at most SECONDS, 30 when left out. weft itself must run in
    /// the cgroup that is served
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) hold: Option<u64>,

    /// Write a line for each connection that an enrolled workload opens or accepts, also those that
    /// are refused, to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
}

/// A workload and the network namespace it runs in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Claim {
    pub(crate) name: WorkloadName,
    pub(crate) netns: PathBuf,
}

/// `NAMESPACE/NAME` of a Pod or WorkloadEntry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WorkloadName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for WorkloadName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        // As Kubernetes names things (RFC 1123); it also makes them good file names.
        let is_name = |text: &str| {
            let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c);
            !text.is_empty()
                && text.len() <= 253
                && !text.starts_with('.')
                && text.bytes().all(inside)
        };
        if !is_name(namespace) || !is_name(name) {
            return Err("not [NAMESPACE/]NAME of a Pod or WorkloadEntry");
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl FromStr for Claim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, netns)) = text.split_once('=').filter(|(_, netns)| !netns.is_empty())
        else {
            return Err("not [NAMESPACE/]NAME=NETNS");
        };
        let netns = if netns.contains('/') {
            PathBuf::from(netns)
        } else {
            PathBuf::from("/run/netns").join(netns)
        };
        Ok(Self {
            name: name.parse()?,
            netns,
        })
    }
}

/// `weft enrol`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EnrolArgs {
    /// The Pod or WorkloadEntry, and the network namespace it runs in: a name in /run/netns or a
    /// path such as /proc/PID/ns/net; with --remove only the former
    #[arg(value_name = "[NS/]NAME=NETNS")]
    pub(crate) workload: String,

    /// End the enrolment instead
    #[arg(long)]
    pub(crate) remove: bool,

    /// How long to wait until its traffic is served, in seconds; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) wait: u64,

    #[command(flatten)]
    pub(crate) instance: Instance,
}

/// `weft workloads`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkloadsArgs {
    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft policies`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PoliciesArgs {
    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// `weft denied`. Connections refused by policy, and those a dry-run or AUDIT policy names, the
/// latest first; alike ones are counted together.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeniedArgs {
    /// Only those of this long ago and less, such as 90s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) since: Option<Duration>,

    #[command(flatten)]
    pub(crate) instance: Instance,

    #[command(flatten)]
    pub(crate) output: Output,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("not a duration such as 90s, 10m or 2h"),
    };
    let count: u64 = digits
        .parse()
        .map_err(|_error| "not a duration such as 90s, 10m or 2h")?;
    count
        .checked_mul(scale)
        .map(Duration::from_secs)
        .ok_or("too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_names_a_workload_and_a_namespace() {
        let claim: Claim = "shop/web-1=blue".parse().expect("a claim");
        assert_eq!(claim.name.to_string(), "shop/web-1");
        assert_eq!(claim.netns, PathBuf::from("/run/netns/blue"));
        let claim: Claim = "web=/proc/7/ns/net".parse().expect("a claim");
        assert_eq!(claim.name.to_string(), "default/web");
        assert_eq!(claim.netns, PathBuf::from("/proc/7/ns/net"));
        for wrong in [
            "web",
            "web=",
            "=x",
            "a/b/c=x",
            "../x=y",
            "Shop/web=x",
            "a b=x",
        ] {
            assert!(wrong.parse::<Claim>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("m").is_err() && duration("1y").is_err());
    }
}
