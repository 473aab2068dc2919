//! `cargo xtask faults`: the tests of the api that break sockets, databases and processes on purpose.

use anyhow::Result;

use crate::process;
use crate::provided::STRIPE;
use crate::provision::Provision;

/// Read by the fault tests: how long and how often they try.
pub const EXTENT: &str = "XTASK_FAULTS";
pub const QUICK: &str = "quick";
const FULL: &str = "full";

#[derive(clap::Args)]
pub struct Args {
    /// As many as `cargo xtask test` runs.
    #[arg(long)]
    quick: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let provision = Provision::new(true, true)?;
    let mut tests =
        process::cargo(&["test", "-p", "api", "--test", "faults", "--test", "outbound", "--", "--nocapture"]);
    provision.hand_to(&mut tests);
    tests.env(EXTENT, if args.quick { QUICK } else { FULL });
    let outcome = process::run(&mut tests);
    let mut summary = provision.summary(&provision.record()?);
    // Its only test is the simulator's own.
    summary.need_not_use(STRIPE);
    summary.print(outcome.is_ok());
    outcome?;
    summary.everything_was_used()
}
