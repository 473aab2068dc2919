//! The state that tests compare, to see that a call changed nothing.

use crate::kit::Place;

crate::on_both_engines!(state_shows_each_change_of_any_column);

/// A table and a column that a migration adds are part of the state without any registration.
async fn state_shows_each_change_of_any_column(place: Place) {
    let shop = place.shop().await;
    shop.opened(&[("song", 1)], "k1").await;
    let mut raw = place.raw();
    let mut before = raw.state();
    for change in [
        "CREATE TABLE later (id TEXT NOT NULL PRIMARY KEY, first TEXT, second TEXT); INSERT INTO later (id) VALUES ('a')",
        "UPDATE later SET first = 'x y', second = 'z'",
        "UPDATE later SET first = 'x', second = 'y z'",
        "UPDATE later SET second = '-'",
        "UPDATE later SET second = NULL",
        "ALTER TABLE checkout ADD COLUMN note BIGINT; ALTER TABLE checkout ADD COLUMN flag BOOLEAN",
        "UPDATE checkout SET note = 7",
        "UPDATE checkout SET flag = true",
        "DELETE FROM later",
    ] {
        raw.execute(change);
        let after = raw.state();
        assert_ne!(after, before, "{change}");
        assert_eq!(raw.state(), after, "the state is stable");
        before = after;
    }
}
