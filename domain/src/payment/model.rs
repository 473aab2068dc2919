//! Attempts, instruments and outcomes.

use serde::{Deserialize, Serialize};

use crate::checkout::CheckoutId;
use crate::clock::Timestamp;
use crate::fault::Refusal;
use crate::id::{Id, Named};
use crate::money::Money;
use crate::secret::Secret;

pub type AttemptId = Id<Attempt>;

impl Named for Attempt {
    const PREFIX: &'static str = "pay";
}

/// One try to charge for one checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub checkout: CheckoutId,
    pub handler: HandlerId,
    pub money: Money,
    pub state: AttemptState,
    /// What the gateway calls it; stored before it is confirmed.
    pub reference: Option<PaymentReference>,
    /// How often it was claimed by a background task, the present time included. Fences late records off.
    pub checks: u32,
    pub created_at: Timestamp,
}

impl Attempt {
    /// The gateway's idempotency key of the opening.
    pub fn open_key(&self) -> String {
        format!("{}-open", self.id)
    }

    /// The gateway's idempotency key of the confirmation.
    pub fn confirm_key(&self) -> String {
        format!("{}-confirm", self.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AttemptState {
    /// Recorded here; its owner is talking to the gateway.
    Opened,
    /// Held on the buyer's account, to be captured later. The order is placed.
    Authorized,
    /// Charged. The order is placed.
    Confirmed,
    /// Was held, and let go without a charge after its order had been placed.
    Released,
    /// Refused. The stock is released.
    Declined,
    /// Never charged, and never will be. The stock is released.
    Cancelled,
    /// The gateway's answer was lost; the reconciler is finding out.
    Unknown,
}

impl AttemptState {
    /// Its checkout has its answer.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Opened | Self::Unknown)
    }

    /// An order was placed for it.
    pub fn placed_an_order(self) -> bool {
        matches!(self, Self::Authorized | Self::Confirmed | Self::Released)
    }
}

/// Names a payment handler that the shop offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandlerId(pub String);

impl HandlerId {
    /// Of an attempt that needs no handler: there is nothing to pay.
    pub fn none() -> Self {
        Self("none".to_owned())
    }
}

/// What the gateway calls a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PaymentReference(pub String);

/// A means of payment as it may be shown again: without its credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    pub id: String,
    pub handler: HandlerId,
    /// Such as `card`.
    pub kind: String,
    pub selected: bool,
    pub display: Option<InstrumentDisplay>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentDisplay {
    pub brand: Option<String>,
    pub last_digits: Option<String>,
    pub description: Option<String>,
}

/// What charges: handed to the gateway, never stored, never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub kind: String,
    pub token: Secret,
}

/// The instrument to charge, with its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentChoice {
    pub instrument: Instrument,
    /// `None` when the instrument is one that the shop keeps on file.
    pub credential: Option<Credential>,
}

/// The definite end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    Confirmed,
    /// Held on the buyer's account; the first shipment captures it.
    Authorized,
    /// Refused by the gateway.
    Declined(Decline),
    /// The buyer's bank wants to hear from the buyer first. The payment was cancelled at the gateway.
    ActionRequired,
    /// It was never charged, and never will be, and no bank refused it. The key that began it is free again.
    NotAttempted,
}

/// What the gateway says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayState {
    /// Created, not charged.
    Opened,
    /// Waits for the buyer, who must answer to the bank (3-D Secure). Not charged; cancel it, or it may yet be.
    ActionRequired,
    /// Held, not charged.
    Authorized,
    Confirmed,
    Declined(Decline),
    Cancelled,
}

/// Why the gateway refused a payment, for two readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// Fit for the buyer.
    pub reason: String,
    /// In the gateway's own codes and words, for the log: without card data or credentials.
    pub detail: String,
}

impl Refusal for Decline {}

impl From<&str> for Decline {
    /// Of a gateway that says the same to both.
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), detail: reason.to_owned() }
    }
}

impl PaymentOutcome {
    /// The stable word for logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Authorized => "authorized",
            Self::Declined(_) => "declined",
            Self::ActionRequired => "action_required",
            Self::NotAttempted => "not_attempted",
        }
    }

    /// What the log is told of a refusal.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Declined(decline) => Some(&decline.detail),
            Self::Confirmed | Self::Authorized | Self::ActionRequired | Self::NotAttempted => None,
        }
    }
}
