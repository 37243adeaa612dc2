//! Whether a text is a set of keys (RFC 7517).

use serde_json::Value;

/// What is wrong with a text as a key set; else what is wrong with single keys, which are then not
/// used.
pub(super) fn check(text: &str) -> Result<Vec<String>, String> {
    let set: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Some(keys) = set.get("keys") else {
        return Err("no \"keys\"".into());
    };
    let Some(keys) = keys.as_array() else {
        return Err("\"keys\" is not a list".into());
    };
    let mut unusable = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let text = |name| key.get(name).and_then(Value::as_str).unwrap_or("");
        let needed: &[&str] = match text("kty") {
            "" => return Err(format!("key {index} has no \"kty\"")),
            "RSA" => &["n", "e"],
            "EC" => &["crv", "x", "y"],
            "OKP" => &["crv", "x"],
            other => {
                let message = "only RSA, EC and OKP are; it verifies nothing";
                unusable.push(format!("key {index} is of type {other}: {message}"));
                continue;
            }
        };
        if let Some(missing) = needed.iter().find(|name| text(name).is_empty()) {
            return Err(format!("key {index} has no {missing:?}"));
        }
    }
    if keys.is_empty() {
        unusable.push("the key set is empty: no token can be verified".into());
    }
    Ok(unusable)
}
