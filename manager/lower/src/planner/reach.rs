//! How endpoints of the mesh are reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_model::Workload;

use super::Planner;
use crate::mesh::Reach;

impl Planner {
    /// Endpoints at these addresses are reached so from now on (`None`: as any other). The next plan
    /// writes it.
    pub fn set_reach(&mut self, changes: Vec<(IpAddr, Option<Reach>)>) {
        if changes.is_empty() {
            return;
        }
        let touched: BTreeSet<IpAddr> = changes.iter().map(|(address, _)| *address).collect();
        for (address, reach) in changes {
            match reach {
                Some(reach) => drop(self.reach.insert(address, reach)),
                None => drop(self.reach.remove(&address)),
            }
        }
        let backends = self.image.backends();
        let pools: BTreeSet<u32> = backends
            .filter(|(_, backend)| touched.contains(&backend.address.into()))
            .map(|(_, backend)| backend.service)
            .collect();
        let owners = pools
            .iter()
            .filter_map(|id| self.pools.get(id)?.owner.clone());
        self.rerouted.extend(owners);
    }

    /// How endpoints of the mesh are reached.
    pub fn reach(&self) -> &BTreeMap<IpAddr, Reach> {
        &self.reach
    }

    /// The id of a workload, a new one if need be.
    pub(crate) fn name_workload(&mut self, workload: &Arc<Workload>) -> u32 {
        self.registry.name_workload(workload)
    }
}
