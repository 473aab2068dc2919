//! What the contract tests of a module contribute to the golden sets: see `storage/golden.rs`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use domain::idempotency::KeyClaim;
use domain::order::OrderId;
use serde_json::Value;

use super::Shop;

pub type Row = BTreeMap<String, Value>;
/// The tables with their rows, in the order in which the tables were created, so that referenced rows come first.
pub type Set = Vec<(String, Vec<Row>)>;

type Pending<'s, T> = Pin<Box<dyn Future<Output = T> + 's>>;

/// The part of a module in the golden sets.
pub struct Golden {
    /// The module, which is also the first part of the names of its operations.
    pub module: &'static str,
    /// Uses the module until it has stored every kind of row and document. Gets an order that is paid and shipped, with
    /// the lines `li_3` (1 rose) and `li_4` (2 books).
    pub history: for<'s> fn(&'s Shop, &'s OrderId) -> Pending<'s, ()>,
    /// Returns the stored outcome of a keyed write, as the port returns it to a client that repeats the request.
    pub replay: for<'s> fn(&'s Shop, KeyClaim) -> Pending<'s, Value>,
    /// Checks that the port returns what the rows of a set contain.
    pub read: for<'s> fn(&'s Shop, &'s Set) -> Pending<'s, ()>,
}

inventory::collect!(Golden);

/// Registers the part of a module: its name, and its functions `history`, `replay` and `read`.
#[macro_export]
macro_rules! golden {
    ($module:literal, $history:ident, $replay:ident, $read:ident) => {
        inventory::submit! {
            $crate::kit::golden::Golden {
                module: $module,
                history: |shop, order| Box::pin($history(shop, order)),
                replay: |shop, claim| Box::pin($replay(shop, claim)),
                read: |shop, set| Box::pin($read(shop, set)),
            }
        }
    };
}

/// The rows of a table in a set.
pub fn rows<'s>(set: &'s Set, table: &str) -> &'s [Row] {
    set.iter().find(|(name, _)| name == table).map_or(&[], |(_, rows)| rows)
}

/// The text in a column.
pub fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    row[column].as_str().unwrap_or_else(|| panic!("{column} is no text in {row:?}"))
}
