//! The bodies of the test affordances.

use actix_web::http::StatusCode;
use domain::checkout::LineId;
use domain::clock::Timestamp;
use domain::money::Amount;
use domain::order::{Adjustment, AdjustmentStatus, ExpectedLine, OrderChange, OrderChangeKind, Shipment};
use serde::Deserialize;

use crate::http::{ObjectOnly, Problem};
use crate::instant;

/// Characters of an id, a word or number, an address, and a description. Every webhook repeats the whole order.
const ID: usize = 128;
const WORD: usize = 200;
const URL: usize = 2_000;
const SENTENCE: usize = 2_000;
/// Characters of an idempotency key.
const KEY: usize = 255;

/// A text of at most `MOST` characters.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text<const MOST: usize>(String);

impl<const MOST: usize> Text<MOST> {
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl<const MOST: usize> TryFrom<String> for Text<MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.chars().count() > MOST { Err(format!("is longer than {MOST} characters")) } else { Ok(Self(text)) }
    }
}

/// How far a key is moved back: at most ten years.
#[derive(Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Hours(pub u32);

impl TryFrom<u32> for Hours {
    type Error = &'static str;

    fn try_from(hours: u32) -> Result<Self, Self::Error> {
        if hours <= 10 * 366 * 24 { Ok(Self(hours)) } else { Err("is more than ten years") }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct AdjustBody {
    pub line_item_id: Text<ID>,
    pub quantity: i64,
    #[serde(rename = "type")]
    pub kind: Option<Text<WORD>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct AgeBody {
    pub key: Text<KEY>,
    pub hours: Hours,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct OutageBody {
    pub enabled: bool,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// As much of an order as can be reported from outside.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct OrderBody {
    fulfillment: Option<FulfillmentBody>,
    adjustments: Option<Vec<AdjustmentBody>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct FulfillmentBody {
    events: Option<Vec<EventBody>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct EventBody {
    id: Text<ID>,
    #[serde(deserialize_with = "instant::deserialize")]
    occurred_at: Timestamp,
    #[serde(rename = "type")]
    kind: Text<WORD>,
    line_items: Vec<UnitsBody>,
    tracking_number: Option<Text<WORD>>,
    tracking_url: Option<Text<URL>>,
    carrier: Option<Text<WORD>>,
    description: Option<Text<SENTENCE>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct AdjustmentBody {
    id: Text<ID>,
    #[serde(rename = "type")]
    kind: Text<WORD>,
    #[serde(deserialize_with = "instant::deserialize")]
    occurred_at: Timestamp,
    status: StatusWord,
    line_items: Option<Vec<UnitsBody>>,
    totals: Option<Vec<TotalBody>>,
    /// Not in the schema; programs of the older shape send it instead of `totals`.
    amount: Option<i64>,
    description: Option<Text<SENTENCE>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct TotalBody {
    #[serde(rename = "type")]
    kind: Text<WORD>,
    amount: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

impl AdjustmentBody {
    /// The money of it: the entry of its totals that is the total.
    fn amount(&self) -> Option<Amount> {
        let total = self.totals.iter().flatten().find(|total| total.kind.0 == "total");
        total.map(|total| total.amount).or(self.amount).map(Amount::new)
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Pending,
    Completed,
    Failed,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct UnitsBody {
    id: Text<ID>,
    quantity: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// More entries than a test has.
const MAX_ENTRIES: usize = 100;

impl OrderBody {
    pub(super) fn changes(self) -> Result<Vec<OrderChange>, Problem> {
        let events = self.fulfillment.and_then(|fulfillment| fulfillment.events).unwrap_or_default();
        let adjustments = self.adjustments.unwrap_or_default();
        if events.len() + adjustments.len() > MAX_ENTRIES {
            let content = format!("At most {MAX_ENTRIES} events and adjustments are taken at once");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_entries", content));
        }
        let shipped = events.into_iter().map(|event| OrderChange {
            id: event.id.0,
            occurred_at: event.occurred_at,
            kind: OrderChangeKind::Shipped(Shipment {
                kind: event.kind.0,
                lines: units(event.line_items),
                tracking_number: event.tracking_number.map(Text::into_string),
                tracking_url: event.tracking_url.map(Text::into_string),
                carrier: event.carrier.map(Text::into_string),
                description: event.description.map(Text::into_string),
            }),
        });
        let adjusted = adjustments.into_iter().map(|adjustment| OrderChange {
            occurred_at: adjustment.occurred_at,
            kind: OrderChangeKind::Adjusted(Adjustment {
                amount: adjustment.amount(),
                kind: adjustment.kind.0,
                status: match adjustment.status {
                    StatusWord::Pending => AdjustmentStatus::Pending,
                    StatusWord::Completed => AdjustmentStatus::Completed,
                    StatusWord::Failed => AdjustmentStatus::Failed,
                },
                lines: units(adjustment.line_items.unwrap_or_default()),
                description: adjustment.description.map(Text::into_string),
            }),
            id: adjustment.id.0,
        });
        Ok(shipped.chain(adjusted).collect())
    }
}

fn units(lines: Vec<UnitsBody>) -> Vec<ExpectedLine> {
    lines.into_iter().map(|line| ExpectedLine { line: LineId(line.id.0), quantity: line.quantity }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_greatest_length_is_read_and_a_longer_one_is_refused() {
        let read = |count| serde_json::from_value::<Text<3>>("\u{e4}".repeat(count).into()).ok();
        assert!(read(0).is_some() && read(3).is_some() && read(4).is_none());
    }

    #[test]
    fn no_text_is_read_without_a_limit() {
        let declared = include_str!("request.rs").split("const MAX_ENTRIES").next().unwrap_or_default();
        let unbounded = declared.lines().filter(|line| line.ends_with("String,") || line.ends_with("String>,"));
        assert_eq!(unbounded.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
