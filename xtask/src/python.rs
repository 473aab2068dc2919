//! A Python that can import the official UCP models, for the tests that validate our answers with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{machine, process};

/// The interpreter handed to the tests.
pub const EXECUTABLE: &str = "XTASK_PYTHON";
pub const SDK: &str = "ucp-sdk==0.4.5";

const ASK_VERSION: &str =
    "import importlib.metadata, ucp_sdk; print('ucp-sdk==' + importlib.metadata.version('ucp-sdk'))";
const REMEDY: &str = "no Python to test with: install Python 3 with venv or pip, \
                      or pass --without-python to leave the official UCP models unchecked";

pub struct Python {
    executable: PathBuf,
    /// Where packages go if this machine cannot make virtual environments.
    packages: Option<PathBuf>,
}

impl Python {
    pub fn provide() -> Result<Python> {
        let python = Python::prepare()?;
        if !python.has_sdk() {
            println!("xtask: installing {SDK}");
            let mut install = python.command();
            install.args(["-m", "pip", "install", "--quiet", "--upgrade", SDK]);
            if let Some(packages) = &python.packages {
                install.arg("--target").arg(packages);
            }
            process::output(&mut install).context(REMEDY)?;
            process::output(&mut python.sdk_version()).context("installed, but not importable")?;
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

    pub fn hand_to(&self, tests: &mut Command) {
        tests.env(EXECUTABLE, &self.executable);
        if let Some(packages) = &self.packages {
            tests.env("PYTHONPATH", packages);
        }
    }

    fn has_pip(&self) -> bool {
        process::output(self.command().args(["-m", "pip", "--version"])).is_ok()
    }

    fn has_sdk(&self) -> bool {
        process::output(&mut self.sdk_version()).is_ok_and(|version| version == SDK)
    }

    fn sdk_version(&self) -> Command {
        let mut command = self.command();
        command.args(["-c", ASK_VERSION]);
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
