//! `cargo xtask golden`: stores a golden set, which is a sample of documents in the current format.

use anyhow::Result;

use crate::process;

/// Runs the test that compares stored documents with the newest set, and makes the test write a new set first. The test does
/// not overwrite an existing set.
pub fn run() -> Result<()> {
    let mut test = process::cargo(&["test", "--quiet", "--workspace", "--test", "storage", "golden::shape"]);
    process::run(test.env("XTASK_GOLDEN", process::root().join("persistence/tests/golden")))
}
