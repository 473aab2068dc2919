//! No statement of the product reads a whole table.
//!
//! A tour of every port records the statements as they are sent, and each engine is asked for the plan of each
//! statement. A new statement is checked as soon as the tour uses it. The statements that may scan are named below,
//! with the reason. This is a separate binary, because the recorder sees every connection of the process.

#![allow(clippy::disallowed_methods, reason = "tests read where Postgres is")]

#[path = "../kit/mod.rs"]
mod kit;
mod tour;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use domain::outbox::{Channel, ClaimTerms, EndpointHealth, OutboxStore};
use kit::data::{noon, task};
use kit::logs::Logs;
use kit::raw::Raw;
use kit::{Place, Shop};
use persistence::Engine;

/// The statements that may read a whole table, each by its text from the name of the first table on, with the reason.
const MAY_SCAN: &[(&str, &str)] = &[
    ("__diesel_schema_migrations", "a few rows, for ever"),
    ("sqlite_master", "a few rows, in memory"),
    ("free_shipping", "a few rows that are all wanted"),
    ("shipping_rate", "all rates of one currency, of which there is a limit"),
    ("product", "any one row: it stops at the first"),
    ("platform", "a page of those that the operator approved, sorted by bytes: only SQLite has an index for that"),
    ("signing_key", "a few rows, for ever"),
    ("schema_floor", "a few rows, for ever"),
    ("idempotency_key SET created_at", "a simulation ages a key, production never does"),
];

/// The highest cost that the planner may estimate for a statement among some thousand rows. An index lookup costs 8, a
/// read of a whole table some hundreds.
const MOST: f64 = 150.0;

/// The statements that may cost more than [`MOST`], each by a part of its text, with the reason.
const MAY_COST: &[(&str, &str)] = &[
    ("FROM destination d", "one look for each destination, of an operator"),
    ("WITH RECURSIVE waiting", "one look for each destination with a pending message"),
    ("UPDATE idempotency_key SET created_at", "a simulation ages a key, production never does"),
    ("FROM (address INNER JOIN customer", "the copies of a customer are many with one address"),
    ("FROM shipping_rate", "all rates of one currency, of which there is a limit"),
    ("FROM free_shipping", "a few rows that are all wanted"),
    ("FROM platform", "as many rows as the operator approved"),
];

/// The indexes without which the planner finds no statement expensive, sorted by name, with the reason why each exists.
const MAY_BE_MISSED: [(&str, &str); 6] = [
    ("checkout_by_change", "checkout_by_expiry begins with the status too; read up to a limit"),
    ("checkout_by_expiry", "checkout_by_change begins with the status too; read up to a limit"),
    ("delivery_by_age", "delivery_by_state begins with the state too; an operator's look"),
    ("delivery_dead", "for an operator's look at one destination, where many are dead"),
    ("payment_attempt_by_reference", "for one payment among many that are unsettled"),
    ("variant_by_product", "for the reference of a product, when one is deleted by hand"),
];

static RECORDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// Only one tour runs at a time, so that the recorded statements are all in the dialect of one engine.
static TOUR: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn recorder() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let statement = text.split(" -- binds:").next().unwrap_or_default().trim().to_owned();
            RECORDED.lock().expect("not poisoned").insert(statement);
        }
    }))
}

/// Returns the recorded statements that read or change rows. Inserts are left out, because they find their place by the
/// key.
fn recorded_statements() -> Vec<String> {
    let all = std::mem::take(&mut *RECORDED.lock().expect("not poisoned"));
    let reads =
        |statement: &String| ["SELECT", "UPDATE", "DELETE", "WITH"].iter().any(|verb| statement.starts_with(verb));
    all.into_iter().filter(reads).collect()
}

on_sqlite!(every_statement_uses_an_index, claim_visits_no_endpoint_without_a_pending_message);
on_postgres!(
    every_statement_uses_an_index,
    no_statement_is_expensive_until_an_index_is_dropped,
    claim_visits_no_endpoint_without_a_pending_message,
);

async fn every_statement_uses_an_index(place: Place) {
    let _one_at_a_time = TOUR.lock().await;
    let (statements, logs) = toured(&place).await;
    judge(&place, &statements, &logs);
}

/// Runs a tour, and returns its statements and its log.
async fn toured(place: &Place) -> (Vec<String>, Logs) {
    let shop = place.shop().await;
    drop(shop);
    let logs = Logs::default();
    kit::record_logs(Some(logs.clone()));
    set_default_instrumentation(recorder).expect("a recorder");
    let shop = Shop::on(place.open());
    tour::tour(&shop).await;
    drop(shop);
    set_default_instrumentation(|| None).expect("no recorder");
    kit::record_logs(None);
    (recorded_statements(), logs)
}

