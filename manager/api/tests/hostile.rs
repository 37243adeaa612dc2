//! No text makes the reader panic, hang or run out of memory.

use proptest::prelude::*;
use weft_api::{Store, read_and_forget};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        read_and_forget(&text);
    }

    #[test]
    fn what_looks_like_yaml_never_panics(
        text in "([a-c0-9~!&*<>|%@`{}\\[\\],:?#'\"\t \n.-]|---\n|- |: |\n  |&a|\\*a|<<: ){0,80}"
    ) {
        read_and_forget(&text);
    }

    #[test]
    fn bytes_that_are_nearly_resources_never_panic(
        tail in "([a-z0-9~&*|{}\\[\\],:#'\" \n.-]|\n  |\n- |: |spec:|ports:|hosts:|kind: Service){0,60}",
        kind in prop::sample::select(vec!["v1\nkind: Service", "v1\nkind: Pod", "discovery.k8s.io/v1\nkind: EndpointSlice", "networking.istio.io/v1\nkind: ServiceEntry", "networking.istio.io/v1\nkind: DestinationRule", "networking.istio.io/v1\nkind: VirtualService", "networking.istio.io/v1\nkind: Gateway", "telemetry.istio.io/v1\nkind: Telemetry", "v1\nkind: Secret", "v1\nkind: ConfigMap", "v1\nkind: List"]),
    ) {
        let text = format!("apiVersion: {kind}\nmetadata:\n  name: a\n{tail}");
        let mut store = Store::default();
        store.put_file("a.yaml", &text);
        for problem in store.problems() {
            prop_assert!(!problem.message.is_empty() && problem.line > 0, "{problem}");
        }
    }

    #[test]
    fn regular_expressions_are_refused_or_built_and_never_panic(
        pattern in "([a-c0-9é.*+?|^$(){}\\[\\]\\\\:&~,<>=!PQEdwpi-]|\\(\\?|\\[\\[|\\\\Q){0,30}"
    ) {
        if let Err(fault) = weft_api::re2::translate(&pattern) {
            prop_assert!(!fault.to_string().is_empty());
        }
    }

    #[test]
    fn expressions_of_filters_never_panic(text in "([a-cé0-9.()\\[\\]{}?:,'\"\\\\/ er+-]|&&|in ){0,40}") {
        let text = serde_json::Value::from(text);
        let spec = format!("{{\"accessLogging\": [{{\"filter\": {{\"expression\": {text}}}}}]}}");
        read_and_forget(&format!("{{\"apiVersion\": \"telemetry.istio.io/v1\", \"kind\": \"Telemetry\", \"metadata\": {{\"name\": \"a\"}}, \"spec\": {spec}}}"));
    }
}
