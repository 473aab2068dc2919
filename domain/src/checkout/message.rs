//! What a checkout tells the platform about itself.

use serde::{Deserialize, Serialize};

/// One thing that the platform, or the buyer, should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub severity: Severity,
    pub code: MessageCode,
    pub content: String,
    pub subject: Option<Subject>,
}

/// How much it matters. Everything but `Warning` is an error that keeps the checkout from completing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// The platform can mend it by an update.
    Recoverable,
    /// Only the buyer can, on the shop's own page.
    RequiresBuyerInput,
    /// The buyer must look at it and agree, on the shop's own page.
    RequiresBuyerReview,
    /// No one can; start anew.
    Unrecoverable,
    /// The result differs from what was asked; the buyer should be told.
    Warning,
}

impl Severity {
    pub fn blocks(self) -> bool {
        self != Self::Warning
    }

    pub fn needs_the_buyer(self) -> bool {
        matches!(self, Self::RequiresBuyerInput | Self::RequiresBuyerReview)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageCode {
    OutOfStock,
    ItemUnavailable,
    AddressUndeliverable,
    /// Something that is needed was not given.
    Missing,
    /// A destination or an option that was not offered.
    UnknownSelection,
    /// A country that is none.
    UnknownCountry,
    MethodUnavailable,
    OneDestinationOnly,
    PaymentFailed,
    /// The payment was not made, and no one refused it.
    PaymentNotAttempted,
    /// The buyer's bank wants to hear from the buyer.
    BuyerAuthentication,
    DiscountCodeInvalid,
    DiscountCodeAlreadyApplied,
    DiscountCodeIneligible,
    EligibilityNotAccepted,
    NotFound,
    /// More than is sold in one checkout.
    LimitExceeded,
}

impl MessageCode {
    /// It tells how the last payment ended, and says nothing once the next one begins.
    pub const fn is_about_payment(self) -> bool {
        matches!(self, Self::PaymentFailed | Self::PaymentNotAttempted | Self::BuyerAuthentication)
    }

    /// The stable word for it. Standard codes of the commerce protocol where there is one.
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

/// What a message is about. The surface renders it as a path into its own document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// Index of a line in the answer.
    Line(usize),
    /// Index of a line in the request, when the answer has no such line.
    RequestedLine(usize),
    Fulfillment,
    Destination,
    /// The country of a destination, by its index.
    Country(usize),
    DeliveryOption,
    /// Index of a discount code.
    Code(usize),
    /// Index of an eligibility claim.
    Eligibility(usize),
    Payment,
}

impl Message {
    pub fn new(severity: Severity, code: MessageCode, content: impl Into<String>, subject: Option<Subject>) -> Self {
        Self { severity, code, content: content.into(), subject }
    }
}
