//! Payment attempts, instruments and outcomes.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::fault::Refusal;
use crate::id::{AttemptId, CheckoutId, RefundId};
use crate::money::Money;
use crate::secret::Secret;

/// One attempt to charge for one checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub checkout: CheckoutId,
    pub handler: HandlerId,
    pub money: Money,
    pub state: AttemptState,
    /// The gateway's reference of the payment. It is stored before the payment is confirmed, and is `None` until then.
    pub reference: Option<PaymentReference>,
    /// The fencing counter: the number of claims by background tasks. A postponement by an older claim is rejected.
    pub checks: u32,
    pub created_at: Timestamp,
}

impl Attempt {
    /// The idempotency key of the opening at the gateway.
    pub fn open_key(&self) -> String {
        format!("{}-open", self.id)
    }

    /// The idempotency key of the confirmation at the gateway.
    pub fn confirm_key(&self) -> String {
        format!("{}-confirm", self.id)
    }
}

/// The state of an attempt. The diagram in the module documentation shows the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AttemptState {
    /// Recorded in the database. The owner of the attempt calls the gateway.
    Opened,
    /// The amount is authorized and will be captured later. The order is placed.
    Authorized,
    /// Charged. The order is placed.
    Confirmed,
    /// The amount was authorized, and then released without a charge. The order is placed.
    Released,
    /// Refused by the gateway. The stock is released.
    Declined,
    /// Not charged, and cannot be charged later. The stock is released.
    Cancelled,
    /// The gateway's answer was lost. The reconciler finds the outcome.
    Unknown,
}

impl AttemptState {
    /// Whether the outcome of the payment is known, so that the checkout is no longer in progress.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Opened | Self::Unknown)
    }
}

/// The id of a payment handler that the shop offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandlerId(pub String);

impl HandlerId {
    /// The handler id of an attempt without an instrument, which has nothing to pay.
    pub fn none() -> Self {
        Self("none".to_owned())
    }
}

/// The id of a payment at the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PaymentReference(pub String);

/// A payment instrument without its credential, as it may be stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    pub id: String,
    pub handler: HandlerId,
    /// The kind of instrument, such as `card`.
    pub kind: String,
    pub selected: bool,
    pub display: Option<InstrumentDisplay>,
}

/// The parts of an instrument that may be shown to the buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentDisplay {
    pub brand: Option<String>,
    pub last_digits: Option<String>,
    pub description: Option<String>,
}

/// The secret with which the gateway charges an instrument. It is sent to the gateway, and never stored or shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub kind: String,
    pub token: Secret,
}

/// The instrument to charge, with its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentChoice {
    pub instrument: Instrument,
    /// `None` if the gateway keeps the credential of the instrument on file.
    pub credential: Option<Credential>,
}

/// The outcome with which an attempt is settled.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum PaymentOutcome {
    Confirmed,
    /// The amount is authorized; the first shipment captures it.
    Authorized,
    /// Refused by the gateway.
    Declined(Decline),
    /// The bank requires authentication by the buyer. The payment was cancelled at the gateway.
    ActionRequired,
    /// The payment was neither charged nor refused, and cannot be charged later. The idempotency key of the completion
    /// is released.
    NotAttempted,
}

/// The state of a payment at the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayState {
    /// Created, not charged.
    Opened,
    /// Not charged. The payment waits for authentication by the buyer (3-D Secure), and may still be charged unless it
    /// is cancelled.
    ActionRequired,
    /// The amount is authorized, not charged.
    Authorized,
    Confirmed,
    Declined(Decline),
    Cancelled,
}

impl GatewayState {
    /// The outcome that this state means after a request to cancel a payment that waited for the buyer. A cancelled
    /// payment means [`PaymentOutcome::ActionRequired`]. `None` if the payment is still open.
    pub fn after_action_required(self) -> Option<PaymentOutcome> {
        match self {
            Self::Cancelled => Some(PaymentOutcome::ActionRequired),
            other => other.into(),
        }
    }
}

impl From<GatewayState> for Option<PaymentOutcome> {
    /// The outcome that a state of the payment means. `None` if the payment is still open.
    fn from(state: GatewayState) -> Self {
        match state {
            GatewayState::Opened | GatewayState::ActionRequired => None,
            GatewayState::Authorized => Some(PaymentOutcome::Authorized),
            GatewayState::Confirmed => Some(PaymentOutcome::Confirmed),
            GatewayState::Declined(decline) => Some(PaymentOutcome::Declined(decline)),
            GatewayState::Cancelled => Some(PaymentOutcome::NotAttempted),
        }
    }
}

/// Why the gateway refused a payment, as text for the buyer and as text for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// Text that may be shown to the buyer.
    pub reason: String,
    /// The gateway's codes and text, for the log. Contains no card data and no credential.
    pub detail: String,
}

impl Refusal for Decline {}

impl From<&str> for Decline {
    /// A decline with the same text for the buyer and the log.
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), detail: reason.to_owned() }
    }
}

impl PaymentOutcome {
    /// The detail of a decline, for the log. `None` for other outcomes.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Declined(decline) => Some(&decline.detail),
            Self::Confirmed | Self::Authorized | Self::ActionRequired | Self::NotAttempted => None,
        }
    }
}

/// A transfer of money back to the buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub id: RefundId,
    pub attempt: AttemptId,
    pub reference: PaymentReference,
    pub money: Money,
    pub state: RefundState,
    /// The number of attempts. Each claim increments it, so in a claimed refund it includes the current attempt.
    pub tries: u32,
    pub created_at: Timestamp,
}

impl Refund {
    /// The idempotency key of the refund at the gateway.
    pub fn key(&self) -> String {
        self.id.to_string()
    }
}

/// The state of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// Recorded in the database; the gateway has not answered yet.
    Requested,
    /// The gateway has accepted the refund and has not finished it.
    Pending,
    Succeeded,
    /// Refused by the gateway, with its reason. No money moved.
    Failed(String),
}
