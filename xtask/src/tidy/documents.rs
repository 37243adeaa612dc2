//! The map of the house names every room.

use super::{Problems, metadata::Workspace, sources::Source};

/// Files a reader is promised at the root.
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
];

/// Where maps get their names.
const NAMES: &str = "ebpf/abi/src/names.rs";

pub(super) fn check(workspace: &Workspace, sources: &[Source], problems: &mut Problems) {
    let text = |path: &str| {
        sources
            .iter()
            .find(|it| it.path == path)
            .map(|it| it.text.as_str())
    };
    let missing = DOCUMENTS.iter().filter(|path| text(path).is_none());
    problems.extend(missing.map(|path| format!("{path} is missing")));
    let map = text("ARCHITECTURE.md").unwrap_or_default();
    for name in unnamed(map, workspace.members.keys().map(String::as_str)) {
        problems.push(format!("ARCHITECTURE.md does not say what {name} is"));
    }
    for name in unnamed_maps(map, text(NAMES).unwrap_or_default()) {
        problems.push(format!(
            "ARCHITECTURE.md does not say what the map {name} holds"
        ));
    }
    if !text("README.md")
        .unwrap_or_default()
        .contains("ARCHITECTURE.md")
    {
        problems.push("README.md does not lead to ARCHITECTURE.md".to_owned());
    }
}

/// Crates get a paragraph that begins with their name.
fn unnamed<'a>(map: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names
        .filter(|name| !map.contains(&format!("**`{name}`**")))
        .collect()
}

/// Maps get a row. Their names are the string constants of `mod maps`.
fn unnamed_maps<'a>(map: &str, names: &'a str) -> Vec<&'a str> {
    let module = names.split_once("mod maps {").map_or("", |(_, rest)| rest);
    let module = module.split("\n}").next().unwrap_or_default();
    let names = module.lines().filter(|line| line.contains(": &str = "));
    let names = names.filter_map(|line| line.split('"').nth(1));
    names
        .filter(|name| !map.contains(&format!("| `{name}` |")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_a_paragraph_is_found() {
        let map = "**`weft`** is the binary.\n**`weft-abi`** is the ABI.";
        assert_eq!(
            unnamed(map, ["weft", "weft-abi", "weft-api"].into_iter()),
            ["weft-api"]
        );
    }

    #[test]
    fn a_map_without_a_row_is_found() {
        let names = "pub mod maps {\n    pub const A: &str = \"A\";\n    pub const B: &str = \"B\";\n}\n\
                     pub mod programs {\n    pub const C: &str = \"C\";\n}\n";
        assert_eq!(unnamed_maps("| `A` | array | things |", names), ["B"]);
    }
}
