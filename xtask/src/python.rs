//! A Python with the official libraries that judge our work, for the tests that ask them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::provided::{self, Provided};
use crate::{machine, process};

/// A library that others wrote for what we imitate or answer.
pub struct Judge {
    /// What it judges.
    pub what: Provided,
    pub requirement: &'static str,
    module: &'static str,
}

pub const JUDGES: [Judge; 4] = [
    Judge { what: provided::UCP_MODELS, requirement: "ucp-sdk==0.4.5", module: "ucp_sdk" },
    Judge { what: provided::STRIPE, requirement: "stripe==16.1.0", module: "stripe" },
    Judge {
        what: provided::SIGNATURES,
        requirement: "http-message-signatures==3.0.0",
        module: "http_message_signatures",
    },
    Judge { what: provided::MAIL, requirement: "aiosmtpd==1.4.6", module: "aiosmtpd.smtp" },
];

const REMEDY: &str = "no Python to test with: install Python 3 with venv or pip, \
                      or pass --without-python to leave unchecked what the official libraries judge";

pub struct Python {
    executable: PathBuf,
    /// Where packages go if this machine cannot make virtual environments.
    packages: Option<PathBuf>,
}

impl Python {
    pub fn provide() -> Result<Python> {
        let python = Python::prepare()?;
        let missing: Vec<&Judge> = JUDGES.iter().filter(|judge| !python.has(judge)).collect();
        if !missing.is_empty() {
            let requirements: Vec<&str> = missing.iter().map(|judge| judge.requirement).collect();
            println!("xtask: installing {}", requirements.join(", "));
            let mut install = python.command();
            install.args(["-m", "pip", "install", "--quiet", "--upgrade"]).args(requirements);
            if let Some(packages) = &python.packages {
                install.arg("--target").arg(packages);
            }
            process::output(&mut install).context(REMEDY)?;
        }
        for judge in missing {
            process::output(&mut python.version_of(judge)).context("installed, but not importable")?;
        }
        Ok(python)
    }

    /// With pip, but not necessarily with any package.
    pub fn prepare() -> Result<Python> {
        let environment = process::cache()?.join("venv");
        let python = Python { executable: environment.join("bin/python"), packages: None };
        if python.has_pip() {
            return Ok(python);
        }
        let Err(failure) = create(&environment) else { return Ok(python) };
        eprintln!("xtask: {failure:#}");
        // Debian's python3 comes without venv.
        if machine::apt_install("python3-venv").unwrap_or(false) && create(&environment).is_ok() {
            return Ok(python);
        }
        let packages = Some(process::cache()?.join("python"));
        let python = Python { executable: PathBuf::from("python3"), packages };
        process::output(python.command().args(["-m", "pip", "--version"])).context(REMEDY)?;
        Ok(python)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        if let Some(packages) = &self.packages {
            command.env("PYTHONPATH", packages);
        }
        command
    }

    pub fn version(&self) -> Result<String> {
        process::output(self.command().arg("--version"))
    }

    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// Where its packages are, if not where it looks for them by itself.
    pub fn packages(&self) -> Option<&Path> {
        self.packages.as_deref()
    }

    fn has_pip(&self) -> bool {
        process::output(self.command().args(["-m", "pip", "--version"])).is_ok()
    }

    fn has(&self, judge: &Judge) -> bool {
        process::output(&mut self.version_of(judge)).is_ok_and(|version| version == judge.requirement)
    }

    /// Written as a requirement, so that the two can be compared; fails if it cannot be imported.
    fn version_of(&self, judge: &Judge) -> Command {
        let name = judge.requirement.split("==").next().unwrap_or_default();
        let module = judge.module;
        let mut command = self.command();
        command.arg("-c");
        command.arg(format!(
            "import importlib.metadata, {module}; print('{name}==' + importlib.metadata.version('{name}'))"
        ));
        command
    }
}

/// From nothing: what a failed attempt leaves looks like an environment and is none.
fn create(environment: &Path) -> Result<()> {
    if environment.exists() {
        std::fs::remove_dir_all(environment)?;
    }
    process::output(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    Ok(())
}
