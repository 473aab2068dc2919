//! `cargo xtask boundaries`: the rules between crates and modules that neither the compiler nor clippy checks.
//!
//! `dependencies.rs` has the rules for dependencies, checked on the output of `cargo metadata`. `rules.rs` has the rules for
//! code, checked on tokens, so that comments and strings are not taken for code. `reach.rs` finds files that are not compiled.
//! `ports.rs`, `golden.rs` and `modules.rs` find what a new port, a new keyed write or a new module lacks. `migrations.rs`
//! checks the names of the migrations.

mod dependencies;
mod golden;
mod migrations;
mod modules;
mod ports;
mod reach;
mod rules;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::golden::newest_set;
use crate::process;
use crate::sources::{self, Source};
use rules::{MOST_LINES, RULES};
use violation::Violation;

pub fn run() -> Result<()> {
    let mut violations = dependencies::check(&process::metadata()?)?;
    violations.extend(check(sources::rust()?, &newest_set()?));
    violations.extend(migrations::check(&migrations::names()?));
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!(
            "{} violations: correct each, or add an exception with its reason in xtask/src/boundaries",
            violations.len()
        );
    }
    Ok(())
}

/// Applies every rule about files to all files. `golden` is the text of the newest golden set.
fn check(sources: &[Source], golden: &str) -> BTreeSet<Violation> {
    let of_all =
        [reach::check(sources), ports::check(sources), golden::check(sources, golden), modules::check(sources)];
    sources.iter().flat_map(check_file).chain(of_all.into_iter().flatten()).collect()
}

/// Applies every rule that looks at one file at a time.
fn check_file(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line, rule, found: String, reason| {
        violations.push(Violation { file: source.path.clone(), line, rule, found, reason });
    };
    let opening = source.text.lines().next().unwrap_or_default();
    if !opening.starts_with("//!") {
        report(1, "story", opening.to_owned(), "a file begins with `//!` and states its purpose");
    }
    let lines = source.text.lines().count();
    if lines > MOST_LINES {
        report(lines, "length", format!("{lines} lines"), "a file this long has more than one purpose: split it");
    }
    if let Some(line) = source.syntax_error {
        report(line, "syntax", "not Rust".to_owned(), "the file cannot be parsed");
    }
    for rule in RULES.iter().filter(|rule| rule.applies_to(&source.path)) {
        for (line, found) in rule.search(source) {
            report(line, rule.name, found, rule.reason);
        }
    }
    violations
}
