//! The file of `--local-xds`: taken whole, or what it said before stays in force.

use std::time::Duration;

use weft_api::local_xds;
use weft_compiler::local_mesh;
use weft_model::{Change, Problem, Severity};

use super::Engine;
use crate::run::source::{Content, Edit};

/// What became of an edit.
struct Outcome {
    change: Change,
    since: Duration,
    /// The file with its text, when it was taken.
    taken: Option<(String, String)>,
}

impl Engine {
    /// Takes the file at start; when it is broken, what it said when an earlier manager took it.
    /// Returns the file.
    pub(super) fn start_local(&mut self, edits: Vec<Edit>) -> Option<String> {
        let edit = edits.into_iter().next_back()?;
        let file = edit.file.clone();
        match self.take_local(edit).taken {
            Some((file, text)) => self.accepted.keep(&file, &text),
            None => {
                if let Some(before) = self.accepted.recall(&file)
                    && let (Some(config), _) = local_xds::read(&file, &before)
                {
                    self.compiler.update_local(local_mesh(&config, &file));
                }
            }
        }
        Some(file)
    }

    /// Takes edits of the file.
    pub(crate) fn edit_local(&mut self, edits: Vec<Edit>) {
        // Only the last one is still true.
        let Some(edit) = edits.into_iter().next_back() else {
            return;
        };
        let outcome = self.take_local(edit);
        self.apply(&outcome.change, Some(outcome.since));
        self.gather_problems();
        if let Some((file, text)) = outcome.taken {
            self.accepted.keep(&file, &text);
        }
    }

    fn take_local(&mut self, edit: Edit) -> Outcome {
        let Edit { file, content, at } = edit;
        let mut outcome = Outcome {
            change: Change::default(),
            since: at,
            taken: None,
        };
        self.unreadable.remove(&file);
        let text = match content {
            Content::Text(text) => text,
            Content::Gone => {
                self.unreadable.insert(file, "it is gone".to_owned());
                return outcome;
            }
            Content::Unreadable(reason) => {
                self.unreadable.insert(file, reason);
                return outcome;
            }
        };
        let (config, problems) = local_xds::read(&file, &text);
        self.local_problems = problems.iter().map(weft_compiler::problem).collect();
        match config {
            Some(config) => {
                outcome.change = self.compiler.update_local(local_mesh(&config, &file));
                outcome.taken = Some((file, text));
            }
            None => self.say_kept(),
        }
        outcome
    }

    /// Tells with the first error what an error means for the file.
    fn say_kept(&mut self) {
        let mut problems = self.local_problems.iter_mut();
        let is_error = |problem: &&mut Problem| problem.severity == Severity::Error;
        if let Some(problem) = problems.find(is_error) {
            problem.message += "; the file is not taken, what it held before stays in force";
        }
    }
}
