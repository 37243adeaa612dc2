//! Tells what is done, what is expected, and what was seen.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::{Result, bail};

use super::interrupt::Interrupt;
use crate::say;

/// The demo's narrator: counts what was promised and what was seen.
pub(super) struct Story {
    steps: u32,
    seen: u32,
    missed: Vec<String>,
    colours: bool,
    interrupt: Interrupt,
}

impl Story {
    pub(super) fn new(interrupt: Interrupt) -> Self {
        Self {
            steps: 0,
            seen: 0,
            missed: Vec::new(),
            colours: std::io::stdout().is_terminal(),
            interrupt,
        }
    }

    /// Begins a step: what it shows, what is done, what is expected.
    ///
    /// # Errors
    /// When somebody interrupted the demo.
    pub(super) fn step(&mut self, title: &str, done: &str, expected: &str) -> Result<()> {
        if self.interrupt.is_set() {
            bail!("interrupted");
        }
        self.steps += 1;
        let number = self.steps;
        self.say("");
        self.say(&self.paint("1", &format!("{number}. {title}")));
        self.say(&format!("   done:     {done}"));
        self.say(&format!("   expected: {expected}"));
        Ok(())
    }

    /// What was seen, and whether it is what was expected.
    pub(super) fn see(&mut self, as_expected: bool, seen: &str) {
        let mark = if as_expected {
            self.seen += 1;
            self.paint("32", "✓")
        } else {
            self.missed.push(format!("step {}: {seen}", self.steps));
            self.paint("31", "✗")
        };
        self.say(&format!("   {mark} seen:   {seen}"));
    }

    /// Something that could not be done at all counts as not seen.
    pub(super) fn see_result<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.see(false, &format!("{what}: {error:#}"));
                None
            }
        }
    }

    /// Output of a command, indented.
    pub(super) fn quote(&self, text: &str) {
        for line in text.lines() {
            self.say(&format!("      {line}"));
        }
    }

    pub(super) fn say(&self, line: &str) {
        say::result(line);
    }

    /// Sums up, and gives the exit code.
    pub(super) fn verdict(&self) -> ExitCode {
        self.say("");
        if self.missed.is_empty() {
            self.say(&format!("All {} promises were seen.", self.seen));
            return ExitCode::SUCCESS;
        }
        let (missed, all) = (self.missed.len(), self.seen as usize + self.missed.len());
        self.say(&format!("{missed} of {all} promises were NOT seen:"));
        for missed in &self.missed {
            self.quote(missed);
        }
        ExitCode::FAILURE
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
