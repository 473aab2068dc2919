//! The rule for the names of migrations. Diesel takes the part before the first `_` for the version, and applies only one of
//! several migrations with one version.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::violation::Violation;
use crate::process;

const DIRECTORY: &str = "persistence/migrations/";

/// The names of all migrations, in their order.
pub fn names() -> Result<BTreeSet<String>> {
    let directory = process::root().join(DIRECTORY);
    let entries = std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The names without the form `YYYY-MM-DD-NNNNNN_name`, and those whose version another migration has.
pub fn check(names: &BTreeSet<String>) -> Vec<Violation> {
    let violation = |name: &str, reason| Violation {
        file: format!("{DIRECTORY}{name}"),
        line: 1,
        rule: "migration",
        found: name.to_owned(),
        reason,
    };
    let mut violations = Vec::new();
    let mut versions = BTreeSet::new();
    for name in names {
        let version = name.split_once('_').map(|(version, _)| version).filter(|version| is_version(version));
        match version {
            None => violations.push(violation(name, "the name has the form YYYY-MM-DD-NNNNNN_name")),
            Some(version) if !versions.insert(version) => {
                violations.push(violation(
                    name,
                    "another migration has this version, so this one is not applied: take the next number",
                ));
            }
            Some(_) => {}
        }
    }
    violations
}

fn is_version(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [4, 2, 2, 6] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "migrations_tests.rs"]
mod tests;
