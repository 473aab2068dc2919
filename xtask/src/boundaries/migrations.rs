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
    let version = |name: &str| name.split_once('_').map(|(version, _)| version.to_owned()).filter(|it| is_version(it));
    let broken = |name: &String| {
        let Some(own) = version(name) else {
            return Some(violation(name, "the name has the form YYYY-MM-DD-NNNNNN_name"));
        };
        let is_shared = names.iter().any(|other| other != name && version(other).as_ref() == Some(&own));
        let reason = "two migrations have this version, so one is not applied: rename the one that no release has";
        is_shared.then(|| violation(name, reason))
    };
    names.iter().filter_map(broken).collect()
}

fn is_version(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [4, 2, 2, 6] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "migrations_tests.rs"]
mod tests;
