//! `cargo xtask dist`: builds a binary for other machines. The binary does not contain the path of any directory of the
//! machine that built it.
//!
//! After a plain `cargo build --release`, panic messages and debug information contain the paths of all dependencies.
//! Cargo's option against this (`trim-paths`) is not stable. The option `--remap-path-prefix` of the compiler needs
//! absolute paths, which differ on each machine, so this command determines them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

#[derive(clap::Args)]
pub struct Args {
    /// Features of the api, such as `pg-tls`.
    #[arg(long)]
    features: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let (places, target) = (places()?, process::root().join("target/dist"));
    let mut build = process::cargo(&["build", "--release", "--locked", "--package", "api", "--bin", "tuckshop"]);
    build.arg("--target-dir").arg(&target).args(args.features.iter().flat_map(|features| ["--features", features]));
    let users = |name: &str| std::env::var(name).ok();
    add_flags(&mut build, &places, users("RUSTFLAGS"), users("CFLAGS"));
    process::run(&mut build)?;

    let binary = target.join("release/tuckshop");
    let bytes = std::fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let named: Vec<String> = places.iter().filter_map(|place| first_naming(&bytes, place)).collect();
    if !named.is_empty() {
        bail!(
            "the binary contains directories of this machine: {}. `target.*.rustflags` in cargo's configuration, \
             `CARGO_ENCODED_RUSTFLAGS` and `CFLAGS_*` replace the flags of xtask: use RUSTFLAGS and CFLAGS instead",
            named.join(", ")
        );
    }
    println!("{}", binary.display());
    Ok(())
}

/// A directory of this machine, and its replacement in the binary.
struct Place {
    path: String,
    name: &'static str,
}

/// Returns the directories to replace. A directory comes after the directory that contains it, because the compilers
/// use the last replacement that matches a path.
fn places() -> Result<Vec<Place>> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.parent().is_some());
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| home.as_ref().map(|home| home.join(".cargo")));
    let known = [(home, "/home"), (cargo, "/cargo"), (Some(process::root()), "/tuckshop")];
    let mut places = Vec::new();
    for (path, name) in known.into_iter().filter_map(|(path, name)| Some((path?, name))) {
        let path = path.into_os_string().into_string().ok().context("the name of a directory is not UTF-8")?;
        if path.contains(|character: char| character.is_whitespace() || "='".contains(character)) {
            bail!("the compilers cannot replace {path:?}: build in a directory without white space, `=` and `'`");
        }
        places.push(Place { path, name });
    }
    Ok(places)
}

/// Adds flags that make the compilers replace the path of every place. Keeps the flags of the user.
fn add_flags(build: &mut Command, places: &[Place], rust: Option<String>, c: Option<String>) {
    let flags =
        |flag: &str| places.iter().map(|Place { path, name }| format!("{flag}={path}={name}")).collect::<Vec<_>>();
    let ours = flags("--remap-path-prefix");
    match rust {
        // Cargo ignores the flags in its configuration if RUSTFLAGS is set, so all flags are put there.
        Some(users) => build.env("RUSTFLAGS", format!("{users} {}", ours.join(" "))),
        None => build.arg("--config").arg(format!("build.rustflags=['{}']", ours.join("', '"))),
    };
    // The C compiler builds SQLite, libpq and the crypto backend.
    let c = c.into_iter().chain(flags("-ffile-prefix-map"));
    build.env("CFLAGS", c.collect::<Vec<_>>().join(" "));
}

/// Finds the first text in the binary that is a path inside this directory.
///
/// The path of a directory at the top level, such as `/src`, can also be the middle of another path. For such a
/// directory, a text counts only if it begins with the path of an existing file or directory. The bytes before the text
/// cannot decide this, because texts in a binary follow each other without a separator.
fn first_naming(bytes: &[u8], Place { path, name }: &Place) -> Option<String> {
    if path == name {
        return None;
    }
    let (inside, directory) = (format!("{path}/"), Path::new(path));
    let is_unmistakable = directory.components().count() > 2;
    let found = bytes.windows(inside.len()).enumerate().filter(|(_, window)| *window == inside.as_bytes());
    let mut texts = found.map(|(at, _)| {
        let text = bytes[at..].iter().take(200).take_while(|byte| byte.is_ascii_graphic());
        text.map(|byte| char::from(*byte)).collect::<String>()
    });
    texts.find(|text| {
        let rest = text.get(inside.len()..).unwrap_or_default();
        let beginning = rest.splitn(3, '/').take(2).collect::<PathBuf>();
        is_unmistakable || (!rest.is_empty() && directory.join(beginning).exists())
    })
}

#[cfg(test)]
#[path = "dist_tests.rs"]
mod tests;
