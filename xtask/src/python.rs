//! A Python with the official libraries that the tests compare the shop with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::install::Installer;
use crate::process;
use crate::provided::{self, Provided};

/// An official library, as judge of one part of the shop.
pub struct Judge {
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

const ALTERNATIVES: &str = "install Python 3 with venv or pip, or pass --without-python to leave its tests out";

pub struct Python {
    executable: PathBuf,
    /// Where packages are, on a machine that cannot make virtual environments.
    packages: Option<PathBuf>,
}

impl Python {
    /// A Python that has all judges. None if there is none and no installer.
    pub fn provide(installer: Option<&Installer>) -> Result<Option<Python>> {
        let Some(installer) = installer else {
            return Ok(Python::known()?.into_iter().find(|python| python.missing().is_empty()));
        };
        let python = Python::prepare(installer).context(ALTERNATIVES)?;
        let missing = python.missing();
        if !missing.is_empty() {
            let to = python.packages.as_deref().map(|packages| ("--target", packages));
            installer.pip(&python, &["install", "--upgrade"], &missing, to).context(ALTERNATIVES)?;
            if let [first, ..] = python.missing().as_slice() {
                bail!("{first} was installed and cannot be imported");
            }
        }
        Ok(Some(python))
    }

    /// A Python with pip, but not necessarily with any package.
    pub fn prepare(installer: &Installer) -> Result<Python> {
        let [in_environment, fallback] = Python::known()?;
        if in_environment.has_pip().is_ok() {
            return Ok(in_environment);
        }
        let directory = environment()?;
        let Err(failure) = create(&directory) else { return Ok(in_environment) };
        eprintln!("xtask: {failure:#}");
        // The python3 of Debian has no venv.
        if installer.apt("python3-venv").unwrap_or(false) && create(&directory).is_ok() {
            return Ok(in_environment);
        }
        fallback.has_pip()?;
        Ok(fallback)
    }

    fn known() -> Result<[Python; 2]> {
        let in_environment = Python { executable: environment()?.join("bin/python"), packages: None };
        Ok([in_environment, Python { executable: "python3".into(), packages: Some(process::cache()?.join("python")) }])
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.envs(self.packages.as_ref().map(|packages| ("PYTHONPATH", packages)));
        command
    }

    pub fn version(&self) -> Result<String> {
        process::output(self.command().arg("--version"))
    }

    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// The directory of the packages, if it is not the default of the interpreter.
    pub fn packages(&self) -> Option<&Path> {
        self.packages.as_deref()
    }

    fn has_pip(&self) -> Result<String> {
        process::output(self.command().args(["-m", "pip", "--version"]))
    }

    /// The judges that are not installed in this version, or cannot be imported.
    fn missing(&self) -> Vec<&'static str> {
        let is_installed = |Judge { requirement, module, .. }: &Judge| {
            let (name, version) = requirement.split_once("==").unwrap_or((requirement, ""));
            let program = format!("import importlib.metadata, {module}; print(importlib.metadata.version('{name}'))");
            process::output(self.command().args(["-c", &program])).is_ok_and(|found| found == version)
        };
        JUDGES.iter().filter(|judge| !is_installed(judge)).map(|judge| judge.requirement).collect()
    }
}

fn environment() -> Result<PathBuf> {
    Ok(process::cache()?.join("venv"))
}

/// Makes the environment anew: a failed attempt leaves a directory that looks like one.
fn create(environment: &Path) -> Result<()> {
    if environment.exists() {
        std::fs::remove_dir_all(environment)?;
    }
    process::output(Command::new("python3").args(["-m", "venv"]).arg(environment)).map(drop)
}
