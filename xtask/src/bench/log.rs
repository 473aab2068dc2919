//! The statements that a shop sends, from the log of the Postgres server.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

/// Columns of the log, see the section "Using CSV-Format Log Output" of the manual of Postgres.
const DATABASE: usize = 2;
const SESSION: usize = 5;
const MESSAGE: usize = 13;
const DETAIL: usize = 14;
const APPLICATION: usize = 22;

/// What the server did with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Prepared it. Diesel sends a message for it and waits, also if the statement has no name.
    Parse,
    /// Planned it.
    Bind,
    /// Ran a prepared statement.
    Execute,
    /// Ran one or more statements without parameters.
    Simple,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub step: Step,
    pub sql: String,
    /// `None` is NULL.
    pub parameters: Vec<Option<String>>,
    pub ms: f64,
}

/// The entries of one transaction, or of one statement outside of a transaction.
pub type Transaction = Vec<Entry>;

/// Returns the transactions that clients other than `psql` ended in a database, in the order of their ends. Reads the
/// log from the byte `from` on.
pub fn transactions(log: &Path, from: u64, database: &str) -> Result<Vec<Transaction>> {
    let mut file = File::open(log).with_context(|| format!("the server wrote no log {}", log.display()))?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut open: HashMap<String, Transaction> = HashMap::new();
    let mut ended = Vec::new();
    for record in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_slice()).records() {
        let record = record.context("the log of the server has another form")?;
        let column = |number: usize| record.get(number).unwrap_or_default();
        if column(DATABASE) != database || column(APPLICATION) == "psql" {
            continue;
        }
        let Some(entry) = entry(column(MESSAGE), column(DETAIL)) else { continue };
        let transaction = open.entry(column(SESSION).to_owned()).or_default();
        let (is_inside, ends) = (begins(transaction.first().unwrap_or(&entry)), entry.ends_transaction());
        let is_run = matches!(entry.step, Step::Execute | Step::Simple);
        transaction.push(entry);
        if ends || (is_run && !is_inside) {
            ended.push(std::mem::take(transaction));
        }
    }
    Ok(ended)
}

/// Parses a line such as `duration: 0.099 ms  execute name: SELECT 1` with its parameters. Returns `None` for a line of
/// another kind.
fn entry(message: &str, detail: &str) -> Option<Entry> {
    let (ms, rest) = message.strip_prefix("duration: ")?.split_once(" ms  ")?;
    let (step, sql) = rest.split_once(": ")?;
    let step = match step.split_once(' ').unwrap_or((step, "")) {
        ("statement", _) => Step::Simple,
        ("parse", _) => Step::Parse,
        ("bind", _) => Step::Bind,
        ("execute", _) => Step::Execute,
        _ => return None,
    };
    Some(Entry { step, sql: sql.trim().to_owned(), parameters: parameters(detail), ms: ms.parse().ok()? })
}

fn begins(entry: &Entry) -> bool {
    let words = ["BEGIN", "START TRANSACTION"];
    entry.step == Step::Simple && words.iter().any(|word| entry.sql.to_ascii_uppercase().starts_with(word))
}

impl Entry {
    /// Whether this entry begins or ends a transaction.
    pub fn is_boundary(&self) -> bool {
        begins(self) || self.ends_transaction()
    }

    fn ends_transaction(&self) -> bool {
        let last = self.sql.rsplit(';').map(str::trim).find(|statement| !statement.is_empty()).unwrap_or_default();
        let first_word = last.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        self.step == Step::Simple && ["COMMIT", "ROLLBACK", "END", "ABORT"].contains(&first_word.as_str())
    }
}

/// Parses `parameters: $1 = 'it''s', $2 = NULL`.
fn parameters(detail: &str) -> Vec<Option<String>> {
    let mut parameters = Vec::new();
    let mut rest = detail.split_once(": ").map_or("", |(_, list)| list);
    while let Some((_, value)) = rest.split_once(" = ") {
        let Some(quoted) = value.strip_prefix('\'') else {
            parameters.push(None);
            rest = value.split_once(", ").map_or("", |(_, rest)| rest);
            continue;
        };
        let (text, after) = unquoted(quoted);
        parameters.push(Some(text));
        rest = after;
    }
    parameters
}

/// Reads a text up to its closing quote. Two quotes stand for one. Returns the text, and what follows it.
fn unquoted(quoted: &str) -> (String, &str) {
    let (mut text, mut rest) = (String::new(), quoted);
    while let Some((part, after)) = rest.split_once('\'') {
        text.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                text.push('\'');
                rest = more;
            }
            None => return (text, after),
        }
    }
    text.push_str(rest);
    (text, "")
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
