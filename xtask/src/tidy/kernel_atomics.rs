//! Atomics of the kernel half: one file wraps the intrinsics, and it adds with `Relaxed` only
//! where the result is dropped. Otherwise LLVM writes an add that returns nothing, in silence.

use super::{Problems, sources::Source};

const WRAPPER: &str = "ebpf/src/atomic.rs";

pub(super) fn check(sources: &[Source], problems: &mut Problems) {
    for source in sources
        .iter()
        .filter(|source| source.path.starts_with("ebpf/src/"))
    {
        if source.path == WRAPPER {
            problems.extend(relaxed_results(source));
        } else if source.text.contains("intrinsics::atomic_") {
            problems.push(format!("{}: atomics go through {WRAPPER}", source.path));
        }
    }
}

/// Functions that return something and use a relaxed read-modify-write.
fn relaxed_results(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut signature = String::new();
    let mut in_signature = false;
    for (number, line) in source.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("fn ") {
            signature.clear();
            in_signature = true;
        }
        if in_signature {
            signature.push_str(code);
            in_signature = !code.contains('{');
        }
        let changes = code.contains("Relaxed") && !code.contains("use ") && !is_plain_access(code);
        if changes && signature.contains("->") {
            let place = format!("{}:{}", source.path, number + 1);
            breaches.push(format!(
                "{place}: Relaxed where the result is used; take AcqRel"
            ));
        }
    }
    breaches
}

/// Loads and stores compile right with any ordering.
fn is_plain_access(code: &str) -> bool {
    ["atomic_load", "atomic_store"]
        .iter()
        .any(|name| code.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Problems {
        let mut problems = Problems::new();
        check(
            &[Source {
                path: path.to_owned(),
                text: text.to_owned(),
            }],
            &mut problems,
        );
        problems
    }

    #[test]
    fn a_relaxed_add_may_not_return_its_result() {
        let text =
            "pub fn next(at: *mut u64) -> u64 {\n    atomic_xadd::<_, _, { Relaxed }>(at, 1)\n}\n";
        assert_eq!(breaches(WRAPPER, text).len(), 1);
        assert!(breaches(WRAPPER, &text.replace("Relaxed", "AcqRel")).is_empty());
        assert!(breaches(WRAPPER, &text.replace(" -> u64", "")).is_empty());
    }

    #[test]
    fn a_signature_over_several_lines_is_read_whole() {
        let text = "pub fn next(\n    at: *mut u64,\n) -> u64 {\n    xadd::<{ Relaxed }>(at)\n}\n";
        assert_eq!(breaches(WRAPPER, text).len(), 1);
    }

    #[test]
    fn an_intrinsic_outside_the_wrapper_is_refused() {
        assert_eq!(
            breaches("ebpf/src/connect.rs", "core::intrinsics::atomic_xadd(a, b)").len(),
            1
        );
        assert!(breaches("manager/src/main.rs", "core::intrinsics::atomic_xadd(a, b)").is_empty());
    }
}
