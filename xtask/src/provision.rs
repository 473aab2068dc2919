//! What the tests need from a machine: found or installed, passed to the tests, and held until they end.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::install::{Install, REMEDY};
use crate::postgres::{Durability, Postgres, Programs};
use crate::process;
use crate::provided::{self, Provided};
use crate::python::{JUDGES, Python};
use crate::summary::{Given, Record, Results, Summary};
use crate::tools::TOOLS;

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
    /// A variable without a value is removed: the tests would use an inherited value that the summary does not know.
    variables: Vec<(&'static str, Option<OsString>)>,
    /// Where the tests record what they used.
    record: NamedTempFile,
    _postgres: Option<Postgres>,
    _programs: Option<Programs>,
}

impl Provision {
    /// Fails where the tests cannot run, and where Postgres or Python cannot be installed although that is permitted.
    pub fn new(options: &Options) -> Result<Provision> {
        must_be_linux(std::env::consts::OS)?;
        let installer = options.install.permission();
        let installer = installer.as_ref();
        let (mut given, mut variables) = (Vec::new(), Vec::new());
        let mut give = |what: Provided, value: Option<OsString>, is: Result<String, String>| {
            variables.push((what.variable, value));
            given.push(Given { what, is });
        };

        let left_out = options.without_postgres.then_some("--without-postgres");
        let programs = if left_out.is_some() { Ok(None) } else { Programs::provide(installer) };
        let postgres = provide(left_out, || Postgres::provide(&programs, Durability::Fast))?;
        let url = postgres.as_ref().ok().map(|postgres| postgres.url.clone().into());
        let is = postgres.as_ref().map(|postgres| format!("{}; from {}", postgres.version, postgres.origin));
        give(provided::POSTGRES, url, is.map_err(String::clone));
        // A server in XTASK_POSTGRES_URL needs no programs.
        let programs = provide(left_out, || programs).unwrap_or_else(|failure| Err(format!("{failure:#}")));
        let bin = programs.as_ref().ok().map(|programs| programs.bin.clone().into());
        let is = programs.as_ref().map(|programs| format!("programs from {}", programs.origin));
        give(provided::POSTGRES_PROGRAMS, bin, is.map_err(String::clone));

        let left_out = options.without_python.then_some("--without-python");
        let python = provide(left_out, || Python::provide(installer))?;
        for judge in &JUDGES {
            let executable = python.as_ref().ok().map(|python| OsString::from(python.executable()));
            let is = match &python {
                Ok(python) => Ok(format!("{} on {}", judge.requirement, python.version()?)),
                Err(why) => Err(why.clone()),
            };
            give(judge.what, executable, is);
        }
        for tool in &TOOLS {
            let path = provide(None, || Ok(tool.provide(installer)))?;
            give(tool.what, path.as_ref().ok().map(OsString::from), path.map(|path| path.display().to_string()));
        }
        if let Some(packages) = python.as_ref().ok().and_then(Python::packages) {
            variables.push(("PYTHONPATH", Some(packages.into())));
        }
        let missing: Vec<&str> =
            given.iter().filter(|given| given.is == Err(not_installed())).map(Given::name).collect();
        if !missing.is_empty() {
            eprintln!("xtask: not installed, and therefore not checked: {}. {REMEDY}", missing.join(", "));
        }
        let record = tempfile::Builder::new().prefix("tuckshop-record-").tempfile()?;
        Ok(Provision { given, variables, record, _postgres: postgres.ok(), _programs: programs.ok() })
    }

    /// Runs tests with everything that is provided. Returns their outcome, and the summary of what they checked.
    pub fn run(&self, tests: &mut Command) -> Result<(Result<()>, Summary)> {
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
        Ok((outcome, Summary::of(&self.given, &Record::parse(&record), &results)))
    }
}

fn not_installed() -> String {
    format!("not installed; {REMEDY}")
}

/// What `find` returns, or the reason why there is nothing: an option that leaves it out, or that it is not installed.
fn provide<T>(left_out: Option<&str>, find: impl FnOnce() -> Result<Option<T>>) -> Result<Result<T, String>> {
    Ok(match left_out {
        Some(option) => Err(option.to_owned()),
        None => find()?.ok_or_else(not_installed),
    })
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
mod tests {
    use super::*;

    #[test]
    fn system_other_than_linux_is_refused_by_name() {
        must_be_linux("linux").expect("accepted");
        for system in ["macos", "freebsd"] {
            let refused = must_be_linux(system).expect_err("refused").to_string();
            assert!(refused.contains("need Linux") && refused.contains(system), "{refused}");
        }
    }

    #[test]
    fn what_is_missing_is_reported_with_the_reason_and_the_command() {
        let reason = |left_out, found: Option<()>| provide(left_out, || Ok(found)).expect("no failure");
        assert_eq!(reason(None, Some(())), Ok(()));
        assert_eq!(reason(Some("--without-postgres"), Some(())), Err("--without-postgres".to_owned()));
        let expected = "not installed; `cargo xtask test --install` installs it";
        assert_eq!(reason(None, None), Err(expected.to_owned()));
        provide::<()>(None, || bail!("apt-get failed")).expect_err("a failed installation is a failure");
    }
}
