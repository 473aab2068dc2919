//! Names what `cargo xtask test` provides to the tests (a database server, interpreters, other programs), and records
//! its use.
//!
//! The summary of a run counts the tests that were skipped because something was missing, and lists what was provided
//! but not used. `xtask` compiles this file too, by its path, so that both sides use the same names.

use std::io::Write;
use std::path::Path;

/// The environment variable with the path of the record. If the variable is not set, nothing is recorded.
pub const RECORD: &str = "XTASK_RECORD";

/// A server, program or library that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The name in the record and in the summary.
    pub name: &'static str,
    /// The environment variable with the URL of the server, or with the path of the program.
    pub variable: &'static str,
}

const fn provided(name: &'static str, variable: &'static str) -> Provided {
    Provided { name, variable }
}

/// A Postgres server. The variable has an admin URL, with which tests create databases.
pub const POSTGRES: Provided = provided("Postgres", "XTASK_POSTGRES_URL");
/// The programs of Postgres, for tests that start servers. The variable has the directory of the programs.
pub const POSTGRES_PROGRAMS: Provided = provided("Postgres clusters", "XTASK_POSTGRES_BIN");
pub const UCP_MODELS: Provided = provided("UCP models", PYTHON);
pub const STRIPE: Provided = provided("Stripe", PYTHON);
pub const SIGNATURES: Provided = provided("Signatures", PYTHON);
pub const MAIL: Provided = provided("Mail", PYTHON);
pub const HAPROXY: Provided = provided("haproxy", "XTASK_HAPROXY");
pub const FAKETIME: Provided = provided("libfaketime", "XTASK_FAKETIME");
pub const STRACE: Provided = provided("strace", "XTASK_STRACE");

/// The variable with the path of a Python. This Python has all libraries that the tests compare the shop with.
const PYTHON: &str = "XTASK_PYTHON";

impl Provided {
    /// Returns the value of the variable. If the variable is not set, reports the calling test as skipped and returns
    /// `None`.
    pub fn get(self) -> Option<String> {
        let value = std::env::var(self.variable).ok();
        if value.is_none() {
            self.skip(&format!("{} is not set", self.variable));
        }
        value
    }

    /// Returns the value of the variable, for a test that can continue without it. If the variable is not set, reports
    /// that a part of the calling test is skipped, and returns `None`.
    pub fn get_for_part(self) -> Option<String> {
        let value = std::env::var(self.variable).ok();
        if value.is_none() {
            report("SKIPPED a part of", &format!("{} ({} is not set)", self.name, self.variable));
            record("in part", self.name);
        }
        value
    }

    /// Reports and records that the calling test is skipped. `why` says why the test cannot use this.
    pub fn skip(self, why: &str) {
        report("SKIPPED", &format!("{} ({why})", self.name));
        record("skipped", self.name);
    }

    /// Records that the calling test used this. A test calls this function after the server or program has answered.
    pub fn used(self) {
        record("used", self.name);
    }
}

/// Records that the calling test used something that is always there, such as SQLite.
pub fn used(name: &str) {
    record("used", name);
}

/// Reports and records that the calling test ends early. `what` names what is not checked, and the reason.
pub fn not_checked(what: &str) {
    report("SKIPPED", what);
    record("not checked", what);
}

/// Writes to standard error directly, because the test harness captures `eprintln!` and shows a skipped test as `ok`.
fn report(verdict: &str, what: &str) {
    let _ = writeln!(std::io::stderr(), "{verdict} {}: {what}", test());
}

fn record(kind: &str, what: &str) {
    let Ok(file) = std::env::var(RECORD) else { return };
    append(Path::new(&file), kind, what, &test()).unwrap_or_else(|error| panic!("{RECORD}={file}: {error}"));
}

/// Appends a line in one write, so that lines of several processes do not mix.
fn append(file: &Path, kind: &str, what: &str, test: &str) -> std::io::Result<()> {
    let line = format!("{kind}\t{}\t{test}\n", what.replace(['\t', '\n'], " "));
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

/// The names of the test binary and of the test that runs on this thread. The test harness gives the thread the name of
/// the test.
fn test() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo adds a hash to the name of a test binary.
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name).to_owned();
    let thread = std::thread::current();
    format!("{program}::{}", thread.name().unwrap_or("unnamed"))
}

#[cfg(test)]
#[path = "provided_tests.rs"]
mod tests;
