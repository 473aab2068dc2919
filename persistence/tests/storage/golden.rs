//! This program reads what earlier releases stored.
//!
//! `tests/golden/<format>/shop.json` is a whole shop, every table of it, as the release of that format stored it. A
//! set is never changed: it represents existing databases. `cargo xtask golden` writes the set of the current format.

mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::checkout::{Checkout, CheckoutId, CheckoutStore, CompletionState, Outcome, Settlement};
use domain::idempotency::{Fingerprint, Key, KeyClaim};
use domain::order::{OrderEventKind, OrderId, OrderStore};
use domain::outbox::{Channel, ClaimTerms, EndpointHealth, OutboxStore};
use domain::payment::{AttemptId, AttemptStore, PaymentOutcome};
use persistence::Engine;
use serde_json::{Value, json};

use crate::kit::data::{PATIENCE, about, alice, caller, create, hours, new_checkout, noon, rich_request, task};
use crate::kit::golden::{Golden, Set, rows, text};
use crate::kit::raw::Raw;
use crate::kit::{Place, Shop};

const REMEDY: &str = "\nWhat is stored has another shape than that of the newest golden set. Programs of the last release \
    read and write the same rows while a new one is rolled out (docs/UPGRADES.md), and rows of that shape exist. If the \
    change is additive and has a default, or is translated in persistence/src/stored.rs: raise `stored::FORMAT`, run \
    `cargo xtask golden`, and commit the new set beside the old ones. Never change a set of a released format; one that was never released may \
    be deleted and written anew.";

/// The environment variable with the path to which a new set is written.
const WRITE: &str = "XTASK_GOLDEN";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Returns all sets with their format, the newest last.
pub fn sets() -> Vec<(u64, Set)> {
    let entries = std::fs::read_dir(directory()).expect("the golden sets");
    let mut sets: Vec<(u64, Set)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let format = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let text = std::fs::read_to_string(path.join("shop.json")).expect("a set");
            (format.expect("a format"), serde_json::from_str(&text).expect("a set"))
        })
        .collect();
    sets.sort_by_key(|(format, _)| *format);
    assert!(!sets.is_empty());
    sets
}

/// Checked on one engine only, because the documents are the same on both engines.
mod shape {
    use super::stored_documents_have_the_shape_of_the_newest_golden_set;
    crate::on_sqlite!(stored_documents_have_the_shape_of_the_newest_golden_set);
}
mod content {
    use super::newest_golden_set_has_rows_of_every_table;
    crate::on_sqlite!(newest_golden_set_has_rows_of_every_table);
}
crate::on_both_engines!(every_golden_set_is_read_and_changed);

async fn stored_documents_have_the_shape_of_the_newest_golden_set(place: Place) {
    let shop = place.shop().await;
    history::history(&shop).await;
    drop(shop);
    let stored = dump(&mut place.raw());
    if let Ok(path) = std::env::var(WRITE) {
        let format = stored_format(&stored).to_string();
        let path = Path::new(&path).join(format).join("shop.json");
        assert!(!path.exists(), "{} exists: raise `stored::FORMAT` in persistence/src/stored.rs", path.display());
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        let lines: Vec<String> = stored.iter().map(|table| serde_json::to_string(table).expect("JSON")).collect();
        std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).expect("written");
    }
    let (format, newest) = sets().pop().expect("a set");
    assert_eq!(format, stored_format(&stored), "{REMEDY}");
    let (expected, found) = (shapes(&newest), shapes(&stored));
    let missing: Vec<_> = expected.difference(&found).collect();
    let added: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && added.is_empty(), "gone: {missing:#?}\nnew: {added:#?}{REMEDY}");
}

/// Everything that the program stores is in the newest set, so that later programs are tested with it. `cargo xtask
/// boundaries` checks that the set has an outcome of every keyed write.
async fn newest_golden_set_has_rows_of_every_table(place: Place) {
    place.open().migrate().expect("a schema");
    let (_, newest) = sets().pop().expect("a set");
    let mut missing = tables(&mut place.raw());
    missing.retain(|table| rows(&newest, table).is_empty());
    assert!(
        missing.is_empty(),
        "the newest golden set has no rows of the tables {missing:?}: store some in the `history` \
         of golden! in the contract tests of the module (or in persistence/tests/storage/golden/history.rs), raise `stored::FORMAT`, run `cargo xtask golden`, and commit the \
         new set"
    );
}

