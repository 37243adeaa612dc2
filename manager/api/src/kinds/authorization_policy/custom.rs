//! What a CUSTOM policy may not ask: Envoy's external authorizer runs before tokens and peers are
//! known.

use super::AuthorizationRule;
use crate::{decode::Reading, path::At};

pub(super) fn check(rule: &AuthorizationRule, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("from");
    for (index, source) in rule.from.iter().enumerate() {
        let item = list.index(index);
        let at = item.key("source");
        for (values, name) in [
            (&source.namespaces, "Namespaces"),
            (&source.service_accounts, "ServiceAccounts"),
            (&source.principals, "Principals"),
            (&source.request_principals, "RequestPrincipals"),
        ] {
            let set = [("", &values.any), ("Not", &values.none)];
            for (not, _) in set.into_iter().filter(|(_, list)| !list.is_empty()) {
                let message = "is currently not supported with CUSTOM action";
                cx.reject(at, format_args!("From.{not}{name} {message}"));
            }
        }
    }
    let list = at.key("when");
    for (index, condition) in rule.when.iter().enumerate() {
        let key = &*condition.key;
        let known_later = [
            "source.namespace",
            "source.serviceAccount",
            "source.principal",
        ]
        .contains(&key);
        if known_later || key.starts_with("request.auth.") {
            let message = format_args!("{key} is currently not supported with CUSTOM action");
            cx.reject(list.index(index), message);
        }
    }
}
