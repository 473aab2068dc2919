//! What a test leaves behind: every answer, for the official models, and every line that was logged, for secrets.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::client::Answer;
use super::{models, server};

/// Nothing that the shop logs may contain one of these: the tokens of the payments, the secrets of the simulation and of
/// the gateway, the private half of a key, and the domain of every e-mail address that a test uses.
pub const SECRETS: [&str; 14] = [
    "success_token",
    "fail_token",
    "slow_token",
    "hang_token",
    "charge_then_fail_token",
    "on_file_token",
    "pm_card_",
    "pm_sim_",
    "sk_test_",
    "whsec_",
    "PRIVATE KEY",
    "relay word",
    "@example.com",
    server::SECRET,
];

#[derive(Default)]
pub struct Record {
    answers: Mutex<Vec<Value>>,
    lines: Mutex<Vec<String>>,
}

impl Record {
    /// Keeps what belongs to the shopping surface, with what it is meant to be.
    pub(super) fn answered(&self, request: &str, answer: &Answer) {
        if let Some(kind) = kind(request, answer) {
            let entry = json!({"kind": kind, "from": format!("{request} -> {}", answer.status), "body": answer.json});
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
    }

    pub fn logged(&self, lines: Vec<String>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }

    /// Panics if an answer does not fit the official models, or if a secret was logged.
    pub fn judge(&self) {
        for line in self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let told = SECRETS.into_iter().find(|secret| line.contains(secret));
            assert_eq!(told, None, "a secret was logged: {line}");
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(complaints) = models::validate(&answers) {
            assert!(complaints.is_empty(), "the official models refuse:\n{}", complaints.join("\n"));
        }
    }
}

fn kind(request: &str, answer: &Answer) -> Option<&'static str> {
    let path = request.split(' ').nth(1)?;
    let of_orders = ["/orders/", "/testing/orders/", "/testing/simulate-shipping/"];
    let resource = if path.starts_with("/.well-known/ucp") {
        "profile"
    } else if path.starts_with("/checkout-sessions") {
        "checkout"
    } else if of_orders.iter().any(|prefix| path.starts_with(prefix)) {
        "order"
    } else {
        return None;
    };
    Some(match &answer.json["ucp"] {
        Value::Null if answer.status >= 400 => "problem",
        ucp if ucp["status"] == "error" => "error",
        _ => resource,
    })
}
