//! Counts over the output of many test programs.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

/// What a test prints, followed by the reason, when it cannot run here. As far as its test program
/// is concerned it then passes.
const SKIPPED: &str = "skipped: ";

/// How all tests together ended.
#[derive(Default, Debug)]
pub(super) struct Summary {
    programs: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
    /// Reasons by test, one per test that skipped itself.
    reasons: BTreeMap<String, String>,
    /// The test whose captured output is being read, while the output is that of passed tests.
    passed_test: Option<String>,
    cargo_failed: bool,
}

impl Summary {
    /// Takes in one line of output; tells whether it is worth showing. What passed tests printed
    /// (`--show-output`) is asked for to learn which of them skipped themselves.
    pub(super) fn read(&mut self, line: &str) -> bool {
        if line == "successes:" {
            self.passed_test = Some(String::new());
        } else if line == "failures:" {
            self.passed_test = None;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed_test = None;
            self.add(counts);
        } else if self.passed_test.is_some() {
            self.read_captured(line);
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some(name) = test.strip_suffix(" ... FAILED")
        {
            self.failures.push(name.to_owned());
        }
        self.passed_test.is_none()
    }

    fn read_captured(&mut self, line: &str) {
        let heading = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = heading {
            // Two programs may have tests of one name.
            self.passed_test = Some(format!("{name} #{}", self.programs));
        } else if let (Some(reason), Some(test)) = (line.strip_prefix(SKIPPED), &self.passed_test) {
            self.reasons
                .entry(test.clone())
                .or_insert_with(|| reason.to_owned());
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
        } else if self.passed + self.skipped == 0 {
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
        for (test, reason) in &self.reasons {
            let name = test.split(" #").next().unwrap_or(test);
            writeln!(f, "skipped: {name}: {reason}")?;
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
        for line in lines {
            summary.read(line);
        }
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
        let lines = [
            "successes:",
            "---- path::tcx stdout ----",
            "skipped: needs kernel 6.6",
        ];
        let summary = summary(
            &[&lines[..], &lines[2..], &["", "successes:", OK]].concat(),
            true,
        );
        assert!(
            summary
                .to_string()
                .contains("skipped: path::tcx: needs kernel 6.6"),
            "{summary}"
        );
        assert!(
            summary
                .to_string()
                .ends_with("2 passed, 0 failed, 2 skipped"),
            "{summary}"
        );
    }

    #[test]
    fn a_failed_test_is_not_counted_as_skipped() {
        let lines = [
            "failures:",
            "---- path::tcx stdout ----",
            "skipped: one of two",
            OK,
        ];
        assert!(
            summary(&lines, false)
                .to_string()
                .ends_with("3 passed, 0 failed, 1 skipped")
        );
    }

    #[test]
    fn what_passed_tests_printed_is_not_shown() {
        let mut summary = Summary::default();
        let lines = [
            "test a ... ok",
            "successes:",
            "---- a stdout ----",
            "noise",
            "failures:",
            OK,
        ];
        let shown = lines.map(|line| summary.read(line));
        assert_eq!(shown, [true, false, false, false, true, true]);
    }
}
