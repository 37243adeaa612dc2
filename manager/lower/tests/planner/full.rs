//! Full maps.

use weft_abi::names::maps;
use weft_lower::{Capacity, Plan, Planner, Shortage};
use weft_model::Change;

use crate::{
    kernel::Kernel,
    world::{endpoints, ip, name, node, port, put, remove, seconds, service, web, workload},
};

struct Small {
    planner: Planner,
    kernel: Kernel,
}

impl Small {
    fn new(capacity: Capacity) -> Self {
        Self {
            planner: Planner::new(capacity),
            kernel: Kernel::new(capacity),
        }
    }

    fn plan(&mut self, change: &Change, now: u64) -> Plan {
        let plan = self.planner.plan(change, &node(), seconds(now));
        self.kernel.apply_watching(&plan.ops);
        plan
    }
}

fn capacity() -> Capacity {
    Capacity {
        services: 8,
        backends: 10,
        slots: 32,
        workloads: 2,
    }
}

fn lacks(map: &'static str, capacity: u32, short: &str) -> Shortage {
    Shortage::Service {
        map,
        capacity,
        service: name(short),
    }
}

#[test]
fn a_service_that_does_not_fit_stays_as_it_was_until_there_is_room() {
    let mut small = Small::new(capacity());
    small.plan(&put(web(endpoints([1, 2]))), 1);
    let other = service("other", &["10.96.0.2"], vec![port(80, endpoints(1..=4))]);
    small.plan(&put(other), 1);
    // Eight indexes: six are in use.
    let plan = small.plan(&put(web(endpoints(1..=5))), 2);
    assert_eq!(plan.ops, []);
    assert_eq!(plan.problems, [lacks(maps::BACKENDS, 10, "web")]);
    assert_eq!(small.planner.retry_at(), None, "nothing is on its way");
    let plan = small.plan(&remove("other"), 3);
    assert_eq!(
        plan.problems,
        [lacks(maps::BACKENDS, 10, "web")],
        "freed, but resting"
    );
    assert_eq!(
        small.planner.retry_at(),
        Some(seconds(0)),
        "an entry became free"
    );
    small.plan(&Change::default(), 4);
    assert_eq!(small.planner.retry_at(), Some(seconds(5)));
    let plan = small.plan(&Change::default(), 5);
    assert_eq!(plan.problems, []);
    assert_eq!(small.kernel.services.values().next().unwrap().slots, 5);
    assert_eq!(small.planner.retry_at(), None);
}

#[test]
fn each_map_is_named_when_it_is_the_one_that_is_full() {
    let many = |n: u16| (1..=n).map(|number| port(number, endpoints([1]))).collect();
    let mut small = Small::new(capacity());
    let ports = service("ports", &["10.96.0.1"], many(8));
    let plan = small.plan(&put(ports), 1);
    assert_eq!(
        plan.problems,
        [lacks(maps::SERVICES, 8, "ports")],
        "one entry is the canary's"
    );

    let mut small = Small::new(capacity());
    let pools = service("pools", &["10.96.0.1"], many(7));
    let plan = small.plan(&put(pools), 1);
    assert_eq!(
        plan.problems,
        [lacks(maps::SERVICE_STATE, 8, "pools")],
        "ids 2 to 7"
    );

    let mut small = Small::new(capacity());
    let mut weighted = endpoints([1, 2]);
    weighted[0].weight = 39;
    let plan = small.plan(&put(web(weighted)), 1);
    assert_eq!(plan.problems, [lacks(maps::SLOTS, 32, "web")]);
    assert_eq!(
        (plan.ops, small.planner.usage()),
        (vec![], Default::default())
    );
}

#[test]
fn addresses_that_do_not_fit_wait_for_room() {
    let mut small = Small::new(capacity());
    let own = |n: &str, present: bool| (ip(n), present.then(|| workload("web")));
    let three = Change {
        addresses: vec![
            own("10.0.0.1", true),
            own("10.0.0.2", true),
            own("10.0.0.3", true),
        ],
        ..Change::default()
    };
    let plan = small.plan(&three, 1);
    let lacks = Shortage::Workload {
        map: maps::WORKLOADS,
        capacity: 2,
        address: ip("10.0.0.3"),
    };
    assert_eq!(plan.problems, [lacks]);
    let less = Change {
        addresses: vec![own("10.0.0.1", false)],
        ..Change::default()
    };
    assert_eq!(small.plan(&less, 1).problems.len(), 1, "deletes come last");
    assert_eq!(small.plan(&Change::default(), 1).problems, []);
    assert_eq!(small.kernel.workloads.len(), 2);
}

#[test]
fn pool_ids_are_used_again_when_all_have_been_used() {
    let mut small = Small::new(capacity());
    let mut last = 0;
    for round in 0..20_u32 {
        let short = format!("s{round}");
        let only = service(&short, &["10.96.0.1"], vec![port(80, endpoints([round]))]);
        let now = u64::from(round) * 3;
        let plan = small.plan(&put(only), now);
        assert_eq!(plan.problems, [], "round {round}");
        let id = small.planner.pools().next().unwrap().id;
        assert_ne!(id, last, "the oldest first");
        assert_eq!(
            small.planner.registry().pool(id).unwrap().key.service,
            name(&short)
        );
        last = id;
        small.plan(&remove(&short), now);
    }
}

#[test]
fn a_rolling_update_goes_on_in_a_full_map() {
    let mut small = Small::new(capacity());
    small.plan(&put(web(endpoints(1..=8))), 1);
    let plan = small.plan(&put(web(endpoints(3..=10))), 2);
    assert_eq!(plan.removed.len(), 2, "nobody is sent to what is gone");
    assert_eq!(plan.problems, [lacks(maps::BACKENDS, 10, "web")]);
    let plan = small.plan(&Change::default(), 4);
    assert_eq!(plan.problems, []);
    assert_eq!(small.kernel.services.values().next().unwrap().slots, 8);
}

#[test]
fn a_full_map_does_not_leave_a_service_without_backends() {
    let mut small = Small::new(capacity());
    small.plan(&put(web(endpoints(1..=8))), 1);
    let plan = small.plan(&put(web(endpoints(11..=18))), 2);
    assert_eq!(
        (plan.ops, plan.removed),
        (vec![], vec![]),
        "none of the new ones fits"
    );
    assert_eq!(plan.problems.len(), 1);
}
