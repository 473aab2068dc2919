//! What each payment method does: Stripe's test cards, and cards of our own on which the gateway fails.

use crate::faults::Fault;

/// How a confirmation with a card goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Card {
    Charges,
    Declined {
        code: &'static str,
        decline_code: Option<&'static str>,
        message: &'static str,
    },
    /// Waits for the buyer (3-D Secure).
    NeedsAction,
    /// Waits for the bank.
    Processing,
    /// Charges, or not, and the call goes wrong.
    Faulty(Fault),
}

const DECLINED: &str = "Your card was declined.";

/// Stripe's are from <https://docs.stripe.com/testing>; `pm_sim_` marks ours.
const CARDS: &[(&str, Card)] = &[
    ("pm_card_visa", Card::Charges),
    ("pm_card_mastercard", Card::Charges),
    ("pm_card_amex", Card::Charges),
    ("pm_card_chargeDeclined", declined("generic_decline", DECLINED)),
    ("pm_card_visa_chargeDeclined", declined("generic_decline", DECLINED)),
    ("pm_card_chargeDeclinedInsufficientFunds", declined("insufficient_funds", "Your card has insufficient funds.")),
    (
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        declined("insufficient_funds", "Your card has insufficient funds."),
    ),
    ("pm_card_visa_chargeDeclinedLostCard", declined("lost_card", DECLINED)),
    ("pm_card_visa_chargeDeclinedStolenCard", declined("stolen_card", DECLINED)),
    (
        "pm_card_chargeDeclinedExpiredCard",
        Card::Declined { code: "expired_card", decline_code: None, message: "Your card has expired." },
    ),
    (
        "pm_card_chargeDeclinedIncorrectCvc",
        Card::Declined {
            code: "incorrect_cvc",
            decline_code: None,
            message: "Your card's security code is incorrect.",
        },
    ),
    (
        "pm_card_chargeDeclinedProcessingError",
        Card::Declined {
            code: "processing_error",
            decline_code: None,
            message: "An error occurred while processing your card. Try again in a little bit.",
        },
    ),
    ("pm_card_threeDSecure2Required", Card::NeedsAction),
    ("pm_card_threeDSecureRequired", Card::NeedsAction),
    ("pm_card_authenticationRequired", Card::NeedsAction),
    ("pm_sim_processing", Card::Processing),
    ("pm_sim_charge_then_late", Card::Faulty(Fault::Late { ms: 3_000 })),
    ("pm_sim_late_charge", Card::Faulty(Fault::LateEffect { ms: 3_000 })),
    ("pm_sim_charge_then_hang", Card::Faulty(Fault::HangAfterEffect)),
    ("pm_sim_no_charge_hang", Card::Faulty(Fault::HangWithoutEffect)),
    ("pm_sim_charge_then_500", Card::Faulty(Fault::ErrorAfterEffect)),
    ("pm_sim_no_charge_500", Card::Faulty(Fault::ErrorWithoutEffect)),
    ("pm_sim_charge_then_reset", Card::Faulty(Fault::ResetAfterEffect)),
    ("pm_sim_no_charge_reset", Card::Faulty(Fault::ResetWithoutEffect)),
    ("pm_sim_charge_then_drip", Card::Faulty(Fault::Drip)),
    ("pm_sim_charge_then_truncate", Card::Faulty(Fault::Truncated)),
    ("pm_sim_charge_then_html", Card::Faulty(Fault::Html)),
    ("pm_sim_charge_then_huge", Card::Faulty(Fault::Huge)),
];

const fn declined(decline_code: &'static str, message: &'static str) -> Card {
    Card::Declined { code: "card_declined", decline_code: Some(decline_code), message }
}

impl Card {
    pub fn named(token: &str) -> Option<Self> {
        CARDS.iter().find(|(name, _)| *name == token).map(|(_, card)| *card)
    }

    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Faulty(fault) => Some(fault),
            _ => None,
        }
    }
}
