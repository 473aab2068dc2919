//! Compares the hand-written purchase of SQLite with the recorded one of Postgres: the kind and the first table of each
//! statement. SQLite logs no statements, so its script cannot be recorded.

use std::collections::BTreeMap;

use anyhow::Result;

use super::load::{scripts, text};
use super::recording::{Operation, Recording};
use super::script::statements_of_request;

impl Recording {
    /// Prints how the script of SQLite differs. A difference is no mistake if the shop sends other statements to SQLite
    /// than to Postgres.
    pub fn warn_of_differences(&self) -> Result<()> {
        let differences = differences(&text(&scripts().join("purchase.sql"))?, &self.purchases[0]);
        if !differences.is_empty() {
            println!(
                "xtask/bench/purchase.sql, for SQLite, differs from the purchase that was recorded on Postgres: {}. Change \
                 it if the shop sends the recorded statements to SQLite too",
                differences.join(", ")
            );
        }
        Ok(())
    }
}

/// Returns how the script differs from the recorded purchase, kind by kind. Empty if both have the same
/// statements.
pub fn differences(script: &str, recorded: &[Operation]) -> Vec<String> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['-', '\\']));
    let mut counts: BTreeMap<String, i32> = BTreeMap::new();
    lines.flat_map(shapes).for_each(|shape| *counts.entry(shape).or_default() += 1);
    statements_of_request(recorded)
        .flat_map(|entry| shapes(&entry.sql))
        .for_each(|shape| *counts.entry(shape).or_default() -= 1);
    let describe = |(shape, more): (String, i32)| match more {
        0 => None,
        1.. => Some(format!("{more} more of `{shape}`")),
        _ => Some(format!("{} fewer of `{shape}`", -more)),
    };
    counts.into_iter().filter_map(describe).collect()
}

/// The first word of a statement and the first table that it names. For a statement of several writes, those of each
/// write.
fn shapes(sql: &str) -> Vec<String> {
    let words: Vec<String> = sql
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let first = words.first().map_or("", String::as_str);
    if first == "with" {
        let writes = words.windows(2).filter(|pair| !["set", "of"].contains(&pair[1].as_str()));
        let shape = |pair: &[String]| match pair[0].as_str() {
            "into" => Some(format!("insert {}", pair[1])),
            "update" => Some(format!("update {}", pair[1])),
            _ => None,
        };
        let shapes: Vec<String> = writes.filter_map(shape).collect();
        if !shapes.is_empty() {
            return shapes;
        }
    }
    let table = words.windows(2).find(|pair| ["from", "into", "update"].contains(&pair[0].as_str()));
    vec![format!("{first} {}", table.map_or("", |pair| &pair[1])).trim_end().to_owned()]
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
