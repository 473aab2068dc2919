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

/// A violation that is permitted: its file, what was found there, and the reason.
pub type Exception = (&'static str, &'static str, &'static str);

/// Removes the permitted violations of a rule. Reports each exception that permits nothing, as a violation in `table`,
/// the file with the exceptions.
pub fn without_exceptions(
    rule: &'static str,
    mut violations: Vec<Violation>,
    exceptions: &[Exception],
    table: &str,
) -> Vec<Violation> {
    for (file, found, _) in exceptions {
        let before = violations.len();
        violations.retain(|violation| violation.file != *file || violation.found != *found);
        if violations.len() == before {
            let found = format!("{file}: {found}");
            let reason = "the rule permits this without an exception: delete the exception";
            violations.push(Violation { file: table.to_owned(), line: 1, rule, found, reason });
        }
    }
    violations
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] `{}`: {}", self.file, self.line, self.rule, self.found, self.reason)
    }
}
