//! `cargo xtask test`: all the set-up a fresh machine needs, every test, and what was and was not checked.

use anyhow::{Context, Result};

use crate::provided::HAPROXY;
use crate::provision::Provision;
use crate::{faults, process};

#[derive(clap::Args, Default)]
pub struct Args {
    /// Leave Postgres unchecked instead of failing where there is none.
    #[arg(long)]
    without_postgres: bool,
    /// Leave unchecked what the official Python libraries judge instead of failing where there is no Python.
    #[arg(long)]
    without_python: bool,
    /// Handed to `cargo test`.
    #[arg(last = true)]
    extra: Vec<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let provision = Provision::new(!args.without_postgres, !args.without_python)?;
    let mut tests = process::cargo(&["test", "--workspace"]);
    tests.args(&args.extra);
    provision.hand_to(&mut tests);
    tests.env(faults::EXTENT, faults::QUICK);
    let outcome = process::run(&mut tests);

    let record = provision.record()?;
    let mut summary = provision.summary(&record);
    match record.count("used", SQLITE) {
        0 => summary.unused(SQLITE),
        count => summary.checked(SQLITE, format!("{}; used by {count} tests", sqlite_version()?)),
    }
    summary.checked("Faults", "quick; all of them with `cargo xtask faults`".to_owned());
    if args.without_postgres {
        // Its tests run several instances, which needs Postgres.
        summary.need_not_use(HAPROXY);
    }
    if !args.extra.is_empty() {
        let extra = args.extra.join(" ");
        summary.not_checked(format!("what `cargo test --workspace {extra}` leaves out"));
    }
    summary.print(outcome.is_ok());
    outcome?;
    // A run of a part of the tests need not use everything.
    if args.extra.is_empty() { summary.everything_was_used() } else { Ok(()) }
}

/// Its name in the record of the tests.
const SQLITE: &str = "SQLite";

/// As its bundled header tells it.
fn sqlite_version() -> Result<String> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(process::root())
        .other_options(["--filter-platform".to_owned(), "host-tuple".to_owned()])
        .exec()?;
    let package = metadata.packages.iter().find(|package| package.name == "libsqlite3-sys");
    let package = package.context("no crate builds SQLite")?;
    let header = package.manifest_path.with_file_name("sqlite3").join("sqlite3.h");
    let text = std::fs::read_to_string(&header).with_context(|| format!("cannot read {header}"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
    let version = version.map_or("version unknown", |version| version.trim().trim_matches('"'));
    Ok(format!("{version}; bundled with libsqlite3-sys {}", package.version))
}
