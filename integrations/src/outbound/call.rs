//! A request to a destination, its limits, and the response.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use domain::secret::Secret;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::guard::Destination;

/// One request to a destination.
#[derive(Clone)]
pub struct Call {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) to: Destination,
    /// `None` if a header had a forbidden character. The call then fails with [`BadRequest`](super::error::Reason).
    pub(super) headers: Option<HeaderMap>,
    pub(super) body: Bytes,
    pub(super) limits: Limits,
    pub(super) repeat: Repeat,
    pub(super) concurrency: Option<usize>,
    pub(super) is_readable: fn(&[u8]) -> bool,
}

/// How long a call may take, and how much of the response is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time for the whole call, with retries and backoff. The call ends earlier if the deadline of the
    /// context is earlier.
    pub total: Duration,
    /// The longest time for one attempt: connection, request, headers and the whole body.
    pub attempt: Duration,
    /// The most bytes of the body that are read.
    pub body_bytes: usize,
    /// Whether a call fails if its body is longer, broken or late. Otherwise reading ends without an error.
    pub body_is_needed: bool,
}

impl Limits {
    /// The limits of a call to the payment gateway.
    pub const PAYMENT: Self = Self {
        total: Duration::from_secs(15),
        attempt: Duration::from_secs(4),
        body_bytes: 256 * 1024,
        body_is_needed: true,
    };
    /// The limits of a call that delivers a webhook. Only the status of the response is used.
    pub const WEBHOOK: Self = Self {
        total: Duration::from_secs(15),
        attempt: Duration::from_secs(15),
        body_bytes: 16 * 1024,
        body_is_needed: false,
    };
    /// The limits of a call that fetches the profile of a platform.
    pub const PROFILE: Self = Self {
        total: Duration::from_secs(5),
        attempt: Duration::from_secs(5),
        body_bytes: 256 * 1024,
        body_is_needed: true,
    };

    /// Sets the time for one attempt. The whole call has at least this time.
    #[must_use]
    pub fn with_attempt(self, attempt: Duration) -> Self {
        Self { attempt, total: self.total.max(attempt), ..self }
    }
}

/// Whether a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The call is not repeated, because a second call could have a second effect or because the caller schedules the
    /// retries.
    Never,
    /// The call may be repeated, because it only reads or has an idempotency key. It is repeated if there was no
    /// response, and after a response with one of these statuses. A `Stripe-Should-Retry` header in the response takes
    /// precedence over the statuses.
    After(&'static [u16]),
}

impl Repeat {
    /// The statuses that mean overload or a temporary failure.
    pub const USUAL: Self = Self::After(&[429, 500, 502, 503, 504]);
}

impl Call {
    pub fn get(operation: &'static str, to: Destination, limits: Limits) -> Self {
        Self {
            operation,
            method: Method::GET,
            to,
            headers: Some(HeaderMap::new()),
            body: Bytes::new(),
            limits,
            repeat: Repeat::USUAL,
            concurrency: None,
            is_readable: |_| true,
        }
    }

    /// Creates a POST request. It is not repeated, unless [`Call::repeat`] allows it.
    pub fn post(operation: &'static str, to: Destination, limits: Limits) -> Self {
        Self { method: Method::POST, repeat: Repeat::Never, ..Self::get(operation, to, limits) }
    }

    #[must_use]
    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.insert(HeaderName::from_static(name), value, false)
    }

    #[must_use]
    pub fn bearer(self, token: &Secret) -> Self {
        self.insert(AUTHORIZATION, &format!("Bearer {}", token.expose()), true)
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.insert(CONTENT_TYPE, content_type, false)
    }

    /// Sets a body of `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn form<K: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    #[must_use]
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Sets a test for the body of a successful response. A body that fails the test counts as no response, because it
    /// must come from a proxy on the way.
    #[must_use]
    pub fn readable_if(mut self, is_readable: fn(&[u8]) -> bool) -> Self {
        self.is_readable = is_readable;
        self
    }

    /// Sets the concurrency of the call's bulkhead in place of the default. Only the first call in a bulkhead sets it.
    /// Values of later calls are ignored.
    #[must_use]
    pub fn concurrency(mut self, most: usize) -> Self {
        self.concurrency = Some(most);
        self
    }

    fn insert(mut self, name: HeaderName, value: &str, is_sensitive: bool) -> Self {
        match (HeaderValue::from_str(value), &mut self.headers) {
            (Ok(mut value), Some(headers)) => {
                value.set_sensitive(is_sensitive);
                headers.insert(name, value);
            }
            _ => self.headers = None,
        }
        self
    }
}

impl fmt::Debug for Call {
    /// Headers and body are left out, because they may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} to {:?})", self.operation, self.to)
    }
}

/// A response of any status. A redirect is a response too, and is never followed.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The number of attempts, including the one that returned this response.
    pub attempts: u32,
    /// Whether an earlier attempt may have had an effect, because it had no response or an unclear response. This
    /// response describes only the last attempt.
    pub in_doubt: bool,
}

impl fmt::Debug for Reply {
    /// Headers and body are left out, because they may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers: _, body, attempts, in_doubt } = self;
        let length = body.len();
        write!(f, "Reply({status}, {length} bytes, attempts: {attempts}, in doubt: {in_doubt})")
    }
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status)
    }

    /// The value of the first header with this name, if the value is visible ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `Request-Id` header of the response. `None` if it is missing, too long, or has characters that a log should
    /// not contain.
    pub fn request_id(&self) -> Option<&str> {
        let is_fit =
            |id: &&str| id.len() <= 100 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
        self.header("request-id").filter(is_fit)
    }

    /// The `Retry-After` header, if it is a number of seconds (RFC 9110, section 10.2.3). At most a day. `None` for a
    /// header with a date, which only a caller with a clock can read.
    pub fn retry_after(&self) -> Option<Duration> {
        const DAY: u64 = 24 * 60 * 60;
        let digits = self.header(RETRY_AFTER.as_str())?.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large to be parsed means a day, as every number above a day does.
        is_number.then(|| Duration::from_secs(digits.parse().unwrap_or(DAY).min(DAY)))
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
