//! Certificates as TLS wants them: configurations made once per certificate and set of roots.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use weft_identity::{SpiffeId, Svid, TrustBundle, TrustPolicy, client_config, server_config};
use weft_proxy::Credentials;

use crate::run::ca::{SystemClock, certificates::Certificates};

/// Configurations of expected servers kept per identity.
const CLIENTS: usize = 4096;

/// The certificates of this node.
pub(super) struct Wallet {
    certificates: Certificates,
    trust: watch::Receiver<Arc<TrustBundle>>,
    held: Mutex<BTreeMap<SpiffeId, Held>>,
}

struct Held {
    current: watch::Receiver<Option<Arc<Svid>>>,
    /// What the configurations were made from.
    made_from: Option<(Arc<Svid>, Arc<TrustBundle>)>,
    server: Option<Arc<ServerConfig>>,
    clients: BTreeMap<Vec<SpiffeId>, Arc<ClientConfig>>,
}

impl Wallet {
    pub(super) fn new(certificates: Certificates) -> Self {
        let trust = certificates.trust();
        Self {
            certificates,
            trust,
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
        let bundle = Arc::clone(&self.trust.borrow());
        let is_same = one
            .made_from
            .as_ref()
            .is_some_and(|(old, roots)| Arc::ptr_eq(old, &svid) && Arc::ptr_eq(roots, &bundle));
        if !is_same {
            one.server = None;
            one.clients.clear();
            one.made_from = Some((Arc::clone(&svid), Arc::clone(&bundle)));
        }
        let domains = Arc::clone(self.certificates.domains());
        let policy = TrustPolicy::new(bundle, domains, Arc::new(SystemClock));
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
}

fn usable<T>(made: Result<T, weft_identity::TlsError>, identity: &SpiffeId) -> Option<T> {
    made.inspect_err(|error| tracing::error!("the certificate of {identity} is of no use: {error}"))
        .ok()
}
