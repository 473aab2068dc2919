//! What the set-up needs to know of the machine: its system, who we are, and whether it can install packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

#[path = "../../faultkit/src/account.rs"]
mod account;

pub use account::{Account, is_root};

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

/// Fails where the tests and the benchmark cannot run.
pub fn must_be_linux() -> Result<()> {
    must_run_tests(std::env::consts::OS)
}

fn must_run_tests(system: &str) -> Result<()> {
    if system != "linux" {
        bail!(
            "the tests and the benchmark need Linux, and this is {system}: they read /proc, write to /dev/full, use all \
             addresses of 127.0.0.0/8, and drive strace and libfaketime. `cargo xtask check --fast` runs here"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_without_what_the_tests_need_is_named() {
        must_run_tests("linux").expect("they run");
        for system in ["macos", "freebsd"] {
            let refused = must_run_tests(system).expect_err("they cannot run").to_string();
            assert!(refused.contains("need Linux") && refused.contains(system), "{refused}");
        }
    }
}