fn judge(place: &Place, statements: &[String], logs: &Logs) {
    // Checks that the tour is complete: it ran every transaction of the ports and used every table.
    let ended = logs.lines();
    for operation in operations() {
        assert!(
            ended.iter().any(|line| line.contains("transaction ended") && line.contains(&format!("op={operation}"))),
            "the tour does not run {operation}"
        );
    }
    let mut raw = place.raw();
    for table in raw.product_tables() {
        assert!(statements.iter().any(|statement| statement.contains(&table)), "no statement uses {table}");
    }

    let mut excepted = BTreeSet::new();
    let mut scanning = Vec::new();
    for statement in statements {
        let plan = explain(&mut raw, place.engine(), statement);
        if !scans(place.engine(), &plan) {
            continue;
        }
        match MAY_SCAN.iter().find(|(what, _)| first_table(statement).starts_with(what)) {
            Some((what, _)) => drop(excepted.insert(*what)),
            None => scanning.push(format!("{statement}\n{}", plan.join("\n"))),
        }
    }
    assert!(scanning.is_empty(), "these read a whole table:\n\n{}", scanning.join("\n\n"));
    // Every exception must be used. On Postgres fewer exceptions are used, because sequential scans are off.
    let unused: Vec<_> = MAY_SCAN.iter().filter(|(what, _)| !excepted.contains(what) && *what != "platform").collect();
    assert!(unused.is_empty() || place.engine() == Engine::Postgres, "{unused:?}");
}

/// The cost of a claim does not depend on thousands of endpoints without pending messages.
async fn claim_visits_no_endpoint_without_a_pending_message(place: Place) {
    let _one_at_a_time = TOUR.lock().await;
    drop(place.shop().await);
    place.raw().execute(
        "INSERT INTO destination (id, channel, served_at, rest_until, failures) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
         SELECT 'webhook:https://idle' || CAST(i AS TEXT) || '.example/', 'webhook', 0, 0, 0 FROM n; ANALYZE",
    );
    set_default_instrumentation(recorder).expect("a recorder");
    let shop = Shop::on(place.open());
    shop.bought(&[("song", 1)], "k1").await;
    let terms = ClaimTerms { now: noon(), lease: Duration::ZERO, per_endpoint: 4, reach: EndpointHealth::Failing };
    let claimed = shop.deliveries.claim(&task(), Channel::Webhook, terms).await.expect("asked").message;
    assert!(claimed.is_some());
    drop(shop);
    set_default_instrumentation(|| None).expect("no recorder");

    let (mut raw, engine) = (place.raw(), place.engine());
    let choice = recorded_statements().into_iter().find(|statement| statement.contains("WITH RECURSIVE waiting"));
    let choice = choice.expect("a statement that chooses");
    let plan = explain(&mut raw, engine, &choice);
    assert!(!scans(engine, &plan), "{plan:#?}");
    if engine == Engine::Postgres {
        let visited = visited(&mut raw, &choice);
        assert!((1..=3).contains(&visited), "{visited} destinations were visited");
    }
}

/// Returns the number of endpoint rows that Postgres reads for this choice, with the default settings of the planner.
fn visited(raw: &mut Raw, choice: &str) -> u64 {
    raw.execute("RESET enable_seqscan; RESET plan_cache_mode");
    raw.execute(&format!("PREPARE asked AS {choice}"));
    let now = noon().unix_timestamp() * 1_000;
    let values = format!("'webhook', 2, {now}, {}, {now}, {now}, {now}, {now}, {now}, {now}, 4", now + 90_000_000);
    let plan = raw.plan(&format!("EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked({values})"));
    let number = |line: &str, after: &str| -> Option<f64> {
        let rest = line.split_once(after)?.1;
        rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
    };
    let at = plan.iter().position(|line| line.contains(" on destination d")).unwrap_or_else(|| panic!("{plan:#?}"));
    let (rows, loops) = (number(&plan[at], "(actual rows="), number(&plan[at], " loops="));
    let removed = plan[at + 1..].iter().take_while(|line| !line.contains("->"));
    let removed = removed.filter_map(|line| number(line, "Rows Removed by Filter: ")).sum::<f64>();
    let loops = loops.unwrap_or_else(|| panic!("{plan:#?}"));
    // Postgres reports the mean of the rows in each loop, rounded. If there are many loops over few rows, the mean is
    // 0, so at least the loops are counted.
    ((rows.unwrap_or_else(|| panic!("{plan:#?}")) + removed) * loops).max(loops).round() as u64
}

