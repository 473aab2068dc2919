//! The parts of Stripe's objects that the shop reads, and their meaning. Unknown fields are ignored.

use domain::payment::{Decline, GatewayState, RefundState};
use serde::Deserialize;

/// A payment at Stripe: <https://docs.stripe.com/api/payment_intents/object>
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub id: String,
    pub status: String,
    pub last_payment_error: Option<Refusal>,
}

/// A refund at Stripe: <https://docs.stripe.com/api/refunds/object>
#[derive(Debug, Deserialize)]
pub(super) struct RefundObject {
    pub id: String,
    pub status: Option<String>,
    pub failure_reason: Option<String>,
    pub metadata: Option<RefundMetadata>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RefundMetadata {
    pub refund_id: Option<String>,
}

/// A page of objects, newest first, or the result of a search.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub data: Vec<T>,
    /// Whether more objects follow after the last object in `data`.
    pub has_more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub error: Refusal,
}

/// An error of Stripe: <https://docs.stripe.com/api/errors>
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub code: Option<String>,
    /// The reason that the bank gave for the decline of a card.
    pub decline_code: Option<String>,
    pub message: Option<String>,
    /// The parameter that is wrong.
    pub param: Option<String>,
    pub payment_intent: Option<Box<Intent>>,
}

/// The most characters of Stripe's text that the buyer sees.
const MAX_MESSAGE: usize = 200;
/// The longest word of Stripe that is logged, in bytes.
const MAX_WORD: usize = 64;

impl Refusal {
    /// Returns the text for the buyer. Only the `message` of a card error is written for buyers.
    pub fn for_the_buyer(&self) -> String {
        let is_for_the_buyer = self.kind.as_deref() == Some("card_error");
        let text = self.message.as_deref().filter(|_| is_for_the_buyer).unwrap_or_default();
        let text: String = text.chars().filter(|character| !character.is_control()).take(MAX_MESSAGE).collect();
        match self.code.as_deref() {
            _ if !text.trim().is_empty() => text,
            Some("amount_too_small") => "The amount is too small to be paid this way.".to_owned(),
            Some("amount_too_large") => "The amount is too large to be paid this way.".to_owned(),
            _ => "The payment was declined.".to_owned(),
        }
    }

    /// Whether the amount cannot be paid this way. Any other refusal of a new payment is a bug of the shop.
    pub fn is_about_amount(&self) -> bool {
        matches!(self.code.as_deref(), Some("amount_too_small" | "amount_too_large"))
    }

    /// Whether the payment instrument was refused. It was then not charged.
    pub fn is_about_instrument(&self) -> bool {
        self.kind.as_deref() == Some("card_error") || self.param.as_deref() == Some("payment_method")
    }

    /// Returns the text for the log. It has only words of Stripe's vocabulary, and never free text.
    pub fn for_the_log(&self) -> String {
        let named =
            [("type", &self.kind), ("code", &self.code), ("decline_code", &self.decline_code), ("param", &self.param)];
        let present = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let words: Vec<_> = present.map(|(name, value)| format!("{name} {}", word(value))).collect();
        if words.is_empty() { "no reason".to_owned() } else { words.join(", ") }
    }

    pub fn decline(&self) -> Decline {
        Decline { reason: self.for_the_buyer(), detail: self.for_the_log() }
    }
}

/// Returns `value` if it is a word such as `card_declined`, `payment_method` or `metadata[order]`. Otherwise returns a
/// placeholder, because the log must not contain free text.
fn word(value: &str) -> &str {
    let is_of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.[]".contains(&byte);
    if (1..=MAX_WORD).contains(&value.len()) && value.bytes().all(is_of_word) { value } else { "(not a word)" }
}

impl Intent {
    /// The state of the payment. `None` while the bank decides, and for a status that this version of the shop does not
    /// know. In both cases the state may still change.
    pub fn state(&self) -> Option<GatewayState> {
        Some(match (self.status.as_str(), &self.last_payment_error) {
            ("requires_payment_method", Some(error)) => GatewayState::Declined(error.decline()),
            ("requires_payment_method" | "requires_confirmation", _) => GatewayState::Opened,
            ("requires_action", _) => GatewayState::ActionRequired,
            ("requires_capture", _) => GatewayState::Authorized,
            ("succeeded", _) => GatewayState::Confirmed,
            ("canceled", _) => GatewayState::Cancelled,
            _ => return None,
        })
    }
}

impl RefundObject {
    /// Whether the shop made the refund with this id. Other refunds may have no metadata.
    pub fn is(&self, id: &str) -> bool {
        self.metadata.as_ref().and_then(|metadata| metadata.refund_id.as_deref()) == Some(id)
    }

    /// The state of the refund. `None` if there is no status, or if this version of the shop does not know it.
    pub fn state(&self) -> Option<RefundState> {
        Some(match self.status.as_deref()? {
            "succeeded" => RefundState::Succeeded,
            "pending" | "requires_action" => RefundState::Pending,
            "failed" | "canceled" => {
                RefundState::Failed(self.failure_reason.clone().unwrap_or_else(|| "unknown".to_owned()))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
