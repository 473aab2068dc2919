//! `cargo xtask <command>`: the chores of the project, one file each. `cargo xtask check` is all of them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on stdout")]
#![allow(clippy::disallowed_methods, reason = "no request depends on this process: it may read its environment")]

mod bench;
mod boundaries;
mod check;
mod dist;
mod docs;
mod faults;
mod golden;
mod machine;
mod postgres;
mod process;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../faultkit/src/provided.rs"]
mod provided;
mod provision;
mod python;
mod sources;
mod summary;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Set up Postgres and Python, then run every test on both engines.
    Test(test::Args),
    /// Format, lints, boundaries, documents, and then every test.
    Check(check::Args),
    /// The walls between the crates: who may depend on, name, spawn and read what.
    Boundaries,
    /// The tests that break sockets, databases and processes on purpose.
    Faults(faults::Args),
    /// Store a golden set of what the shop stores now, for every later program to read.
    Golden,
    /// Measure the shop beside its own engine; writes docs/BENCHMARKS.md.
    Bench(bench::Args),
    /// Build the binary to install elsewhere, without paths of this machine in it.
    Dist(dist::Args),
    /// Write docs/CONFIGURATION.md; check the links, paths and names of code in the documents.
    Docs(docs::Args),
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Test(args) => test::run(&args),
        Chore::Check(args) => check::run(&args),
        Chore::Boundaries => boundaries::run(),
        Chore::Faults(args) => faults::run(&args),
        Chore::Golden => golden::run(),
        Chore::Bench(args) => bench::run(&args),
        Chore::Dist(args) => dist::run(&args),
        Chore::Docs(args) => docs::run(&args),
    };
    // Not returned as it is: with RUST_BACKTRACE, as machines of a CI often have it, a screen of frames would bury it.
    outcome.map_or_else(
        |failure| {
            eprintln!("xtask: {failure:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
