//! The bodies of the test affordances.

use actix_web::http::StatusCode;
use domain::checkout::LineId;
use domain::clock::Timestamp;
use domain::money::Amount;
use domain::order::{Adjustment, AdjustmentStatus, ExpectedLine, OrderChange, Shipment};
use serde::Deserialize;

use crate::http::{ObjectOnly, Problem};

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct AdjustBody {
    pub line_item_id: String,
    pub quantity: i64,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct AgeBody {
    pub key: String,
    pub hours: u32,
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
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: Timestamp,
    #[serde(rename = "type")]
    kind: String,
    line_items: Vec<UnitsBody>,
    tracking_number: Option<String>,
    tracking_url: Option<String>,
    carrier: Option<String>,
    description: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct AdjustmentBody {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: Timestamp,
    status: StatusWord,
    line_items: Option<Vec<UnitsBody>>,
    totals: Option<Vec<TotalBody>>,
    /// Not in the schema; programs of the older shape send it instead of `totals`.
    amount: Option<i64>,
    description: Option<String>,
    #[serde(flatten)]
    _object: ObjectOnly,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct TotalBody {
    #[serde(rename = "type")]
    kind: String,
    amount: i64,
    #[serde(flatten)]
    _object: ObjectOnly,
}

impl AdjustmentBody {
    /// The money of it: the entry of its totals that is the total.
    fn amount(&self) -> Option<Amount> {
        let total = self.totals.iter().flatten().find(|total| total.kind == "total");
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
    id: String,
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
        let shipped = events.into_iter().map(|event| OrderChange::Shipped {
            id: event.id,
            occurred_at: event.occurred_at,
            shipment: Shipment {
                kind: event.kind,
                lines: units(event.line_items),
                tracking_number: event.tracking_number,
                tracking_url: event.tracking_url,
                carrier: event.carrier,
                description: event.description,
            },
        });
        let adjusted = adjustments.into_iter().map(|adjustment| OrderChange::Adjusted {
            occurred_at: adjustment.occurred_at,
            adjustment: Adjustment {
                amount: adjustment.amount(),
                kind: adjustment.kind,
                status: match adjustment.status {
                    StatusWord::Pending => AdjustmentStatus::Pending,
                    StatusWord::Completed => AdjustmentStatus::Completed,
                    StatusWord::Failed => AdjustmentStatus::Failed,
                },
                lines: units(adjustment.line_items.unwrap_or_default()),
                description: adjustment.description,
            },
            id: adjustment.id,
        });
        Ok(shipped.chain(adjusted).collect())
    }
}

fn units(lines: Vec<UnitsBody>) -> Vec<ExpectedLine> {
    lines.into_iter().map(|line| ExpectedLine { line: LineId(line.id), quantity: line.quantity }).collect()
}
