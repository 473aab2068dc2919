//! `cargo xtask check`: everything that must hold before a change is merged, with a verdict on each and the time it took.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::process::{cargo, run as run_command};
use crate::{boundaries, docs, test};

#[derive(clap::Args)]
pub struct Args {
    /// Without the tests: what takes seconds once the workspace is built.
    #[arg(long)]
    fast: bool,
}

const CLIPPY: &[&str] = &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("fmt", || run_command(&mut cargo(&["fmt", "--all", "--check"]))),
    ("clippy", || run_command(&mut cargo(CLIPPY))),
    ("boundaries", boundaries::run),
    ("docs", docs::check),
];
const TESTS: Step = ("test", || test::run(&test::Args::default()));

pub fn run(args: &Args) -> Result<()> {
    let tests = (!args.fast).then_some(&TESTS);
    let mut failures = Vec::new();
    for (name, step) in STEPS.iter().chain(tests) {
        let began = Instant::now();
        let outcome = step();
        let took = began.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("ok      {name} ({took} s)"),
            Err(failure) => {
                println!("FAILED  {name} ({took} s)");
                failures.push(format!("{name}: {failure:#}"));
            }
        }
    }
    if !failures.is_empty() {
        bail!("{} of the checks failed:\n  {}", failures.len(), failures.join("\n  "));
    }
    if args.fast {
        println!("NOT CHECKED: the tests (--fast)");
    }
    Ok(())
}
