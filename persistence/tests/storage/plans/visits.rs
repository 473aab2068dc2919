//! How many rows a statement visits on Postgres.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

use crate::kit::raw::Raw;

/// A statement and one list of values, both as diesel shows them.
pub type Execution<'s> = (&'s str, &'s str);

/// What one execution read.
pub struct Visits {
    /// The rows that the scans returned or removed.
    pub rows: u64,
    /// The pages of tables and indexes that were read. An index that is read as a whole shows here only.
    pub pages: u64,
    /// The rows that the values ask for: the limit of the statement, or the length of its longest list.
    pub wanted: u64,
}

/// Runs a statement within the open transaction of `raw`, and takes back what it changed.
pub fn visits(raw: &mut Raw, execution: Execution<'_>) -> Visits {
    let plan: Value = serde_json::from_str(&explain(raw, execution, "BUFFERS, FORMAT JSON")).expect("JSON");
    let root = &plan[0]["Plan"];
    Visits {
        rows: rows(root).round() as u64,
        pages: (number(root, "Shared Hit Blocks") + number(root, "Shared Read Blocks")) as u64,
        wanted: wanted(execution.0, &values(execution.1)),
    }
}

/// Like [`visits`], but returns the plan.
pub fn explain(raw: &mut Raw, (statement, shown): Execution<'_>, options: &str) -> String {
    let values: Vec<String> = values(shown).into_iter().map(|value| value.sql).collect();
    let arguments = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    raw.execute(&format!("SAVEPOINT before; PREPARE asked AS {statement}"));
    let plan = raw.plan(&format!("EXPLAIN (ANALYZE, TIMING OFF, {options}) EXECUTE asked{arguments}"));
    let plan = plan.unwrap_or_else(|error| panic!("{statement}\n{shown}: {error}")).join("\n");
    raw.execute("ROLLBACK TO before; DEALLOCATE asked");
    plan
}

fn number(node: &Value, name: &str) -> f64 {
    node[name].as_f64().unwrap_or(0.0)
}

/// Returns the rows that the scans of this part of a plan visited.
fn rows(node: &Value) -> f64 {
    let below = node["Plans"].as_array().into_iter().flatten().map(rows).sum::<f64>();
    // A scan of an intermediate result, such as that of a recursive statement, names no table. The scan of an index for a
    // bitmap names none either. What it reads shows in the pages.
    if node.get("Relation Name").is_none() || node["Node Type"] == "ModifyTable" {
        return below;
    }
    let names = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
    let (each, loops) = (names.map(|name| number(node, name)).iter().sum::<f64>(), number(node, "Actual Loops"));
    // Postgres reports the mean of the rows in each loop, rounded. If there are many loops over few rows, the mean is
    // 0, so at least the loops are counted.
    below + (each * loops).max(loops)
}

fn wanted(statement: &str, values: &[Bound]) -> u64 {
    let limits = statement.split("LIMIT ").skip(1).map(|rest| {
        let word = rest.split(|c: char| c != '$' && !c.is_ascii_digit()).next().unwrap_or_default();
        match word.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => values.get(number - 1).and_then(|value| value.sql.parse().ok()).unwrap_or(0),
            None => word.parse().unwrap_or(0),
        }
    });
    limits.chain(values.iter().map(|value| value.elements)).max().unwrap_or(0)
}

/// One value that is bound to a parameter.
struct Bound {
    sql: String,
    /// The length of a list or of a JSON object.
    elements: u64,
}

/// Reads values in the form of `Debug`.
fn values(shown: &str) -> Vec<Bound> {
    let mut rest = shown.chars().peekable();
    assert_eq!(rest.next(), Some('['), "{shown}");
    list(&mut rest)
}

type Rest<'s> = Peekable<Chars<'s>>;

/// Reads the elements of a list, after its opening bracket.
fn list(rest: &mut Rest<'_>) -> Vec<Bound> {
    let mut found = Vec::new();
    loop {
        match rest.peek() {
            Some(']') => {
                rest.next();
                return found;
            }
            Some(',' | ' ') => drop(rest.next()),
            Some(_) => found.push(value(rest)),
            None => panic!("a list has no end"),
        }
    }
}

fn value(rest: &mut Rest<'_>) -> Bound {
    let of = |sql: String| Bound { sql, elements: 0 };
    match rest.peek() {
        Some('"') => {
            let text = text(rest);
            // A JSON object is a list of keys with their values.
            let members = serde_json::from_str::<serde_json::Map<_, _>>(&text).map_or(0, |object| object.len());
            Bound { sql: quoted(&text), elements: members as u64 }
        }
        Some('[') => {
            rest.next();
            let elements = list(rest);
            if elements.is_empty() {
                return of("'{}'".into());
            }
            let listed: Vec<&str> = elements.iter().map(|element| element.sql.as_str()).collect();
            Bound { sql: format!("ARRAY[{}]", listed.join(", ")), elements: elements.len() as u64 }
        }
        _ => {
            let mut word = String::new();
            while let Some(next) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '-') {
                word.push(next);
            }
            match word.as_str() {
                "None" => of("NULL".into()),
                // The value of a wrapper, such as `Some(1)`.
                _ if rest.next_if_eq(&'(').is_some() => {
                    let inner = value(rest);
                    assert_eq!(rest.next(), Some(')'), "{word}");
                    inner
                }
                "" => panic!("no value at {:?}", rest.collect::<String>()),
                _ => of(word),
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn text(rest: &mut Rest<'_>) -> String {
    rest.next();
    let mut found = String::new();
    loop {
        match rest.next().expect("the end of a text") {
            '"' => return found,
            // Quotes are those of a JSON value. What another escaped character is does not matter to the number of rows.
            '\\' => found.extend(rest.next().filter(|escaped| *escaped == '"')),
            other => found.push(other),
        }
    }
}
