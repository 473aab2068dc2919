//! The bodies of the test affordances.

use actix_web::http::StatusCode;
use domain::checkout::LineId;
use domain::clock::Timestamp;
use domain::money::Amount;
use domain::order::{Adjustment, AdjustmentStatus, ExpectedLine, OrderChange, OrderChangeKind, Shipment};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::http::{ObjectOnly, Problem};
use crate::instant;

/// The longest texts of a body, in characters. They keep orders small, because every webhook contains the whole order.
const ID: u64 = 128;
const WORD: u64 = 200;
const URL: u64 = 2_000;
const SENTENCE: u64 = 2_000;
/// The longest idempotency key, in characters.
const KEY: u64 = 255;

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct AdjustBody {
    #[validate(length(max = ID))]
    pub line_item_id: String,
    pub quantity: i64,
    #[serde(rename = "type")]
    #[validate(length(max = WORD))]
    pub kind: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct AgeBody {
    #[validate(length(max = KEY))]
    pub key: String,
    /// By how many hours the claims are moved back. At most ten years.
    #[validate(range(max = 87_840))]
    pub hours: u32,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct OutageBody {
    pub enabled: bool,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The members of an order that the simulation accepts: fulfillment events and adjustments.
#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
pub(super) struct OrderBody {
    #[validate(nested)]
    fulfillment: Option<FulfillmentBody>,
    #[validate(nested)]
    adjustments: Option<Vec<AdjustmentBody>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct FulfillmentBody {
    #[validate(nested)]
    events: Option<Vec<EventBody>>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct EventBody {
    #[validate(length(max = ID))]
    id: String,
    #[serde(deserialize_with = "instant::deserialize")]
    occurred_at: Timestamp,
    #[serde(rename = "type")]
    #[validate(length(max = WORD))]
    kind: String,
    #[validate(nested)]
    line_items: Vec<UnitsBody>,
    #[validate(length(max = WORD))]
    tracking_number: Option<String>,
    #[validate(length(max = URL))]
    tracking_url: Option<String>,
    #[validate(length(max = WORD))]
    carrier: Option<String>,
    #[validate(length(max = SENTENCE))]
    description: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct AdjustmentBody {
    #[validate(length(max = ID))]
    id: String,
    #[serde(rename = "type")]
    #[validate(length(max = WORD))]
    kind: String,
    #[serde(deserialize_with = "instant::deserialize")]
    occurred_at: Timestamp,
    status: StatusWord,
    #[validate(nested)]
    line_items: Option<Vec<UnitsBody>>,
    #[validate(nested)]
    totals: Option<Vec<TotalBody>>,
    /// The amount of the adjustment. The schema does not have this member. Clients of an older version of the protocol
    /// send it instead of `totals`.
    amount: Option<i64>,
    #[validate(length(max = SENTENCE))]
    description: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct TotalBody {
    #[serde(rename = "type")]
    #[validate(length(max = WORD))]
    kind: String,
    amount: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

impl AdjustmentBody {
    /// The amount of the adjustment: the amount of the entry with the type `total` in `totals`, or else the member
    /// `amount`. `None` if the body has neither.
    fn amount(&self) -> Option<Amount> {
        let total = self.totals.iter().flatten().find(|total| total.kind == "total");
        total.map(|total| total.amount).or(self.amount).map(Amount::new)
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Pending,
    Completed,
    Failed,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(expecting = "an object")]
struct UnitsBody {
    #[validate(length(max = ID))]
    id: String,
    quantity: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

/// The most events and adjustments in one request.
const MAX_ENTRIES: usize = 100;

impl OrderBody {
    /// The changes of the order that the body describes. Refuses more than [`MAX_ENTRIES`].
    pub(super) fn changes(self) -> Result<Vec<OrderChange>, Problem> {
        let events = self.fulfillment.and_then(|fulfillment| fulfillment.events).unwrap_or_default();
        let adjustments = self.adjustments.unwrap_or_default();
        if events.len() + adjustments.len() > MAX_ENTRIES {
            let content = format!("At most {MAX_ENTRIES} events and adjustments are accepted at once");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_entries", content));
        }
        let shipped = events.into_iter().map(|event| OrderChange {
            id: event.id,
            occurred_at: event.occurred_at,
            kind: OrderChangeKind::Shipped(Shipment {
                kind: event.kind,
                lines: units(event.line_items),
                tracking_number: event.tracking_number,
                tracking_url: event.tracking_url,
                carrier: event.carrier,
                description: event.description,
            }),
        });
        let adjusted = adjustments.into_iter().map(|adjustment| OrderChange {
            occurred_at: adjustment.occurred_at,
            kind: OrderChangeKind::Adjusted(Adjustment {
                amount: adjustment.amount(),
                kind: adjustment.kind,
                status: match adjustment.status {
                    StatusWord::Pending => AdjustmentStatus::Pending,
                    StatusWord::Completed => AdjustmentStatus::Completed,
                    StatusWord::Failed => AdjustmentStatus::Failed,
                },
                lines: units(adjustment.line_items.unwrap_or_default()),
                description: adjustment.description,
            }),
            id: adjustment.id,
        });
        Ok(shipped.chain(adjusted).collect())
    }
}

fn units(lines: Vec<UnitsBody>) -> Vec<ExpectedLine> {
    lines.into_iter().map(|line| ExpectedLine { line: LineId(line.id), quantity: line.quantity }).collect()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
