//! Paths as policies see them (`meshConfig.pathNormalization`), and templates.

use std::borrow::Cow;

use weft_model::policy::{Normalization, PathPiece};

/// A path that cannot be made regular: the request is refused with status 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadPath;

/// A path without query, made regular. One that is not absolute (`*`, say) stays.
pub fn normalize(path: &str, how: Normalization) -> Result<Cow<'_, str>, BadPath> {
    if how == Normalization::None || !path.starts_with('/') {
        return Ok(Cow::Borrowed(path));
    }
    let decodes_slashes = how == Normalization::DecodeAndMergeSlashes;
    let unescaped = unescape(path, decodes_slashes)?;
    let merges = how != Normalization::Base;
    Ok(Cow::Owned(resolve(&unescaped, merges)))
}

/// Undoes escapes of characters that never need one; backslashes become slashes.
fn unescape(path: &str, decodes_slashes: bool) -> Result<String, BadPath> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    // Where a percent sign stands that begins no escape. What follows it at once stays as it is,
    // lest the two become an escape that nobody has looked at.
    let mut bare: Option<usize> = None;
    while let Some(at) = rest.find(['%', '\\', '\0']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if tail.starts_with('\0') {
            return Err(BadPath);
        }
        if let Some(tail) = tail.strip_prefix('\\') {
            out.push('/');
            rest = tail;
            continue;
        }
        match tail.get(1..3).and_then(escaped) {
            Some(0) => return Err(BadPath),
            Some(b'/' | b'\\') if decodes_slashes => out.push('/'),
            Some(byte) if is_needless(byte) && bare.is_none_or(|bare| out.len() > bare + 2) => {
                out.push(char::from(byte));
            }
            Some(_) => out.push_str(&tail[..3]),
            None => {
                bare = Some(out.len());
                out.push('%');
                rest = &tail[1..];
                continue;
            }
        }
        rest = &tail[3..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether an escape of a character means nothing else than the character (RFC 3986, 2.3).
fn is_needless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn escaped(digits: &str) -> Option<u8> {
    // `from_str_radix` alone would take "+f".
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// Resolves `.` and `..`, which never lead above the root; slashes are merged after that.
fn resolve(path: &str, merges: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // A dot at the end names a folder: the slash stays.
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let last = kept.pop();
    kept.retain(|segment| !merges || !segment.is_empty());
    kept.extend(last);
    let mut out = String::with_capacity(path.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

/// Whether a path fits a template. The time is that of its length times the number of pieces.
pub fn fits_template(path: &str, pieces: &[PathPiece]) -> bool {
    let bytes = path.as_bytes();
    // Which lengths of the path the pieces so far can stand for.
    let mut reached = vec![false; bytes.len() + 1];
    reached[0] = true;
    for piece in pieces {
        reached = step(bytes, &reached, piece);
    }
    reached[bytes.len()]
}

fn step(path: &[u8], reached: &[bool], piece: &PathPiece) -> Vec<bool> {
    let mut next = vec![false; path.len() + 1];
    match piece {
        PathPiece::Literal(text) => {
            for (at, _) in reached.iter().enumerate().filter(|(_, is)| **is) {
                if path[at..].starts_with(text.as_bytes()) {
                    next[at + text.len()] = true;
                }
            }
        }
        PathPiece::One | PathPiece::Any => {
            let spans = *piece == PathPiece::Any;
            let mut is_open = false;
            for at in 0..=path.len() {
                next[at] = is_open || (spans && reached[at]);
                let goes_on = |byte: u8| is_path_character(byte) || (spans && byte == b'/');
                is_open =
                    path.get(at).is_some_and(|byte| goes_on(*byte)) && (is_open || reached[at]);
            }
        }
    }
    next
}

/// `pchar` of RFC 3986.
fn is_path_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weft_model::policy::PathMatch;

    use super::*;

    fn normal(path: &str, how: Normalization) -> String {
        normalize(path, how).expect("a good path").into_owned()
    }

    #[test]
    fn each_mode_does_what_its_name_says() {
        use Normalization::{Base, DecodeAndMergeSlashes as Decode, MergeSlashes as Merge, None};
        for (path, how, expected) in [
            ("/a/../b", None, "/a/../b"),
            ("/a/../b", Base, "/b"),
            ("/a/./b/.", Base, "/a/b/"),
            ("/../../x", Base, "/x"),
            ("/a/..", Base, "/"),
            ("/%61dmin", Base, "/admin"),
            ("/a%2Fb", Base, "/a%2Fb"),
            ("/a%2e%2E/b", Base, "/a../b"),
            ("/x/%2e%2E/b", Base, "/b"),
            ("/a\\b", Base, "/a/b"),
            ("//a///b", Base, "//a///b"),
            ("//a///b//", Merge, "/a/b/"),
            ("/a//../b", Merge, "/a/b"),
            ("/a%2Fb", Merge, "/a%2Fb"),
            ("/a%2f%5Cb", Decode, "/a/b"),
            ("/a%2f..%2fb", Decode, "/b"),
            ("/100%", Base, "/100%"),
            ("/%+f", Base, "/%+f"),
            ("/%%361dmin", Base, "/%%361dmin"),
            ("/%2%35x", Base, "/%2%35x"),
            ("*", Decode, "*"),
        ] {
            assert_eq!(normal(path, how), expected, "{path} {how:?}");
        }
    }

    #[test]
    fn an_escaped_nul_is_refused() {
        assert_eq!(normalize("/a%00b", Normalization::Base), Err(BadPath));
        assert!(normalize("/a%00b", Normalization::None).is_ok());
    }

    #[test]
    fn templates_match_by_segment() {
        for (template, path, expected) in [
            ("/foo/{*}", "/foo/bar", true),
            ("/foo/{*}", "/foo/", false),
            ("/foo/{*}", "/foo/bar/buz", false),
            ("/foo/{**}", "/foo/bar/buz", true),
            ("/foo/{**}", "/foo/", true),
            ("/foo/{*}/bar/{**}", "/foo/x/bar/y/z", true),
            ("/foo/{*}/bar/{**}", "/foo/x/baz/y/z", false),
            ("/{*}/x{**}", "/a/xyz/b", true),
            ("/{**}.mpd", "/a/b/c.mpd", true),
            ("/{**}.mpd", "/a/b/c.mpg", false),
        ] {
            let PathMatch::Template(pieces) = PathMatch::parse(template) else {
                panic!("{template} is a template");
            };
            assert_eq!(fits_template(path, &pieces), expected, "{template} {path}");
        }
    }

    proptest! {
        #[test]
        fn a_regular_path_is_absolute_without_dots_and_stays_so(
            path in "/([a.%/\\\\]|%2[eEfF]|%5[cC]|%36|%25|[0-9]){0,12}",
            how in proptest::sample::select(vec![
                Normalization::Base,
                Normalization::MergeSlashes,
                Normalization::DecodeAndMergeSlashes,
            ]),
        ) {
            let Ok(once) = normalize(&path, how) else {
                // Its digits happen to be those of an escaped NUL.
                prop_assert!(path.contains("%00"));
                return Ok(());
            };
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.split('/').any(|part| part == "." || part == ".."), "{}", once);
            if how != Normalization::Base {
                prop_assert!(!once.contains("//"), "{}", once);
            }
            prop_assert_eq!(normal(&once, how), &*once);
        }
    }
}
