//! The migrations create the same schema on both engines.
//!
//! Each engine reports its own catalog, so the text of the steps does not matter. Only the names of types and the
//! form of expressions may differ.

use std::collections::BTreeSet;

use crate::kit::Place;
use crate::kit::raw::Raw;

crate::on_postgres!(both_engines_have_the_same_schema_after_migrating, schema_difference_of_each_kind_is_found,);

async fn both_engines_have_the_same_schema_after_migrating(postgres: Place) {
    let (mut sqlite, mut postgres) = (migrated(Place::sqlite()), migrated(postgres));
    let differences = differences(&mut sqlite.1, &mut postgres.1);
    assert!(differences.is_empty(), "{differences:#?}");
    let steps = "SELECT version AS value FROM __diesel_schema_migrations ORDER BY version";
    assert_eq!(sqlite.1.texts(steps), postgres.1.texts(steps), "the same steps");
}

/// Changes the schema of one engine, and checks that each change is found as a difference.
async fn schema_difference_of_each_kind_is_found(postgres: Place) {
    let (mut sqlite, mut postgres) = (migrated(Place::sqlite()), migrated(postgres));
    for (change, expected) in [
        ("ALTER TABLE checkout ALTER COLUMN version TYPE TEXT", "checkout.version text"),
        ("ALTER TABLE checkout ALTER COLUMN version TYPE INTEGER", "checkout.version integer"),
        ("ALTER TABLE checkout ALTER COLUMN owner DROP NOT NULL", "checkout.owner text null"),
        ("ALTER TABLE checkout ADD COLUMN note TEXT", "checkout.note"),
        ("ALTER TABLE checkout DROP COLUMN order_page", "checkout.order_page"),
        ("ALTER TABLE delivery ALTER COLUMN claims SET DEFAULT 1", "delivery.claims integer not null default 1"),
        ("DROP INDEX checkout_by_expiry", "checkout_by_expiry"),
        (
            "DROP INDEX checkout_by_expiry; CREATE INDEX checkout_by_expiry ON checkout (status, updated_at)",
            "checkout_by_expiry on checkout (status, updated_at)",
        ),
        (
            "DROP INDEX checkout_by_expiry; CREATE INDEX checkout_by_expiry ON checkout (expires_at, status)",
            "checkout_by_expiry on checkout (expires_at, status)",
        ),
        (
            "DROP INDEX checkout_by_expiry; CREATE INDEX checkout_by_expiry ON checkout (status, expires_at DESC)",
            "checkout_by_expiry on checkout (status, expires_at desc)",
        ),
        (
            "DROP INDEX checkout_by_page; CREATE INDEX checkout_by_page ON checkout (page)",
            "index checkout_by_page on checkout (page)",
        ),
        (
            "DROP INDEX payment_attempt_held; CREATE INDEX payment_attempt_held ON payment_attempt (due_at) \
             WHERE state = 'opened'",
            "payment_attempt_held",
        ),
        ("ALTER TABLE customer ADD UNIQUE (email)", "customer unique (email)"),
        ("ALTER TABLE product ADD COLUMN weight REAL", "product.weight"),
        ("DROP INDEX refund_due; CREATE INDEX refund_due ON refund (due_at)", "refund_due"),
        ("ALTER TABLE stock DROP CONSTRAINT stock_check", "stock check"),
        ("ALTER TABLE stock DROP CONSTRAINT stock_check, ADD CHECK (held <= on_hand)", "stock check held<=on_hand"),
        ("ALTER TABLE discount DROP CONSTRAINT discount_kind_check", "discount check kindin"),
        ("ALTER TABLE address DROP CONSTRAINT address_customer_id_fkey", "address (customer_id) references"),
        ("ALTER TABLE address DROP CONSTRAINT address_pkey", "address key"),
        ("CREATE TABLE more (id TEXT)", "table more"),
        ("DROP TABLE gateway_event", "table gateway_event"),
    ] {
        postgres.1.execute(&format!("BEGIN; {change}"));
        let differences = differences(&mut sqlite.1, &mut postgres.1);
        assert!(differences.iter().any(|difference| difference.contains(expected)), "{change}: {differences:#?}");
        postgres.1.release();
    }
    assert!(differences(&mut sqlite.1, &mut postgres.1).is_empty(), "each was taken back");
}

