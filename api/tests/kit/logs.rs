//! Records every answer for the official models and every log line for the search for secrets.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::client::Answer;
use super::{models, server};

/// No log line may contain one of these: payment tokens, the secrets of the simulation and of the gateway, the private
/// half of a key, and the domain of every email address that a test uses.
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

/// Shorter secrets are not searched for: a test often uses a plain word as an idempotency key. The keys of the kit and
/// the page tokens are longer.
const SHORTEST: usize = 24;

#[derive(Default)]
pub struct Record {
    answers: Mutex<Vec<Value>>,
    lines: Mutex<Vec<String>>,
    secrets: Mutex<BTreeSet<String>>,
}

impl Record {
    /// Adds a text that was sent or answered and that must not be logged.
    pub fn add_secret(&self, secret: &str) {
        if secret.len() >= SHORTEST {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
        }
    }

    /// Records an answer of the shopping surface together with the kind of document it must be.
    pub(super) fn record_answer(&self, request: &str, answer: &Answer) {
        self.page_tokens(&answer.json);
        if let Some(kind) = kind(request, answer) {
            let entry = json!({"kind": kind, "from": format!("{request} -> {}", answer.status), "body": answer.json});
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
    }

    /// Adds the token of every page address as a secret: the address grants access to the page.
    fn page_tokens(&self, value: &Value) {
        match value {
            Value::String(text) => {
                if let Some((_, page)) = text.split_once("/pages/") {
                    self.add_secret(page.rsplit('/').next().unwrap_or_default());
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.page_tokens(value)),
            Value::Object(members) => members.values().for_each(|value| self.page_tokens(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    pub fn record_log(&self, lines: Vec<String>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }

    /// Panics if an answer does not fit the official models or if a secret was logged.
    pub fn check(&self) {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for line in self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let leaked = SECRETS.into_iter().find(|secret| line.contains(secret));
            assert_eq!(leaked, None, "a secret was logged: {line}");
            let leaked = secrets.iter().find(|secret| line.contains(secret.as_str()));
            assert_eq!(leaked, None, "a page token or an idempotency key was logged: {line}");
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(complaints) = models::validate(&answers) {
            assert!(complaints.is_empty(), "the official models refuse:\n{}", complaints.join("\n"));
        }
    }
}

fn kind(request: &str, answer: &Answer) -> Option<&'static str> {
    let (method, path) = request.split_once(' ')?;
    if ["HEAD", "OPTIONS"].contains(&method) {
        return None;
    }
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
