//! `cargo xtask <command>`: the development commands, each in one file or folder. `cargo xtask check` runs everything
//! that must succeed before a merge.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints its results")]
#![allow(clippy::disallowed_methods, reason = "xtask serves no request: it may read its environment")]

#[path = "../../testing/faultkit/src/account.rs"]
mod account;
mod bench;
mod boundaries;
mod check;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../testing/faultkit/src/cluster.rs"]
mod cluster;
mod code;
mod dist;
mod docs;
mod faults;
mod golden;
mod install;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../testing/faultkit/src/port.rs"]
mod port;
mod postgres;
mod process;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../testing/faultkit/src/provided.rs"]
mod provided;
mod provision;
mod python;
mod sources;
mod summary;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;

/// Development commands of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Run the tests, on SQLite and on Postgres.
    Test(test::Args),
    /// Check format, lints, boundaries and documents, and run every test.
    Check(check::Args),
    /// Check the rules between crates and modules: dependencies, forbidden code, files that are not compiled.
    Boundaries,
    /// Run the tests that break connections, databases and processes on purpose.
    Faults(provision::Options),
    /// Store a golden set of the current document format. Every later version must read it.
    Golden,
    /// Compare the shop with the bare database engine, and write docs/BENCHMARKS.md.
    Bench(bench::Args),
    /// Build the binary to install elsewhere, without paths of this machine.
    Dist(dist::Args),
    /// Write docs/CONFIGURATION.md and docs/openapi/, and check the links, names of code and excerpts in the documents.
    Docs(docs::Args),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Test(args) => test::run(&args),
        Task::Check(args) => check::run(args),
        Task::Boundaries => boundaries::run(),
        Task::Faults(options) => faults::run(&options),
        Task::Golden => golden::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Docs(args) => docs::run(&args),
    };
    // The failure is printed here. If `main` returned it and RUST_BACKTRACE were set, a backtrace would follow the
    // message.
    outcome.map_or_else(
        |failure| {
            eprintln!("xtask: {failure:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
