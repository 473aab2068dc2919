//! No statement of the product reads more rows than it needs.
//!
//! The statements are those that the contract tests send, so a new module is checked as soon as it has contract tests.
//! SQLite is asked whether a statement reads a whole table. Postgres runs each statement among thousands of rows, and
//! reports how many rows it visits. The exceptions are named below, with the reason.

mod messages;
mod visits;

use std::collections::BTreeSet;
use std::time::Duration;

use domain::outbox::{Channel, ClaimTerms, EndpointHealth, OutboxStore};
use persistence::Engine;
use visits::{Execution, Visits, explain, visits};

use crate::contract::outbox::seed;
use crate::golden;
use crate::kit::cases::recorded_by;
use crate::kit::data::{noon, task};
use crate::kit::raw::Raw;
use crate::kit::recording::{Recorded, Recording};
use crate::kit::{Place, source};

/// The statements that may read a whole table on SQLite, each by its text from the name of the first table on, with the
/// reason.
const MAY_SCAN: &[(&str, &str)] = &[
    ("__diesel_schema_migrations", "a few rows, for ever"),
    ("sqlite_master", "a few rows, in memory"),
    ("free_shipping", "a few rows that are all wanted"),
    ("shipping_rate", "all rates of one currency, of which there is a limit"),
    ("product", "any one row: it stops at the first"),
    ("signing_key", "a few rows, for ever"),
    ("idempotency_key SET created_at", "a simulation ages a key, production never does"),
];

/// The statements that may visit more than [`too_much`] allows, each by a part of its text, with the reason.
const MAY_VISIT: &[(&str, &str)] = &[
    ("WITH RECURSIVE waiting", "one look for each destination with a pending message"),
    ("UPDATE idempotency_key SET created_at", "a simulation ages a key, production never does"),
    ("FROM free_shipping ", "a few rows that are all wanted"),
    ("FROM platform ", "as many rows as the operator approved"),
    (
        "(delivery.id < $2)) AND (delivery.destination = $3)",
        "an operator's list for one endpoint walks over the messages of a state",
    ),
];

/// The indexes without which no statement visits too many rows, sorted by name, with the reason why each exists.
const MAY_BE_MISSED: &[(&str, &str)] = &[
    ("payment_attempt_by_reference", "for one payment among many that are unsettled and not due soon"),
    ("variant_by_product", "for the reference of a product, when one is deleted by hand"),
];

crate::on_both_engines!(
    contract_tests_run_every_operation_and_use_every_table,
    claim_visits_no_endpoint_without_a_pending_message,
    claim_visits_no_message_of_the_backlog_that_it_does_not_return,
    claim_visits_few_messages_if_none_was_pending_at_the_last_analyze,
);
mod on_sqlite {
    use super::every_statement_uses_an_index;
    crate::on_sqlite!(every_statement_uses_an_index);
}
mod on_postgres {
    use super::{every_index_is_needed, every_statement_visits_few_rows, statement_without_an_index_is_found};
    crate::on_postgres!(every_index_is_needed, every_statement_visits_few_rows, statement_without_an_index_is_found);
}

/// Returns what the contract tests send to the engine.
fn contract(engine: Engine) -> Recorded {
    recorded_by("contract", if engine == Engine::Sqlite { "sqlite" } else { "postgres" })
}

async fn contract_tests_run_every_operation_and_use_every_table(place: Place) {
    let recorded = contract(place.engine());
    let missing: BTreeSet<_> = source::operations().difference(&recorded.operations).cloned().collect();
    let remedy = "call the port method in a test of persistence/tests/storage/contract";
    assert!(missing.is_empty(), "no contract test runs {missing:?}: {remedy}");
    let loose = &recorded.loose;
    assert!(
        loose.is_empty(),
        "{loose:?} send more than one statement: use Operation::read or repeatable_write, without `_one`"
    );
    place.open().migrate().expect("a schema");
    let used =
        |table: &String| recorded.statements.keys().any(|statement| tables(statement).any(|used| used == *table));
    let unused: Vec<_> = golden::tables(&mut place.raw()).into_iter().filter(|table| !used(table)).collect();
    assert!(unused.is_empty(), "no contract test reads the tables {unused:?}: {remedy}");
}

