//! The payment methods and what they do: Stripe's test cards, and cards with which the gateway fails.

use crate::faults::Fault;

/// The result of a confirmation with a card.
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
    /// The call fails with this fault. Whether the card is charged depends on the fault.
    Faulty(Fault),
}

const DECLINED: &str = "Your card was declined.";
const NO_FUNDS: &str = "Your card has insufficient funds.";
const EXPIRED: &str = "Your card has expired.";
const WRONG_CVC: &str = "Your card's security code is incorrect.";

/// The known payment methods. Names that begin with `pm_card_` are Stripe's (<https://docs.stripe.com/testing>), and
/// names that begin with `pm_sim_` exist only in this simulator.
const CARDS: &[(&str, Card)] = &[
    ("pm_card_visa", Card::Charges),
    ("pm_card_mastercard", Card::Charges),
    ("pm_card_chargeDeclined", declined("card_declined", Some("generic_decline"), DECLINED)),
    ("pm_card_visa_chargeDeclined", declined("card_declined", Some("generic_decline"), DECLINED)),
    ("pm_card_chargeDeclinedInsufficientFunds", declined("card_declined", Some("insufficient_funds"), NO_FUNDS)),
    ("pm_card_visa_chargeDeclinedStolenCard", declined("card_declined", Some("stolen_card"), DECLINED)),
    ("pm_card_chargeDeclinedExpiredCard", declined("expired_card", None, EXPIRED)),
    ("pm_card_chargeDeclinedIncorrectCvc", declined("incorrect_cvc", None, WRONG_CVC)),
    ("pm_card_threeDSecure2Required", Card::NeedsAction),
    ("pm_sim_processing", Card::Processing),
    ("pm_sim_late_charge", Card::Faulty(Fault::LateEffect { ms: 3_000 })),
    ("pm_sim_charge_then_hang", Card::Faulty(Fault::HangAfterEffect)),
    ("pm_sim_no_charge_hang", Card::Faulty(Fault::HangWithoutEffect)),
    ("pm_sim_charge_then_500", Card::Faulty(Fault::ErrorAfterEffect)),
    ("pm_sim_no_charge_500", Card::Faulty(Fault::ErrorWithoutEffect)),
    ("pm_sim_charge_then_reset", Card::Faulty(Fault::ResetAfterEffect)),
    ("pm_sim_charge_then_truncate", Card::Faulty(Fault::Truncated)),
    ("pm_sim_charge_then_html", Card::Faulty(Fault::Html)),
    ("pm_sim_charge_then_huge", Card::Faulty(Fault::Huge)),
];

const fn declined(code: &'static str, decline_code: Option<&'static str>, message: &'static str) -> Card {
    Card::Declined { code, decline_code, message }
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
