//! Installs programs and packages. The other parts of xtask need an [`Installer`] to install or download anything.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::account::is_root;
use crate::process;

#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Install {
    /// Install what is missing: programs with apt-get (as root), Python packages with pip. CI=true implies it.
    #[arg(long)]
    install: bool,
}

/// Installs packages. A value of this type exists only if the user or CI permits installations.
pub struct Installer(());

impl Install {
    pub fn permission(self) -> Option<Installer> {
        self.permission_with(std::env::var("CI").ok().as_deref())
    }

    fn permission_with(self, ci: Option<&str>) -> Option<Installer> {
        (self.install || ci == Some("true")).then_some(Installer(()))
    }
}

impl Installer {
    /// Installs a Debian package. Returns false, and does nothing, without apt-get or without root.
    pub fn apt(&self, package: &str) -> Result<bool> {
        if !is_root() || program("apt-get").is_none() {
            return Ok(false);
        }
        println!("xtask: installing {package} with apt-get");
        let apt_get = |arguments: &[&str]| {
            process::output(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
        };
        // The update fails if one of many package lists is unreachable. The package may be in another list, so its
        // installation is tried anyway.
        if let Err(failure) = apt_get(&["update", "-qq"]) {
            eprintln!("xtask: {failure:#}");
        }
        apt_get(&["install", "-y", "-qq", "--no-install-recommends", package])?;
        Ok(true)
    }

    /// Runs a pip command that downloads packages.
    pub fn pip(&self, python: &Path, command: &[&str]) -> Result<()> {
        println!("xtask: pip {}", command.join(" "));
        process::output(Command::new(python).args(["-m", "pip", "--quiet"]).args(command)).map(drop)
    }
}

/// The first directory of PATH that has all of `programs`.
pub fn directory_with(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|directory| programs.iter().all(|program| directory.join(program).is_file()))
}

/// The path of a program, if PATH has it.
pub fn program(name: &str) -> Option<PathBuf> {
    directory_with(&[name]).map(|directory| directory.join(name))
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
