//! What is answered instead of an object, in the shape of Stripe's errors.

use serde_json::{Map, Value, json};

/// A status and the `error` of the body (<https://docs.stripe.com/api/errors>).
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    error: Map<String, Value>,
}

impl Refusal {
    fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        let mut error = Map::new();
        error.insert("message".to_owned(), Value::String(message.into()));
        error.insert("type".to_owned(), Value::String(kind.to_owned()));
        Self { status, headers: Vec::new(), error }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub fn no_such(what: &str, id: &str, param: &str) -> Self {
        let refusal = Self::new(404, "invalid_request_error", format!("No such {what}: '{id}'"));
        refusal.code("resource_missing").param(param)
    }

    pub fn unknown_address(method: &str, path: &str) -> Self {
        Self::new(404, "invalid_request_error", format!("Unrecognized request URL ({method}: {path})."))
    }

    pub fn unauthorised(message: &str) -> Self {
        Self::new(401, "invalid_request_error", message)
    }

    pub fn card(code: &str, decline_code: Option<&str>, message: &str) -> Self {
        let refusal = Self::new(402, "card_error", message).code(code);
        match decline_code {
            Some(decline_code) => refusal.with("decline_code", json!(decline_code)),
            None => refusal,
        }
    }

    pub fn other_request(key: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters and endpoint they were first used \
             with. Try using a key other than '{key}' if you meant to execute a different request."
        );
        Self::new(400, "idempotency_error", message)
    }

    pub fn key_in_use(key: &str) -> Self {
        let message = format!("There is currently another in-progress request using this Idempotent Key: {key}.");
        let mut refusal = Self::new(409, "invalid_request_error", message).code("idempotency_key_in_use");
        refusal.headers.push(("Stripe-Should-Retry", "true".to_owned()));
        refusal
    }

    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        let message = "Request rate limit exceeded.";
        let mut refusal = Self::new(429, "invalid_request_error", message).code("rate_limit");
        refusal.headers.push(("Retry-After", retry_after_seconds.to_string()));
        refusal.headers.push(("Stripe-Should-Retry", "true".to_owned()));
        refusal
    }

    pub fn internal() -> Self {
        Self::new(500, "api_error", "An unknown error occurred.")
    }

    pub fn code(self, code: &str) -> Self {
        self.with("code", json!(code))
    }

    pub fn param(self, param: &str) -> Self {
        self.with("param", json!(param))
    }

    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.error.insert(name.to_owned(), value);
        self
    }

    pub fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}
