//! `cargo xtask faults`: runs the tests that break connections, databases and processes on purpose.

use anyhow::Result;

use crate::process;
use crate::provided::STRIPE;
use crate::provision::{Options, Provision};

/// The environment variable that sets how long the fault tests run and how often they repeat an attempt.
pub const EXTENT: &str = "XTASK_FAULTS";
pub const QUICK: &str = "quick";
const FULL: &str = "full";

pub fn run(options: &Options) -> Result<()> {
    let provision = Provision::new(options)?;
    // The tests of the whole workspace are built, because for single packages cargo selects other features and builds
    // everything again.
    let mut tests =
        process::cargo(&["test", "--workspace", "--test", "faults", "--test", "outbound", "--", "--nocapture"]);
    tests.env(EXTENT, FULL);
    // None of these tests uses Stripe's library. Only a test of the simulator does.
    provision.run(&mut tests, |summary| summary.need_not_use(STRIPE))
}
