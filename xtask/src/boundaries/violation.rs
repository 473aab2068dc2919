//! A broken rule, with the place at which it is broken and the reason for the rule.

use std::fmt;

/// One place that breaks a rule. Violations are ordered by file and then by line.
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
