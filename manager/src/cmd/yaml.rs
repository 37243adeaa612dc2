//! Values as YAML in blocks, the way Kubernetes' tools write it.

use serde_json::Value;

/// A document, with a line end.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0, false),
        Value::Array(list) if !list.is_empty() => block(&mut out, value, 0, false),
        scalar => out = inline(scalar) + "\n",
    }
    out
}

/// A map or list that is not empty. `is_begun`: the line already has its indentation.
fn block(out: &mut String, value: &Value, indent: usize, mut is_begun: bool) {
    let mut begin = |out: &mut String| {
        if !std::mem::take(&mut is_begun) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                begin(out);
                out.push_str(&text(key));
                out.push(':');
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        out.push('\n');
                        block(out, value, indent + 2, false);
                    }
                    // Lists stand below their key, not further in.
                    Value::Array(list) if !list.is_empty() => {
                        out.push('\n');
                        block(out, value, indent, false);
                    }
                    scalar => *out += &format!(" {}\n", inline(scalar)),
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                begin(out);
                out.push_str("- ");
                match value {
                    Value::Object(map) if !map.is_empty() => block(out, value, indent + 2, true),
                    Value::Array(list) if !list.is_empty() => block(out, value, indent + 2, true),
                    scalar => *out += &format!("{}\n", inline(scalar)),
                }
            }
        }
        scalar => *out += &format!("{}\n", inline(scalar)),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        // Empty maps and lists, numbers, booleans and null are alike in JSON.
        other => other.to_string(),
    }
}

/// Plain where no reader can take it for something else, quoted as JSON does otherwise.
fn text(text: &str) -> String {
    const WORDS: [&str; 10] = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan",
    ];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-./=+".contains(&byte))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_nested_as_tools_write_them() {
        let value = json!({
            "groups": [{"rules": [{"matches": [{"ports": [80, 90]}]}, {}]}, [1, [2]]],
            "nothing": {}, "none": [], "empty": "",
            "status": {"ready": true, "text": "a: b\nc"},
        });
        let expected = "groups:\n- rules:\n  - matches:\n    - ports:\n      - 80\n      - 90\n  - {}\n\
            - - 1\n  - - 2\nnothing: {}\nnone: []\nempty: \"\"\nstatus:\n  ready: true\n  \
            text: \"a: b\\nc\"\n";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for (written, expected) in [
            ("web", "web"),
            ("a/b.c-d", "a/b.c-d"),
            ("CgEAAQ==", "CgEAAQ=="),
            ("No", "\"No\""),
            ("1.5", "\"1.5\""),
            ("a: b", "\"a: b\""),
            ("~", "\"~\""),
            ("- a", "\"- a\""),
            ("#", "\"#\""),
        ] {
            assert_eq!(document(&json!(written)), format!("{expected}\n"));
        }
    }
}