/// Returns the words of a statement, among them its tables.
fn tables(statement: &str) -> impl Iterator<Item = &str> {
    statement.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

async fn every_statement_uses_an_index(place: Place) {
    let recorded = contract(Engine::Sqlite);
    place.open().migrate().expect("a schema");
    let mut raw = place.raw();
    let mut excepted = BTreeSet::new();
    let mut scanning = Vec::new();
    for statement in recorded.statements.keys() {
        let plan = sqlite_plan(&mut raw, statement);
        if !scans(&plan) {
            continue;
        }
        match MAY_SCAN.iter().find(|(what, _)| first_table(statement).starts_with(&format!("{what} "))) {
            Some((what, _)) => drop(excepted.insert(*what)),
            None => scanning.push(format!("{statement}\n{}", plan.join("\n"))),
        }
    }
    let remedy = "add an index, or an exception with its reason to MAY_SCAN";
    assert!(scanning.is_empty(), "these read a whole table ({remedy}):\n\n{}", scanning.join("\n\n"));
    let unused: Vec<_> = MAY_SCAN.iter().filter(|(what, _)| !excepted.contains(what)).collect();
    assert!(unused.is_empty(), "no statement needs these exceptions of MAY_SCAN: {unused:?}");
}

fn sqlite_plan(raw: &mut Raw, statement: &str) -> Vec<String> {
    raw.plan(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// Whether a plan of SQLite reads a whole table.
fn scans(plan: &[String]) -> bool {
    // `CONSTANT ROW` is not a table: such a statement only computes. A virtual table is a value of the statement. `w`
    // is the intermediate result of a recursive statement.
    plan.iter().any(|line| {
        let what = line.trim_start().strip_prefix("SCAN ");
        what.is_some_and(|what| !what.starts_with("CONSTANT ROW") && !what.contains("VIRTUAL TABLE") && what != "w")
    })
}

/// Returns the text of a statement from the name of its first table on, without quotation marks and with a blank at the
/// end.
fn first_table(statement: &str) -> String {
    let plain = statement.replace(['`', '"'], "");
    let from = if plain.starts_with("UPDATE ") { "UPDATE " } else { " FROM " };
    plain.split_once(from).map(|(_, rest)| format!("{rest} ")).unwrap_or_default()
}

async fn every_statement_visits_few_rows(place: Place) {
    let recorded = contract(Engine::Postgres);
    let mut raw = among_many_rows(&place);
    // As in the sessions of the shop: one plan of a prepared statement for all values. No partial index fits a bound value.
    raw.execute("SET LOCAL plan_cache_mode = force_generic_plan");
    let mut found = Vec::new();
    for (statement, values) in &recorded.statements {
        found.extend(values.values().flatten().find_map(|values| too_much(&mut raw, (statement, values))));
    }
    let wrong: Vec<_> = found.iter().filter(|found| exception(found).is_none()).map(String::as_str).collect();
    let remedy = "add an index, or an exception with its reason to MAY_VISIT";
    assert!(wrong.is_empty(), "these visit too many rows ({remedy}):\n\n{}", wrong.join("\n\n"));
    let used: BTreeSet<_> = found.iter().filter_map(|found| exception(found)).collect();
    let unused: Vec<_> = MAY_VISIT.iter().filter(|exception| !used.contains(exception)).collect();
    assert!(unused.is_empty(), "no statement needs these exceptions of MAY_VISIT: {unused:?}");
}

/// Without any one index some statement visits too many rows. If no statement does, the index is not needed, or it
/// serves a statement that no contract test sends. Unique indexes enforce a rule and are not checked.
async fn every_index_is_needed(place: Place) {
    let recorded = contract(Engine::Postgres);
    let mut raw = among_many_rows(&place);
    let indexes = raw.texts(
        "SELECT c.relname || ' ' || CAST(i.indrelid::regclass AS TEXT) AS value FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND NOT i.indisunique \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY 1",
    );
    let judged: Vec<_> = executions(&recorded).filter(|execution| too_much(&mut raw, *execution).is_none()).collect();
    let mut missed = Vec::new();
    for index in &indexes {
        let (index, table) = index.split_once(' ').expect("a table");
        raw.execute(&format!("SAVEPOINT indexed; DROP INDEX {index}"));
        let mut of_table = judged.iter().filter(|(statement, _)| tables(statement).any(|used| used == table));
        if of_table.all(|execution| too_much(&mut raw, *execution).is_none()) {
            missed.push(index);
        }
        raw.execute("ROLLBACK TO indexed");
    }
    let known: Vec<_> = MAY_BE_MISSED.iter().map(|(index, _)| *index).collect();
    assert_eq!(
        missed, known,
        "left: the indexes without which no statement visits too many rows. Remove an index, or send its statement in a \
         contract test, with values that are rare: not those of the rows of golden/history.rs, which are a large part of \
         the rows here. Or name the index with its reason in MAY_BE_MISSED (right)"
    );
}

/// The measure itself finds statements that read a whole table or a whole index, and no others.
async fn statement_without_an_index_is_found(place: Place) {
    let mut raw = among_many_rows(&place);
    for (statement, values, found) in [
        ("SELECT id FROM checkout WHERE id = $1", r#"["x"]"#, false),
        ("SELECT id FROM checkout WHERE version = $1", "[7]", true),
        ("SELECT id FROM checkout WHERE version > $1 LIMIT $2", "[0, 9]", false),
        ("UPDATE stock SET held = 0 WHERE on_hand < $1", "[0]", true),
        ("DELETE FROM platform WHERE profile = $1", r#"["x"]"#, true),
        // The key begins with two other columns, so that its whole index is read for a row or for none.
        ("SELECT resource FROM idempotency_key WHERE resource = $1 AND idempotency_key = $2", r#"["x", "y"]"#, true),
        ("SELECT p.id FROM product p, variant v WHERE v.title = p.title AND p.id = $1", r#"["song"]"#, true),
        ("SELECT id FROM product WHERE id = ANY($1) AND title = $2", r#"[["a'b", "c\"d"], Some("e")]"#, false),
    ] {
        assert_eq!(too_much(&mut raw, (statement, values)).is_some(), found, "{statement}");
    }
}

fn executions(recorded: &Recorded) -> impl Iterator<Item = Execution<'_>> {
    let each = recorded.statements.iter();
    each.flat_map(|(statement, values)| {
        values.values().flatten().map(move |values| (statement.as_str(), values.as_str()))
    })
}

/// Returns the statement with its values and its plan, if it visits too much.
fn too_much(raw: &mut Raw, execution: Execution<'_>) -> Option<String> {
    let Visits { rows, pages, wanted } = visits(raw, execution);
    // Each row may need some more of other tables, and be in another page of its table. A lookup reads some pages of an
    // index.
    let (most_rows, most_pages) = (50 + 8 * wanted, 30 + 2 * rows + 2 * wanted);
    (rows > most_rows || pages > most_pages).then(|| {
        let ((statement, values), plan) = (execution, explain(raw, execution, "COSTS OFF"));
        let visited = format!("{rows} rows (at most {most_rows}), {pages} pages (at most {most_pages})");
        format!("{statement}\n{values}\n{visited}\n{plan}")
    })
}

/// Returns the exception for what [`too_much`] found.
fn exception(found: &str) -> Option<&'static (&'static str, &'static str)> {
    let plain = found.replace('"', "");
    MAY_VISIT.iter().find(|(what, _)| plain.contains(what))
}

/// Fills the database with thousands of rows in each table, and begins a transaction in which statements are measured.
fn among_many_rows(place: &Place) -> Raw {
    place.open().migrate().expect("a schema");
    let mut raw = place.raw();
    let (_, newest) = golden::sets().pop().expect("a golden set");
    golden::load(&mut raw, &newest);
    multiply(&mut raw);
    // As in the sessions of the product.
    raw.execute("BEGIN; SET LOCAL enable_seqscan = off");
    raw
}

/// Copies the rows of each table under other ids, up to some thousand rows.
fn multiply(raw: &mut Raw) {
    const ROWS: u32 = 5_000;
    /// Columns whose values seldom occur twice, although no rule forbids it.
    const VARIED: [&str; 2] = ["email", "reference"];
    raw.execute("SET session_replication_role = replica");
    for table in raw.product_tables() {
        let named = raw.texts(&format!(
            "SELECT DISTINCT CAST(a.attname AS TEXT) AS value FROM pg_attribute a WHERE a.attrelid = '{table}'::regclass \
             AND a.atttypid = 'text'::regtype AND (EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid \
               AND i.indisunique AND a.attnum = ANY (i.indkey)) \
             OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'f' \
               AND a.attnum = ANY (k.conkey)))"
        ));
        let columns = raw.columns(&table);
        let copied: Vec<String> = columns
            .iter()
            .map(|column| match named.contains(column) || VARIED.contains(&column.as_str()) {
                true => format!("{column} || '-' || n"),
                false if column == "number" => format!("{column} + 1000 * n"),
                false => column.clone(),
            })
            .collect();
        raw.execute(&format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table}, \
             generate_series(1, (SELECT {ROWS} / greatest(count(*), 1) FROM {table})) AS n",
            columns.join(", "),
            copied.join(", ")
        ));
    }
    // The recorded values are of other rows, so they may break a rule of these rows.
    let checks = raw.texts(
        "SELECT 'ALTER TABLE ' || CAST(conrelid::regclass AS TEXT) || ' DROP CONSTRAINT ' || conname AS value \
         FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace",
    );
    checks.iter().for_each(|drop| raw.execute(drop));
    raw.execute("ANALYZE");
}

/// The cost of a claim does not depend on thousands of endpoints without pending messages.
async fn claim_visits_no_endpoint_without_a_pending_message(place: Place) {
    let shop = place.shop().await;
    let mut raw = place.raw();
    raw.execute(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
         SELECT 'webhook:https://idle' || CAST(i AS TEXT) || '.example/', 'webhook', 0, 0, 0 FROM n; ANALYZE",
    );
    shop.bought(&[("song", 1)], "k1").await;
    let terms = ClaimTerms { now: noon(), lease: Duration::ZERO, per_endpoint: 4, reach: EndpointHealth::Failing };
    let claimed = shop.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message;
    assert!(claimed.is_some());

    let recording = Recording::current().expect("a recording");
    let recorded = recording.recorded();
    let choice = executions(&recorded).find(|(statement, _)| statement.contains("WITH RECURSIVE waiting"));
    let choice = choice.expect("a statement that chooses");
    match place.engine() {
        Engine::Sqlite => assert!(!scans(&sqlite_plan(&mut raw, choice.0)), "{choice:?}"),
        Engine::Postgres => {
            raw.execute("BEGIN");
            let rows = visits(&mut raw, choice).rows;
            assert!((1..=9).contains(&rows), "{rows} rows were visited\n{}", explain(&mut raw, choice, "COSTS OFF"));
        }
    }
}

/// The cost of a claim does not depend on the backlog of the endpoint that it chooses.
async fn claim_visits_no_message_of_the_backlog_that_it_does_not_return(place: Place) {
    claim_with_a_backlog(place, &["UPDATE delivery SET state = 'delivered', ended_at = 1"], &["ANALYZE"]).await;
}

/// The statistics of the engine can be from a moment in which no message was pending.
async fn claim_visits_few_messages_if_none_was_pending_at_the_last_analyze(place: Place) {
    claim_with_a_backlog(place, &["UPDATE delivery SET state = 'delivered', ended_at = 1", "ANALYZE"], &[]).await;
}

/// Claims from an endpoint with a backlog beside another one. `before` and `after` are run before and after the messages
/// become pending.
async fn claim_with_a_backlog(place: Place, before: &[&str], after: &[&str]) {
    let shop = place.shop().await;
    let mut raw = place.raw();
    let long = "x".repeat(1_200);
    let lengthen = format!("UPDATE delivery SET body = '{long}'");
    seed(&mut raw, "webhook:https://busy.example/", 1, 20_000);
    before.iter().for_each(|statement| raw.execute(statement));
    seed(&mut raw, "webhook:https://busy.example/", 2, 800);
    seed(&mut raw, "webhook:https://hung.example/", 3, 800);
    let rests = noon().unix_timestamp() * 1_000 + 60_000;
    raw.execute(&format!("UPDATE destination SET rest_until = {rests} WHERE id = 'webhook:https://hung.example/'"));
    raw.execute(&format!("{lengthen} WHERE ended_at IS NULL"));
    after.iter().for_each(|statement| raw.execute(statement));
    let terms =
        ClaimTerms { now: noon(), lease: Duration::from_secs(60), per_endpoint: 5, reach: EndpointHealth::Failing };
    // The first claim is one transaction, and the others are another, because they wait for it.
    let claim = async || shop.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message;
    let claimed = tokio::join!(claim(), claim(), claim(), claim(), claim(), claim());
    assert_eq!((claimed.5.is_none(), claimed.3.is_some()), (true, true));

    let recording = Recording::current().expect("a recording");
    let recorded = recording.recorded();
    let of_claim =
        |statement: &str| statement.contains("WITH RECURSIVE waiting") || statement.contains("FROM delivery v");
    let reads: Vec<_> = executions(&recorded).filter(|(statement, _)| of_claim(statement)).collect();
    assert!(reads.len() >= 3, "{reads:?}");
    if place.engine() == Engine::Postgres {
        raw.execute("BEGIN");
    }
    for read in reads {
        match place.engine() {
            Engine::Sqlite => {
                let plan = sqlite_plan(&mut raw, read.0).join("\n");
                assert!(!plan.contains("TEMP B-TREE FOR ORDER BY") || read.0.contains("waiting"), "{plan}");
            }
            Engine::Postgres => {
                let rows = visits(&mut raw, read).rows;
                assert!(rows <= 20, "{rows} rows were visited\n{}", explain(&mut raw, read, "COSTS OFF"));
            }
        }
    }
}
