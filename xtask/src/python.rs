//! A Python with the official libraries that the tests compare the shop with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::Installer;
use crate::process;
use crate::provided::{self, Provided};

/// An official library that the tests use to check one part of the shop.
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

const ALTERNATIVES: &str = "install Python 3 with venv, or pass --without-python to leave its tests out";

/// A Python script that fails if a library has another version than required, or cannot be imported. Each argument has
/// the form `name==version module`.
const CHECK: &str = "
import importlib, importlib.metadata, sys
for judge in sys.argv[1:]:
    requirement, module = judge.split()
    name, version = requirement.split('==')
    assert importlib.metadata.version(name) == version, judge
    importlib.import_module(module)";

/// Returns the path of a Python with the libraries of all judges. An installer installs them if they are missing.
/// Returns `None` if they are missing and there is no installer.
pub fn provide(installer: Option<&Installer>) -> Result<Option<PathBuf>> {
    let Some(installer) = installer else {
        let known = [venv_python()?, "python3".into()];
        return Ok(known.into_iter().find(|python| check(python).is_ok()));
    };
    let python = prepare(installer)?;
    if check(&python).is_err() {
        let requirements = JUDGES.map(|judge| judge.requirement);
        let install = [&["install"], &requirements[..]].concat();
        installer.pip(&python, &install).and_then(|()| check(&python)).context(ALTERNATIVES)?;
    }
    Ok(Some(python))
}

/// Returns the path of a Python with pip, in a virtual environment that is created if needed. The environment may have
/// no other packages.
pub fn prepare(installer: &Installer) -> Result<PathBuf> {
    let python = venv_python()?;
    if process::output(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        create()
            .or_else(|failure| {
                // On Debian, the package python3 does not contain venv.
                if installer.apt("python3-venv")? { create() } else { Err(failure) }
            })
            .context(ALTERNATIVES)?;
    }
    Ok(python)
}

fn check(python: &Path) -> Result<String> {
    let judges = JUDGES.map(|judge| format!("{} {}", judge.requirement, judge.module));
    process::output(Command::new(python).args(["-c", CHECK]).args(judges))
}

fn venv_python() -> Result<PathBuf> {
    Ok(process::cache()?.join("venv/bin/python"))
}

/// Creates the virtual environment. Clears an existing directory, because a failed attempt leaves a directory that
/// looks like an environment.
fn create() -> Result<()> {
    process::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(process::cache()?.join("venv")))
        .map(drop)
}
