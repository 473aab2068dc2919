//! What `cargo xtask test` provides to the tests (a database server, interpreters, other programs), and a record of its use.
//!
//! The summary of a run shows the tests that were skipped because something was missing, and what no test used. `xtask`
//! includes this file by its path, so that both sides use the same names.

use std::io::Write;
use std::path::Path;

/// The variable that names the file of the record. Without it nothing is recorded.
pub const RECORD: &str = "XTASK_RECORD";

/// Something that a test needs, and the variable that says where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provided {
    /// Its name in the record and in the summary.
    pub name: &'static str,
    pub variable: &'static str,
}

const fn provided(name: &'static str, variable: &'static str) -> Provided {
    Provided { name, variable }
}

/// The admin url of a server on which tests create databases.
pub const POSTGRES: Provided = provided("Postgres", "XTASK_POSTGRES_URL");
/// The directory of the programs of Postgres, for tests that start servers.
pub const POSTGRES_PROGRAMS: Provided = provided("Postgres clusters", "XTASK_POSTGRES_BIN");
pub const UCP_MODELS: Provided = provided("UCP models", PYTHON);
pub const STRIPE: Provided = provided("Stripe", PYTHON);
pub const SIGNATURES: Provided = provided("Signatures", PYTHON);
pub const MAIL: Provided = provided("Mail", PYTHON);
pub const HAPROXY: Provided = provided("haproxy", "XTASK_HAPROXY");
pub const FAKETIME: Provided = provided("libfaketime", "XTASK_FAKETIME");
pub const STRACE: Provided = provided("strace", "XTASK_STRACE");

/// A Python that has the libraries of all judges.
const PYTHON: &str = "XTASK_PYTHON";

impl Provided {
    /// The value of the variable. Without a value, the calling test is reported as skipped.
    pub fn get(self) -> Option<String> {
        let value = std::env::var(self.variable).ok();
        if value.is_none() {
            self.skip(&format!("{} is not set", self.variable));
        }
        value
    }

    /// The same for a test that continues without it: a part of the test is reported as skipped.
    pub fn get_for_part(self) -> Option<String> {
        let value = std::env::var(self.variable).ok();
        if value.is_none() {
            report("SKIPPED a part of", &format!("{} ({} is not set)", self.name, self.variable));
            record("in part", self.name);
        }
        value
    }

    /// Reports that the test ends without it, and why.
    pub fn skip(self, why: &str) {
        report("SKIPPED", &format!("{} ({why})", self.name));
        record("skipped", self.name);
    }

    /// Records that the test used the provided program. A test calls this after the server was reached or the judge answered.
    pub fn used(self) {
        record("used", self.name);
    }
}

/// Records that the test used something that is always there, such as SQLite.
pub fn used(name: &str) {
    record("used", name);
}

/// Reports that the test ends early. `what` includes the reason.
pub fn not_checked(what: &str) {
    report("SKIPPED", what);
    record("not checked", what);
}

/// Writes to standard error directly, because the test harness captures `eprintln!`, and prints `ok` for a skipped test.
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

/// The test binary, and the test that this thread runs. The harness names the thread of a test after it.
fn test() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo adds a hash.
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name).to_owned();
    let thread = std::thread::current();
    format!("{program}::{}", thread.name().unwrap_or("unnamed"))
}

#[cfg(test)]
#[path = "provided_tests.rs"]
mod tests;
