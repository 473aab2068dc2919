//! A pgbench script that repeats what the shop sent for one purchase or read, with new rows each time.
//!
//! Two recordings of the same request show which values belong to one purchase: those that differ. A text without
//! blanks and with a letter, such as an id, a key or a token, becomes new with each run of the script. It has the
//! length of the recorded one where possible, and it grows from run to run if the recorded ones begin alike, as ids
//! that begin with a time do. Numbers and documents keep the recorded value, because no row is found by them.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, bail};

use super::log::{Entry, Step};
use super::recording::Operation;

/// A longer value is a document.
const LONGEST_KEY: usize = 200;
/// A text that grows has at least this many equal characters at its beginning, after its prefix such as `chk_`.
const TIME: usize = 4;
/// The product that the recorded purchases buy, and the expression of one that changes with each run.
const PRODUCT: (&str, &str) = ("bench_1", ":product_prefix::text || :product::text");
/// The first lines of a script. `:now` is greater in each run of each client.
const START: &str = "\
\\set n :n + 1\n\
\\set now :n * 1000 + :client_id\n\
\\set product random(1, 20)\n";

/// A statement of the shop, with the values of both recordings.
struct Statement<'a> {
    sql: &'a str,
    values: Vec<(Option<&'a str>, Option<&'a str>)>,
    is_boundary: bool,
}

pub struct Script {
    pub text: String,
    /// The values of the variables that do not change.
    pub variables: Vec<(String, String)>,
}

/// Returns the types of the parameters of a statement, by the statement and example values.
pub type Types<'a> = dyn FnMut(&str, &[Option<&str>]) -> Result<Vec<String>> + 'a;

/// The operations before the first one of the outbox, which runs in the background.
pub fn operations_of_request(operations: &[Operation]) -> impl Iterator<Item = &Operation> {
    operations.iter().take_while(|operation| !operation.name.starts_with("outbox."))
}

/// The statements of these operations.
pub fn statements_of_request(operations: &[Operation]) -> impl Iterator<Item = &Entry> {
    let entries = operations_of_request(operations).flat_map(|operation| &operation.transaction);
    entries.filter(|entry| matches!(entry.step, Step::Execute | Step::Simple))
}

/// Makes the script of what both recordings of a request have before the first operation of the outbox.
pub fn script(recordings: &[Vec<Operation>; 2], types: &mut Types<'_>) -> Result<Script> {
    let mut writer = Writer::default();
    let mut body = String::new();
    for statement in statements(recordings)? {
        if statement.is_boundary {
            boundary(statement.sql, &mut body)?;
        } else {
            let examples: Vec<Option<&str>> = statement.values.iter().map(|(first, _)| *first).collect();
            let types = types(statement.sql, &examples)?;
            let expressions: Vec<String> = statement.values.iter().map(|(a, b)| writer.expression(*a, *b)).collect();
            writeln!(body, "{};", with_parameters(statement.sql, &expressions, &types)?)?;
        }
    }
    let mut variables = vec![("product_prefix".to_owned(), "bench_".to_owned())];
    variables.extend(writer.constants.into_iter().map(|(value, name)| (name, value)));
    Ok(Script { text: format!("{START}{}{body}", writer.sets), variables })
}

fn statements(recordings: &[Vec<Operation>; 2]) -> Result<Vec<Statement<'_>>> {
    let [first, second] =
        recordings.each_ref().map(|operations| statements_of_request(operations).collect::<Vec<&Entry>>());
    let is_same = |(a, b): (&&Entry, &&Entry)| a.sql == b.sql || (a.is_boundary() && b.is_boundary());
    if first.len() != second.len() || !first.iter().zip(&second).all(is_same) {
        bail!("the shop sent other statements for the second of two equal purchases. Run the benchmark again");
    }
    Ok(first
        .into_iter()
        .zip(second)
        .map(|(a, b)| {
            let values = a.parameters.iter().zip(&b.parameters).map(|(a, b)| (a.as_deref(), b.as_deref())).collect();
            Statement { sql: &a.sql, values, is_boundary: a.is_boundary() }
        })
        .collect())
}

