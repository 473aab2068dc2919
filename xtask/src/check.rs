//! `cargo xtask check`: runs every check that must succeed before a merge, and prints a verdict and a time for each.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::process::{cargo, run as run_command};
use crate::provision::Options;
use crate::{boundaries, docs, test};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// Run every step but the tests. These steps take seconds after the first build.
    #[arg(long, conflicts_with = "only")]
    fast: bool,
    /// Run only this step (repeatable).
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Clippy,
    Boundaries,
    Docs,
    Test,
}

const CLIPPY: &[&str] = &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];

pub fn run(args: Args) -> Result<()> {
    let chosen = args.chosen();
    let tests = test::Args::all(args.options);
    let run = |step: Step| match step {
        Step::Fmt => run_command(&mut cargo(&["fmt", "--all", "--check"])),
        Step::Clippy => run_command(&mut cargo(CLIPPY)),
        Step::Boundaries => boundaries::run(),
        Step::Docs => docs::check(),
        Step::Test => test::run(&tests),
    };
    run_steps(&chosen, run, &mut std::io::stdout())
}

impl Args {
    fn chosen(&self) -> Vec<Step> {
        match self.only.as_slice() {
            [] => Step::value_variants().iter().copied().filter(|step| !self.fast || *step != Step::Test).collect(),
            only => only.to_vec(),
        }
    }
}

/// Runs the chosen steps. A failed step does not prevent the next one.
fn run_steps(chosen: &[Step], mut run: impl FnMut(Step) -> Result<()>, out: &mut impl Write) -> Result<()> {
    let (mut failures, mut total) = (Vec::new(), Duration::ZERO);
    for step in Step::value_variants() {
        let name = step.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        if !chosen.contains(step) {
            writeln!(out, "NOT RUN {name}")?;
            continue;
        }
        let began = Instant::now();
        let outcome = run(*step);
        let took = began.elapsed();
        total += took;
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "{verdict:<8}{name} ({:.1} s)", took.as_secs_f64())?;
        failures.extend(outcome.err().map(|failure| format!("{name}: {failure:#}")));
    }
    writeln!(out, "total   {:.1} s", total.as_secs_f64())?;
    if !failures.is_empty() {
        bail!("{} steps failed:\n  {}", failures.len(), failures.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
