//! Labels of namespaces and pods that say what is in the mesh: IST0123, WEFT0003, WEFT0004.

use weft_api::{Kind, Object};

use super::Analysis;

const INJECTION: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const MODE: &str = "istio.io/dataplane-mode";

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let store = analysis.store;
    for namespace in store.objects(Kind::Namespace) {
        injection(analysis, namespace);
        mode(analysis, namespace);
    }
    for pod in store.objects(Kind::Pod) {
        mode(analysis, pod);
    }
}

/// Labels that inject sidecars, of which there are none.
fn injection(analysis: &mut Analysis<'_>, namespace: &Object) {
    let Some(value) = namespace.labels.value(INJECTION) else {
        return;
    };
    if namespace.labels.value(REVISION).is_some() {
        let text = format!(
            "The namespace has more than one type of injection labels [{INJECTION} {REVISION}], which \
             may lead to undefined behavior. Make sure only one injection label exists."
        );
        analysis.say("IST0123", namespace, text);
    }
    if **value == *"enabled" && namespace.labels.value(MODE).is_none() {
        let text = format!(
            "Label {INJECTION}=enabled has no effect: there are no sidecars. Label the namespace \
             {MODE}=ambient to have it in the mesh."
        );
        analysis.say("WEFT0003", namespace, text);
    }
}

fn mode(analysis: &mut Analysis<'_>, object: &Object) {
    let Some(value) = object.labels.value(MODE) else {
        return;
    };
    if !matches!(&**value, "ambient" | "none") {
        let text = format!("Label {MODE}={value} is ignored: use ambient or none.");
        analysis.say("WEFT0004", object, text);
    }
}
