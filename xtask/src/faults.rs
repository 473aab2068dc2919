//! `cargo xtask faults`: the tests that break connections, databases and processes on purpose.

use anyhow::Result;

use crate::process;
use crate::provided::STRIPE;
use crate::provision::{Options, Provision};

/// The variable that tells the fault tests how long and how often to try.
pub const EXTENT: &str = "XTASK_FAULTS";
pub const QUICK: &str = "quick";
const FULL: &str = "full";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// Try as often as `cargo xtask test` does.
    #[arg(long)]
    quick: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let provision = Provision::new(&args.options)?;
    // The workspace, and not the package: otherwise cargo selects other features and builds everything again.
    let mut tests =
        process::cargo(&["test", "--workspace", "--test", "faults", "--test", "outbound", "--", "--nocapture"]);
    tests.env(EXTENT, if args.quick { QUICK } else { FULL });
    // Only a test of the simulator uses Stripe's library.
    provision.run(&mut tests, |summary| summary.need_not_use(STRIPE))
}
