//! The official Python library of Stripe as judge: what it cannot read, or takes for something else, is not Stripe's.

mod kit;

use std::io::Write as _;
use std::process::Command;

use kit::Shop;

const PYTHON: &str = "XTASK_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official.py");

#[test]
#[expect(clippy::disallowed_methods, reason = "the interpreter comes from `cargo xtask test`")]
fn the_official_library_takes_it_for_stripe() {
    let Ok(python) = std::env::var(PYTHON) else {
        // Past the capture of the test's output, so that it is read.
        let _ = writeln!(std::io::stderr(), "NOT CHECKED: Stripe's library ({PYTHON} is not set)");
        return;
    };
    let shop = Shop::open();
    let mut script = Command::new(&python);
    script.arg(SCRIPT).args([shop.gateway.url().as_str(), shop.gateway.api_key()]);
    let said = script.output().unwrap_or_else(|error| panic!("{PYTHON}={python}: {error}"));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // A script that did nothing would be silent too.
    assert!(shop.gateway.ledger().totals().captured > 0);
}
