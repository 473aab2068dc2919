//! The parts of Stripe's objects that the shop reads, and their meaning. Unknown fields are ignored.

use domain::payment::{Decline, GatewayState, RefundState};
use serde::Deserialize;

/// <https://docs.stripe.com/api/payment_intents/object>
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub id: String,
    pub status: String,
    pub last_payment_error: Option<Refusal>,
}

/// <https://docs.stripe.com/api/refunds/object>
#[derive(Debug, Deserialize)]
pub(super) struct RefundObject {
    pub id: String,
    pub status: Option<String>,
    pub failure_reason: Option<String>,
    #[serde(default)]
    pub metadata: RefundMetadata,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RefundMetadata {
    pub refund_id: Option<String>,
}

/// A page of objects, newest first, or the result of a search.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub data: Vec<T>,
    /// Whether more follow after the last of these.
    pub has_more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub error: Refusal,
}

/// <https://docs.stripe.com/api/errors>
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub code: Option<String>,
    /// The reason of the bank, for a card.
    pub decline_code: Option<String>,
    pub message: Option<String>,
    /// The parameter that is wrong.
    pub param: Option<String>,
    pub payment_intent: Option<Box<Intent>>,
}

/// Of the text for the buyer, in characters.
const MAX_MESSAGE: usize = 200;
/// Of a word for the log, in bytes.
const MAX_WORD: usize = 64;

impl Refusal {
    /// The text for the buyer. Only the `message` of a card error is written for buyers.
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

    /// The amount cannot be paid this way. Any other refusal of a new payment is a bug of the shop.
    pub fn is_about_amount(&self) -> bool {
        matches!(self.code.as_deref(), Some("amount_too_small" | "amount_too_large"))
    }

    /// The payment instrument was refused, and not charged.
    pub fn is_about_instrument(&self) -> bool {
        self.kind.as_deref() == Some("card_error") || self.param.as_deref() == Some("payment_method")
    }

    /// The text for the log: words of Stripe's vocabulary, and never free text.
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

/// Returns words such as `card_declined`, `payment_method` or `metadata[order]`. Other text is replaced.
fn word(value: &str) -> &str {
    let is_of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.[]".contains(&byte);
    if (1..=MAX_WORD).contains(&value.len()) && value.bytes().all(is_of_word) { value } else { "(not a word)" }
}

impl Intent {
    /// `None` while the bank decides, and for a status that this version of the shop does not know. Neither is final.
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
    /// `None` for a status that this version of the shop does not know.
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
