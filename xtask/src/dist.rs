//! `cargo xtask dist`: builds the binary to install elsewhere. It contains no directory of the machine that built it.
//!
//! After a plain `cargo build --release`, panic messages and debug information contain the paths of all dependencies.
//! The solution of cargo (`trim-paths`) is not stable, and `--remap-path-prefix` needs absolute paths, which differ on each
//! machine.

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
    match rust_flags(&places, |name| std::env::var_os(name)) {
        RustFlags::Environment(flags) => build.env(ENCODED, flags),
        RustFlags::Configuration(setting) => build.arg("--config").arg(setting),
    };
    // SQLite, libpq and the crypto backend are C.
    build.env("CFLAGS", c_flags(&places, std::env::var("CFLAGS").ok()));
    process::run(&mut build)?;

    let binary = target.join("release/tuckshop");
    let bytes = std::fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let named: Vec<String> = places.iter().filter_map(|place| first_naming(&bytes, place)).collect();
    if !named.is_empty() {
        bail!(
            "the binary contains directories of this machine: {}. If cargo's configuration has `target.*.rustflags` here, \
             or the environment has `CFLAGS_*`, they replace those of xtask: use RUSTFLAGS and CFLAGS instead",
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

/// Nested directories come later: the compilers use the last one that matches.
fn places() -> Result<Vec<Place>> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.parent().is_some());
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| home.as_ref().map(|home| home.join(".cargo")));
    let of = |path: Option<PathBuf>, name| path.map(|path| (path, name));
    let known = [of(home, "/home"), of(cargo, "/cargo"), of(Some(process::root()), "/tuckshop")];
    let mut places = Vec::new();
    for (path, name) in known.into_iter().flatten() {
        let path = path.into_os_string().into_string().ok().context("the name of a directory is not UTF-8")?;
        if path.contains(|character: char| character.is_whitespace() || "='".contains(character)) {
            bail!("the compilers cannot replace {path:?}: build in a directory without white space, `=` and `'`");
        }
        places.push(Place { path, name });
    }
    Ok(places)
}

/// The variable with flags of rustc, and the separator between them.
const ENCODED: &str = "CARGO_ENCODED_RUSTFLAGS";
const SEPARATOR: &str = "\u{1f}";

/// How cargo gets the flags of rustc. Cargo uses only one source, so the flags of xtask are added to those of the user.
#[derive(Debug, PartialEq, Eq)]
enum RustFlags {
    /// In [`ENCODED`], which has precedence.
    Environment(OsString),
    /// As a setting, which cargo appends to those in configuration files.
    Configuration(String),
}

fn rust_flags(places: &[Place], environment: impl Fn(&str) -> Option<OsString>) -> RustFlags {
    let ours = places.iter().map(|Place { path, name }| format!("--remap-path-prefix={path}={name}"));
    let plain =
        || Some(environment("RUSTFLAGS")?.to_string_lossy().split_whitespace().collect::<Vec<_>>().join(SEPARATOR));
    let Some(users) = environment(ENCODED).or_else(|| plain().map(OsString::from)) else {
        let quoted: Vec<String> = ours.map(|flag| format!("'{flag}'")).collect();
        return RustFlags::Configuration(format!("build.rustflags=[{}]", quoted.join(", ")));
    };
    let all: Vec<OsString> =
        Some(users).filter(|users| !users.is_empty()).into_iter().chain(ours.map(OsString::from)).collect();
    RustFlags::Environment(all.join(SEPARATOR.as_ref()))
}

fn c_flags(places: &[Place], before: Option<String>) -> String {
    let maps = places.iter().map(|Place { path, name }| format!("-ffile-prefix-map={path}={name}"));
    before.into_iter().chain(maps).collect::<Vec<_>>().join(" ")
}

