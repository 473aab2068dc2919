//! What each token makes the mock payment handler do.

use domain::secret::Secret;

/// How a confirmation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Charge,
    /// Charges at once; only the answer is late.
    ChargeAndAnswerLate,
    /// Charges, and answers as if it had crashed.
    ChargeAndFail,
    /// Refuses, with a reason fit for the buyer.
    Decline(&'static str),
    /// Neither charges nor answers.
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