async fn every_golden_set_is_read_and_changed(place: Place) {
    let another = || match place.engine() {
        Engine::Sqlite => Place::sqlite(),
        Engine::Postgres => Place::postgres().expect("a server"),
    };
    for (_, set) in sets() {
        // Each set is loaded into a separate database.
        let place = another();
        let shop = Shop::on(place.open());
        shop.database.migrate().expect("a schema");
        load(&mut place.raw(), &set);
        read(&shop, &set).await;
        work(&shop, &set).await;
    }
}

/// Returns the document without the envelope that contains its format.
fn document(stored: &str) -> Value {
    let document: Value = serde_json::from_str(stored).expect("a document");
    match (document.get("v"), document.get("d")) {
        (Some(Value::Number(_)), Some(inner)) => inner.clone(),
        _ => document,
    }
}

fn stored_format(set: &Set) -> u64 {
    let details: Value = serde_json::from_str(text(&rows(set, "checkout")[0], "details")).expect("a document");
    details.get("v").and_then(Value::as_u64).unwrap_or(0)
}

/// Checks that everything in the set can be read without loss.
async fn read(shop: &Shop, set: &Set) {
    for row in rows(set, "checkout") {
        let id = CheckoutId::parse(text(row, "id")).expect("an id");
        let read = shop.checkouts.read(&caller(text(row, "owner"), PATIENCE), id).await.expect("a checkout");
        keeps(text(row, "details"), &json!(read.details));
    }
    for row in rows(set, "orders") {
        let id = OrderId::parse(text(row, "id")).expect("an id");
        let read = shop.orders.read(&task(), id).await.expect("read").expect("an order");
        keeps(text(row, "expectations"), &json!(read.expectations));
        keeps(text(row, "totals"), &json!(read.totals));
        keeps(text(row, "attribution"), &json!(read.attribution));
        for row in rows(set, "order_event").iter().filter(|row| text(row, "order_id") == read.id.as_str()) {
            let event = read.events.iter().find(|event| event.id == text(row, "id")).expect("its event");
            match &event.kind {
                OrderEventKind::Placed => {}
                OrderEventKind::Shipped(shipment) => keeps(text(row, "body"), &json!(shipment)),
                OrderEventKind::Adjusted(adjustment) => keeps(text(row, "body"), &json!(adjustment)),
            }
        }
    }
    for row in rows(set, "idempotency_key").iter().filter(|row| !row["outcome"].is_null()) {
        let claim = KeyClaim {
            principal: text(row, "principal").to_owned(),
            operation: text(row, "operation").to_owned().leak(),
            resource: text(row, "resource").to_owned(),
            key: Key::parse(text(row, "idempotency_key")).expect("a key"),
            fingerprint: Fingerprint(text(row, "fingerprint").to_owned()),
        };
        keeps(text(row, "outcome"), &replay(shop, claim).await);
    }
    for module in inventory::iter::<Golden> {
        (module.read)(shop, set).await;
    }
}

/// Returns the stored outcome of a keyed write, as the port returns it to a client that repeats the request.
async fn replay(shop: &Shop, claim: KeyClaim) -> Value {
    let module = claim.operation.split_once('.').map_or("", |(module, _)| module);
    if module == "checkout" {
        let any = CheckoutId::generate(noon());
        return match shop.checkouts.completion(&alice(), claim, any).await.expect("an outcome") {
            CompletionState::Answered(answer) => json!(answer.outcome),
            other => panic!("not answered: {other:?}"),
        };
    }
    match inventory::iter::<Golden>.into_iter().find(|golden| golden.module == module) {
        Some(golden) => (golden.replay)(shop, claim).await,
        None => panic!("no test of persistence/tests/storage/contract calls golden! for the module {module}"),
    }
}

/// Checks that every stored value is among the values that were read.
fn keeps(stored: &str, read: &Value) {
    let (stored, read) = (leaves(&document(stored)), leaves(read));
    for (value, times) in &stored {
        assert!(read.get(value).is_some_and(|found| found >= times), "{value} was lost: {stored:?} became {read:?}");
    }
}

fn leaves(value: &Value) -> BTreeMap<String, usize> {
    fn collect(value: &Value, found: &mut BTreeMap<String, usize>) {
        match value {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(members) => members.values().for_each(|member| collect(member, found)),
            leaf => *found.entry(leaf.to_string()).or_default() += 1,
        }
    }
    let mut found = BTreeMap::new();
    collect(value, &mut found);
    found
}

