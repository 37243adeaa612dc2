//! Refused connections, from the kernel and from the proxy.

use super::Engine;
use crate::run::now;

impl Engine {
    /// Keeps a refusal for `weft denied`.
    pub(crate) fn refuse(&mut self, report: weft_admin::DenialReport) {
        self.mesh_side.refusals.push(now(), report);
    }

    /// Takes in what the proxy refused.
    pub(crate) fn take_told(&mut self) {
        let generation = self.generation;
        for mut report in self.mesh_side.view.told() {
            report.generation = generation;
            self.refuse(report);
        }
    }
}
