//! Idempotency keys as Stripe documents them (<https://docs.stripe.com/api/idempotent_requests>).
//!
//! The response to the first call with a key is stored, even if it is an error, and replayed to later calls with the
//! key. A call that is refused before it begins leaves its key free. Keys expire after a day of the simulator's clock.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::call::Call;
use crate::error::ApiError;

pub(crate) const MAX_KEY_LENGTH: usize = 255;
const LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// A stored response, without headers. The body is replayed byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub status: u16,
    pub body: String,
}

struct Record {
    fingerprint: String,
    expires: i64,
    /// The response to the call. `None` while the call executes.
    response: Option<Stored>,
    /// The time at which a delayed response is sent, or `None` if the response is not delayed. The key is in use until
    /// then.
    in_use_until: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Keys(HashMap<String, Record>);

impl Keys {
    /// Returns the response to an earlier call with this key, or `None` if this call is the first or has no key.
    /// Returns an error if the key is too long, is in use, or belongs to a different request.
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

    /// Marks the key of a call that begins. The key is in use until the response is stored.
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

    /// Frees the key of a call that was refused before it began.
    pub fn release(&mut self, call: &Call) {
        if let Some(key) = &call.key {
            self.0.remove(key);
        }
    }
}
