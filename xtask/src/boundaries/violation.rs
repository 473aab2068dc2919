//! A broken rule, with the place and the reason.

use std::fmt;

/// Ordered by file and line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    pub rule: &'static str,
    pub found: String,
    pub reason: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] `{}`: {}", self.file, self.line, self.rule, self.found, self.reason)
    }
}
