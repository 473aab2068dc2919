//! Tests of `constant.rs`.

use std::sync::{Arc, Mutex};

use diesel::connection::{InstrumentationEvent, SimpleConnection};

use super::*;
use crate::database::{among, update};

diesel::table! {
    level (sku) {
        sku -> Text,
        held -> BigInt,
    }
}

#[test]
fn statement_with_other_values_is_not_prepared_again() {
    let mut conn = SqliteConnection::establish(":memory:").expect("a database");
    conn.batch_execute("CREATE TABLE level (sku TEXT NOT NULL PRIMARY KEY, held BIGINT NOT NULL)").expect("a table");
    let prepared = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&prepared);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::CacheQuery { sql, .. } = event {
            seen.lock().expect("sound").push(sql.to_owned());
        }
    });
    for held in 1..=3 {
        let sku = format!("sku_{held}");
        diesel::insert_into(level::table)
            .values((level::sku.eq(&sku), level::held.eq(held)))
            .execute(&mut conn)
            .expect("stored");
        update(level::table.find(&sku)).set(level::held.eq(held * 10)).execute(&mut conn).expect("updated");
        let query = level::table.filter(constant::<diesel::sql_types::Bool>("held > 0").and(level::sku.eq(&sku)));
        let found: Vec<(String, i64)> = query.load(&mut conn).expect("read");
        assert_eq!(found, [(sku.clone(), held * 10)]);
        // The second value is used twice.
        let text = "SELECT sku FROM level WHERE sku = $1 AND held >= $2 AND held <= $2";
        let query = Statement::<Text>::new(text).text(&sku).bigint(held * 10);
        let found: Vec<String> = query.load(&mut conn).expect("read");
        assert_eq!(found, [sku]);
        let all: Vec<String> = (1..=held).map(|held| format!("sku_{held}")).collect();
        let those = level::table.filter(among(level::sku, &all)).select(level::sku).order(level::sku);
        assert_eq!(those.load::<String>(&mut conn).expect("read"), all);
        let limited: Vec<i64> = level::table.select(level::held).limit(held).load(&mut conn).expect("read");
        assert_eq!(limited.len() as i64, held);
    }
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let again = Statement::<Text>::new("SELECT sql FROM sqlite_stmt WHERE reprep > $1").bigint(0);
    let again: Vec<String> = again.load(&mut conn).expect("read");
    assert!(again.is_empty(), "SQLite prepared these again; see LIBSQLITE3_FLAGS in .cargo/config.toml: {again:#?}");
    let prepared = prepared.lock().expect("sound");
    let kept: Vec<_> = prepared.iter().map(|sql| &sql[..6]).collect();
    assert_eq!(kept, ["INSERT", "UPDATE", "SELECT", "SELECT", "SELECT", "SELECT"], "{prepared:#?}");
}

#[test]
fn statement_without_one_of_its_values_is_an_error() {
    let mut conn = SqliteConnection::establish(":memory:").expect("a database");
    for text in ["SELECT $2 AS sku", "SELECT $0 AS sku", "SELECT $ AS sku"] {
        let refused = Statement::<Text>::new(text).text("one").load::<String>(&mut conn).map(drop);
        assert!(matches!(refused, Err(Error::QueryBuilderError(_))), "{text}: {refused:?}");
    }
}
