//! What is asked of a destination, within which limits, and what it answered.

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
    /// `None` once a header could not be written: the call is then refused.
    pub(super) headers: Option<HeaderMap>,
    pub(super) body: Bytes,
    pub(super) limits: Limits,
    pub(super) repeat: Repeat,
    pub(super) concurrent: Option<usize>,
    pub(super) is_readable: fn(&[u8]) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// How long a call may take and how much of an answer is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For everything, retries and their pauses included. The context's deadline may be sooner.
    pub total: Duration,
    /// For one attempt: connection, request, headers and the whole body.
    pub attempt: Duration,
    pub answer: AnswerLimit,
}

impl Limits {
    /// A call to the payment gateway.
    pub const PAYMENT: Self = Self {
        total: Duration::from_secs(15),
        attempt: Duration::from_secs(4),
        answer: AnswerLimit::Whole { bytes: 256 * 1024 },
    };
    /// A delivery to a webhook receiver, of whose answer only the status counts.
    pub const WEBHOOK: Self = Self {
        total: Duration::from_secs(15),
        attempt: Duration::from_secs(15),
        answer: AnswerLimit::StatusOnly { bytes: 16 * 1024 },
    };
    /// Reading the profile of a platform.
    pub const PROFILE: Self = Self {
        total: Duration::from_secs(5),
        attempt: Duration::from_secs(5),
        answer: AnswerLimit::Whole { bytes: 256 * 1024 },
    };
}

/// How much of an answer is read, and what it means if there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerLimit {
    /// The body is needed: one that is longer, broken or late is no answer.
    Whole { bytes: usize },
    /// The body is read out of courtesy: one that is longer, broken or late ends the reading, see [`BodyEnd`].
    StatusOnly { bytes: usize },
}

/// Whether a call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A second call might be a second effect, or is its caller's to schedule.
    Never,
    /// A second call is an echo of the first: it reads only, or carries an idempotency key. It is made again after no
    /// answer and after these statuses; a `Stripe-Should-Retry` in the answer outranks them.
    After(&'static [u16]),
}

impl Repeat {
    /// Overloaded, out of order, or on the way somewhere that is.
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
            concurrent: None,
            is_readable: |_| true,
        }
    }

    /// Not repeated unless [`Call::repeat`] says so.
    pub fn post(operation: &'static str, to: Destination, limits: Limits) -> Self {
        Self { method: Method::Post, repeat: Repeat::Never, ..Self::get(operation, to, limits) }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.insert(HeaderName::try_from(name).ok(), HeaderValue::from_str(value).ok());
        self
    }

    #[must_use]
    pub fn bearer(mut self, token: &Secret) -> Self {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok();
        let value = value.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        self.insert(Some(AUTHORIZATION), value);
        self
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.insert(Some(CONTENT_TYPE), HeaderValue::from_str(content_type).ok());
        self.body = body.into();
        self
    }

    /// `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn form<K: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Other limits than those it was made with.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    #[must_use]
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// A successful answer whose body fails this test is no answer: whoever sent it, it was not the destination.
    #[must_use]
    pub fn readable_if(mut self, is_readable: fn(&[u8]) -> bool) -> Self {
        self.is_readable = is_readable;
        self
    }

    /// How many calls its bulkhead holds at once, instead of the usual number. The first call to a destination decides.
    #[must_use]
    pub fn concurrent(mut self, most: usize) -> Self {
        self.concurrent = Some(most);
        self
    }

    fn insert(&mut self, name: Option<HeaderName>, value: Option<HeaderValue>) {
        let headers = self.headers.take().zip(name.zip(value));
        self.headers = headers.map(|(mut headers, (name, value))| {
            headers.insert(name, value);
            headers
        });
    }
}

impl fmt::Debug for Call {
    /// Headers and body are left out: either may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} to {:?})", self.operation, self.to)
    }
}

/// An answer, whatever its status. A redirect is an answer too: it is never followed.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub body_end: BodyEnd,
    /// How often the request was made, this answer's included.
    pub attempts: u32,
    /// An earlier attempt had no answer, or one that does not say what it did: it may have had the effect, whatever
    /// this answer says of the last one.
    pub in_doubt: bool,
}

/// Why the reading of a body ended. Always `Complete` under [`AnswerLimit::Whole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    Complete,
    TooLarge,
    /// The deadline passed, or the caller left.
    Deadline,
    Broken,
}

impl fmt::Debug for Reply {
    /// Headers and body are left out: either may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers: _, body, body_end, attempts, in_doubt } = self;
        let length = body.len();
        write!(f, "Reply({status}, {length} bytes, {body_end:?}, attempts: {attempts}, in doubt: {in_doubt})")
    }
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status)
    }

    /// A header that occurs once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the other end calls this request (`Request-Id`), if that is fit for a log.
    pub fn request_id(&self) -> Option<&str> {
        let is_fit =
            |id: &&str| id.len() <= 100 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
        self.header("request-id").filter(is_fit)
    }

    /// `Retry-After` in its form of whole seconds (RFC 9110, section 10.2.3), at most a day. The form of a date is for
    /// callers that have a clock.
    pub fn retry_after(&self) -> Option<Duration> {
        const DAY: u64 = 24 * 60 * 60;
        let seconds: u64 = self.header(RETRY_AFTER.as_str())?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.min(DAY)))
    }
}
