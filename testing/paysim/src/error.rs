//! Errors in the format of Stripe (<https://docs.stripe.com/api/errors>).

use serde_json::{Map, Value, json};

/// An error response: its status, its header `Retry-After` if it has one, and the object `error` in its body.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub status: u16,
    pub retry_after_seconds: Option<u64>,
    /// Whether the call was refused before it began. If so, its idempotency key stays free.
    pub is_before_effect: bool,
    error: Map<String, Value>,
}

impl ApiError {
    pub fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        let error = Self { status, retry_after_seconds: None, is_before_effect: false, error: Map::new() };
        error.with("message", message.into()).with("type", kind)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// A parameter is missing, is unknown or has a wrong value.
    pub fn parameter(code: &str, name: &str, message: impl Into<String>) -> Self {
        Self { is_before_effect: true, ..Self::invalid(message).with("code", code).with("param", name) }
    }

    pub fn no_such_intent(id: &str) -> Self {
        let error = Self::new(404, "invalid_request_error", format!("No such payment_intent: '{id}'"));
        error.with("code", "resource_missing").with("param", "intent")
    }

    pub fn key_of_other_request(key: &str) -> Self {
        let message = format!("The idempotency key '{key}' was first used with other parameters or another endpoint.");
        Self::new(400, "idempotency_error", message)
    }

    pub fn key_in_use(key: &str) -> Self {
        let message = format!("There is currently another in-progress request using this Idempotent Key: {key}.");
        Self::new(409, "invalid_request_error", message).with("code", "idempotency_key_in_use")
    }

    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        let error = Self::new(429, "invalid_request_error", "Request rate limit exceeded.").with("code", "rate_limit");
        Self { retry_after_seconds: Some(retry_after_seconds), ..error }
    }

    pub fn internal() -> Self {
        Self::new(500, "api_error", "An unknown error occurred.")
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.error.insert(name.to_owned(), value.into());
        self
    }

    pub fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}
