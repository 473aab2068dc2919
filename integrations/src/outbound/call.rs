//! A request to a destination, its limits, and the response.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use domain::secret::Secret;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::guard::Destination;

/// One request to a destination.
#[derive(Clone)]
pub struct Call {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) to: Destination,
    /// `None` if a header had a forbidden character: the call is then refused.
    pub(super) headers: Option<HeaderMap>,
    pub(super) body: Bytes,
    pub(super) limits: Limits,
    pub(super) repeat: Repeat,
    pub(super) concurrency: Option<usize>,
    pub(super) is_readable: fn(&[u8]) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// How long a call may take, and how much of the response is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the whole call, with retries and backoff. The deadline of the context may be earlier.
    pub total: Duration,
    /// For one attempt: connection, request, headers and the whole body.
    pub attempt: Duration,
    pub body: BodyLimit,
}

impl Limits {
    /// A call to the payment gateway.
    pub const PAYMENT: Self = Self {
        total: Duration::from_secs(15),
        attempt: Duration::from_secs(4),
        body: BodyLimit::Whole { bytes: 256 * 1024 },
    };
    /// The limits of a call that delivers a webhook. Only the status of the response is used.
    pub const WEBHOOK: Self = Self {
        total: Duration::from_secs(15),
        attempt: Duration::from_secs(15),
        body: BodyLimit::StatusOnly { bytes: 16 * 1024 },
    };
    /// The profile of a platform.
    pub const PROFILE: Self = Self {
        total: Duration::from_secs(5),
        attempt: Duration::from_secs(5),
        body: BodyLimit::Whole { bytes: 256 * 1024 },
    };
}

/// How much of a body is read, and what a longer one means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// The body is needed. If it is longer, broken or late, the call fails.
    Whole { bytes: usize },
    /// The body is not needed. If it is longer, broken or late, reading ends without an error.
    StatusOnly { bytes: usize },
}

/// Whether a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A second call could have a second effect, or the caller schedules the retries.
    Never,
    /// The call only reads, or has an idempotency key. It is repeated if there was no response, and after these statuses.
    /// A `Stripe-Should-Retry` in the response takes precedence over them.
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
            method: Method::Get,
            to,
            headers: Some(HeaderMap::new()),
            body: Bytes::new(),
            limits,
            repeat: Repeat::USUAL,
            concurrency: None,
            is_readable: |_| true,
        }
    }

    /// Is not repeated, unless [`Call::repeat`] allows it.
    pub fn post(operation: &'static str, to: Destination, limits: Limits) -> Self {
        Self { method: Method::Post, repeat: Repeat::Never, ..Self::get(operation, to, limits) }
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

    /// A successful response whose body fails this test counts as no response: a proxy in between sent it.
    #[must_use]
    pub fn readable_if(mut self, is_readable: fn(&[u8]) -> bool) -> Self {
        self.is_readable = is_readable;
        self
    }

    /// The concurrency of its bulkhead, in place of the default. Only the first call to a destination sets it.
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
    /// An earlier attempt had no response, or one that does not state its effect. That attempt may have had an effect,
    /// whatever this response states about the last one.
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

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `Request-Id` that the other side gave this request, if it is fit for a log.
    pub fn request_id(&self) -> Option<&str> {
        let is_fit =
            |id: &&str| id.len() <= 100 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
        self.header("request-id").filter(is_fit)
    }

    /// `Retry-After` in whole seconds (RFC 9110, section 10.2.3), at most a day. A caller with a clock reads the form of a
    /// date.
    pub fn retry_after(&self) -> Option<Duration> {
        const DAY: u64 = 24 * 60 * 60;
        let seconds: u64 = self.header(RETRY_AFTER.as_str())?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.min(DAY)))
    }
}
