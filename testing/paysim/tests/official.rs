//! Runs Stripe's official Python library against the simulator. A response that the library cannot read is not in
//! Stripe's format.

mod kit;

use std::process::Command;

use faultkit::Port;
use faultkit::provided::STRIPE;
use kit::Shop;
use paysim::{Fault, Movement, Operation, Webhooks};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official.py");

#[test]
fn official_library_accepts_the_simulator() {
    let Some(python) = STRIPE.get() else { return };
    let (shop, webhooks) = (Shop::open(), Port::keep());
    let secrets = vec!["whsec_new".to_owned(), "whsec_old".to_owned()];
    let url = format!("http://{}/", webhooks.address());
    shop.gateway.send_webhooks(Some(Webhooks { secrets, ..Webhooks::to(url, "") }));
    shop.gateway.fail_next(Operation::RefundList, 1, Fault::RateLimited { retry_after_seconds: 1 });
    shop.gateway.fail_next(Operation::IntentCancel, 2, Fault::InUse);
    let mut script = Command::new(&python);
    script.arg(SCRIPT).args([shop.gateway.url().as_str(), shop.gateway.api_key()]);
    let output = script.arg(webhooks.address().port().to_string()).output();
    let output = output.unwrap_or_else(|error| panic!("{}={python}: {error}", STRIPE.variable));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let paid = String::from_utf8(output.stdout).expect("the id of an intent");
    let entries = shop.gateway.ledger().entries.into_iter().filter(|entry| entry.intent == paid.trim());
    let moved: Vec<_> = entries.map(|entry| (entry.kind, entry.amount)).collect();
    let refunds = [(Movement::Refunded, 500), (Movement::Refunded, 700)];
    assert_eq!(moved, [(Movement::Authorised, 1200), (Movement::Captured, 1200), refunds[0], refunds[1]]);
    STRIPE.used();
}
