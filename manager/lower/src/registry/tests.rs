use std::sync::Arc;

use weft_model::{Protocol, ServiceName, Workload};

use super::{PoolName, Registry, RegistryError};
use crate::{Family, PoolClass, PoolKey};

fn pool(short: &str) -> PoolName {
    PoolName {
        key: PoolKey {
            service: ServiceName {
                namespace: "shop".into(),
                hostname: format!("{short}.shop.svc.cluster.local").into(),
            },
            port: 80,
            protocol: Protocol::Tcp,
            family: Family::V6,
            class: PoolClass::Local,
        },
        short_name: short.into(),
    }
}

fn workload(name: &str, version: Option<&str>) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".into(),
        name: name.into(),
        canonical_service: name.into(),
        canonical_revision: "latest".into(),
        app: None,
        version: version.map(Arc::from),
        service_account: "default".into(),
    })
}

#[test]
fn ids_and_names_survive_being_saved() {
    let mut registry = Registry::default();
    for short in ["a", "b", "c"] {
        registry.name_pool(&pool(short), 100);
    }
    for version in [None, Some("v1")] {
        registry.name_workload(&workload("web", version));
    }
    registry.retire_pool(3);
    let read = Registry::from_json(&registry.to_json()).unwrap();
    assert_eq!(read.pool(3), Some(&pool("b")));
    assert_eq!(read.pool_id(&pool("c").key), Some(4));
    assert_eq!(read.workload_id(&workload("web", Some("v1"))), Some(2));
    assert_eq!(read.workload(1), Some(&workload("web", None)));
    assert_eq!(
        read.to_json(),
        Registry::from_json(&read.to_json()).unwrap().to_json()
    );
}

#[test]
fn the_saved_form_names_things_as_people_do() {
    let mut registry = Registry::default();
    registry.name_pool(&pool("a"), 100);
    let text = registry.to_json();
    let expected = r#"{"id":2,"namespace":"shop","hostname":"a.shop.svc.cluster.local","short_name":"a","port":80,"protocol":"TCP","family":"IPv6","class":"Local"}"#;
    assert!(text.contains(expected), "{text}");
}

#[test]
fn the_revision_changes_only_when_there_is_something_to_save() {
    let mut registry = Registry::default();
    let mut last = registry.revision();
    let mut changed = |registry: &Registry| {
        std::mem::replace(&mut last, registry.revision()) != registry.revision()
    };
    registry.name_pool(&pool("a"), 100);
    assert!(changed(&registry));
    registry.name_pool(&pool("a"), 100);
    assert!(!changed(&registry));
    registry.name_workload(&workload("web", None));
    assert!(changed(&registry));
    registry.name_workload(&workload("web", None));
    assert!(!changed(&registry));
    let first = registry.next_generation(1);
    assert!(changed(&registry));
    registry.next_generation(first);
    assert!(!changed(&registry), "generations are saved in blocks");
}

#[test]
fn an_id_changes_its_name_only_when_all_have_been_used() {
    let mut registry = Registry::default();
    let limit = 5; // ids 2, 3 and 4
    let name = |registry: &mut Registry, short| registry.name_pool(&pool(short), limit);
    assert_eq!(name(&mut registry, "a"), Some(2));
    registry.retire_pool(2);
    assert_eq!(
        name(&mut registry, "b"),
        Some(3),
        "2 is dead, but 3 was never used"
    );
    registry.retire_pool(3);
    assert_eq!(name(&mut registry, "a"), Some(2), "back from the dead");
    assert_eq!(name(&mut registry, "c"), Some(4));
    assert_eq!(name(&mut registry, "d"), Some(3), "the only dead one");
    assert_eq!(registry.pool_id(&pool("b").key), None);
    assert_eq!(name(&mut registry, "b"), None, "all are alive");
}

#[test]
fn generations_never_are_zero_or_the_canarys() {
    let mut registry = Registry::default();
    assert_eq!(registry.next_generation(u32::MAX), 2);
    assert_eq!(registry.next_generation(0), 2);
    assert_eq!(registry.next_generation(2), 3);
}

#[test]
fn a_damaged_registry_is_refused_with_advice() {
    let refused = |text: &str| Registry::from_json(text).unwrap_err();
    assert!(matches!(refused("{"), RegistryError::Damaged(_)));
    let other = r#"{"format":9,"generation_ceiling":0,"pools":[],"workloads":[]}"#;
    assert!(
        refused(other)
            .to_string()
            .contains("remove it to start afresh")
    );
    let mut registry = Registry::default();
    registry.name_pool(&pool("a"), 100);
    registry.name_pool(&pool("b"), 100);
    let twice = registry.to_json().replace(r#""id":3"#, r#""id":2"#);
    assert!(matches!(
        refused(&twice),
        RegistryError::Ambiguous {
            what: "pool",
            id: 2
        }
    ));
}
