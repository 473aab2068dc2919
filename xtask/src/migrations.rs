//! `cargo xtask migrations`: both engines get the same tables, columns, constraints and indexes, step by step.
//!
//! Only the words that name a type, and those that make a number count itself, may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process;

const SQLITE: &str = "persistence/migrations/sqlite";
const POSTGRES: &str = "persistence/migrations/postgres";

pub fn run() -> Result<()> {
    let differences = compare_directories(&process::root())?;
    for difference in &differences {
        println!("{difference}");
    }
    if !differences.is_empty() {
        bail!("{} differences between {SQLITE} and {POSTGRES}", differences.len());
    }
    Ok(())
}

fn compare_directories(root: &Path) -> Result<Vec<String>> {
    let (sqlite, postgres) = (root.join(SQLITE), root.join(POSTGRES));
    let (of_sqlite, of_postgres) = (steps(&sqlite)?, steps(&postgres)?);
    let mut differences = Vec::new();
    for (step, only_in) in one_sided(&of_sqlite, &of_postgres) {
        differences.push(format!("{step}: only for {only_in}"));
    }
    for step in of_sqlite.intersection(&of_postgres) {
        let read = |engine: &Path| {
            let path = engine.join(step).join("up.sql");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        differences.extend(compare(&read(&sqlite)?, &read(&postgres)?).into_iter().map(|it| format!("{step}: {it}")));
    }
    Ok(differences)
}

fn steps(engine: &Path) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(engine).with_context(|| format!("cannot read {}", engine.display()))?;
    let entries: Vec<_> = entries.collect::<std::io::Result<_>>()?;
    let directories = entries.iter().filter(|entry| entry.path().is_dir());
    let steps: BTreeSet<_> = directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if steps.is_empty() {
        bail!("{} has no migrations", engine.display());
    }
    Ok(steps)
}

fn one_sided<'a>(
    sqlite: &'a BTreeSet<String>,
    postgres: &'a BTreeSet<String>,
) -> impl Iterator<Item = (&'a String, &'static str)> {
    let first = sqlite.difference(postgres).map(|name| (name, "SQLite"));
    first.chain(postgres.difference(sqlite).map(|name| (name, "Postgres")))
}

/// What each statement defines, and the parts of the definition that both engines must share.
type Schema = BTreeMap<String, Vec<String>>;

fn compare(sqlite: &str, postgres: &str) -> Vec<String> {
    let (sqlite, postgres) = (schema(sqlite), schema(postgres));
    let names = |schema: &Schema| schema.keys().cloned().collect::<BTreeSet<_>>();
    let (of_sqlite, of_postgres) = (names(&sqlite), names(&postgres));
    let mut differences: Vec<String> =
        one_sided(&of_sqlite, &of_postgres).map(|(name, only_in)| format!("{name}: only for {only_in}")).collect();
    for (name, parts) in &sqlite {
        let Some(others) = postgres.get(name) else { continue };
        let nothing = String::from("nothing");
        for at in 0..parts.len().max(others.len()) {
            let (part, other) = (parts.get(at).unwrap_or(&nothing), others.get(at).unwrap_or(&nothing));
            if part != other {
                differences.push(format!("{name}: `{part}` for SQLite, `{other}` for Postgres"));
            }
        }
    }
    differences
}

fn schema(sql: &str) -> Schema {
    let mut schema = Schema::new();
    let without_comments: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or(line)).collect();
    for statement in split(&words(&without_comments.join("\n")), ";") {
        let text = statement.join(" ").replace("if not exists ", "");
        let statement: Vec<&str> = text.split(' ').collect();
        match statement.as_slice() {
            ["create", "table", name, "(", body @ ..] => {
                let end = body.iter().rposition(|word| *word == ")").unwrap_or(body.len());
                schema.insert(format!("table {name}"), split(&body[..end], ",").iter().map(|it| shared(it)).collect());
            }
            ["alter", "table", name, "add", rest @ ..] => {
                let column = rest.strip_prefix(&["column"]).unwrap_or(rest);
                schema.entry(format!("changed table {name}")).or_default().push(shared(column));
            }
            ["create", "index", name, ..] => drop(schema.insert(format!("index {name}"), Vec::new())),
            ["create", "unique", "index", name, ..] => {
                drop(schema.insert(format!("unique index {name}"), Vec::new()));
            }
            _ => {}
        }
    }
    schema
}

