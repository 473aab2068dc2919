//! `cargo xtask boundaries`: the walls of the house, as far as the compiler and the lints do not hold them.
//!
//! What a crate may depend on is read from `cargo metadata`, what a file may say from its tokens, so that neither a
//! comment nor a string is taken for code. Both sets of rules are tables: `dependencies.rs` and `rules.rs`.

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

/// Ordered by place, so that a report can be read file by file.
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
    let root = process::root();
    let mut violations = dependencies::check(&root, &dependencies::metadata(&root)?)?;
    let sources = sources::with_extension(&root, "rs")?;
    violations.extend(sources.iter().flat_map(check));
    violations.extend(reach::check(&sources));
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violations", violations.len());
    }
    Ok(())
}

/// Every rule about what a file says, applied to one file.
fn check(source: &Source) -> BTreeSet<Violation> {
    let mut violations = BTreeSet::new();
    check_shape(source, &mut violations);
    check_code(source, &mut violations);
    violations
}

fn check_shape(source: &Source, violations: &mut BTreeSet<Violation>) {
    let mut report = |line, rule, found: String, reason| {
        violations.insert(Violation { file: source.path.clone(), line, rule, found, reason });
    };
    let opening = source.text.lines().next().unwrap_or_default();
    if !opening.starts_with("//!") {
        report(1, "story", opening.to_owned(), "a file opens with `//!` and says what it is for");
    }
    let lines = source.text.lines().count();
    if lines > MOST_LINES {
        report(lines, "length", format!("{lines} lines"), "a file that is longer than this tells more than one story");
    }
}

fn check_code(source: &Source, violations: &mut BTreeSet<Violation>) {
    let rules: Vec<_> = RULES.iter().filter(|rule| rule.speaks_of(&source.path)).collect();
    if rules.is_empty() {
        return;
    }
    let tokens = match code::tokens(&source.text) {
        Ok(tokens) => tokens,
        Err(line) => {
            let (file, found) = (source.path.clone(), "not Rust".to_owned());
            violations.insert(Violation { file, line, rule: "syntax", found, reason: "a file that cannot be read" });
            return;
        }
    };
    for rule in rules {
        for (line, found) in rule.found_in(&tokens, code::is_test_file(&source.path)) {
            let file = source.path.clone();
            violations.insert(Violation { file, line, rule: rule.name, found, reason: rule.reason });
        }
    }
}
