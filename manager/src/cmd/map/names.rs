//! Names for ids, from the registry that a manager saves beside its pins.

use std::{fs, io, path::Path, sync::Arc};

use weft_lower::Registry;
use weft_model::Workload;
use weft_telemetry::{BackendName, Names, PoolLabels};

/// The registry of an installation, read once; without one every id is nameless.
#[derive(Debug)]
pub(crate) struct RegistryNames {
    registry: Result<Registry, String>,
}

impl RegistryNames {
    /// Reads `STATE/names.json`.
    pub(crate) fn read(state: &Path) -> Self {
        let path = state.join("names.json");
        let registry = match fs::read_to_string(&path) {
            Ok(text) => Registry::from_json(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(format!("there is no {}", path.display()))
            }
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        Self { registry }
    }

    /// Why there are no names, when there are none.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.registry.as_ref().err().map(String::as_str)
    }
}

impl Names for RegistryNames {
    fn pool(&self, id: u32) -> Option<Arc<PoolLabels>> {
        let name = self.registry.as_ref().ok()?.pool(id)?;
        let key = &name.key;
        Some(Arc::new(PoolLabels {
            hostname: Arc::clone(&key.service.hostname),
            short_name: Arc::clone(&name.short_name),
            namespace: Arc::clone(&key.service.namespace),
            port: key.port,
            protocol: key.protocol,
            class: key.class.to_string().to_lowercase().into(),
        }))
    }

    fn workload(&self, id: u32) -> Option<Arc<Workload>> {
        self.registry.as_ref().ok()?.workload(id).cloned()
    }

    /// The registry does not know backends; [`super::entry::Describe`] reads them from their map.
    fn backend(&self, _index: u32, _generation: u32) -> Option<BackendName> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_resolved_by_the_saved_registry_and_its_absence_is_told() {
        let state = std::env::temp_dir().join(format!("weft-names-{}", std::process::id()));
        fs::create_dir_all(&state).expect("a directory");
        let none = RegistryNames::read(&state);
        assert!(
            none.missing()
                .is_some_and(|why| why.contains("there is no")),
            "{none:?}"
        );
        assert!(none.pool(2).is_none());
        let saved = r#"{"format": 1, "generation_ceiling": 9, "workloads": [], "pools": [{
            "id": 2, "namespace": "shop", "hostname": "web.shop.svc", "short_name": "web",
            "port": 80, "protocol": "TCP", "family": "IPv4", "class": "Cluster"}]}"#;
        fs::write(state.join("names.json"), saved).expect("written");
        let names = RegistryNames::read(&state);
        assert_eq!(names.missing(), None);
        let pool = names.pool(2).expect("the pool");
        assert_eq!(
            (&*pool.short_name, pool.port, &*pool.class),
            ("web", 80, "cluster")
        );
        fs::write(state.join("names.json"), "{").expect("written");
        assert!(
            RegistryNames::read(&state)
                .missing()
                .is_some_and(|why| why.contains("damaged"))
        );
        fs::remove_dir_all(state).expect("removed");
    }
}
