//! Messages: information about a checkout for the platform and the buyer.

use serde::{Deserialize, Serialize};

/// One message about a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub severity: Severity,
    pub code: MessageCode,
    pub content: String,
    pub subject: Option<Subject>,
}

/// The severity of a message. Each severity except `Warning` is an error that blocks the completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Severity {
    /// The platform can fix the problem with an update.
    Recoverable,
    /// The buyer must provide something on the shop's page.
    RequiresBuyerInput,
    /// The buyer must review and accept the checkout on the shop's page.
    RequiresBuyerReview,
    /// The problem cannot be fixed; the platform must create another checkout.
    Unrecoverable,
    /// The result differs from the request; the platform should inform the buyer.
    Warning,
}

impl Severity {
    /// Whether a message of this severity blocks the completion.
    pub fn blocks(self) -> bool {
        self != Self::Warning
    }

    /// Whether a message of this severity requires the buyer to act on the shop's page.
    pub fn needs_the_buyer(self) -> bool {
        matches!(self, Self::RequiresBuyerInput | Self::RequiresBuyerReview)
    }
}

/// What a message says, as a code for programs. On the wire, it is the standard code of the commerce protocol if there
/// is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum MessageCode {
    OutOfStock,
    ItemUnavailable,
    AddressUndeliverable,
    /// A required value is missing.
    Missing,
    /// The selected destination or option was not offered.
    UnknownSelection,
    /// The text is not the name or code of a country.
    UnknownCountry,
    #[strum(serialize = "fulfillment_method_unavailable")]
    MethodUnavailable,
    OneDestinationOnly,
    PaymentFailed,
    /// The payment was not made, and no bank or gateway refused it.
    PaymentNotAttempted,
    /// The bank requires authentication by the buyer (3-D Secure).
    #[strum(serialize = "buyer_authentication_required")]
    BuyerAuthentication,
    DiscountCodeInvalid,
    DiscountCodeAlreadyApplied,
    #[strum(serialize = "discount_code_user_ineligible")]
    DiscountCodeIneligible,
    EligibilityNotAccepted,
    NotFound,
    /// The goods cost more than one checkout may cost.
    LimitExceeded,
}

impl MessageCode {
    /// Whether the code describes the last payment. A message with such a code is removed when the next payment begins.
    pub const fn is_about_payment(self) -> bool {
        matches!(self, Self::PaymentFailed | Self::PaymentNotAttempted | Self::BuyerAuthentication)
    }
}

/// The part of the checkout that a message is about. The wire format renders it as a path into the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A line of the checkout, by its index.
    Line(usize),
    /// A line of the request, by its index, if the checkout does not contain the line.
    RequestedLine(usize),
    Fulfillment,
    Destination,
    /// The country of the destination with this index.
    Country(usize),
    DeliveryOption,
    /// The discount code with this index.
    Code(usize),
    /// The eligibility claim with this index.
    Eligibility(usize),
    Payment,
}

impl Message {
    pub fn new(severity: Severity, code: MessageCode, content: impl Into<String>, subject: Option<Subject>) -> Self {
        Self { severity, code, content: content.into(), subject }
    }

    /// A message that blocks the completion until the platform fixes it.
    pub fn recoverable(code: MessageCode, subject: Subject, content: impl Into<String>) -> Self {
        Self::new(Severity::Recoverable, code, content, Some(subject))
    }

    /// A message that does not block the completion.
    pub fn warning(code: MessageCode, subject: Subject, content: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, content, Some(subject))
    }
}
