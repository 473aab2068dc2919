//! A Python with the official libraries that the tests compare the shop with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

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

const ALTERNATIVES: &str = "install Python 3 with venv, or pass --without-python to leave its tests out";

/// Fails if a judge, given as `name==version module`, has another version or cannot be imported.
const CHECK: &str = "
import importlib, importlib.metadata, sys
for judge in sys.argv[1:]:
    requirement, module = judge.split()
    name, version = requirement.split('==')
    assert importlib.metadata.version(name) == version, judge
    importlib.import_module(module)";

/// A Python that has all judges. None if there is none and no installer.
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

/// A Python with pip, in a virtual environment, but not necessarily with any package.
pub fn prepare(installer: &Installer) -> Result<PathBuf> {
    let python = venv_python()?;
    if process::output(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        create()
            .or_else(|failure| {
                // The python3 of Debian has no venv.
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

/// Makes the environment anew: a failed attempt leaves a directory that looks like one.
fn create() -> Result<()> {
    process::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(process::cache()?.join("venv")))
        .map(drop)
}
