//! Typed ids and page tokens.

use derive_more::{Debug, Display};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::{NoContext, Uuid};

use crate::text::is_lower_hex;

/// The id of a checkout, such as `chk_01997ab9a1c07cd2b8a0f3b5c7e1d2f3`.
pub type CheckoutId = Id<'c', 'h', 'k'>;
/// The id of an order.
pub type OrderId = Id<'o', 'r', 'd'>;
/// The id of a payment attempt.
pub type AttemptId = Id<'p', 'a', 'y'>;
/// The id of a refund.
pub type RefundId = Id<'r', 'e', 'f'>;
/// The id of an outbox message.
pub type OutboxMessageId = Id<'m', 's', 'g'>;

/// An id: the three letters `A`, `B` and `C` of its type, an underscore, and a version 7 UUID (RFC 9562). Ids of one
/// type sort by creation time, and an id of one type cannot be used as an id of another type.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug, Display)]
#[debug("{_0}")]
#[serde(try_from = "String")]
pub struct Id<const A: char, const B: char, const C: char>(String);

impl<const A: char, const B: char, const C: char> Id<A, B, C> {
    /// Generates the id of something that is created at `now`.
    pub fn generate(now: OffsetDateTime) -> Self {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let at = uuid::Timestamp::from_unix(NoContext, seconds, now.nanosecond());
        Self(format!("{A}{B}{C}_{}", Uuid::new_v7(at).simple()))
    }

    /// Parses an id of the form that [`Id::generate`] returns. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix(&format!("{A}{B}{C}_"))?;
        is_lower_hex(uuid, 32).then(|| Self(text.to_owned()))
    }

    /// A text that sorts after every id of this type, in any collation. A list that begins with the newest item begins
    /// before this text.
    pub fn after_all() -> String {
        format!("{A}{B}{C}_g")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const A: char, const B: char, const C: char> TryFrom<String> for Id<A, B, C> {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no {A}{B}{C} id"))
    }
}

/// The secret token in the address of a buyer's page: 32 hexadecimal digits, of which 106 bits are random. A visitor who
/// presents the token may read the page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[debug("***")]
pub struct PageToken(String);

impl PageToken {
    /// Generates the token of a page that is created at `now`. The tokens of one hour begin with the same four digits, so
    /// that new tokens are neighbours in the index.
    pub fn generate(now: OffsetDateTime) -> Self {
        let hour = (now.unix_timestamp() / 3_600).rem_euclid(0x1_0000);
        Self(format!("{hour:04x}{:028x}", Uuid::new_v4().as_u128() >> 16))
    }

    /// Parses a token. Returns `None` if `text` cannot be a token; then no lookup is needed.
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_hex(text, 32).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
