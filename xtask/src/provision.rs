//! Finds or installs what the tests need from a machine, passes it to the tests, and keeps it until they end.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::install::Install;
use crate::postgres::{Postgres, Programs};
use crate::provided::{self, Provided};
use crate::summary::{self, Given, Results, Summary};
use crate::tools::TOOLS;
use crate::{process, python};

#[derive(clap::Args, Default)]
pub struct Options {
    #[command(flatten)]
    install: Install,
    /// Leave out the tests that need Postgres.
    #[arg(long)]
    without_postgres: bool,
    /// Leave out the tests that compare the shop with official Python libraries.
    #[arg(long)]
    without_python: bool,
}

pub struct Provision {
    given: Vec<Given>,
    /// The environment variables of the tests. A variable without a value is removed, because the tests would otherwise
    /// use an inherited value that the summary does not show.
    variables: Vec<(&'static str, Option<OsString>)>,
    /// The file in which the tests record what they used.
    record: NamedTempFile,
    postgres: Option<Postgres>,
    _programs: Option<Programs>,
}

const NOT_INSTALLED: &str = "not installed; `cargo xtask test --install` installs what is missing";
const NOT_INSTALLABLE: &str = "it cannot be installed here";

impl Provision {
    /// Finds what the tests need, and installs what is missing if the options permit it. Fails on a system other than
    /// Linux, and if the installation of Postgres or Python fails.
    pub fn new(options: &Options) -> Result<Provision> {
        must_be_linux(std::env::consts::OS)?;
        let installer = options.install.permission();
        let installer = installer.as_ref();
        let missing = if installer.is_some() { NOT_INSTALLABLE } else { NOT_INSTALLED };

        let why = if options.without_postgres { "--without-postgres" } else { missing };
        let programs = provide(options.without_postgres, why, || Programs::provide(installer))?;
        let find = || Postgres::provide(programs.as_ref().ok());
        let postgres = provide(options.without_postgres, why, find)?;
        let why = if options.without_python { "--without-python" } else { missing };
        let python = provide(options.without_python, why, || python::provide(installer))?;

        let record = tempfile::Builder::new().prefix("tuckshop-record-").tempfile()?;
        let (given, variables) = (Vec::new(), Vec::new());
        let mut provision = Provision { given, variables, record, postgres: None, _programs: None };
        let url = |postgres: &Postgres| {
            (postgres.url.clone().into(), format!("{}; from {}", postgres.version, postgres.origin))
        };
        provision.give(provided::POSTGRES, postgres.as_ref().map(url));
        let bin = |programs: &Programs| (programs.bin.clone().into(), format!("programs from {}", programs.origin));
        provision.give(provided::POSTGRES_PROGRAMS, programs.as_ref().map(bin));
        for judge in &python::JUDGES {
            provision.give(judge.what, python.as_ref().map(|python| (python.into(), judge.requirement.to_owned())));
        }
        for tool in &TOOLS {
            let path = tool.provide(installer).ok_or_else(|| missing.to_owned());
            provision.give(tool.what, path.as_ref().map(|path| (path.into(), path.display().to_string())));
        }
        provision.given.push(Given { name: summary::SQLITE, is: Ok(summary::sqlite_version()?) });
        (provision.postgres, provision._programs) = (postgres.ok(), programs.ok());
        provision.report_missing();
        Ok(provision)
    }

    /// Adds a value for the tests and its description in the summary, or the reason why the value is missing.
    fn give(&mut self, what: Provided, found: Result<(OsString, String), &String>) {
        let (value, is) = found.map_or_else(|why| (None, Err(why.clone())), |(value, is)| (Some(value), Ok(is)));
        self.variables.push((what.variable, value));
        self.given.push(Given { name: what.name, is });
    }

    fn report_missing(&self) {
        let missing = self.given.iter().filter(|given| given.is.as_ref().is_err_and(|why| why == NOT_INSTALLED));
        let missing: Vec<&str> = missing.map(|given| given.name).collect();
        if !missing.is_empty() {
            eprintln!("xtask: not checked: {}: {NOT_INSTALLED}", missing.join(", "));
        }
    }

    /// Runs tests with everything that is provided, and prints a summary of what they checked. `adjust` may change the
    /// summary first. Fails if a test fails, or if something is provided and no test used it.
    pub fn run(&self, tests: &mut Command, adjust: impl FnOnce(&mut Summary)) -> Result<()> {
        for (variable, value) in &self.variables {
            match value {
                Some(value) => tests.env(variable, value),
                None => tests.env_remove(variable),
            };
        }
        tests.env(provided::RECORD, self.record.path());
        let mut results = Results::default();
        let outcome = process::run_with_lines(tests, |line| results.add(line));
        let record = std::fs::read_to_string(self.record.path()).context("the record of the tests is gone")?;
        let mut summary = Summary::of(&self.given, &record, &results);
        if self.postgres.is_none() {
            // The tests with haproxy run several instances of the shop, which need Postgres.
            summary.need_not_use(provided::HAPROXY);
        }
        adjust(&mut summary);
        summary.print();
        outcome?;
        summary.everything_was_used()
    }
}

/// Calls `find`, unless `is_left_out` is set, and returns what it found. Returns `why` if there is nothing. Fails if
/// `find` fails.
fn provide<T>(is_left_out: bool, why: &str, find: impl FnOnce() -> Result<Option<T>>) -> Result<Result<T, String>> {
    let found = if is_left_out { None } else { find()? };
    Ok(found.ok_or_else(|| why.to_owned()))
}

/// Fails on a system where the tests and the benchmark cannot run.
pub fn must_be_linux(system: &str) -> Result<()> {
    if system != "linux" {
        bail!(
            "the tests and the benchmark need Linux, and this is {system}: they read /proc, write to /dev/full, use all \
             addresses of 127.0.0.0/8, and run strace and libfaketime. `cargo xtask check --fast` runs here"
        );
    }
    Ok(())
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
