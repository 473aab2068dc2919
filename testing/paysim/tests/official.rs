//! The official Python library of Stripe as judge: what it cannot read, or takes for something else, is not Stripe's.

mod kit;

use std::process::Command;

use faultkit::provided::STRIPE;
use kit::Shop;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official.py");

#[test]
fn the_official_library_takes_it_for_stripe() {
    let Some(python) = STRIPE.get() else { return };
    let shop = Shop::open();
    let mut script = Command::new(&python);
    script.arg(SCRIPT).args([shop.gateway.url().as_str(), shop.gateway.api_key()]);
    let said = script.output().unwrap_or_else(|error| panic!("{}={python}: {error}", STRIPE.variable));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // A script that did nothing would be silent too.
    assert!(shop.gateway.ledger().totals().captured > 0);
    STRIPE.used();
}
