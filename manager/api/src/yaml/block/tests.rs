//! The fast way and the general parser agree.

use proptest::{collection::vec, prelude::*};

use super::{super::build, *};

fn agrees(text: &str) -> Result<bool, TestCaseError> {
    let Some(fast) = parse(text) else {
        return Ok(false);
    };
    let slow = build::build(text);
    prop_assert!(slow.is_ok(), "accepted what is not YAML: {text:?}");
    prop_assert_eq!(slow.ok(), Some(fast), "{:?}", text);
    Ok(true)
}

/// Lines that are mostly right, so that many documents are accepted.
fn row() -> impl Strategy<Value = String> {
    let indent = prop_oneof![Just(0), Just(0), Just(2), Just(2), Just(4), 0..6_usize];
    let dash = prop_oneof![3 => Just(""), 2 => Just("- "), 1 => Just("- - "), 1 => Just("-   ")];
    let key = prop_oneof![
        Just(""),
        Just("a: "),
        Just("b:"),
        Just("c: "),
        Just("a.b/c:  "),
        Just("true: "),
        Just("1: "),
        Just("? ")
    ];
    let value = prop_oneof![
        Just(String::new()),
        "[a-z0-9~.+-]{1,5}",
        "[a-z0-9 :#,'\"{}\\[\\]&*!|>%@.-]{0,8}",
        Just("'x y'".to_owned()),
        Just("\"q: r\"".to_owned()),
        Just("[a, 1, {b: c}]".to_owned()),
        Just("{a: null, b: [\"x\", true]}".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("# note".to_owned()),
    ];
    let row = (indent, dash, key, value);
    row.prop_map(|(indent, dash, key, value)| format!("{}{dash}{key}{value}\n", " ".repeat(indent)))
}

/// A value and how to write it: styles are taken in turn.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::from),
        "[a-z][a-z0-9./-]{0,6}".prop_map(Value::String),
        "[ -~]{0,6}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec(("[a-z][a-z0-9./-]{0,5}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn write(value: &Value, indent: usize, styles: &mut impl Iterator<Item = u8>) -> String {
    let pad = " ".repeat(indent);
    let style = styles.next().unwrap_or(0);
    match value {
        Value::Object(map) if !map.is_empty() && style < 6 => map
            .iter()
            .map(|(key, value)| {
                let inner = indent + if value.is_array() && style < 3 { 0 } else { 2 };
                format!("{pad}{key}:{}", after(value, inner, styles))
            })
            .collect(),
        Value::Array(items) if !items.is_empty() && style < 6 => items
            .iter()
            .map(|item| match after(item, indent + 2, styles) {
                // What is written below may begin beside the dash.
                text if text.starts_with('\n') && style < 4 => {
                    format!("{pad}- {}", &text[1..].trim_start_matches(' '))
                }
                text => format!("{pad}-{text}"),
            })
            .collect(),
        Value::String(text) if style < 3 => format!("{pad}{text}\n"),
        Value::String(text) if style < 5 => format!("{pad}'{text}'\n"),
        Value::Null if style < 4 => "\n".into(),
        other => format!(
            "{pad}{}\n",
            other.to_string().replace(',', ", ").replace("\":", "\": ")
        ),
    }
}

fn after(value: &Value, indent: usize, styles: &mut impl Iterator<Item = u8>) -> String {
    let text = write(value, indent, styles);
    let is_block = text.lines().count() > 1
        || ((value.is_array() || value.is_object()) && !text.trim_start().starts_with(['[', '{']));
    if is_block {
        format!("\n{text}")
    } else {
        format!(" {}\n", text.trim())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn what_it_accepts_it_reads_as_the_general_parser_does(rows in vec(row(), 1..6)) {
        agrees(&rows.concat())?;
    }

    #[test]
    fn whole_documents_are_read_as_the_general_parser_reads_them(
        value in tree(),
        styles in vec(0..8_u8, 1..8),
        wound in prop::option::weighted(0.3, (any::<prop::sample::Index>(), "[ -~\n]{0,2}")),
    ) {
        let mut text = write(&value, 0, &mut styles.into_iter().cycle());
        if let Some((at, graft)) = wound {
            text.insert_str(at.index(text.len() + 1), &graft);
        }
        agrees(&text)?;
    }

    #[test]
    fn noise_is_read_as_the_general_parser_reads_it(
        text in "([a-b0-9~&*<>|?:,'\"{}\\[\\]# \n.-]|: |- |\n|\n  |a: |---\n){0,24}"
    ) {
        agrees(&text)?;
    }
}

#[test]
fn what_tools_write_is_accepted() {
    let text = "---\n# a slice\napiVersion: v1\nitems:\n- a: 1\n  b: [x, \"y\"]\n\n  c: {d: true}\n-\n  - 'q'\nnone:\nlast:\n    deep: -1.5\n";
    let expected = serde_json::json!({
        "apiVersion": "v1",
        "items": [{"a": 1, "b": ["x", "y"], "c": {"d": true}}, ["q"]],
        "none": null,
        "last": {"deep": -1.5},
    });
    assert_eq!(parse(text), Some(expected));
    assert!(agrees(text).is_ok_and(|accepted| accepted));
}
