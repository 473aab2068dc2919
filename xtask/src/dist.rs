//! `cargo xtask dist`: the binary to install elsewhere. It names no directory of the machine that built it.
//!
//! A plain `cargo build --release` leaves the builder's paths of all dependencies in panic messages and debug information.
//! Cargo's own remedy (`trim-paths`) is not stable, and `--remap-path-prefix` needs absolute paths, which a repository
//! cannot know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    build.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&places, std::env::var_os("CARGO_ENCODED_RUSTFLAGS")));
    // SQLite, libpq and the crypto backend are C.
    build.env("CFLAGS", c_flags(&places, std::env::var("CFLAGS").ok()));
    process::run(&mut build)?;

    let binary = target.join("release/tuckshop");
    let bytes = std::fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let named: Vec<String> = places.iter().filter_map(|place| first_naming(&bytes, &place.path)).collect();
    if !named.is_empty() {
        bail!("the binary names directories of this machine: {}", named.join(", "));
    }
    println!("{}", binary.display());
    Ok(())
}

/// A directory of this machine, and its replacement in the binary.
struct Place {
    path: String,
    name: &'static str,
}

/// The inner ones last: the last that fits counts.
fn places() -> Result<Vec<Place>> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.parent().is_some());
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| home.as_ref().map(|home| home.join(".cargo")));
    let of = |path: Option<PathBuf>, name| path.map(|path| (path, name));
    let known = [of(home, "/home"), of(cargo, "/cargo"), of(Some(process::root()), "/tuckshop")];
    let mut places = Vec::new();
    for (path, name) in known.into_iter().flatten() {
        let path = path.into_os_string().into_string().ok().context("a directory whose name is not text")?;
        if path.contains(|character: char| character.is_whitespace() || character == '=') {
            bail!("compilers cannot leave out {path:?}: build in a directory without blanks");
        }
        places.push(Place { path, name });
    }
    Ok(places)
}

/// As cargo reads them: separated by a character that is in no flag.
fn rust_flags(places: &[Place], before: Option<OsString>) -> OsString {
    const SEPARATOR: &str = "\u{1f}";
    let mut flags = before.filter(|before| !before.is_empty());
    for Place { path, name } in places {
        let mut joined = flags.map_or_else(OsString::new, |mut flags| {
            flags.push(SEPARATOR);
            flags
        });
        joined.push(format!("--remap-path-prefix={path}={name}"));
        flags = Some(joined);
    }
    flags.unwrap_or_default()
}

fn c_flags(places: &[Place], before: Option<String>) -> String {
    let maps = places.iter().map(|Place { path, name }| format!("-ffile-prefix-map={path}={name}"));
    before.into_iter().chain(maps).collect::<Vec<_>>().join(" ")
}

/// The first text of the binary that begins with this directory.
fn first_naming(bytes: &[u8], path: &str) -> Option<String> {
    let inside = format!("{}/", Path::new(path).display());
    let at = bytes.windows(inside.len()).position(|window| window == inside.as_bytes())?;
    let text = bytes[at..].iter().take(200).take_while(|byte| byte.is_ascii_graphic());
    Some(text.map(|byte| char::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Place> {
        [("/users/ann", "/home"), ("/users/ann/.cargo", "/cargo")]
            .map(|(path, name)| Place { path: path.to_owned(), name })
            .into()
    }

    #[test]
    fn every_compiler_gets_every_place_and_keeps_its_own_flags() {
        let mapped = "--remap-path-prefix=/users/ann=/home\u{1f}--remap-path-prefix=/users/ann/.cargo=/cargo";
        assert_eq!(rust_flags(&places(), None), mapped);
        assert_eq!(rust_flags(&places(), Some("-Cx".into())), OsString::from(format!("-Cx\u{1f}{mapped}")));
        let mapped = "-ffile-prefix-map=/users/ann=/home -ffile-prefix-map=/users/ann/.cargo=/cargo";
        assert_eq!(c_flags(&places(), None), mapped);
        assert_eq!(c_flags(&places(), Some("-O3".to_owned())), format!("-O3 {mapped}"));
    }

    #[test]
    fn binary_that_names_a_directory_of_the_builder_is_noticed() {
        let binary = b"\0panicked at \0/users/ann/.cargo/registry/src/x.rs\0/users/annabel/y.rs";
        assert_eq!(first_naming(binary, "/users/ann").as_deref(), Some("/users/ann/.cargo/registry/src/x.rs"));
        assert_eq!(first_naming(b"\0/cargo/registry/src/x.rs\0/users/annabel/y.rs", "/users/ann"), None);
    }
}
