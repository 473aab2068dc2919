//! `cargo xtask golden`: stores a golden set, which is a sample of documents in the current format.

use anyhow::{Context, Result};

use crate::process;

const SETS: &str = "persistence/tests/golden";

/// Runs the test that compares stored documents with the newest set, and makes the test write a new set first. The test does
/// not overwrite an existing set.
pub fn run() -> Result<()> {
    let mut test = process::cargo(&["test", "--quiet", "--workspace", "--test", "storage", "golden::shape"]);
    process::run(test.env("XTASK_GOLDEN", process::root().join(SETS)))
}

/// The text of the newest golden set.
pub fn newest_set() -> Result<String> {
    let sets = process::root().join(SETS);
    let entries = std::fs::read_dir(&sets).with_context(|| format!("cannot read {}", sets.display()))?;
    let formats = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = formats.max().with_context(|| format!("no golden set in {SETS}"))?;
    let file = sets.join(newest.to_string()).join("shop.json");
    std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}
