//! The judge: every movement of money, in the order in which it happened, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What happened to the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// Held on the card, not taken. Every charge begins so, even one that is captured at once.
    Authorised,
    /// Taken, out of what was held.
    Captured,
    /// A hold, or the rest of one, was let go.
    Voided,
    /// Given back.
    Refunded,
}

/// One movement. Amounts are in minor units and always positive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From one, without gaps.
    pub sequence: u64,
    pub kind: Movement,
    pub intent: String,
    /// Of a refund, its id.
    pub refund: Option<String>,
    pub amount: i64,
    pub currency: String,
    /// The intent's, whatever moved.
    pub metadata: BTreeMap<String, String>,
    /// Seconds since 1970, by the simulator's clock.
    pub at: i64,
}

/// What moved for all intents that share something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How often money was taken: more than one is a customer who paid twice.
    pub captures: u64,
    pub captured: i64,
    pub refunded: i64,
    /// Held and neither taken nor let go.
    pub held: i64,
}

/// A copy of the ledger as it stood when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub entries: Vec<Entry>,
}

impl Ledger {
    pub(crate) fn append(&mut self, mut entry: Entry) {
        entry.sequence = self.entries.len() as u64 + 1;
        self.entries.push(entry);
    }

    /// Of everything.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.entries.iter().for_each(|entry| totals.add(entry));
        totals
    }

    /// Of one intent.
    pub fn of_intent(&self, intent: &str) -> Totals {
        self.totals_by(|entry| Some(&entry.intent)).remove(intent).unwrap_or_default()
    }

    /// By the value of one key of the metadata, such as `attempt_id`. Intents without the key are left out.
    pub fn by_metadata(&self, key: &str) -> BTreeMap<String, Totals> {
        self.totals_by(|entry| entry.metadata.get(key))
    }

    fn totals_by<'a>(&'a self, group: impl Fn(&'a Entry) -> Option<&'a String>) -> BTreeMap<String, Totals> {
        let mut groups: BTreeMap<String, Totals> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(value) = group(entry) {
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
