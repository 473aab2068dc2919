//! The behaviour that each token selects.

use domain::secret::Secret;

/// What a confirmation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Charge,
    /// Charges at once, and responds late.
    ChargeAndAnswerLate,
    /// Charges, and responds with an error.
    ChargeAndFail,
    /// Declines, with a reason for the buyer.
    Decline(&'static str),
    /// Does not charge and does not respond.
    Hang,
}

impl Behaviour {
    pub(super) fn of(token: &Secret) -> Self {
        match token.expose() {
            "success_token" => Self::Charge,
            "slow_token" => Self::ChargeAndAnswerLate,
            "charge_then_fail_token" => Self::ChargeAndFail,
            "fail_token" => Self::Decline("The card was declined"),
            "hang_token" => Self::Hang,
            _ => Self::Decline("The token is not known to the mock payment handler"),
        }
    }
}
