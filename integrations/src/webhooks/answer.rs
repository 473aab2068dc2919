//! The meaning of a receiver's response. Pure.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::outbox::{Finality, Receipt, SendError};

use crate::outbound::Reply;

const GONE: u16 = 410;

pub(super) fn outcome(reply: &Reply, now: Timestamp) -> Result<Receipt, SendError> {
    if reply.is_success() {
        return Ok(Receipt::Accepted);
    }
    let kind = if reply.is_redirect() { "redirect" } else { "answered" };
    let finality = match reply.status {
        GONE => Finality::Gone,
        _ => Finality::Again { after: reply.retry_after().or_else(|| until(reply.header("retry-after")?, now)) },
    };
    Err(SendError { reason: format!("{kind} {}", reply.status), finality })
}

/// The time from `now` to the date in a `Retry-After` header, in any of the three formats (RFC 9110, section 5.6.7).
/// Zero if the date has passed. `None` if the text is not a date.
fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let date: Timestamp = httpdate::parse_http_date(date.trim()).ok()?.into();
    let seconds = (date - now).whole_seconds().max(0);
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