/// Continues the payments that were under way.
async fn work(shop: &Shop, set: &Set) {
    let mut settled = 0;
    for row in rows(set, "payment_attempt").iter().filter(|row| text(row, "state") == "opened") {
        let id = AttemptId::parse(text(row, "id")).expect("an id");
        let confirmed = Settlement { attempt: id, outcome: PaymentOutcome::Confirmed, now: noon() };
        let outcome = shop.checkouts.settle(&task(), confirmed).await.expect("settled");
        assert!(matches!(&outcome, Outcome::Checkout(Checkout { order: Some(_), .. })), "{outcome:?}");
        settled += 1;
    }
    assert!(settled > 0, "nothing was under way");
    let hour = Duration::from_secs(3_600);
    let held = shop.attempts.claim_authorized(&task(), noon() + hours(24 * 365), hour, 10).await.expect("claimed");
    assert!(!held.is_empty(), "nothing was held");
    let terms = ClaimTerms { now: noon() + hours(24), lease: hour, per_endpoint: 100, reach: EndpointHealth::Failing };
    for channel in [Channel::Webhook, Channel::Mail] {
        let mut claimed = 0;
        while shop.deliveries.claim(&task(), channel, terms).await.expect("read").message.is_some() {
            claimed += 1;
        }
        assert!(claimed > 0, "no message of {channel:?}");
    }
    let new = new_checkout(rich_request());
    let created = shop.checkouts.create(&alice(), create("new"), new).await.expect("created");
    assert_eq!(about(&created.outcome).details.discounts.len(), 2, "the discounts of the shop are read");
}

/// Returns the shape of every document, as lines of the form `table.column.member[].member: type`.
fn shapes(set: &Set) -> BTreeSet<String> {
    fn collect(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(items) => {
                items.iter().for_each(|item| collect(&format!("{path}[]"), item, found));
                "array"
            }
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| collect(&format!("{path}.{name}"), member, found));
                "object"
            }
        };
        found.insert(format!("{path}: {kind}"));
    }
    let mut found = BTreeSet::new();
    for (table, rows) in set {
        for (column, value) in rows.iter().flatten() {
            let Some(text) = value.as_str().filter(|text| text.starts_with(['{', '['])) else { continue };
            collect(&format!("{table}.{column}"), &document(text), &mut found);
        }
    }
    found
}

/// Returns the tables of a set.
pub fn tables(raw: &mut Raw) -> Vec<String> {
    let mut tables = raw.product_tables();
    // These tables describe the schema and the revision of the data, and are not data of the shop. A migration fills them.
    tables.retain(|table| !["schema_floor", "reference_revision"].contains(&table.as_str()));
    tables
}

fn dump(raw: &mut Raw) -> Set {
    let tables = tables(raw);
    let dump = |table: String| {
        let members: Vec<String> = raw.columns(&table).iter().map(|column| format!("'{column}', {column}")).collect();
        let sql = format!("SELECT json_object({}) AS value FROM {table} ORDER BY 1", members.join(", "));
        let rows = raw.texts(&sql).iter().map(|row| serde_json::from_str(row).expect("a row")).collect();
        (table, rows)
    };
    tables.into_iter().map(dump).collect()
}

/// Stores the rows of a set. Columns that are newer than the set get their defaults. Columns that were dropped since
/// are left out.
pub fn load(raw: &mut Raw, set: &Set) {
    for (table, rows) in set {
        let here = raw.columns(table);
        for row in rows {
            let named: Vec<&str> =
                row.keys().map(String::as_str).filter(|name| here.contains(&(*name).to_owned())).collect();
            let document = serde_json::to_string(row).expect("JSON").replace('\'', "''");
            let into = named.join(", ");
            raw.execute(&match raw {
                Raw::Sqlite(_) => {
                    let members: Vec<String> = named.iter().map(|name| format!("value ->> '{name}'")).collect();
                    let from = format!("(SELECT '{document}' AS value)");
                    format!("INSERT INTO {table} ({into}) SELECT {} FROM {from}", members.join(", "))
                }
                Raw::Postgres(_) => format!(
                    "INSERT INTO {table} ({into}) SELECT {into} FROM json_populate_record(NULL::{table}, '{document}')"
                ),
            });
        }
    }
}
