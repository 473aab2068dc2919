//! What the tests need from a machine: found or installed, passed to the tests, and held until they end.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::install::Install;
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
    postgres: Option<Postgres>,
    _programs: Option<Programs>,
}

impl Provision {
    /// Fails where the tests cannot run, and where Postgres or Python cannot be installed although that is permitted.
    pub fn new(options: &Options) -> Result<Provision> {
        must_be_linux(std::env::consts::OS)?;
        let installer = options.install.permission();
        let installer = installer.as_ref();
        let record = tempfile::Builder::new().prefix("tuckshop-record-").tempfile()?;
        let (given, variables) = (Vec::new(), Vec::new());
        let mut provision = Provision { given, variables, record, postgres: None, _programs: None };

        let missing = if installer.is_some() { NOT_INSTALLABLE } else { NOT_INSTALLED };
        let left_out = options.without_postgres.then_some("--without-postgres");
        let programs = if left_out.is_some() { Ok(None) } else { Programs::provide(installer) };
        let postgres = provide(left_out.ok_or(missing), || Postgres::provide(&programs, Durability::Fast))?;
        provision.give(provided::POSTGRES, &postgres, |postgres| {
            (postgres.url.clone().into(), format!("{}; from {}", postgres.version, postgres.origin))
        });
        // A server in XTASK_POSTGRES_URL needs no programs.
        let programs =
            provide(left_out.ok_or(missing), || programs).unwrap_or_else(|failure| Err(format!("{failure:#}")));
        provision.give(provided::POSTGRES_PROGRAMS, &programs, |programs| {
            (programs.bin.clone().into(), format!("programs from {}", programs.origin))
        });
        (provision.postgres, provision._programs) = (postgres.ok(), programs.ok());

        let left_out = options.without_python.then_some("--without-python");
        let python = provide(left_out.ok_or(missing), || Python::provide(installer))?;
        let version = python.as_ref().map_or_else(|_| Ok(String::new()), Python::version)?;
        for judge in &JUDGES {
            let describe =
                |python: &Python| (python.executable().into(), format!("{} on {version}", judge.requirement));
            provision.give(judge.what, &python, describe);
        }
        if let Some(packages) = python.as_ref().ok().and_then(Python::packages) {
            provision.variables.push(("PYTHONPATH", Some(packages.into())));
        }
        for tool in &TOOLS {
            let path = provide(Err(missing), || Ok(tool.provide(installer)))?;
            provision.give(tool.what, &path, |path| (path.into(), path.display().to_string()));
        }
        provision.report_missing();
        Ok(provision)
    }

    fn give<T>(&mut self, what: Provided, found: &Result<T, String>, describe: impl Fn(&T) -> (OsString, String)) {
        let (value, is) = match found {
            Ok(found) => {
                let (value, is) = describe(found);
                (Some(value), Ok(is))
            }
            Err(why) => (None, Err(why.clone())),
        };
        self.variables.push((what.variable, value));
        self.given.push(Given { what, is });
    }

    fn report_missing(&self) {
        let missing =
            self.given.iter().filter(|given| given.is.as_ref().is_err_and(|why| why == NOT_INSTALLED)).map(Given::name);
        let missing: Vec<&str> = missing.collect();
        if !missing.is_empty() {
            eprintln!("xtask: not checked: {}: {NOT_INSTALLED}", missing.join(", "));
        }
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
        let mut summary = Summary::of(&self.given, &Record::parse(&record), &results);
        if self.postgres.is_none() {
            // Its tests run several instances, which needs Postgres.
            summary.need_not_use(provided::HAPROXY);
        }
        Ok((outcome, summary))
    }
}

const NOT_INSTALLED: &str = "not installed; `cargo xtask test --install` installs what is missing";
const NOT_INSTALLABLE: &str = "it cannot be installed here";

/// What `find` returns, or the reason why there is nothing: the option that leaves it out, or, as error, why it is missing.
fn provide<T>(left_out: Result<&str, &str>, find: impl FnOnce() -> Result<Option<T>>) -> Result<Result<T, String>> {
    Ok(match left_out {
        Ok(option) => Err(option.to_owned()),
        Err(missing) => find()?.ok_or_else(|| missing.to_owned()),
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
        assert_eq!(reason(Err(NOT_INSTALLED), Some(())), Ok(()));
        assert_eq!(reason(Ok("--without-postgres"), Some(())), Err("--without-postgres".to_owned()));
        assert_eq!(reason(Err(NOT_INSTALLED), None), Err(NOT_INSTALLED.to_owned()));
        assert!(NOT_INSTALLED.contains("cargo xtask test --install"));
        provide::<()>(Err(NOT_INSTALLED), || bail!("apt-get failed")).expect_err("a failed installation is a failure");
    }
}
