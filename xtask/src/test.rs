//! `cargo xtask test`: runs the tests, and prints what they checked and what they did not check.

use std::process::Command;

use anyhow::Result;

use crate::provision::{Options, Provision};
use crate::{faults, process};

#[derive(clap::Args, Default)]
pub struct Args {
    #[command(flatten)]
    pub options: Options,
    /// Run only the tests of this package (repeatable). Cargo builds dependencies again if their features differ.
    #[arg(long, short, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Run only tests whose name contains this.
    name: Option<String>,
    /// Arguments of the test binaries.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Args {
    pub fn all(options: Options) -> Args {
        Args { options, ..Args::default() }
    }

    fn command(&self) -> Command {
        let mut tests = process::cargo(&["test", "--no-fail-fast"]);
        match self.package.as_slice() {
            [] => tests.arg("--workspace"),
            packages => tests.args(packages.iter().flat_map(|package| ["--package", package])),
        };
        tests.args(&self.name);
        if !self.arguments.is_empty() {
            tests.arg("--").args(&self.arguments);
        }
        tests
    }

    fn is_everything(&self) -> bool {
        self.package.is_empty() && self.name.is_none() && self.arguments.is_empty()
    }
}

pub fn run(args: &Args) -> Result<()> {
    let provision = Provision::new(&args.options)?;
    let mut tests = args.command();
    tests.env(faults::EXTENT, faults::QUICK);
    let left_out = format!("the tests that {} leaves out", process::shown(&tests));
    provision.run(&mut tests, |summary| {
        summary.checked("Faults", "quick; `cargo xtask faults` runs all of them".to_owned());
        if !args.is_everything() {
            summary.is_of_a_part(left_out);
        }
    })
}

#[cfg(test)]
#[path = "test_tests.rs"]
mod tests;
