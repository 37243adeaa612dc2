//! One certificate per service account on this node, kept fresh for as long as it is wanted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use tokio::{sync::watch, task::JoinHandle};
use weft_identity::{
    CertificateDer, CertificateFacts, Csr, SpiffeId, Svid, TrustBundle, TrustDomains, TrustPolicy,
    schedule::{self, Standing, Validity},
};
use weft_telemetry::ManagerMetrics;

use super::{
    SystemClock,
    revocations::{Lists, Problems, Revocations},
    signer::Signer,
    store,
};

/// The longest sleep: the wall clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(30);

/// The shortest time between two renewals, whatever the clocks say.
const REST: Duration = Duration::from_secs(1);

/// Where expiry is shown; absent in tests and before metrics are there.
pub(crate) type Gauges = Option<ManagerMetrics>;

/// The certificates. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Certificates(Arc<Inner>);

struct Inner {
    signer: Signer,
    domains: Arc<TrustDomains>,
    ttl: Duration,
    gauges: Gauges,
    kept: Mutex<BTreeMap<SpiffeId, Kept>>,
    trust: watch::Sender<Arc<TrustBundle>>,
    revoked: watch::Receiver<Lists>,
    sound_lists: watch::Receiver<Lists>,
    list_problems: watch::Receiver<Problems>,
}

/// A certificate and the task that renews it.
struct Kept {
    current: watch::Sender<Option<Arc<Svid>>>,
    keeper: JoinHandle<()>,
    /// Why the last attempt failed; `None` when it did not.
    failure: Option<String>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Certificates {
    /// Certificates signed by `signer`, each valid for `ttl`.
    pub(super) fn new(
        signer: Signer,
        domains: Arc<TrustDomains>,
        ttl: Duration,
        gauges: Gauges,
        revocations: &Revocations,
    ) -> Self {
        let mut bundle = TrustBundle::new();
        if let Signer::Here(office) = &signer {
            for root in office.authority().roots() {
                // The authority has proved that each is one of an authority.
                drop(bundle.add(domains.own(), root.clone()));
            }
        }
        Self(Arc::new(Inner {
            signer,
            domains,
            ttl,
            gauges,
            kept: Mutex::default(),
            trust: watch::Sender::new(Arc::new(bundle)),
            revoked: revocations.subscribe(),
            sound_lists: revocations.sound(),
            list_problems: revocations.problems(),
        }))
    }

    /// The certificate of a service account, now and after each renewal. `None` until the first is
    /// signed, and when one has ended before it could be renewed. Must be called within a runtime.
    pub(crate) fn subscribe(&self, id: &SpiffeId) -> watch::Receiver<Option<Arc<Svid>>> {
        let mut kept = self.0.kept();
        let entry = kept.entry(id.clone()).or_insert_with(|| {
            let current = watch::Sender::new(None);
            let keeper = tokio::spawn(keep(Arc::clone(&self.0), id.clone(), current.clone()));
            Kept {
                current,
                keeper,
                failure: None,
            }
        });
        entry.current.subscribe()
    }

    /// Whether the first certificate of a service account is being asked for, and nothing has failed.
    pub(crate) fn is_pending(&self, id: &SpiffeId) -> bool {
        let kept = self.0.kept();
        kept.get(id)
            .is_some_and(|it| it.current.borrow().is_none() && it.failure.is_none())
    }

    /// Ends the renewals of a service account that has no workload here any more.
    pub(crate) fn forget(&self, id: &SpiffeId) {
        self.0.kept().remove(id);
        if let Some(gauges) = &self.0.gauges {
            gauges.certificate_gone(&id.to_string());
        }
    }

    /// Whom to believe, now and after each change.
    pub(crate) fn trust(&self) -> watch::Receiver<Arc<TrustBundle>> {
        self.0.trust.subscribe()
    }

    /// Certificates that were taken back, now and after each change.
    pub(crate) fn revoked(&self) -> watch::Receiver<Lists> {
        self.0.revoked.clone()
    }

    /// The lists for workloads to check their peers by, now and after each change.
    pub(crate) fn sound_lists(&self) -> watch::Receiver<Lists> {
        self.0.sound_lists.clone()
    }

    /// What is wrong with lists, now and after each change.
    pub(crate) fn list_problems(&self) -> watch::Receiver<Problems> {
        self.0.list_problems.clone()
    }

    /// The authorities known here: roots, that of this process, and those that have signed for
    /// workloads of this node.
    pub(super) fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let mut known = self.0.trust.borrow().roots(self.0.domains.own()).to_vec();
        let mut add = |certificates: &[CertificateDer<'static>]| {
            for certificate in certificates {
                if !known.contains(certificate) {
                    known.push(certificate.clone());
                }
            }
        };
        if let Signer::Here(office) = &self.0.signer {
            let authority = office.authority();
            add(std::slice::from_ref(authority.certificate()));
            add(authority.intermediates());
        }
        for entry in self.0.kept().values() {
            if let Some(svid) = entry.current.borrow().as_deref() {
                add(svid.chain().get(1..).unwrap_or_default());
            }
        }
        known
    }