/// Writes the start or the end of a transaction. pgbench cannot send several statements in one message, so settings
/// that the shop sends together with the start are left out. They would need round trips that the shop does not make.
fn boundary(sql: &str, body: &mut String) -> Result<()> {
    for statement in sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        if !statement.to_ascii_uppercase().starts_with("SET ") {
            writeln!(body, "{statement};")?;
        }
    }
    Ok(())
}

/// Replaces `$1` and so on by typed expressions.
fn with_parameters(sql: &str, expressions: &[String], types: &[String]) -> Result<String> {
    let mut text = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        match after[..digits].parse::<usize>() {
            Ok(number) => match (expressions.get(number - 1), types.get(number - 1)) {
                (Some(expression), Some(kind)) => write!(text, "({expression})::{kind}")?,
                _ => bail!("the log has no value of ${number}: {sql}"),
            },
            Err(_) => text.push('$'),
        }
        rest = &after[digits..];
    }
    text.push_str(rest);
    Ok(text)
}

/// The variables of a script.
#[derive(Default)]
struct Writer {
    /// The names of the variables with a constant value, by value.
    constants: BTreeMap<String, String>,
    /// The expressions of the values that are new in each run, by the value in the first recording.
    unique: BTreeMap<String, String>,
    /// The lines that compute these values.
    sets: String,
}

impl Writer {
    fn expression(&mut self, first: Option<&str>, second: Option<&str>) -> String {
        let Some(first) = first else { return "NULL".to_owned() };
        let (tokens, others) = (tokens(first), tokens(second.unwrap_or_default()));
        if first.len() > LONGEST_KEY || tokens.len() != others.len() {
            return self.constant(first);
        }
        let mut parts: Vec<String> = Vec::new();
        let mut constant = String::new();
        for (token, other) in tokens.into_iter().zip(others) {
            let changing = if token == PRODUCT.0 { Some(PRODUCT.1.to_owned()) } else { self.unique(token, other) };
            match changing {
                Some(changing) => {
                    if !constant.is_empty() {
                        parts.push(self.constant(&std::mem::take(&mut constant)));
                    }
                    parts.push(changing);
                }
                None => constant.push_str(token),
            }
        }
        if !constant.is_empty() || parts.is_empty() {
            parts.push(self.constant(&constant));
        }
        parts.join(" || ")
    }

    fn constant(&mut self, value: &str) -> String {
        // pgbench permits no empty variable.
        if value.is_empty() {
            return "''".to_owned();
        }
        let number = self.constants.len();
        let name = self.constants.entry(value.to_owned()).or_insert_with(|| format!("c{number}"));
        format!(":{name}::text")
    }

    /// The expression of a value that is new in each run. `None` if it is equal in both recordings, or a number.
    fn unique(&mut self, token: &str, other: &str) -> Option<String> {
        if token == other || !token.contains(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        if let Some(expression) = self.unique.get(token) {
            return Some(expression.clone());
        }
        /// The digits of a number that grows, and of a random one.
        const DIGITS: [usize; 2] = [19, 16];
        let number = self.unique.len();
        let common = token.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let prefix = token[..common].rfind('_').map_or(0, |separator| separator + 1);
        let grows = common - prefix >= TIME;
        let (value, digits) = match grows {
            true => (format!(":now * 100 + {number}"), DIGITS[0]),
            false => ("random(1000000000000000, 9999999999999999)".to_owned(), DIGITS[1]),
        };
        self.sets += &format!("\\set u{number} {value}\n");
        let kept = if grows { common } else { prefix };
        let tail = token.get(kept + digits..).unwrap_or_default();
        let part = |text: &str, writer: &mut Self| (!text.is_empty()).then(|| writer.constant(text));
        let parts = [part(&token[..kept], self), Some(format!(":u{number}::text")), part(tail, self)];
        let expression = parts.into_iter().flatten().collect::<Vec<_>>().join(" || ");
        self.unique.insert(token.to_owned(), expression.clone());
        Some(expression)
    }
}

/// Splits a text into words of letters, digits, `_` and `-`, and into what is between them.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let (mut tokens, mut start) = (Vec::new(), 0);
    let mut previous = None;
    for (at, c) in text.char_indices() {
        if previous.is_some_and(|previous| previous != is_word(c)) {
            tokens.push(&text[start..at]);
            start = at;
        }
        previous = Some(is_word(c));
    }
    tokens.push(&text[start..]);
    tokens
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
