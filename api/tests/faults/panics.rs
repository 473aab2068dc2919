//! A panic during a write. No client can cause one, so the test stores a sum that overflows.

use serde_json::json;

use crate::database::Database;
use crate::kit::basket::deliverable;
use crate::kit::client::fresh_key;
use crate::kit::{Place, until};

/// Without it the server would use the prices that it keeps in memory.
const CHANGED: &str = "UPDATE reference_revision SET revision = revision + 1";

crate::on_both_engines!(write_that_panics_is_answered_and_rolled_back);

async fn write_that_panics_is_answered_and_rolled_back(place: Place) {
    let server = place.serve().await;
    let mut database = Database::open(&place);
    let prices = database.rows(["id", "price"], "FROM shipping_rate");
    database.execute(&format!("UPDATE shipping_rate SET price = {}", i64::MAX));
    database.execute(CHANGED);
    let before = database.snapshot();
    let (checkouts, key) = ("/checkout-sessions", fresh_key());
    let create = server.post(checkouts, &deliverable(&[("eraser", 1)])).key(&key);
    for _ in 0..3 {
        create.clone().await.problem(500, "internal");
    }
    let is_it = |line: &&serde_json::Value| line["msg"] == "request failed" && line["error_code"] == "internal";
    until("every panic is logged", || async { (server.log().iter().filter(is_it).count() == 3).then_some(()) }).await;
    let line = server.log().into_iter().find(|line| is_it(&line)).expect("just seen");
    assert_eq!(line["level"], json!("error"));
    assert!(line["error"].as_str().is_some_and(|error| error.contains("panicked")), "{line}");
    assert_eq!(database.snapshot(), before);
    let _ = server.get("/readyz").await.expect(200);
    let status = server.get("/statusz").await.body(200);
    assert_eq!((&status["commands_in_flight"], &status["transactions_abandoned"]), (&json!(0), &json!(0)));

    for [id, price] in prices {
        database.execute(&format!("UPDATE shipping_rate SET price = {price} WHERE id = '{id}'"));
    }
    database.execute(CHANGED);
    assert!(!create.await.expect(201).is_replay(), "the key was used up");
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0));
}