fn migrated(place: Place) -> (Place, Raw) {
    place.open().migrate().expect("a schema");
    let raw = place.raw();
    (place, raw)
}

fn differences(sqlite: &mut Raw, postgres: &mut Raw) -> Vec<String> {
    let (sqlite, postgres) = (facts(sqlite), facts(postgres));
    let only = |engine: &'static str, fact: &String| format!("only for {engine}: {fact}");
    let of_sqlite = sqlite.difference(&postgres).map(|fact| only("SQLite", fact));
    of_sqlite.chain(postgres.difference(&sqlite).map(|fact| only("Postgres", fact))).collect()
}

/// Returns one line for each table, column, key, index, reference and check.
fn facts(raw: &mut Raw) -> BTreeSet<String> {
    let tables = raw.product_tables();
    let mut facts: BTreeSet<String> = tables.iter().map(|table| format!("table {table}")).collect();
    for table in &tables {
        facts.extend(raw.texts(&columns(raw, table)).into_iter().map(|column| with_common_type(raw, &column)));
        facts.extend(raw.texts(&key(raw, table)));
        facts.extend(raw.texts(&unique(raw, table)));
        facts.extend(raw.texts(&references(raw, table)));
        facts.extend(raw.texts(&indexes(raw, table)).iter().map(|index| plain_predicate(index)));
        facts.extend(checks(raw, table).iter().map(|check| format!("{table} check {}", plain(check))));
    }
    // Postgres puts quotation marks around names that are keywords.
    facts.into_iter().map(|fact| fact.replace('"', "")).collect()
}

/// The types that a column may have: as SQLite stores the declaration, as Postgres names the type, and the common name
/// in the comparison.
const TYPES: [(&str, &str, &str); 4] = [
    ("text", "text", "text"),
    ("bigint", "bigint", "bigint"),
    ("integer", "integer", "integer"),
    ("boolean", "boolean", "boolean"),
];

/// Replaces the type of one engine in `<table>.<column> <type>, <the rest>` by the common name of the type.
fn with_common_type(raw: &Raw, column: &str) -> String {
    let (name, rest) = column.split_once(' ').expect("a name");
    let (declared, rest) = rest.split_once(',').expect("a type");
    let common = TYPES.iter().find(|(sqlite, postgres, _)| match raw {
        Raw::Sqlite(_) => *sqlite == declared,
        Raw::Postgres(_) => *postgres == declared,
    });
    let common =
        common.map_or_else(|| format!("a type that is not in TYPES: {declared}"), |(.., common)| (*common).to_owned());
    format!("{name} {common}{rest}")
}

fn columns(raw: &Raw, table: &str) -> String {
    match raw {
        Raw::Sqlite(_) => format!(
            "SELECT '{table}.' || name || ' ' || lower(type) || ',' || iif(\"notnull\", ' not null', ' null') \
             || coalesce(' default ' || dflt_value, '') AS value FROM pragma_table_info('{table}')"
        ),
        Raw::Postgres(_) => format!(
            "SELECT '{table}.' || column_name || ' ' || data_type || ',' \
             || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE ' null' END \
             || coalesce(' default ' || column_default, '') AS value \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'"
        ),
    }
}

fn key(raw: &Raw, table: &str) -> String {
    match raw {
        Raw::Sqlite(_) => format!(
            "SELECT '{table} key (' || group_concat(name, ', ') || ')' AS value \
             FROM (SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk) HAVING count(*) > 0"
        ),
        Raw::Postgres(_) => format!(
            "SELECT '{table} key ' || substr(pg_get_constraintdef(oid), length('PRIMARY KEY ') + 1) AS value \
             FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'p'"
        ),
    }
}

