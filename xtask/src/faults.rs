//! `cargo xtask faults`: the tests of the api that break sockets, databases and processes on purpose.

use anyhow::Result;

use crate::postgres::{self, Durability, Postgres};
use crate::process;

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
    if !exist() {
        println!("There are no fault tests to run: api/tests/faults.rs does not exist.");
        return Ok(());
    }
    let postgres = Postgres::provide(Durability::Fast)?;
    let mut tests =
        process::cargo(&["test", "-p", "api", "--test", "faults", "--test", "outbound", "--", "--nocapture"]);
    tests.env(EXTENT, if args.quick { QUICK } else { FULL }).env(postgres::URL, &postgres.url);
    process::run(&mut tests)
}

pub fn exist() -> bool {
    process::root().join("api/tests/faults.rs").is_file()
}
