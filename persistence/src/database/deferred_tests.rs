//! Tests of `deferred.rs`.

use diesel::debug_query;

use super::*;
use crate::database::update;

diesel::table! {
    level (sku) {
        sku -> Text,
        held -> BigInt,
    }
}
diesel::table! {
    ledger (id) {
        id -> BigInt,
    }
}

fn insert(id: i64) -> impl Deferrable {
    diesel::insert_into(ledger::table).values(ledger::id.eq(id))
}

fn hold(held: i64) -> impl Deferrable {
    update(level::table.find("rose".to_owned())).set(level::held.eq(held))
}

fn changes<W: Deferrable>(_: &W) -> Changes {
    W::changes()
}

#[test]
fn writes_that_may_change_one_row_are_separate_statements() {
    let (inserts, updates) = (changes(&insert(1)), changes(&hold(1)));
    let entry = update(ledger::table.find(1)).set(ledger::id.eq(2));
    assert!(inserts.can_join(updates) && inserts.can_join(inserts));
    assert!(!updates.can_join(updates), "the second update would be lost");
    assert!(!inserts.can_join(changes(&entry)) && !changes(&entry).can_join(inserts), "the row is not visible");
}

#[test]
fn statement_returns_the_counts_of_the_checked_writes() {
    let write = |statement, changes, expected| Write { statement, changes, expected };
    let several = [
        write(Box::new(insert(7)), changes(&insert(7)), Expected::Any),
        write(Box::new(hold(3)), changes(&hold(3)), Expected::One("gone".to_owned())),
    ];
    let shown = debug_query::<Pg, _>(&Several(&several)).to_string();
    let expected = "WITH w0 AS (INSERT INTO \"ledger\" (\"id\") VALUES ($1)), \
        w1 AS (UPDATE \"level\" SET \"held\" = $2 WHERE (\"level\".\"sku\" = $3) RETURNING 1) \
        SELECT ARRAY[(SELECT count(*) FROM w1)]::BIGINT[] -- binds: [7, 3, \"rose\"]";
    assert_eq!(shown, expected);
}

#[test]
fn another_number_of_rows_than_one_is_an_error() {
    let one = || Expected::One("rose is gone".to_owned());
    assert!(one().check(1).is_ok() && Expected::Any.check(0).is_ok());
    for rows in [0, 2] {
        let failed = one().check(rows).map_err(|error| error.to_string());
        assert!(failed.is_err_and(|error| error.contains("rose is gone")), "{rows}");
    }
}
