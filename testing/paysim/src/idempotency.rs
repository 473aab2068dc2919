//! Idempotency keys as Stripe documents them (<https://docs.stripe.com/api/idempotent_requests>).
//!
//! The first response of a call that began is stored, errors included, and replayed for the same key. A call that was
//! refused before it began leaves its key free. Keys expire after a day of the simulator's clock.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::call::Call;
use crate::error::ApiError;

pub(crate) const MAX_KEY_LENGTH: usize = 255;
const LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// A response without its headers, to be sent again byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub status: u16,
    pub body: String,
}

struct Record {
    fingerprint: String,
    expires: i64,
    /// `None` while the call executes.
    response: Option<Stored>,
    /// A call is in progress until its response has been sent.
    in_use_until: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Keys(HashMap<String, Record>);

impl Keys {
    /// The response of an earlier call with this key, or `None` if this call is the first.
    pub fn find(&self, call: &Call, now: i64) -> Result<Option<Stored>, ApiError> {
        let Some(key) = &call.key else { return Ok(None) };
        if key.chars().count() > MAX_KEY_LENGTH {
            let message = format!("Idempotency keys may be at most {MAX_KEY_LENGTH} characters long.");
            return Err(ApiError::invalid(message));
        }
        let Some(record) = self.0.get(key).filter(|record| now < record.expires) else { return Ok(None) };
        if record.fingerprint != call.fingerprint {
            return Err(ApiError::key_of_other_request(key));
        }
        let is_in_use = record.in_use_until.is_some_and(|until| Instant::now() < until);
        match &record.response {
            Some(response) if !is_in_use => Ok(Some(response.clone())),
            _ => Err(ApiError::key_in_use(key)),
        }
    }

    /// The call has begun: its key is in use until its response is stored.
    pub fn begin(&mut self, call: &Call, now: i64) {
        if let Some(key) = call.key.clone() {
            let (fingerprint, expires) = (call.fingerprint.clone(), now.saturating_add(LIFETIME_SECONDS));
            self.0.insert(key, Record { fingerprint, expires, response: None, in_use_until: None });
        }
    }

    pub fn store(&mut self, call: &Call, response: Stored, in_use_until: Option<Instant>) {
        if let Some(record) = call.key.as_ref().and_then(|key| self.0.get_mut(key)) {
            record.response = Some(response);
            record.in_use_until = in_use_until;
        }
    }

    /// The call was refused before it began.
    pub fn release(&mut self, call: &Call) {
        if let Some(key) = &call.key {
            self.0.remove(key);
        }
    }
}
