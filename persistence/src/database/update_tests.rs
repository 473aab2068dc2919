//! Tests of `update.rs`.

use std::sync::{Arc, Mutex};

use diesel::connection::{InstrumentationEvent, SimpleConnection};

use super::*;

diesel::table! {
    level (sku) {
        sku -> Text,
        held -> BigInt,
        note -> Nullable<Text>,
    }
}

#[test]
fn update_changes_the_chosen_rows_and_is_prepared_once() {
    let mut conn = SqliteConnection::establish(":memory:").expect("a database");
    let rows = "INSERT INTO level VALUES ('a', 1, 'old'), ('b', 1, 'old'), ('c', 2, 'old')";
    let table = "CREATE TABLE level (sku TEXT NOT NULL PRIMARY KEY, held BIGINT NOT NULL, note TEXT)";
    conn.batch_execute(&format!("{table}; {rows}")).expect("a table");
    let prepared = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&prepared);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::CacheQuery { sql, .. } = event {
            seen.lock().expect("sound").push(sql.to_owned());
        }
    });
    for (held, note, changed) in [(1, None, 2), (2, Some("new"), 1), (3, None, 0)] {
        let changes = (level::held.eq(level::held + 10), level::note.eq(note));
        let update = update(level::table.filter(level::held.eq(held))).set(changes);
        assert_eq!(update.execute(&mut conn).expect("updated"), changed);
    }
    let found: Vec<(String, i64, Option<String>)> = level::table.order(level::sku).load(&mut conn).expect("rows");
    let found: Vec<_> = found.iter().map(|(sku, held, note)| (sku.as_str(), *held, note.as_deref())).collect();
    assert_eq!(found, [("a", 11, None), ("b", 11, None), ("c", 12, Some("new"))]);
    let prepared = prepared.lock().expect("sound");
    let updates = prepared.iter().filter(|sql| sql.starts_with("UPDATE"));
    assert_eq!(updates.count(), 1, "{prepared:#?}");
}
