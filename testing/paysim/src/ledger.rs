//! The ledger: every movement of money, in order. Tests read in it what was charged.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::call::new_id;

const API_VERSION: &str = "2026-10-28.endive";

/// What happened to the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Held on the card. Every charge begins with an authorisation, even if it is captured at once.
    Authorised,
    /// Taken from the card. The amount was authorised before.
    Captured,
    /// Released: a whole authorisation, or the part of it that was not captured.
    Voided,
    Refunded,
}

/// One movement. Amounts are in minor units and always positive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Movement,
    pub intent: String,
    pub amount: i64,
    /// The metadata of the intent.
    pub metadata: BTreeMap<String, String>,
}

/// The sums over several entries. Amounts are in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of captures. If there are two for one purchase, the customer paid twice.
    pub captures: u64,
    pub captured: i64,
    pub refunded: i64,
    /// The amount that is authorised, and neither captured nor voided.
    pub held: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub entries: Vec<Entry>,
}

impl Ledger {
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.entries.iter().for_each(|entry| totals.add(entry));
        totals
    }

    /// The totals of one intent.
    pub fn of_intent(&self, intent: &str) -> Totals {
        let mut totals = Totals::default();
        self.entries.iter().filter(|entry| entry.intent == intent).for_each(|entry| totals.add(entry));
        totals
    }

    /// The totals for each value of one metadata key, such as `attempt_id`. Intents without the key are left out.
    pub fn by_metadata(&self, key: &str) -> BTreeMap<String, Totals> {
        let mut groups: BTreeMap<String, Totals> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(value) = entry.metadata.get(key) {
                groups.entry(value.clone()).or_default().add(entry);
            }
        }
        groups
    }
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        match entry.kind {
            Movement::Authorised => self.held += entry.amount,
            Movement::Voided => self.held -= entry.amount,
            Movement::Refunded => self.refunded += entry.amount,
            Movement::Captured => {
                self.held -= entry.amount;
                self.captures += 1;
                self.captured += entry.amount;
            }
        }
    }
}

/// The records of all changes of intents: the ledger and the events. Also contains the simulator's clock.
#[derive(Default)]
pub(crate) struct Records {
    pub ledger: Ledger,
    /// The events that are not yet sent.
    pub events: Vec<Value>,
    /// By how many seconds tests have advanced the simulator's clock.
    pub advanced_seconds: i64,
}

impl Records {
    /// The time of the simulator in seconds since 1970: the machine's clock plus `advanced_seconds`.
    #[expect(clippy::disallowed_methods, reason = "this is the simulator's clock")]
    pub fn now(&self) -> i64 {
        time::OffsetDateTime::now_utc().unix_timestamp().saturating_add(self.advanced_seconds)
    }

    /// Records an event (<https://docs.stripe.com/api/events/object>).
    pub fn event(&mut self, kind: &str, object: Value) {
        self.events.push(json!({
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": {"object": object},
            "livemode": false,
            "type": kind,
        }));
    }
}
