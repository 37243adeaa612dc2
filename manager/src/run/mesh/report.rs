//! What operators see of enrolments.

use super::MeshSide;
use crate::{args::mesh::Claim, run::enrolment::Enrolled};

impl MeshSide {
    /// What `weft workloads` shows.
    pub(crate) fn reports(&self) -> Vec<weft_admin::EnrolledReport> {
        let open = self.enrolments.open().map(|one| self.report(one));
        let failed = self.enrolments.failed().map(|(claim, why)| {
            let mut report = named(claim);
            report.reason = Some(why.to_owned());
            report
        });
        let mut reports: Vec<_> = open.chain(failed).collect();
        reports.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        reports
    }

    fn report(&self, one: &Enrolled) -> weft_admin::EnrolledReport {
        let mut report = named(&one.claim);
        report.cookie = one.cookie;
        report.ready = self.is_ready(one.cookie) && self.carried.contains_key(&one.cookie);
        if let Some(carried) = self.carried.get(&one.cookie) {
            report.identity = Some(carried.identity.to_string());
            report.addresses = carried.addresses.iter().map(ToString::to_string).collect();
            let peer = carried
                .addresses
                .first()
                .and_then(|at| self.planner.peer(*at));
            report.mtls = peer.map(|peer| mode_name(peer.mode).to_owned());
            let mut instances = carried.addresses.iter();
            let instance = instances.find_map(|at| self.planner.instance(*at));
            report.excluded = instance.map_or_else(Vec::new, |it| it.exclusions.in_words());
            report.certificate_expires_seconds = self.expires(&carried.identity);
        }
        if !report.ready {
            let reason = if self.hooked.contains_key(&one.cookie) {
                self.uncarried.get(&one.cookie).cloned().unwrap_or_else(|| {
                    format!(
                        "there is no Pod or WorkloadEntry {} with an address in the policy",
                        one.claim.name
                    )
                })
            } else {
                "the kernel refuses the hook in its namespace; the log has more".to_owned()
            };
            report.reason = Some(reason);
        }
        report
    }
}

fn named(claim: &Claim) -> weft_admin::EnrolledReport {
    weft_admin::EnrolledReport {
        namespace: claim.name.namespace.clone(),
        name: claim.name.name.clone(),
        netns: claim.netns.to_string_lossy().into_owned(),
        ..weft_admin::EnrolledReport::default()
    }
}

fn mode_name(mode: u8) -> &'static str {
    match mode {
        weft_abi::MtlsMode::DISABLE => "disable",
        weft_abi::MtlsMode::STRICT => "strict",
        _ => "permissive",
    }
}
