//! Tests of the differences between two scripts.

use super::*;
use crate::bench::log::{Entry, Step};

#[test]
fn statement_of_several_writes_has_the_shape_of_each() {
    let sql = "WITH w0 AS (INSERT INTO orders VALUES (1) ON CONFLICT DO UPDATE SET id = 1), \
        w1 AS (UPDATE \"checkout\" SET a = 1 RETURNING 1) SELECT ARRAY[(SELECT count(*) FROM w1)]";
    assert_eq!(shapes(sql), ["insert orders", "update checkout"]);
}

#[test]
fn shape_is_the_kind_and_the_first_table() {
    for (sql, expected) in [
        ("INSERT INTO \"orders\" (\"id\") VALUES ($1)", "insert orders"),
        ("SELECT v.sku FROM variant v JOIN stock s ON s.sku = v.sku", "select variant"),
        ("update stock set held = 1", "update stock"),
        ("BEGIN READ WRITE; SET LOCAL a = 1", "begin"),
        ("SELECT 1", "select"),
    ] {
        assert_eq!(shapes(sql), [expected]);
    }
}

#[test]
fn differences_name_the_statements_that_one_side_lacks() {
    let entry = |sql: &str| Entry { step: Step::Execute, sql: sql.to_owned(), parameters: Vec::new(), ms: 0.0 };
    let transaction = vec![entry("SELECT * FROM checkout"), entry("INSERT INTO orders VALUES (1)")];
    let recorded = [Operation { name: "checkout.settle".to_owned(), transaction }];
    let same = "-- comment\n\\set n 1\nSELECT id FROM checkout WHERE id = 1;\nINSERT INTO orders VALUES (2);\n";
    assert!(differences(same, &recorded).is_empty());
    let other = "SELECT id FROM checkout;\nSELECT id FROM checkout;\n";
    assert_eq!(differences(other, &recorded), ["1 fewer of `insert orders`", "1 more of `select checkout`"]);
}