/// Selects the unique constraints of the table. A unique index that a migration creates is listed among the indexes
/// instead.
fn unique(raw: &Raw, table: &str) -> String {
    match raw {
        Raw::Sqlite(_) => format!(
            "SELECT '{table} unique (' || (SELECT group_concat(name, ', ') \
                 FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) || ')' AS value \
             FROM pragma_index_list('{table}') i WHERE i.origin = 'u'"
        ),
        Raw::Postgres(_) => format!(
            "SELECT '{table} unique ' || substr(pg_get_constraintdef(oid), length('UNIQUE ') + 1) AS value \
             FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'u'"
        ),
    }
}

fn references(raw: &Raw, table: &str) -> String {
    match raw {
        Raw::Sqlite(_) => format!(
            "SELECT '{table} (' || \"from\" || ') references ' || \"table\" || '(' || \"to\" || ')' AS value \
             FROM pragma_foreign_key_list('{table}')"
        ),
        Raw::Postgres(_) => format!(
            "SELECT '{table} ' || replace(substr(pg_get_constraintdef(oid), length('FOREIGN KEY ') + 1), \
             'REFERENCES', 'references') AS value \
             FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'f'"
        ),
    }
}

/// Selects the indexes of the table except those of keys, which each engine creates in another way.
fn indexes(raw: &Raw, table: &str) -> String {
    match raw {
        Raw::Sqlite(_) => format!(
            "SELECT iif(i.\"unique\", 'unique index ', 'index ') || i.name || ' on {table} (' \
             || (SELECT group_concat(c.name || iif(c.desc, ' desc', ''), ', ') \
                 FROM (SELECT * FROM pragma_index_xinfo(i.name) WHERE key ORDER BY seqno) c) || ')' \
             || iif(i.partial, ' where ' || substr(m.sql, instr(m.sql, ' WHERE ') + 7), '') AS value \
             FROM pragma_index_list('{table}') i JOIN sqlite_master m ON m.name = i.name WHERE i.origin = 'c'"
        ),
        Raw::Postgres(_) => format!(
            "SELECT CASE WHEN i.indisunique THEN 'unique index ' ELSE 'index ' END || c.relname || ' on {table} (' \
             || (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, true) \
                   || CASE WHEN i.indoption[n - 1] & 1 = 1 THEN ' desc' ELSE '' END, ', ' ORDER BY n) \
                 FROM generate_series(1, i.indnkeyatts) n) || ')' \
             || coalesce(' where ' || pg_get_expr(i.indpred, i.indrelid), '') AS value \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid = '{table}'::regclass \
               AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
        ),
    }
}

fn checks(raw: &mut Raw, table: &str) -> Vec<String> {
    match raw {
        // SQLite reports checks only in the SQL text of the table.
        Raw::Sqlite(_) => {
            let sql = raw.texts(&format!("SELECT sql AS value FROM sqlite_master WHERE name = '{table}'")).remove(0);
            sql.split("CHECK").skip(1).map(|rest| in_parentheses(rest).to_owned()).collect()
        }
        Raw::Postgres(_) => raw.texts(&format!(
            "SELECT pg_get_expr(conbin, conrelid) AS value FROM pg_constraint \
             WHERE conrelid = '{table}'::regclass AND contype = 'c'"
        )),
    }
}

fn in_parentheses(text: &str) -> &str {
    let text = text.trim_start();
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..=at];
        }
    }
    text
}

fn plain_predicate(index: &str) -> String {
    match index.split_once(" where ") {
        Some((index, predicate)) => format!("{index} where {}", plain(predicate)),
        None => index.to_owned(),
    }
}

/// Removes from an expression what differs between the engines: parentheses, blanks, casts, and the form of lists.
fn plain(expression: &str) -> String {
    let one_word_for_lists = expression.replace("::text", "").replace("= ANY (ARRAY[", "IN (").to_lowercase();
    one_word_for_lists.replace(['(', ')', '[', ']', ' ', '\n'], "")
}
