//! Counts over the output of many test programs.

use std::fmt::{self, Display, Formatter};

/// What a test prints, on a line of its own and followed by the reason, when it cannot run here.
/// It then passes as far as its test program is concerned.
const SKIPPED: &str = "SKIPPED: ";

/// How all tests together ended.
#[derive(Default, Debug)]
pub(super) struct Summary {
    programs: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
    reasons: Vec<String>,
    cargo_failed: bool,
}

impl Summary {
    /// Takes in one line of output.
    pub(super) fn read(&mut self, line: &str) {
        if let Some((_, reason)) = line.split_once(SKIPPED) {
            self.reasons.push(reason.trim().to_owned());
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.add(counts);
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some(name) = test.strip_suffix(" ... FAILED")
        {
            self.failures.push(name.to_owned());
        }
    }

    /// Ends the count with how cargo itself ended.
    pub(super) fn finish(&mut self, success: bool) {
        self.cargo_failed = !success;
        let said = self.reasons.len().min(self.passed);
        self.passed -= said;
        self.skipped += said;
    }

    /// Why the run is no success; a failure that no count shows (a crash) is one too.
    pub(super) fn problem(&self) -> Option<String> {
        if self.failed > 0 {
            Some(format!("{} tests failed", self.failed))
        } else if self.cargo_failed {
            Some("a test program ended before its last test; see above".to_owned())
        } else if self.passed == 0 {
            Some("no test ran; is the filter right?".to_owned())
        } else {
            None
        }
    }

    /// Counts as in `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished ...`.
    fn add(&mut self, counts: &str) {
        self.programs += 1;
        for count in counts.split(['.', ';']) {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} test programs ended", self.programs)?;
        for reason in &self.reasons {
            writeln!(f, "skipped: {reason}")?;
        }
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lines: &[&str], success: bool) -> Summary {
        let mut summary = Summary::default();
        lines.iter().for_each(|line| summary.read(line));
        summary.finish(success);
        summary
    }

    const OK: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; \
                      finished in 0.00s";

    #[test]
    fn counts_add_up_over_programs() {
        let summary = summary(&[OK, "test a::b ... ok", OK], true);
        assert!(
            summary
                .to_string()
                .ends_with("\n6 passed, 0 failed, 2 skipped"),
            "{summary}"
        );
        assert_eq!(summary.problem(), None);
    }

    #[test]
    fn a_failure_is_named_and_fails_the_run() {
        let result =
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let summary = summary(&["test a::b ... FAILED", result, OK], false);
        assert!(summary.to_string().contains("failed: a::b"), "{summary}");
        assert_eq!(summary.problem().as_deref(), Some("1 tests failed"));
    }

    #[test]
    fn a_crash_between_results_fails_the_run() {
        assert!(summary(&[OK], false).problem().is_some());
    }

    #[test]
    fn a_run_of_no_test_is_no_success() {
        assert!(
            summary(&["test result: ok. 0 passed; 0 failed; 0 ignored"], true)
                .problem()
                .is_some()
        );
    }

    #[test]
    fn a_test_that_says_it_skipped_did_not_pass() {
        let line = "test path ... SKIPPED: tcx needs kernel 6.6, this is 6.1";
        let summary = summary(&[line, OK], true);
        assert!(
            summary
                .to_string()
                .contains("skipped: tcx needs kernel 6.6"),
            "{summary}"
        );
        assert!(
            summary
                .to_string()
                .ends_with("2 passed, 0 failed, 2 skipped"),
            "{summary}"
        );
    }
}