/// Among many rows no statement is expensive, and without any one index some statement is expensive. If no statement
/// is, the index is not needed, or it serves a statement that the tour does not send. Unique indexes enforce a rule and
/// are not checked.
async fn no_statement_is_expensive_until_an_index_is_dropped(place: Place) {
    let _one_at_a_time = TOUR.lock().await;
    let (statements, _) = toured(&place).await;
    let mut raw = place.raw();
    multiply(&mut raw);
    let expensive = |raw: &mut Raw| {
        let costs = |statement: &str| !MAY_COST.iter().any(|(what, _)| statement.replace('"', "").contains(what));
        let scanned = |statement: &str| !MAY_SCAN.iter().any(|(what, _)| first_table(statement).starts_with(what));
        let judged = statements.iter().filter(|statement| {
            let plan = explain(raw, Engine::Postgres, statement);
            (costs(statement) && cost(&plan) > MOST)
                || (scanned(statement) && plan.iter().any(|line| line.contains("Seq Scan")))
        });
        judged.cloned().collect::<Vec<_>>()
    };
    let found = expensive(&mut raw);
    assert!(found.is_empty(), "these cost too much among many rows:\n\n{}", found.join("\n\n"));
    let mut unnoticed = Vec::new();
    let indexes = "SELECT CAST(c.relname AS TEXT) AS value FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND NOT i.indisunique \
        AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY 1";
    for index in raw.texts(indexes) {
        raw.execute(&format!("BEGIN; DROP INDEX {index}"));
        if expensive(&mut raw).is_empty() {
            unnoticed.push(index);
        }
        raw.release();
    }
    assert_eq!(unnoticed, MAY_BE_MISSED.map(|(index, _)| index), "without these no statement costs much");
}

/// Copies the rows of each table under other ids until an index is cheaper than a scan.
fn multiply(raw: &mut Raw) {
    const COPIES: u32 = 1_000;
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
            .map(|column| match named.contains(column) {
                true => format!("{column} || '-' || n"),
                false if column == "number" => format!("{column} + 1000 * n"),
                false => column.clone(),
            })
            .collect();
        raw.execute(&format!(
            "INSERT INTO {table} ({}) SELECT {} FROM (SELECT * FROM {table} LIMIT 5) AS few, generate_series(1, {COPIES}) AS n",
            columns.join(", "),
            copied.join(", ")
        ));
    }
    raw.execute("ANALYZE");
}

/// Returns the cost in a plan that the planner made for any parameters.
fn cost(plan: &[String]) -> f64 {
    let expected =
        plan[0].split("..").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|cost| cost.parse().ok());
    expected.unwrap_or_else(|| panic!("no cost in {plan:?}"))
}

/// Reads the names of all transactions from the source.
fn operations() -> BTreeSet<String> {
    fn read(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).expect("the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                for call in text.split("Operation::").skip(1) {
                    let Some((kind, rest)) = call.split_once("(\"") else { continue };
                    if ["read", "write", "repeatable_write"].contains(&kind) {
                        found.extend(rest.split('"').next().map(str::to_owned));
                    }
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 25, "{found:?}");
    found
}

/// Returns the text of a statement from the name of its first table on, without quotation marks.
fn first_table(statement: &str) -> String {
    let plain = statement.replace(['`', '"'], "");
    let from = if plain.starts_with("UPDATE ") { "UPDATE " } else { " FROM " };
    plain.split_once(from).map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

fn explain(raw: &mut Raw, engine: Engine, statement: &str) -> Vec<String> {
    match engine {
        Engine::Sqlite => raw.plan(&format!("EXPLAIN QUERY PLAN {statement}")),
        Engine::Postgres => {
            // Makes the plan for any parameters, as for a prepared statement, with a scan only if nothing else is
            // possible.
            raw.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan");
            raw.execute(&format!("PREPARE asked AS {statement}"));
            let parameters = raw.number("SELECT cardinality(parameter_types) FROM pg_prepared_statements");
            let nulls = vec!["NULL"; usize::try_from(parameters).expect("a number")].join(", ");
            let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
            let plan = raw.plan(&format!("EXPLAIN EXECUTE asked{nulls}"));
            raw.execute("DEALLOCATE asked");
            plan
        }
    }
}

fn scans(engine: Engine, plan: &[String]) -> bool {
    let lines_with = |what: &str| plan.iter().filter(|line| line.contains(what)).count();
    match engine {
        // `CONSTANT ROW` is not a table: such a statement only computes. `w` is the intermediate result of a recursive
        // statement.
        Engine::Sqlite => plan.iter().any(|line| {
            let what = line.trim_start().strip_prefix("SCAN ");
            what.is_some_and(|what| !what.starts_with("CONSTANT ROW") && what != "w")
        }),
        Engine::Postgres => {
            let by_index = ["Index Scan", "Index Only Scan"].iter().map(|kind| lines_with(kind)).sum::<usize>();
            lines_with("Seq Scan") > 0 || lines_with("Index Cond") < by_index
        }
    }
}
