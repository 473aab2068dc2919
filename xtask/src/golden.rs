//! `cargo xtask golden`: stores the golden set of the current format of documents.

use anyhow::Result;

use crate::process;

const SETS: &str = "persistence/tests/golden";
const TEST: &str = "golden::shape";

/// Runs the test that compares what is stored with the newest set, and lets it write one first. The test refuses to
/// write over a set that exists.
pub fn run() -> Result<()> {
    let mut test = process::cargo(&["test", "--quiet", "--package", "persistence", "--test", "storage", TEST]);
    process::run(test.env("XTASK_GOLDEN", process::root().join(SETS)))
}
