//! What a run of the tests checked, counted from the results of the tests and from the record that the tests write.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::provided::Provided;

/// Something that the tests can use, such as a server or a program.
pub struct Given {
    /// The name in the record.
    pub name: &'static str,
    /// A description, or the reason why this is missing.
    pub is: Result<String, String>,
}

/// How many tests passed and failed, as the test harness printed it.
#[derive(Default)]
pub struct Results {
    passed: usize,
    failed: usize,
}

impl Results {
    /// Adds the counts of a line such as `test result: ok. 27 passed; 0 failed; 0 ignored; ...`. Ignores other lines.
    pub fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = counts.split_whitespace().collect();
        let before = |word: &str| words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok());
        self.passed += before("passed;").unwrap_or(0);
        self.failed += before("failed;").unwrap_or(0);
    }
}

pub struct Summary {
    results: String,
    checked: Vec<(&'static str, String)>,
    not_checked: Vec<String>,
    unused: Vec<&'static str>,
}

/// The name that SQLite has in the record.
pub const SQLITE: &str = "SQLite";

impl Summary {
    /// Makes the summary. Each line of the record is one use: a kind (`used`, `skipped`, `in part`, `not checked`), a
    /// name and a test, separated by tabs.
    pub fn of(given: &[Given], record: &str, results: &Results) -> Summary {
        let record: BTreeSet<(&str, &str, &str)> = record.lines().filter_map(fields).collect();
        let count = |kind: &str, name: &str| record.iter().filter(|line| (line.0, line.1) == (kind, name)).count();
        // Skipped tests returned early. The harness counts them as passed.
        let skipped = record.iter().filter(|(kind, ..)| ["skipped", "not checked"].contains(kind));
        let skipped = skipped.map(|(.., test)| test).collect::<BTreeSet<_>>().len();
        let passed = results.passed.saturating_sub(skipped);
        let results = format!("{passed} passed, {} failed, {skipped} skipped", results.failed);
        let mut summary = Summary { results, checked: Vec::new(), not_checked: Vec::new(), unused: Vec::new() };
        for Given { name, is } in given {
            let [used, skipped, in_part] = ["used", "skipped", "in part"].map(|kind| count(kind, name));
            let mut shortfall = String::new();
            match is {
                Ok(is) if used > 0 => summary.checked(name, format!("{is}; used by {}", tests(used))),
                // No test used this, and no test recorded that it was skipped.
                Ok(_) if skipped + in_part == 0 => summary.unused.push(name),
                Ok(_) => {}
                Err(why) => shortfall = format!(" ({why})"),
            }
            for (count, how) in [(skipped, "skipped"), (in_part, "run in part")] {
                if count > 0 {
                    shortfall += &format!(": {} {how}", tests(count));
                }
            }
            if !shortfall.is_empty() {
                summary.not_checked.push(format!("{name}{shortfall}"));
            }
        }
        let not_checked = record.iter().filter(|(kind, ..)| *kind == "not checked").map(|(_, what, _)| *what);
        for what in not_checked.collect::<BTreeSet<_>>() {
            summary.not_checked.push(format!("{what}: {} skipped", tests(count("not checked", what))));
        }
        summary
    }

    pub fn checked(&mut self, what: &'static str, how: String) {
        self.checked.push((what, how));
    }

    /// Marks this as the summary of a part of the tests, which need not use everything. `left_out` describes the other
    /// tests.
    pub fn is_of_a_part(&mut self, left_out: String) {
        self.unused.clear();
        self.not_checked.push(left_out);
    }

    /// Accepts that no test of this run used `what`.
    pub fn need_not_use(&mut self, what: Provided) {
        self.unused.retain(|name| *name != what.name);
    }

    /// Fails if something was provided and no test used it, because then the tests that need it are gone or return
    /// early.
    pub fn everything_was_used(&self) -> Result<()> {
        if !self.unused.is_empty() {
            bail!("provided, and used by no test: {}", self.unused.join(", "));
        }
        Ok(())
    }

    pub fn print(&self) {
        println!("\n======================== what this run checked ========================");
        println!("  {:<20}{}", "Tests", self.results);
        for (what, checked) in &self.checked {
            println!("  {what:<20}{checked}");
        }
        for what in &self.not_checked {
            println!("  NOT CHECKED: {what}");
        }
        for what in &self.unused {
            println!("  NOT CHECKED: {what}: it was provided, and no test used it");
        }
        println!("=======================================================================");
    }
}

fn fields(line: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = line.split_once('\t')?;
    let (name, test) = rest.split_once('\t')?;
    Some((kind, name, test))
}

fn tests(count: usize) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

/// The version of the SQLite that is built from source, read from its header file.
pub fn sqlite_version() -> Result<String> {
    let metadata = process::metadata()?;
    let package = metadata.packages.iter().find(|package| package.name == "libsqlite3-sys");
    let package = package.context("no crate builds SQLite")?;
    let header = package.manifest_path.with_file_name("sqlite3").join("sqlite3.h");
    let text = std::fs::read_to_string(&header).with_context(|| format!("cannot read {header}"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
    let version = version.map_or("version unknown", |version| version.trim().trim_matches('"'));
    Ok(format!("{version}; bundled with libsqlite3-sys {}", package.version))
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
