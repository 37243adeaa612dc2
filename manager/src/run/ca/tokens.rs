//! Who may ask the certificate service, by token.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use weft_identity::SpiffeId;

/// What a token is good for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// One identity.
    One(SpiffeId),
    /// Any identity of the mesh: a node, for its workloads.
    Node,
}

/// Reads the file and looks a token up in it; `None` when it is not there.
///
/// # Errors
/// When the file cannot be read or a line is wrong; a wrong line is told without its token.
pub(crate) fn find(file: &Path, token: &[u8]) -> Result<Option<Caller>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    search(&text, token).with_context(|| format!("{} is wrong", file.display()))
}

fn search(text: &str, token: &[u8]) -> Result<Option<Caller>> {
    let mut found = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(known), Some(whom), None) = (words.next(), words.next(), words.next()) else {
            bail!("line {} is not TOKEN and SPIFFE id or *node", number + 1);
        };
        let caller = match whom {
            "*node" => Caller::Node,
            id => Caller::One(id.parse().with_context(|| format!("line {}", number + 1))?),
        };
        // In constant time, and to the end: how long it takes tells nothing of the tokens.
        if aws_lc_rs::constant_time::verify_slices_are_equal(known.as_bytes(), token).is_ok() {
            found = Some(caller);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# nodes\nsecret *node\n\n other  spiffe://mesh.a/ns/shop/sa/cart \n";

    #[test]
    fn a_token_is_good_for_what_its_line_says() {
        let find = |token: &str| search(FILE, token.as_bytes()).expect("file");
        assert_eq!(find("secret"), Some(Caller::Node));
        let cart = "spiffe://mesh.a/ns/shop/sa/cart".parse().expect("id");
        assert_eq!(find("other"), Some(Caller::One(cart)));
        assert_eq!((find(""), find("secre"), find("#")), (None, None, None));
    }

    #[test]
    fn a_wrong_line_closes_the_file_and_does_not_tell_its_token() {
        for wrong in [
            "hush",
            "hush *nodes",
            "hush a b",
            "hush spiffe://TD/ns/a/sa/b",
        ] {
            let error = search(&format!("{FILE}{wrong}\n"), b"secret").expect_err(wrong);
            let text = format!("{error:#}");
            assert!(text.contains("line 5") && !text.contains("hush"), "{text}");
        }
    }
}
