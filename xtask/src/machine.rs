//! What the set-up needs to know of the machine: who we are, and whether it can install packages.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

pub fn is_root() -> bool {
    id("-u", None).is_ok_and(|id| id == 0)
}

/// Who runs the database server: ourselves, unless we are root, which Postgres refuses.
pub struct Account(Option<(u32, u32)>);

impl Account {
    pub fn for_servers() -> Result<Account> {
        if !is_root() {
            return Ok(Account(None));
        }
        for name in ["postgres", "nobody"] {
            if let (Ok(user), Ok(group)) = (id("-u", Some(name)), id("-g", Some(name))) {
                return Ok(Account(Some((user, group))));
            }
        }
        bail!("Postgres does not run as root, and this machine has no account `postgres` or `nobody` to run it as")
    }

    /// In `directory`, since the account may not be allowed to be where we are.
    pub fn command(&self, program: impl AsRef<Path>, directory: &Path) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(directory);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    pub fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .with_context(|| format!("cannot give {} to the account that runs Postgres", path.display()))
    }
}

fn id(what: &str, name: Option<&str>) -> Result<u32> {
    Ok(process::output(Command::new("id").arg(what).args(name))?.parse()?)
}

/// The first directory of PATH that has all of `programs`.
pub fn directory_with(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|directory| programs.iter().all(|program| directory.join(program).is_file()))
}

/// `Ok(false)` where this is not ours to do: no apt-get, or not root.
pub fn apt_install(package: &str) -> Result<bool> {
    if !is_root() || directory_with(&["apt-get"]).is_none() {
        return Ok(false);
    }
    println!("xtask: installing {package} with apt-get");
    let apt_get = |arguments: &[&str]| {
        process::output(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    // One unreachable list among many fails the update, and may well not be the list that matters.
    if let Err(failure) = apt_get(&["update", "-qq"]) {
        eprintln!("xtask: {failure:#}");
    }
    apt_get(&["install", "-y", "-qq", "--no-install-recommends", package])?;
    Ok(true)
}