    /// What handshakes believe now.
    pub(crate) fn policy(&self) -> TrustPolicy {
        let bundle = Arc::clone(&self.0.trust.borrow());
        let domains = Arc::clone(&self.0.domains);
        let mut policy = TrustPolicy::new(bundle, domains, Arc::new(SystemClock));
        policy.revoked = Arc::clone(&self.0.revoked.borrow());
        policy
    }

    /// The trust domains of the mesh.
    pub(crate) fn domains(&self) -> &Arc<TrustDomains> {
        &self.0.domains
    }

    /// Why identity is not well at `now`, a sentence per service account: no certificate yet, less
    /// than a quarter of its life left, ended.
    pub(crate) fn doubts(&self, now: SystemTime) -> Vec<String> {
        let kept = self.0.kept();
        let doubts = kept.iter().filter_map(|(id, entry)| {
            let current = entry.current.borrow();
            let state = match current.as_deref().map(Validity::of) {
                None => "has no certificate".to_owned(),
                Some(validity) => match schedule::standing(validity, now) {
                    Standing::Well => return None,
                    Standing::Late(left) => {
                        format!(
                            "has a certificate that ends in {} s and was not renewed",
                            left.as_secs()
                        )
                    }
                    Standing::Over => "has a certificate that has ended".to_owned(),
                },
            };
            let why = entry
                .failure
                .as_deref()
                .unwrap_or("it was asked for just now");
            Some(format!("{id} {state}: {why}"))
        });
        doubts.collect()
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<SpiffeId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: &SpiffeId, failure: Option<String>) {
        if let Some(entry) = self.kept().get_mut(id) {
            entry.failure = failure;
        }
    }

    /// A new key and its certificate.
    async fn renew(&self, id: &SpiffeId) -> Result<Svid> {
        let csr = Csr::generate(id)?;
        let sent = SystemTime::now();
        let signed = self.signer.sign(&csr, id, self.ttl).await?;
        let received = SystemTime::now();
        let svid = Svid::new(signed.chain, csr.into_key())?;
        ensure!(
            svid.id() == id,
            "the certificate is for {} and not for {id}",
            svid.id()
        );
        ensure!(
            svid.not_after() > received,
            "the certificate has ended already; is the clock of this host right?"
        );
        if let Some(gauges) = &self.gauges {
            let skew = schedule::clock_skew(svid.not_before(), sent, received);
            gauges.clock_skew(skew);
            gauges.certificate(&id.to_string(), svid.not_after());
        }
        self.believe(signed.roots)?;
        Ok(svid)
    }

    /// Takes over the roots that came with a certificate; those gone from there are gone here.
    fn believe(&self, roots: Vec<CertificateDer<'static>>) -> Result<()> {
        let own = self.domains.own();
        let same = {
            let now = self.trust.borrow();
            now.roots(own).len() == roots.len()
                && roots.iter().all(|root| now.roots(own).contains(root))
        };
        if let Some(gauges) = &self.gauges {
            let ends = roots
                .iter()
                .filter_map(|root| CertificateFacts::read(root).ok())
                .map(|facts| facts.not_after);
            if let Some(first) = ends.min() {
                gauges.root(own, first);
            }
        }
        if !same {
            let mut next = TrustBundle::new();
            for root in roots {
                next.add(own, root)?;
            }
            self.trust.send_replace(Arc::new(next));
        }
        Ok(())
    }
}

/// Renews for ever: at half of the certificate's life, and after failures again and again. The old
/// certificate stays until its end.
async fn keep(inner: Arc<Inner>, id: SpiffeId, current: watch::Sender<Option<Arc<Svid>>>) {
    let mut failures = 0;
    loop {
        match inner.renew(&id).await {
            Ok(svid) => {
                failures = 0;
                let renewal = schedule::renewal(Validity::of(&svid), store::chance());
                inner.note(&id, None);
                current.send_replace(Some(Arc::new(svid)));
                tokio::time::sleep(REST).await;
                sleep_until(renewal).await;
            }
            Err(error) => {
                failures += 1;
                tracing::warn!("no certificate for {id}, attempt {failures}: {error:#}");
                inner.note(&id, Some(format!("{error:#}")));
                let wait = schedule::retry(failures, store::chance());
                tokio::time::sleep(before_end(&current, wait)).await;
                withdraw(&current);
            }
        }
    }
}

/// A wait that is over no later than the certificate in force.
fn before_end(current: &watch::Sender<Option<Arc<Svid>>>, wait: Duration) -> Duration {
    let current = current.borrow();
    let left = current
        .as_ref()
        .map(|svid| Validity::of(svid).left(SystemTime::now()));
    // A certificate is good through its last second.
    left.map_or(wait, |left| wait.min(left + Duration::from_millis(1)))
}

/// An ended certificate is no certificate.
fn withdraw(current: &watch::Sender<Option<Arc<Svid>>>) {
    let now = SystemTime::now();
    current.send_if_modified(|current| {
        let over = current
            .as_ref()
            .is_some_and(|svid| Validity::of(svid).is_over(now));
        if over {
            *current = None;
        }
        over
    });
}

async fn sleep_until(moment: SystemTime) {
    while let Ok(left) = moment.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(NAP)).await;
    }
}
