//! Direct access to the database of a shop, over a connection of the test, and to the ledger of its payments.

use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use integrations::mock_gateway::{EntryKind, Ledger};

use crate::invariants::{Attempt, Charge, Checkout, Event, Order, State, Stock};
use crate::kit::Place;
use crate::kit::command::tuckshop_at;

/// A connection of the test, separate from those of the shop.
pub enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The tables, and the columns as `table.column`, that background tasks change.
const OF_TASKS: [&str; 5] =
    ["delivery", "destination", "payment_attempt.checks", "payment_attempt.due_at", "payment_attempt.leased_until"];

/// An item that needs no delivery: sku, price in minor units, units on hand.
pub type Item = (&'static str, i64, i64);

/// Imports only these items, before the shop is started for the first time.
pub fn stock(place: &Place, items: &[Item]) {
    stock_with(place, &[], items);
}

/// Imports with other settings, such as another database.
pub fn stock_with(place: &Place, settings: &[(&str, &str)], items: &[Item]) {
    let directory = place.directory().join("goods");
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut products = "id,title,price,image_url,requires_shipping\n".to_owned();
    let mut inventory = "product_id,quantity\n".to_owned();
    for (sku, price, units) in items {
        products.push_str(&format!("{sku},The {sku},{price},,false\n"));
        inventory.push_str(&format!("{sku},{units}\n"));
    }
    std::fs::write(directory.join("products.csv"), products).expect("written");
    std::fs::write(directory.join("inventory.csv"), inventory).expect("written");
    let finished = tuckshop_at(place, &["import", &directory.display().to_string()], settings);
    assert_eq!(finished.code, 0, "{}\n{}", finished.out, finished.err);
}

impl Database {
    pub fn open(place: &Place) -> Self {
        if place.is_postgres() {
            return Self::Postgres(PgConnection::establish(&place.database_url()).expect("a connection"));
        }
        Self::at(&place.sqlite_path())
    }

    /// Opens an SQLite file.
    pub fn at(file: &std::path::Path) -> Self {
        let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("a connection");
        conn.batch_execute("PRAGMA busy_timeout = 20000").expect("a pragma");
        Self::Sqlite(conn)
    }

    pub fn execute(&mut self, sql: &str) {
        let done = match self {
            Self::Sqlite(conn) => conn.batch_execute(sql),
            Self::Postgres(conn) => conn.batch_execute(sql),
        };
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Repeats the statement until the disk is full.
    pub fn fill(&mut self, insert: &str) {
        let Self::Postgres(conn) = self else { panic!("not on Postgres") };
        while conn.batch_execute(insert).is_ok() {}
    }

    /// The column `value` of the single row of this query.
    pub fn text(&mut self, select: &str) -> String {
        let [value] = self.texts(select).try_into().unwrap_or_else(|rows| panic!("{select}: {rows:?}"));
        value
    }

    /// The column `value` of the rows of this query.
    fn texts(&mut self, select: &str) -> Vec<String> {
        let rows: QueryResult<Vec<Row>> = match self {
            Self::Sqlite(conn) => diesel::sql_query(select).load(conn),
            Self::Postgres(conn) => diesel::sql_query(select).load(conn),
        };
        let rows = rows.unwrap_or_else(|error| panic!("{select}: {error}"));
        rows.into_iter().map(|row| row.value).collect()
    }

    /// The rows of a query, with every column as text.
    pub fn rows<const N: usize>(&mut self, columns: [&str; N], rest: &str) -> Vec<[String; N]> {
        let shown = columns.map(|column| format!("coalesce(CAST({column} AS TEXT), '')"));
        let sql = format!("SELECT {} AS value {rest}", shown.join(" || '\u{1f}' || "));
        let split = |row: String| row.split('\u{1f}').map(str::to_owned).collect::<Vec<_>>();
        self.texts(&sql).into_iter().map(|row| split(row).try_into().expect("as many columns")).collect()
    }

    pub fn number(&mut self, expression: &str, rest: &str) -> i64 {
        let [[value]] = self.rows([expression], rest).try_into().expect("one row");
        value.parse().expect("a number")
    }

    /// The units on hand and the units held.
    pub fn level(&mut self, sku: &str) -> (i64, i64) {
        let rest = format!("FROM stock WHERE sku = '{sku}'");
        (self.number("on_hand", &rest), self.number("held", &rest))
    }

    /// The number of unfinished completions: checkouts in progress and attempts that are not settled.
    pub fn undecided(&mut self) -> i64 {
        self.number("count(*)", "FROM checkout WHERE status = 'complete_in_progress'")
            + self.number("count(*)", "FROM payment_attempt WHERE state IN ('opened', 'unknown')")
    }

    /// The age of the oldest unsettled attempt in milliseconds; 0 if there is none.
    pub fn undecided_for(&mut self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
        let now = i64::try_from(now).expect("before the year 292278994");
        let since = format!("coalesce(min(created_at), {now})");
        now - self.number(&since, "FROM payment_attempt WHERE state IN ('opened', 'unknown')")
    }

    /// Ends the leases of undecided payments. Their holders are dead.
    pub fn end_leases(&mut self) {
        self.execute("UPDATE payment_attempt SET leased_until = NULL, due_at = 0 WHERE state IN ('opened', 'unknown')");
    }

    /// Everything that a request could change: every column of every table in the catalog of the engine, except those
    /// that background tasks change. Two equal snapshots mean that no request had an effect.
    pub fn snapshot(&mut self) -> Vec<String> {
        let tables = match self {
            Self::Sqlite(_) => "SELECT name AS value FROM sqlite_master WHERE type = 'table'",
            Self::Postgres(_) => "SELECT CAST(tablename AS TEXT) AS value FROM pg_tables WHERE schemaname = 'public'",
        };
        let mut all = Vec::new();
        for table in self.texts(tables).iter().filter(|table| !OF_TASKS.contains(&table.as_str())) {
            let columns = match self {
                Self::Sqlite(_) => format!("SELECT name AS value FROM pragma_table_info('{table}')"),
                Self::Postgres(_) => format!(
                    "SELECT CAST(column_name AS TEXT) AS value FROM information_schema.columns \
                     WHERE table_schema = 'public' AND table_name = '{table}'"
                ),
            };
            let columns = self.texts(&columns).into_iter();
            let kept = columns.filter(|column| !OF_TASKS.contains(&format!("{table}.{column}").as_str()));
            let shown: Vec<String> =
                kept.map(|column| format!("'{column}=' || coalesce(CAST({column} AS TEXT), '-')")).collect();
            let rows = self.texts(&format!("SELECT {} AS value FROM {table}", shown.join(" || '\u{1f}' || ")));
            all.extend(rows.into_iter().map(|row| format!("{table} {row}")));
        }
        all.sort();
        all
    }

    /// Takes the lock that a change of this checkout needs: the write lock on SQLite, the row lock on Postgres.
    pub fn lock_checkout(&mut self, checkout: &str) {
        match self {
            Self::Sqlite(_) => self.execute("BEGIN IMMEDIATE"),
            Self::Postgres(_) => {
                self.execute(&format!("BEGIN; SELECT 1 FROM checkout WHERE id = '{checkout}' FOR UPDATE"))
            }
        }
    }

    pub fn unlock(&mut self) {
        self.execute("ROLLBACK");
    }

    /// The stored state for the invariants. It contains nothing that clients observed.
    pub fn state(&mut self, place: &Place, items: &[Item]) -> State {
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let stock = self.rows(["sku", "on_hand", "held"], "FROM stock");
        let lines = self.rows(["order_id", "sku", "total"], "FROM order_line");
        let mut sold: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        for [order, sku, units] in lines {
            sold.entry(order).or_default().push((sku, number(&units)));
        }
        let orders = self.rows(["id", "checkout_id", "totals"], "FROM orders").into_iter();
        let orders = orders.map(|[id, checkout, totals]| Order {
            sold: sold.remove(&id).unwrap_or_default(),
            total: total(&totals),
            id,
            checkout,
        });
        let attempts = self.rows(["id", "checkout_id", "amount", "state"], "FROM payment_attempt").into_iter();
        let checkouts = self.rows(["id", "status", "order_id"], "FROM checkout").into_iter();
        let events = "FROM order_event e LEFT JOIN delivery d \
            ON d.order_id = e.order_id AND d.sequence = e.sequence AND d.channel = 'webhook'";
        let events = self.rows(["e.order_id", "e.sequence", "d.state"], events).into_iter();
        State {
            initial: items.iter().map(|(sku, _, units)| ((*sku).to_owned(), *units)).collect(),
            stock: stock
                .into_iter()
                .map(|[sku, on_hand, held]| Stock { sku, on_hand: number(&on_hand), held: number(&held) })
                .collect(),
            orders: orders.collect(),
            attempts: attempts
                .map(|[id, checkout, amount, state]| Attempt { id, checkout, amount: number(&amount), state })
                .collect(),
            checkouts: checkouts.map(|[id, status, order]| Checkout { id, status, order }).collect(),
            events: events
                .map(|[order, sequence, delivery]| Event { order, sequence: number(&sequence), delivery })
                .collect(),
            charges: charges(place),
            ..State::default()
        }
    }
}

/// The stored total of an order.
fn total(totals: &str) -> i64 {
    let lines: serde_json::Value = serde_json::from_str(totals).expect("a totals");
    // The document is under `d`, beside its format.
    let lines = &lines["d"];
    let total =
        lines.as_array().and_then(|lines| lines.iter().find(|line| line["kind"] == "Total")?["amount"].as_i64());
    total.unwrap_or_else(|| panic!("no total in {totals}"))
}

/// Every charge in the ledger, including wrong ones.
pub fn charges(place: &Place) -> Vec<Charge> {
    if !place.ledger_path().exists() {
        return Vec::new();
    }
    let entries = Ledger::read(place.ledger_path()).expect("a ledger").into_iter();
    let charged = entries.filter(|entry| entry.entry == EntryKind::Charged);
    charged.map(|entry| Charge { attempt: entry.attempt.to_string(), amount: entry.amount.minor() }).collect()
}
