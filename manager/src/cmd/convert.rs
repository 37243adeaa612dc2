//! `weft convert`: what resources become in other forms.

use std::process::ExitCode;

use anyhow::Result;
use weft_api::{Problem, Severity, Store};
use weft_compiler::{Settings, gateway_status, wds};

use super::{NEGATIVE, documents, output, yaml};
use crate::args::convert::{ConvertArgs, Form};

/// Prints the form asked for. Documents that are not valid are left out and complained about.
pub(crate) fn run(args: &ConvertArgs) -> Result<ExitCode> {
    let store = documents::read(&args.files)?;
    let is_valid = complain(&store);
    let text = match args.to {
        Form::Wds => discovery(&store),
        Form::Status => statuses(&store)?,
    };
    output::write(&text)?;
    Ok(if is_valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NEGATIVE)
    })
}

/// Messages of Istio's workload discovery, each a document below a line that names it.
fn discovery(store: &Store) -> String {
    let messages = wds::messages(store, &Settings::default());
    let documents = messages.iter().map(|message| {
        let head = format!("# {} {}\n", message.type_name, message.name);
        head + &yaml::document(&message.body)
    });
    documents.collect::<Vec<_>>().join("---\n")
}

/// Gateway API objects with their `status`, each a document. There is no cluster, so conditions have
/// no `lastTransitionTime`.
fn statuses(store: &Store) -> Result<String> {
    let statuses = gateway_status(store);
    let documents = statuses
        .iter()
        .map(|status| Ok(yaml::document(&serde_json::to_value(status)?)));
    Ok(documents.collect::<Result<Vec<_>>>()?.join("---\n"))
}

#[expect(clippy::print_stderr, reason = "problems go beside the answer")]
fn complain(store: &Store) -> bool {
    let errors: Vec<&Problem> = store
        .problems()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    for error in &errors {
        eprintln!("{error}");
    }
    errors.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_what_stands_in_a_cluster_but_for_times() {
        let mut store = Store::default();
        let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
            metadata: {name: edge, namespace: shop, generation: 2}\nspec:\n  gatewayClassName: weft\n  \
            listeners: [{name: udp, port: 53, protocol: UDP}]\n";
        store.put_file("f.yaml", gateway);
        let text = statuses(&store).expect("a status");
        let expected = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  \
            namespace: shop\n  name: edge\nstatus:\n  conditions:\n  - type: Accepted\n    \
            status: \"True\"\n    reason: Accepted\n    message: \"\"\n    observedGeneration: 2\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains("  - name: udp\n    supportedKinds:\n"),
            "{text}"
        );
    }
}
