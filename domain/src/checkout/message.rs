//! Messages: what a checkout says about itself to the platform.

use serde::{Deserialize, Serialize};

/// One piece of information for the platform or the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub severity: Severity,
    pub code: MessageCode,
    pub content: String,
    pub subject: Option<Subject>,
}

/// The severity. Each severity but `Warning` is an error that blocks the completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// The platform can fix it with an update.
    Recoverable,
    /// The buyer must provide something on the shop's page.
    RequiresBuyerInput,
    /// The buyer must review and accept it on the shop's page.
    RequiresBuyerReview,
    /// It cannot be fixed; the platform must create another checkout.
    Unrecoverable,
    /// The result differs from the request; the platform should inform the buyer.
    Warning,
}

impl Severity {
    /// Whether such a message blocks the completion.
    pub fn blocks(self) -> bool {
        self != Self::Warning
    }

    /// Whether the buyer must act on the shop's page.
    pub fn needs_the_buyer(self) -> bool {
        matches!(self, Self::RequiresBuyerInput | Self::RequiresBuyerReview)
    }
}

/// What a message says, as a code for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    MethodUnavailable,
    OneDestinationOnly,
    PaymentFailed,
    /// The payment was not made, and no bank or gateway refused it.
    PaymentNotAttempted,
    /// The bank requires authentication by the buyer (3-D Secure).
    BuyerAuthentication,
    DiscountCodeInvalid,
    DiscountCodeAlreadyApplied,
    DiscountCodeIneligible,
    EligibilityNotAccepted,
    NotFound,
    /// The goods cost more than one checkout may cost.
    LimitExceeded,
}

impl MessageCode {
    /// Whether the code describes the last payment. Such a message is removed when the next payment begins.
    pub const fn is_about_payment(self) -> bool {
        matches!(self, Self::PaymentFailed | Self::PaymentNotAttempted | Self::BuyerAuthentication)
    }

    /// The stable code on the wire. Standard codes of the commerce protocol where one exists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::ItemUnavailable => "item_unavailable",
            Self::AddressUndeliverable => "address_undeliverable",
            Self::Missing => "missing",
            Self::UnknownSelection => "unknown_selection",
            Self::UnknownCountry => "unknown_country",
            Self::MethodUnavailable => "fulfillment_method_unavailable",
            Self::OneDestinationOnly => "one_destination_only",
            Self::PaymentFailed => "payment_failed",
            Self::PaymentNotAttempted => "payment_not_attempted",
            Self::BuyerAuthentication => "buyer_authentication_required",
            Self::DiscountCodeInvalid => "discount_code_invalid",
            Self::DiscountCodeAlreadyApplied => "discount_code_already_applied",
            Self::DiscountCodeIneligible => "discount_code_user_ineligible",
            Self::EligibilityNotAccepted => "eligibility_not_accepted",
            Self::NotFound => "not_found",
            Self::LimitExceeded => "limit_exceeded",
        }
    }
}

/// The part of the checkout that a message is about. The wire format renders it as a path into the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The index of a line in the response.
    Line(usize),
    /// The index of a line in the request, if the response has no such line.
    RequestedLine(usize),
    Fulfillment,
    Destination,
    /// The country of the destination with this index.
    Country(usize),
    DeliveryOption,
    /// The index of a discount code.
    Code(usize),
    /// The index of an eligibility claim.
    Eligibility(usize),
    Payment,
}

impl Message {
    pub fn new(severity: Severity, code: MessageCode, content: impl Into<String>, subject: Option<Subject>) -> Self {
        Self { severity, code, content: content.into(), subject }
    }
}
