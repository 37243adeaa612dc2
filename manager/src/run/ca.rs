//! Identity of this node's workloads: who signs, what is signed, and who may have it.
//!
//! Reading order: [`certificates`] (one certificate per service account, kept fresh), [`signer`]
//! (where signatures come from: an authority here, [`store`], or a service elsewhere, [`remote`]),
//! [`service`] (that service, for other nodes, with its [`tokens`] and [`tls`]), [`workload_api`]
//! (certificates for the workloads themselves), [`revocations`] (certificates taken back), [`own_list`]
//! (those that an authority here has taken back) and its [`renewal`].

pub(crate) mod certificates;
pub(crate) mod own_list;
mod remote;
mod renewal;
pub(crate) mod revocations;
mod service;
mod signer;
pub(crate) mod store;
mod tls;
mod tokens;
pub(crate) mod workload_api;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use weft_identity::{TimeProvider, TrustDomains, UnixTime};

use self::{
    certificates::{Certificates, Gauges},
    remote::Remote,
    renewal::Renewal,
    revocations::Revocations,
    service::Service,
    signer::Signer,
};
use crate::args::ca::IdentityArgs;

/// The system's clock, for handshakes.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl TimeProvider for SystemClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::now())
    }
}

/// What runs for identity; ends with it.
pub(crate) struct Identity {
    /// Certificates of workloads.
    pub(crate) certificates: Certificates,
    /// Where workloads find the SPIFFE Workload API, for [`workload_api::serve`].
    pub(crate) workload_socket: PathBuf,
    service: Option<tokio::task::JoinHandle<()>>,
    lists: tokio::task::JoinHandle<()>,
}

impl Drop for Identity {
    fn drop(&mut self) {
        if let Some(service) = &self.service {
            service.abort();
        }
        self.lists.abort();
    }
}

/// Reads or makes the authority, or prepares to ask another; binds the service's port when there is
/// one. No certificate is asked for before somebody subscribes to one.
///
/// # Errors
/// When an authority's files or a revocation list are missing or wrong, or the port is taken.
pub(crate) async fn start(
    args: &IdentityArgs,
    state: &Path,
    domains: TrustDomains,
    gauges: Gauges,
) -> Result<Identity> {
    let domains = Arc::new(domains);
    let now = SystemTime::now();
    let beside = match (&args.ca_address, &args.ca) {
        (Some(_), _) => None,
        (None, Some(dir)) => Some(dir.clone()),
        (None, None) => Some(state.join("ca")),
    };
    let mut revocations = Revocations::open(&args.ca_crls, beside.as_deref())?;
    let mut service = None;
    let signer = if let Some(address) = &args.ca_address {
        let root = args
            .ca_root
            .clone()
            .context("--ca-address needs --ca-root")?;
        let token = args
            .ca_token_file
            .clone()
            .context("--ca-address needs --ca-token-file")?;
        Signer::There(Remote::new(address, root, token)?)
    } else {
        let authority = match &args.ca {
            Some(dir) => store::Office::open(dir, now)?,
            None => store::open_or_create(&state.join("ca"), domains.own(), now)?,
        };
        let authority = Arc::new(authority);
        if let Some(dir) = beside {
            revocations.renew(Renewal::new(dir, Arc::clone(&authority)));
        }
        if let Some(address) = args.ca_listen {
            let listening = Service::bind(
                address,
                &args.ca_names,
                args.ca_token.clone(),
                Arc::clone(&authority),
                Arc::clone(&domains),
                revocations.subscribe(),
            )
            .await?;
            tracing::info!(
                "signs certificates for other nodes on {}",
                listening.address()
            );
            service = Some(tokio::spawn(listening.serve()));
        }
        Signer::Here(authority)
    };
    let certificates = Certificates::new(signer, domains, args.cert_ttl, gauges, &revocations);
    Ok(Identity {
        lists: tokio::spawn(revocations.follow(certificates.clone())),
        certificates,
        workload_socket: args
            .workload_api
            .clone()
            .unwrap_or_else(|| state.join("workload.sock")),
        service,
    })
}

/// A time as people and programs read it, to the second.
pub(crate) fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |it| it.to_string())
}

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;
