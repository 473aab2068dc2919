//! A shop that uses the gateway simulator over HTTP. The ledger of the simulator shows all charges.

use paysim::{Movement, Options, Paysim};

use crate::invariants::Charge;

/// A card that is charged.
pub const VISA: &str = "pm_card_visa";
/// A card that is declined.
pub const DECLINED: &str = "pm_card_visa_chargeDeclined";

pub fn start() -> Paysim {
    Paysim::start(Options::default()).expect("a free port")
}

/// The settings of a shop that uses this gateway.
pub fn settings(gateway: &Paysim) -> [(&'static str, String); 2] {
    [("TUCKSHOP_PAYMENT_GATEWAY_URL", gateway.url()), ("TUCKSHOP_PAYMENT_GATEWAY_KEY", gateway.api_key().to_owned())]
}

/// These settings followed by others.
pub fn beside<'a>(
    own: &'a [(&'static str, String)],
    others: &[(&'static str, &'a str)],
) -> Vec<(&'static str, &'a str)> {
    own.iter().map(|(name, value)| (*name, value.as_str())).chain(others.iter().copied()).collect()
}

/// Every captured amount, by payment attempt.
pub fn charges(gateway: &Paysim) -> Vec<Charge> {
    let entries = gateway.ledger().entries.into_iter();
    let taken = entries.filter(|entry| entry.kind == Movement::Captured);
    taken
        .map(|entry| Charge {
            attempt: entry.metadata.get("attempt_id").cloned().unwrap_or_else(|| format!("none, of {}", entry.intent)),
            amount: entry.amount,
        })
        .collect()
}
