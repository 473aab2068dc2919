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
mod tests {
    use super::*;

    fn state(body: &str) -> Option<GatewayState> {
        serde_json::from_str::<Intent>(body).expect("an intent").state()
    }

    #[test]
    fn each_status_has_one_state() {
        for (status, expected) in [
            ("requires_payment_method", Some(GatewayState::Opened)),
            ("requires_confirmation", Some(GatewayState::Opened)),
            ("requires_action", Some(GatewayState::ActionRequired)),
            ("requires_capture", Some(GatewayState::Authorized)),
            ("succeeded", Some(GatewayState::Confirmed)),
            ("canceled", Some(GatewayState::Cancelled)),
            ("processing", None),
            ("invented_later", None),
        ] {
            let body = format!(r#"{{"id": "pi_1", "status": "{status}", "last_payment_error": null, "new": 1}}"#);
            assert_eq!(state(&body), expected, "{status}");
        }
        let declined = r#"{"id": "pi_1", "status": "requires_payment_method",
            "last_payment_error": {"type": "card_error", "code": "card_declined", "message": "No."}}"#;
        let detail = "type card_error, code card_declined".to_owned();
        assert_eq!(state(declined), Some(GatewayState::Declined(Decline { reason: "No.".to_owned(), detail })));
    }

    #[test]
    fn text_for_the_buyer_is_short_and_never_a_code() {
        let refusal = |message: Option<&str>| Refusal {
            kind: Some("card_error".to_owned()),
            code: Some("card_declined".to_owned()),
            decline_code: None,
            message: message.map(str::to_owned),
            param: None,
            payment_intent: None,
        };
        assert_eq!(refusal(None).for_the_buyer(), "The payment was declined.");
        assert_eq!(refusal(Some("\r\n")).for_the_buyer(), "The payment was declined.");
        assert_eq!(refusal(Some("Your card\nwas declined.")).for_the_buyer(), "Your cardwas declined.");
        assert_eq!(refusal(Some(&"é".repeat(500))).for_the_buyer().chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn text_for_the_log_has_codes_and_no_free_text() {
        for (body, expected) in [
            ("{}", "no reason"),
            (
                r#"{"type": "card_error", "code": "card_declined", "decline_code": "stolen_card", "message": "No."}"#,
                "type card_error, code card_declined, decline_code stolen_card",
            ),
            (
                r#"{"type": "invalid_request_error", "code": "resource_missing", "param": "payment_method",
                    "message": "No such PaymentMethod: 'pm_of_somebody'; a similar object exists in test mode."}"#,
                "type invalid_request_error, code resource_missing, param payment_method",
            ),
            (r#"{"message": "Card 4242424242424242 of ann@buyers.example."}"#, "no reason"),
            (r#"{"param": "metadata[order_1]"}"#, "param metadata[order_1]"),
            (r#"{"code": "Card of ann@buyers.example", "param": ""}"#, "code (not a word), param (not a word)"),
        ] {
            let refusal: Refusal = serde_json::from_str(body).expect("a refusal");
            assert_eq!(refusal.for_the_log(), expected, "{body}");
        }
        let long = Refusal { code: Some("x".repeat(MAX_WORD + 1)), ..serde_json::from_str("{}").expect("empty") };
        assert_eq!(long.for_the_log(), "code (not a word)");
    }
}