/// The first text of the binary that is a path in this directory.
///
/// A directory at the top level, such as `/src`, can also be the middle of another path. Then a text counts only if it is the
/// path of an existing file or directory. The text before it does not help: texts follow each other without a separator.
fn first_naming(bytes: &[u8], Place { path, name }: &Place) -> Option<String> {
    if path == name {
        return None;
    }
    let (inside, directory) = (format!("{path}/"), Path::new(path));
    let is_unmistakable = directory.components().count() > 2;
    let found = bytes.windows(inside.len()).enumerate().filter(|(_, window)| *window == inside.as_bytes());
    let texts = found.map(|(at, _)| {
        let text = bytes[at..].iter().take(200).take_while(|byte| byte.is_ascii_graphic());
        text.map(|byte| char::from(*byte)).collect::<String>()
    });
    texts.into_iter().find(|text| {
        let rest = text.get(inside.len()..).unwrap_or_default();
        let beginning = rest.splitn(3, '/').take(2).collect::<PathBuf>();
        is_unmistakable || (!rest.is_empty() && directory.join(beginning).exists())
    })
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
    fn compilers_get_every_directory_and_keep_the_flags_of_the_user() {
        let mapped = "--remap-path-prefix=/users/ann=/home\u{1f}--remap-path-prefix=/users/ann/.cargo=/cargo";
        let flags = |set: &[(&str, &str)]| {
            rust_flags(&places(), |name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            })
        };
        let environment = |flags: String| RustFlags::Environment(flags.into());
        let configuration =
            "build.rustflags=['--remap-path-prefix=/users/ann=/home', '--remap-path-prefix=/users/ann/.cargo=/cargo']";
        assert_eq!(flags(&[]), RustFlags::Configuration(configuration.to_owned()));
        assert_eq!(flags(&[(ENCODED, "-Cx=a b")]), environment(format!("-Cx=a b\u{1f}{mapped}")));
        assert_eq!(flags(&[("RUSTFLAGS", " -C  x ")]), environment(format!("-C\u{1f}x\u{1f}{mapped}")));
        assert_eq!(flags(&[("RUSTFLAGS", "-Cy"), (ENCODED, "-Cx")]), environment(format!("-Cx\u{1f}{mapped}")));
        // An empty variable has precedence too.
        for name in ["RUSTFLAGS", ENCODED] {
            assert_eq!(flags(&[(name, "")]), environment(mapped.to_owned()));
        }
        let mapped = "-ffile-prefix-map=/users/ann=/home -ffile-prefix-map=/users/ann/.cargo=/cargo";
        assert_eq!(c_flags(&places(), None), mapped);
        assert_eq!(c_flags(&places(), Some("-O3".to_owned())), format!("-O3 {mapped}"));
    }

    #[test]
    fn binary_with_a_directory_of_the_builder_is_refused() {
        let ann = &places()[0];
        let binary = b"\0panicked at \0/users/ann/.cargo/registry/src/x.rs\0/users/annabel/y.rs";
        assert_eq!(first_naming(binary, ann).as_deref(), Some("/users/ann/.cargo/registry/src/x.rs"));
        assert_eq!(first_naming(b"\0/cargo/registry/src/x.rs\0/users/annabel/y.rs", ann), None);
    }

    #[test]
    fn top_level_directory_is_distinguished_from_the_middle_of_other_paths() {
        // This directory has the same name in the binary.
        let tuckshop = Place { path: "/tuckshop".to_owned(), name: "/tuckshop" };
        assert_eq!(first_naming(b"/tuckshop/api/src/main.rs", &tuckshop), None);
        let etc = Place { path: "/etc".to_owned(), name: "/tuckshop" };
        for other in ["/cargo/etc/index-1/mod.rs", "api/etc/main.rs", "/cargo/x/etc/", "/etc"] {
            assert_eq!(first_naming(other.as_bytes(), &etc), None, "{other}");
        }
        assert_eq!(first_naming(b"api/etc/main.rs/etc/passwd", &etc).as_deref(), Some("/etc/passwd"));
    }
}
