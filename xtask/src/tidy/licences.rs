//! Licences and origins of other people's packages, as deny.toml allows them.

use super::{Problems, metadata::Workspace, sources::Source};

pub(super) fn check(workspace: &Workspace, sources: &[Source], problems: &mut Problems) {
    let Some(deny) = sources.iter().find(|source| source.path == "deny.toml") else {
        problems.push("deny.toml is missing".to_owned());
        return;
    };
    let allowed = allowed(&deny.text);
    for package in &workspace.foreign {
        let name = &package.name;
        let licence = package.licence.as_deref().unwrap_or("none declared");
        let excepted = exception(&deny.text, name);
        if !is_allowed(licence, &[&allowed[..], &excepted].concat()) {
            problems.push(format!(
                "{name}: licence '{licence}' is not allowed in deny.toml"
            ));
        }
        if !package.origin.starts_with("registry+") {
            problems.push(format!(
                "{name}: comes from {}, not from a registry",
                package.origin
            ));
        }
    }
}

/// The quoted words of `allow = [...]` under `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split_once("[licenses]").map_or("", |(_, rest)| rest);
    let list = section.split_once("allow = [").map_or("", |(_, rest)| rest);
    let list = list.split_once(']').map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

/// The quoted words of `{ allow = [...], crate = "name" }` for one package.
fn exception<'a>(deny: &'a str, name: &str) -> Vec<&'a str> {
    let end = format!("], crate = \"{name}\" }},");
    let line = deny.lines().find_map(|line| line.trim().strip_suffix(&end));
    let list = line.and_then(|line| line.strip_prefix("{ allow = ["));
    list.unwrap_or_default()
        .split('"')
        .skip(1)
        .step_by(2)
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences. AND binds before OR; `/` is
/// cargo's old way to write OR.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let verdict = any_of(&mut rest, allowed);
    verdict == Some(true) && rest.is_empty()
}

fn any_of(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut verdict = all_of(tokens, allowed)?;
    while take(tokens, "OR") {
        verdict |= all_of(tokens, allowed)?;
    }
    Some(verdict)
}

fn all_of(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut verdict = one(tokens, allowed)?;
    while take(tokens, "AND") {
        verdict &= one(tokens, allowed)?;
    }
    Some(verdict)
}

fn one(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    if take(tokens, "(") {
        let verdict = any_of(tokens, allowed)?;
        return take(tokens, ")").then_some(verdict);
    }
    let mut licence = next(tokens)?.to_owned();
    if take(tokens, "WITH") {
        licence = format!("{licence} WITH {}", next(tokens)?);
    }
    Some(allowed.contains(&licence.as_str()))
}

fn take(tokens: &mut &[&str], wanted: &str) -> bool {
    let found = tokens.first() == Some(&wanted);
    if found {
        *tokens = &tokens[1..];
    }
    found
}

fn next<'a>(tokens: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = tokens.split_first()?;
    *tokens = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [&str; 3] = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];

    #[test]
    fn one_allowed_side_of_an_or_is_enough() {
        assert!(is_allowed("MIT OR GPL-3.0", &ALLOWED));
        assert!(is_allowed("GPL-3.0/MIT", &ALLOWED));
        assert!(is_allowed(
            "(GPL-3.0 AND ISC) OR Apache-2.0 WITH LLVM-exception",
            &ALLOWED
        ));
    }

    #[test]
    fn every_side_of_an_and_must_be_allowed() {
        assert!(!is_allowed("MIT AND GPL-3.0", &ALLOWED));
        assert!(!is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0", &ALLOWED));
        assert!(is_allowed("(MIT OR Apache-2.0) AND MIT", &ALLOWED));
    }

    #[test]
    fn an_expression_that_is_none_is_not_allowed() {
        for expression in ["", "(MIT", "MIT Apache-2.0", "none declared", "MIT WITH"] {
            assert!(!is_allowed(expression, &ALLOWED), "{expression}");
        }
    }

    #[test]
    fn the_allowed_licences_are_those_of_deny_toml() {
        let deny = "[bans]\nallow = [\"no\"]\n[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\",\n]\n";
        assert_eq!(allowed(deny), ["MIT", "ISC"]);
    }

    #[test]
    fn an_exception_is_for_one_package() {
        let deny = "exceptions = [\n    { allow = [\"LGPL-2.1\"], crate = \"btf\" },\n]\n";
        assert_eq!(exception(deny, "btf"), ["LGPL-2.1"]);
        assert!(exception(deny, "btf-derive").is_empty());
    }
}
