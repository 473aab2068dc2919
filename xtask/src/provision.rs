//! Everything that the tests need of a machine: found or installed, handed to them, and held until they have ended.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::machine;
use crate::postgres::{Durability, Postgres, Programs};
use crate::provided::{self, Provided};
use crate::python::{JUDGES, Python};
use crate::summary::{Given, Record, Summary};
use crate::tools::TOOLS;

pub struct Provision {
    given: Vec<Given>,
    /// What is not provided must not be inherited either: it would be used, and reported as absent.
    variables: Vec<(&'static str, Option<OsString>)>,
    /// Where the tests write what they used.
    record: NamedTempFile,
    _postgres: Option<Postgres>,
    _programs: Option<Programs>,
}

impl Provision {
    /// Fails where the tests cannot run. Fails where there is no Postgres or no Python, unless an option leaves it out. Any
    /// other tool that is missing is reported.
    pub fn new(with_postgres: bool, with_python: bool) -> Result<Provision> {
        machine::must_be_linux()?;
        let (mut given, mut variables) = (Vec::new(), Vec::new());
        let mut give = |what: Provided, value: Option<OsString>, is| {
            variables.push((what.variable, value));
            given.push(Given { what, is });
        };
        let without = |option: &str| Err(option.to_owned());

        let postgres = with_postgres.then(|| Postgres::provide(Durability::Fast)).transpose()?;
        match &postgres {
            Some(postgres) => {
                let is = format!("{}; from {}", postgres.version, postgres.origin);
                give(provided::POSTGRES, Some(postgres.url.clone().into()), Ok(is));
            }
            None => give(provided::POSTGRES, None, without("--without-postgres")),
        }
        let programs = with_postgres.then(Programs::provide);
        match &programs {
            Some(Ok(programs)) => {
                let bin = programs.bin.clone().into();
                give(provided::POSTGRES_PROGRAMS, Some(bin), Ok(format!("programs from {}", programs.origin)));
            }
            Some(Err(failure)) => give(provided::POSTGRES_PROGRAMS, None, Err(format!("{failure:#}"))),
            None => give(provided::POSTGRES_PROGRAMS, None, without("--without-postgres")),
        }

        let python = with_python.then(Python::provide).transpose()?;
        let version = python.as_ref().map(Python::version).transpose()?.unwrap_or_default();
        let executable = python.as_ref().map(|python| OsString::from(python.executable()));
        for judge in &JUDGES {
            let is = match with_python {
                true => Ok(format!("{} on {version}", judge.requirement)),
                false => without("--without-python"),
            };
            give(judge.what, executable.clone(), is);
        }
        for tool in &TOOLS {
            let path = tool.provide();
            let is = path.as_ref().map(|path| path.display().to_string());
            give(tool.what, path.map(OsString::from), is.ok_or_else(|| "it cannot be installed here".to_owned()));
        }
        if let Some(packages) = python.as_ref().and_then(Python::packages) {
            variables.push(("PYTHONPATH", Some(packages.into())));
        }
        let record = tempfile::Builder::new().prefix("tuckshop-record-").tempfile()?;
        Ok(Provision { given, variables, record, _postgres: postgres, _programs: programs.and_then(Result::ok) })
    }

    pub fn hand_to(&self, tests: &mut Command) {
        for (variable, value) in &self.variables {
            match value {
                Some(value) => tests.env(variable, value),
                None => tests.env_remove(variable),
            };
        }
        tests.env(provided::RECORD, self.record.path());
    }

    /// What the tests recorded so far.
    pub fn record(&self) -> Result<Record> {
        let text = std::fs::read_to_string(self.record.path()).context("the record of the tests is gone")?;
        Ok(Record::parse(&text))
    }

    pub fn summary(&self, record: &Record) -> Summary {
        Summary::of(&self.given, record)
    }
}
