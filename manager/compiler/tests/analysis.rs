//! Golden cases: `manager/tests/cases/NAME/analyze.txt` says what analyzers find in `in.yaml`.
//! `UPDATE=1` rewrites it; review reads the difference.

use std::{fs, path::Path};

use weft_api::Store;
use weft_compiler::{Settings, analysis::analyze};

fn found(text: &str) -> String {
    let mut store = Store::default();
    store.put_file("in.yaml", text);
    let messages = analyze(&store, &Settings::default());
    let lines = messages.iter().map(|message| {
        let (severity, line) = (message.severity, message.line.max(message.origin.line));
        format!(
            "{severity:?} [{}] {} :{line} {}\n",
            message.code, message.origin, message.text
        )
    });
    lines.collect()
}

#[test]
fn analyzers_find_what_stands_in_the_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let mut seen = 0;
    for entry in fs::read_dir(root).unwrap() {
        let case = entry.unwrap().path();
        if !case
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("analyze_")
        {
            continue;
        }
        seen += 1;
        let found = found(&fs::read_to_string(case.join("in.yaml")).unwrap());
        let golden = case.join("analyze.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{}", case.display());
    }
    assert!(seen > 0, "the cases are not where they should be");
}

#[test]
fn an_object_can_ask_for_silence() {
    let service = |annotation: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations: {{galley.istio.io/analyze-suppress: \"{annotation}\"}}\nspec:\n  clusterIP: 10.0.0.1\n  ports: [{{name: x, port: 80}}]\n"
        )
    };
    assert!(found(&service("IST0101")).contains("IST0118"));
    assert_eq!(found(&service("IST0101, IST0118")), "");
    assert_eq!(found(&service("*")), "");
}