/// In lower case, with every punctuation mark a word of its own.
fn words(sql: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(sql.len() * 2);
    for letter in sql.to_lowercase().chars() {
        match letter {
            '(' | ')' | ',' | ';' => spaced.extend([' ', letter, ' ']),
            '"' => {}
            _ => spaced.push(letter),
        }
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// At `separator`, but not inside parentheses.
fn split<'a, W: AsRef<str>>(words: &'a [W], separator: &str) -> Vec<Vec<&'a str>> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0;
    for word in words.iter().map(AsRef::as_ref) {
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 && word == separator {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(word);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

const TABLE_CONSTRAINTS: &[&str] = &["constraint", "primary", "unique", "check", "foreign"];
const COLUMN_CONSTRAINTS: &[&str] =
    &["not", "null", "primary", "unique", "check", "references", "default", "collate", "constraint"];

/// A constraint as it stands; a column without the words of its type.
fn shared(definition: &[&str]) -> String {
    let Some((name, rest)) = definition.split_first() else { return String::new() };
    if TABLE_CONSTRAINTS.contains(name) {
        return definition.join(" ");
    }
    let rest =
        rest.iter().skip_while(|word| !COLUMN_CONSTRAINTS.contains(word)).filter(|word| **word != "autoincrement");
    std::iter::once(name).chain(rest).copied().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: &str = "
        CREATE TABLE orders ( -- what was sold, for good
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            total BIGINT NOT NULL CHECK (total >= 0),
            placed_at TEXT,
            PRIMARY KEY (id, total)
        ) STRICT;
        CREATE UNIQUE INDEX orders_by_id ON orders (id);
        ALTER TABLE orders ADD COLUMN note TEXT;";

    const POSTGRES: &str = "
        create table if not exists \"orders\" (
            seq bigint generated always as identity primary key,
            id uuid not null unique,
            total bigint not null check(total >= 0),
            placed_at timestamp with time zone,
            primary key (id, total)
        );
        create unique index orders_by_id on orders using btree (id);
        alter table orders add note varchar(200);";

    #[test]
    fn types_and_spelling_may_differ() {
        assert_eq!(compare(SQLITE, POSTGRES), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_told() {
        for (from, to, told) in [
            ("uuid not null", "uuid", "table orders: `id not null unique` for SQLite, `id unique` for Postgres"),
            (">= 0", "> 0", "check ( total > 0 )` for Postgres"),
            ("placed_at", "placed", "table orders: `placed_at` for SQLite, `placed` for Postgres"),
            ("(id, total)", "(id)", "primary key ( id )` for Postgres"),
            ("unique index", "index", "unique index orders_by_id: only for SQLite"),
            ("add note", "add remark", "changed table orders: `note` for SQLite, `remark` for Postgres"),
            ("\"orders\"", "sales", "table orders: only for SQLite"),
        ] {
            let differences = compare(SQLITE, &POSTGRES.replacen(from, to, 1));
            assert!(differences.iter().any(|it| it.contains(told)), "{from} -> {to}: {differences:?}");
        }
    }

    #[test]
    fn a_step_of_one_engine_only_is_told() {
        let root = tempfile::tempdir().expect("temporary directory");
        for step in ["sqlite/001_orders", "sqlite/002_stock", "postgres/001_orders"] {
            let directory = root.path().join("persistence/migrations").join(step);
            std::fs::create_dir_all(&directory).expect("writable");
            std::fs::write(directory.join("up.sql"), "CREATE TABLE t (id TEXT NOT NULL);").expect("writable");
        }
        assert_eq!(compare_directories(root.path()).expect("readable"), ["002_stock: only for SQLite"]);
    }
}
