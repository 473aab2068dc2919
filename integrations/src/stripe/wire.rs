//! Stripe's shapes, as much of them as the shop reads, and what they mean to it. Unknown fields are ignored.

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
    /// What the bank says, of a card.
    pub decline_code: Option<String>,
    pub message: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
    pub payment_intent: Option<Box<Intent>>,
}

/// Of what the buyer is told.
const LONGEST_MESSAGE: usize = 200;

impl Refusal {
    /// What the buyer may read: the `message` of a card error is written for that, codes and other messages are not.
    pub fn for_the_buyer(&self) -> String {
        let is_for_the_buyer = self.kind.as_deref() == Some("card_error");
        let text = self.message.as_deref().filter(|_| is_for_the_buyer).unwrap_or_default();
        let text: String = text.chars().filter(|letter| !letter.is_control()).take(LONGEST_MESSAGE).collect();
        match self.code.as_deref() {
            _ if !text.trim().is_empty() => text,
            Some("amount_too_small") => "The amount is too small to be paid this way.".to_owned(),
            Some("amount_too_large") => "The amount is too large to be paid this way.".to_owned(),
            _ => "The payment was declined.".to_owned(),
        }
    }

    /// The payment cannot be made with what the buyer gave, and was not.
    pub fn is_of_the_instrument(&self) -> bool {
        self.kind.as_deref() == Some("card_error") || self.param.as_deref() == Some("payment_method")
    }

    /// What the log is told: codes and words, without anything that charges.
    pub fn for_the_log(&self) -> String {
        let named = [
            ("type", &self.kind),
            ("code", &self.code),
            ("decline_code", &self.decline_code),
            ("param", &self.param),
            ("message", &self.message),
        ];
        let said = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let said: Vec<_> = said.map(|(name, value)| format!("{name} {}", without_credentials(value))).collect();
        if said.is_empty() { "no reason".to_owned() } else { said.join(", ") }
    }

    pub fn decline(&self) -> Decline {
        Decline { reason: self.for_the_buyer(), detail: self.for_the_log() }
    }
}

/// Short, and without what it quotes of the request, what may be a card number, tokens of payment methods and customers,
/// client secrets, and addresses of e-mail.
fn without_credentials(text: &str) -> String {
    const TOKENS: [&str; 9] = ["pm_", "tok_", "btok_", "src_", "ba_", "cus_", "sk_", "rk_", "seti_"];
    // Codes of errors begin with the same word, in lower case throughout: `card_declined`.
    let is_card = |part: &str| part.strip_prefix("card_").is_some_and(|id| id.chars().any(|it| !is_of_code(it)));
    let is_quoted = |word: &str| word.starts_with(['\'', '"', '`', '(']);
    let has_digits = |word: &str| word.bytes().filter(u8::is_ascii_digit).count() >= 4;
    let is_token = |part: &str| TOKENS.iter().any(|prefix| part.starts_with(prefix)) || is_card(part);
    let has_token = |word: &str| word.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').any(is_token);
    let is_private = |word: &str| word.contains('@') || word.contains("_secret_");
    let is_shown = |word: &&str| !(is_quoted(word) || has_digits(word) || has_token(word) || is_private(word));
    let words = text.split_whitespace().map(|word| Some(word).filter(is_shown).unwrap_or("…"));
    let text: String = words.collect::<Vec<_>>().join(" ");
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_MESSAGE).collect()
}

fn is_of_code(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter == '_'
}

impl Intent {
    /// `None` while the bank decides, and for a status that this version of the shop does not know: neither is an end,
    /// and neither may be treated as one.
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
    fn each_status_has_one_meaning() {
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
        let detail = "type card_error, code card_declined, message No.".to_owned();
        assert_eq!(state(declined), Some(GatewayState::Declined(Decline { reason: "No.".to_owned(), detail })));
    }

    #[test]
    fn what_the_buyer_reads_is_short_and_never_a_code() {
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
        assert_eq!(refusal(Some(&"é".repeat(500))).for_the_buyer().chars().count(), LONGEST_MESSAGE);
    }
    #[test]
    fn the_log_is_told_codes_and_words_and_nothing_that_charges() {
        for (body, expected) in [
            ("{}", "no reason"),
            (
                r#"{"type": "card_error", "code": "card_declined", "decline_code": "stolen_card", "message": "No."}"#,
                "type card_error, code card_declined, decline_code stolen_card, message No.",
            ),
            (
                r#"{"type": "invalid_request_error", "code": "resource_missing", "param": "payment_method",
                    "message": "No such PaymentMethod: 'pm_of_somebody'; a similar object exists in test mode."}"#,
                "type invalid_request_error, code resource_missing, param payment_method, \
                 message No such PaymentMethod: … a similar object exists in test mode.",
            ),
            (
                r#"{"message": "Card 4242424242424242, or 4242 4242-4242 4242 (12/34)\nwith tok_visa and \"word\"."}"#,
                "message Card … or … … … … with … and …",
            ),
            (
                r#"{"code": "card_declined",
                    "message": "card_1Nv of cus_abc with btok_x, ba_y and pi_z_secret_w is a.b@c.example's card_velocity."}"#,
                "code card_declined, message … of … with … … and … is … card_velocity.",
            ),
            (
                r#"{"message": "Your card's security code is incorrect."}"#,
                "message Your card's security code is incorrect.",
            ),
        ] {
            let refusal: Refusal = serde_json::from_str(body).expect("a refusal");
            assert_eq!(refusal.for_the_log(), expected, "{body}");
        }
        let long = without_credentials(&"é ".repeat(500));
        assert_eq!(long.chars().count(), LONGEST_MESSAGE);
    }
}
