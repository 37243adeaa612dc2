//! Which workload an address belongs to: `WORKLOADS`.

use std::{net::IpAddr, sync::Arc};

use weft_abi::Address;
use weft_model::{Mesh, Workload};

use super::{Planner, Round};

impl Planner {
    pub(super) fn match_addresses(&mut self, mesh: &Mesh, round: &mut Round) {
        let known = |address: &Address| mesh.addresses.contains_key(&IpAddr::from(*address));
        let held = self
            .image
            .workloads
            .keys()
            .map(|address| IpAddr::from(*address));
        let waiting = self.waiting_addresses.keys().copied();
        let gone: Vec<IpAddr> = held
            .chain(waiting)
            .filter(|address| !known(&Address::from(*address)))
            .collect();
        for address in gone {
            self.forget_address(address, round);
        }
        for (address, workload) in &mesh.addresses {
            self.name_address(*address, workload, round);
        }
    }

    pub(super) fn name_address(
        &mut self,
        address: IpAddr,
        workload: &Arc<Workload>,
        round: &mut Round,
    ) {
        let id = self.registry.name_workload(workload);
        let key = Address::from(address);
        let held = self.image.workloads.get(&key).copied();
        // Deletes come after writes, so what this plan deletes still takes room.
        let entries = self.image.workloads.len() + round.deleted_workloads;
        if held.is_none() && u32::try_from(entries).is_ok_and(|n| n >= self.capacity.workloads) {
            self.waiting_addresses.insert(address, Arc::clone(workload));
            return;
        }
        self.waiting_addresses.remove(&address);
        if held != Some(id) {
            self.image.workloads.insert(key, id);
            round.steps.workload(key, id);
        }
    }

    pub(super) fn forget_address(&mut self, address: IpAddr, round: &mut Round) {
        self.waiting_addresses.remove(&address);
        let key = Address::from(address);
        if self.image.workloads.remove(&key).is_some() {
            round.deleted_workloads += 1;
            round.steps.delete_workload(key);
        }
    }
}
