//! `cargo xtask boundaries`: the rules between crates and modules that neither the compiler nor clippy checks.
//!
//! `dependencies.rs` has the rules for dependencies, checked on the output of `cargo metadata`. `rules.rs` has the rules for
//! code, checked on tokens, so that comments and strings are not taken for code. `reach.rs` finds files that are not compiled.

pub mod code;
mod dependencies;
mod reach;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};

use crate::process;
use crate::sources::{self, Source};
use rules::{MOST_LINES, RULES};

/// Ordered by file and line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
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

pub fn run() -> Result<()> {
    let mut violations = dependencies::check(&process::root(), &process::metadata()?)?;
    violations.extend(check(sources::rust()?));
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violations", violations.len());
    }
    Ok(())
}

/// Every rule about files, applied to all of them.
fn check(sources: &[Source]) -> BTreeSet<Violation> {
    reach::check(sources).into_iter().chain(check_files(sources)).collect()
}

/// Every rule that looks at one file at a time.
fn check_files(sources: &[Source]) -> BTreeSet<Violation> {
    let mut violations = BTreeSet::new();
    let mut report = |source: &Source, line, rule, found: String, reason| {
        violations.insert(Violation { file: source.path.clone(), line, rule, found, reason });
    };
    for source in sources {
        let opening = source.text.lines().next().unwrap_or_default();
        if !opening.starts_with("//!") {
            report(source, 1, "story", opening.to_owned(), "a file begins with `//!` and states its purpose");
        }
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            let reason = "a file this long has more than one purpose: split it";
            report(source, lines, "length", format!("{lines} lines"), reason);
        }
        if let Err(line) = source.tokens() {
            report(source, line, "syntax", "not Rust".to_owned(), "the file cannot be parsed");
        }
    }
    for rule in RULES {
        let search = rule.search();
        for source in sources.iter().filter(|source| rule.applies_to(&source.path)) {
            for (line, found) in search(source) {
                report(source, line, rule.name, found, rule.reason);
            }
        }
    }
    violations
}
