//! Certificates as TLS wants them: configurations made once per certificate and set of roots.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use weft_identity::{CertificateDer, SpiffeId, Svid, TrustPolicy, client_config, server_config};
use weft_proxy::Credentials;

use crate::run::ca::certificates::Certificates;

/// Configurations of expected servers kept per identity.
const CLIENTS: usize = 4096;

/// The certificates of this node.
pub(super) struct Wallet {
    certificates: Certificates,
    held: Mutex<BTreeMap<SpiffeId, Held>>,
}

struct Held {
    current: watch::Receiver<Option<Arc<Svid>>>,
    /// What the configurations were made from.
    made_from: Option<(Arc<Svid>, TrustPolicy)>,
    server: Option<Arc<ServerConfig>>,
    clients: BTreeMap<Vec<SpiffeId>, Arc<ClientConfig>>,
}

impl Wallet {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self {
            certificates,
            held: Mutex::default(),
        }
    }

    fn with<T>(
        &self,
        identity: &SpiffeId,
        make: impl FnOnce(&mut Held, &Svid, &TrustPolicy) -> Option<T>,
    ) -> Option<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let one = held.entry(identity.clone()).or_insert_with(|| Held {
            current: self.certificates.subscribe(identity),
            made_from: None,
            server: None,
            clients: BTreeMap::new(),
        });
        if one.current.has_changed().is_err() {
            // Nobody keeps it fresh any more; ask again.
            one.current = self.certificates.subscribe(identity);
        }
        let svid = one.current.borrow().clone()?;
        let policy = self.certificates.policy();
        let is_same = one.made_from.as_ref().is_some_and(|(old, before)| {
            Arc::ptr_eq(old, &svid)
                && Arc::ptr_eq(&before.bundle, &policy.bundle)
                && Arc::ptr_eq(&before.revoked, &policy.revoked)
        });
        if !is_same {
            one.server = None;
            one.clients.clear();
            one.made_from = Some((Arc::clone(&svid), policy.clone()));
        }
        make(one, &svid, &policy)
    }
}

impl Credentials for Wallet {
    fn server(&self, identity: &SpiffeId) -> Option<Arc<ServerConfig>> {
        self.with(identity, |held, svid, policy| {
            if held.server.is_none() {
                held.server = usable(server_config(svid, policy), identity);
            }
            held.server.clone()
        })
    }

    fn client(&self, identity: &SpiffeId, expected: &[SpiffeId]) -> Option<Arc<ClientConfig>> {
        self.with(identity, |held, svid, policy| {
            if let Some(known) = held.clients.get(expected) {
                return Some(Arc::clone(known));
            }
            let made = usable(client_config(svid, policy, expected.into()), identity)?;
            if held.clients.len() >= CLIENTS {
                held.clients.clear();
            }
            held.clients.insert(expected.to_vec(), Arc::clone(&made));
            Some(made)
        })
    }

    fn is_pending(&self, identity: &SpiffeId) -> bool {
        self.certificates.is_pending(identity)
    }

    fn is_revoked(&self, shown: &[CertificateDer<'static>]) -> bool {
        self.certificates.policy().is_revoked(shown)
    }
}

fn usable<T>(made: Result<T, weft_identity::TlsError>, identity: &SpiffeId) -> Option<T> {
    made.inspect_err(|error| tracing::error!("the certificate of {identity} is of no use: {error}"))
        .ok()
}
