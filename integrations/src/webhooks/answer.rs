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

/// `Retry-After` in the form of a date, in its three formats (RFC 9110, section 5.6.7). Zero if the date has passed.
fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let date: Timestamp = httpdate::parse_http_date(date.trim()).ok()?.into();
    let seconds = (date - now).whole_seconds().max(0);
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: Timestamp = datetime!(2026-04-08 12:00 UTC);

    #[test]
    fn retry_after_may_be_a_date() {
        for (date, seconds) in [
            ("Wed, 08 Apr 2026 12:02:00 GMT", Some(120)),
            (" Wed, 08 Apr 2026 12:00:00 GMT ", Some(0)),
            ("Wed, 08 Apr 2026 11:00:00 GMT", Some(0)),
            ("Thu, 09 Apr 2026 12:00:00 GMT", Some(24 * 60 * 60)),
            ("Wednesday, 08-Apr-26 12:02:00 GMT", Some(120)),
            ("Wed Apr  8 12:02:00 2026", Some(120)),
            ("Wed Apr  8 11:02:00 2026", Some(0)),
            ("Wed, 08 Apr 2026 12:02:00 +0200", None),
            ("Wed, 31 Feb 2026 12:02:00 GMT", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(until(date, NOON).map(|wait| wait.as_secs()), seconds, "{date}");
        }
    }
}
