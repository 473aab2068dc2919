//! `cargo xtask test`: all the set-up a fresh machine needs, every test, and what was and was not checked.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::postgres::{self, Durability, Postgres};
use crate::python::{self, Python};
use crate::tools::{self, Tool};
use crate::{faults, process, sources};

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
    let postgres = (!args.without_postgres).then(|| Postgres::provide(Durability::Fast)).transpose()?;
    let python = (!args.without_python).then(Python::provide).transpose()?;

    // Apart from the tests, since some of them start the binary.
    process::run(&mut process::cargo(&["build", "--workspace"]))?;
    let mut tests = process::cargo(&["test", "--workspace"]);
    tests.args(&args.extra);
    hand_over(postgres.as_ref(), python.as_ref(), &mut tests);
    let tools = tools::hand_over(&mut tests);
    tests.env(faults::EXTENT, faults::QUICK);
    let outcome = process::run(&mut tests);

    let summary = Summary::of(args, postgres.as_ref(), python.as_ref(), &tools)?;
    summary.print(outcome.is_ok());
    outcome
}

/// What is not handed over must not be inherited either: it would be used, and reported as not checked.
fn hand_over(postgres: Option<&Postgres>, python: Option<&Python>, tests: &mut Command) {
    match postgres {
        Some(postgres) => tests.env(postgres::URL, &postgres.url),
        None => tests.env_remove(postgres::URL),
    };
    match python {
        Some(python) => python.hand_to(tests),
        None => drop(tests.env_remove(python::EXECUTABLE)),
    }
}

#[derive(Default)]
struct Summary {
    checked: Vec<(&'static str, String)>,
    not_checked: Vec<String>,
}

impl Summary {
    fn of(
        args: &Args,
        postgres: Option<&Postgres>,
        python: Option<&Python>,
        tools: &[(&'static Tool, Option<PathBuf>)],
    ) -> Result<Summary> {
        let mut summary = Summary::default();
        if !args.extra.is_empty() {
            let extra = args.extra.join(" ");
            summary.not_checked.push(format!("whatever `cargo test --workspace {extra}` leaves out"));
        }
        summary.line("SQLite", sqlite_version()?, "no crate builds it");
        match postgres {
            Some(postgres) => {
                let engine = format!("{}; from {}", postgres.version, postgres.origin);
                summary.line("Postgres", reached_by(postgres::URL, "")?.map(|_| engine), "no test reads its url");
            }
            None => summary.not_checked.push("Postgres (--without-postgres)".to_owned()),
        }
        match python {
            Some(python) => {
                let version = python.version()?;
                for judge in &python::JUDGES {
                    let library = format!("{} on {version}", judge.requirement);
                    let asking = reached_by(python::EXECUTABLE, judge.tests)?;
                    let checked = asking.map(|tests| format!("{library}; by {tests}"));
                    summary.line(judge.what, checked, "no test asks the official library");
                }
            }
            None => {
                let judged = python::JUDGES.map(|judge| judge.what).join(", ");
                summary.not_checked.push(format!("{judged} (--without-python)"));
            }
        }
        for (tool, path) in tools {
            match path {
                Some(path) => {
                    let asking = reached_by(tool.variable, "")?;
                    let checked = asking.map(|tests| format!("{}; by {tests}", path.display()));
                    summary.line(tool.what, checked, "no test needs it");
                }
                None => summary.not_checked.push(format!("{} (it cannot be installed here)", tool.what)),
            }
        }
        let quick = faults::exist().then(|| "quick; all of them with `cargo xtask faults`".to_owned());
        summary.line("Faults", quick, "there are no such tests");
        Ok(summary)
    }

    fn line(&mut self, what: &'static str, checked: Option<String>, otherwise: &str) {
        match checked {
            Some(checked) => self.checked.push((what, checked)),
            None => self.not_checked.push(format!("{what}: {otherwise}")),
        }
    }

    fn print(&self, passed: bool) {
        println!("\n======================== what this run checked ========================");
        println!("  {:<12}{}", "Tests", if passed { "passed" } else { "FAILED" });
        for (what, checked) in &self.checked {
            println!("  {what:<12}{checked}");
        }
        for what in &self.not_checked {
            println!("  NOT CHECKED: {what}");
        }
        println!("=======================================================================");
    }
}

/// An engine that is set up but that no test reads is not a checked engine.
fn reached_by(variable: &str, within: &str) -> Result<Option<String>> {
    let files = sources::with_extension(&process::root(), "rs")?.into_iter();
    let tests = files.filter(|source| source.path.starts_with(within) && !source.path.starts_with("xtask/"));
    let reading = tests.filter(|source| source.text.contains(variable));
    let paths: Vec<String> = reading.map(|source| source.path).collect();
    Ok((!paths.is_empty()).then(|| paths.join(", ")))
}

/// As its bundled header tells it.
fn sqlite_version() -> Result<Option<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(process::root())
        .other_options(["--filter-platform".to_owned(), "host-tuple".to_owned()])
        .exec()?;
    let Some(package) = metadata.packages.iter().find(|package| package.name == "libsqlite3-sys") else {
        return Ok(None);
    };
    let header = package.manifest_path.with_file_name("sqlite3").join("sqlite3.h");
    let text = std::fs::read_to_string(&header).with_context(|| format!("cannot read {header}"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
    let version = version.map_or("version unknown", |version| version.trim().trim_matches('"'));
    Ok(Some(format!("{version}; bundled with libsqlite3-sys {}", package.version)))
}
