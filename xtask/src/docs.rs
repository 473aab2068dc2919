//! `cargo xtask docs`: documents that are generated, and documents that point at files which must exist.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::sources::{self, Source};

const CONFIGURATION: &str = "docs/CONFIGURATION.md";

#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail if something would change.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if args.check {
        return check();
    }
    std::fs::write(process::root().join(CONFIGURATION), configuration()?)?;
    println!("wrote {CONFIGURATION}");
    check_pointers()
}

pub fn check() -> Result<()> {
    // First: it is quick and does not depend on the api being built.
    let pointers = check_pointers();
    let written = std::fs::read_to_string(process::root().join(CONFIGURATION)).unwrap_or_default();
    if configuration()? != written {
        bail!("{CONFIGURATION} is not what the configuration says: run `cargo xtask docs`");
    }
    pointers
}

fn configuration() -> Result<String> {
    let mut command =
        process::cargo(&["run", "--quiet", "-p", "api", "--bin", "tuckshop", "--", "config", "--markdown"]);
    let text = process::output(&mut command).context("the api does not describe its configuration")?;
    Ok(text + "\n")
}

fn check_pointers() -> Result<()> {
    let root = process::root();
    let documents = sources::with_extension(&root, "md")?;
    let documents = documents.iter().filter(|source| source.path == "README.md" || source.path.starts_with("docs/"));
    let dead: Vec<String> = documents.flat_map(|document| dead_pointers(&root, document)).collect();
    for pointer in &dead {
        println!("{pointer}");
    }
    if !dead.is_empty() {
        bail!("{} pointers to files that do not exist", dead.len());
    }
    Ok(())
}

fn dead_pointers(root: &Path, document: &Source) -> Vec<String> {
    let here = root.join(&document.path);
    let folder = here.parent().unwrap_or(root);
    let mut dead = Vec::new();
    let mut in_code = false;
    for (number, line) in document.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let links = relative_links(line).filter(|link| !folder.join(link).exists());
            let paths = code_paths(line).filter(|path| !root.join(path).is_file());
            dead.extend(links.chain(paths).map(|target| format!("{}:{}: {target}", document.path, number + 1)));
        }
    }
    dead
}

fn relative_links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside.filter_map(|target| target.split('#').next()).filter(|path| !path.is_empty())
}

/// Backticked paths of Rust files, from the root; `<module>` and `*` stand for something else and are not paths.
fn code_paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.ends_with(".rs") && text.contains('/') && !text.contains(['<', '*', '{', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pointers_into_the_repository_are_followed() {
        let line = "[a](PATTERNS.md#ports) [b](https://example.org/x.md) [c](#here) [d](../README.md \"title\")";
        assert_eq!(relative_links(line).collect::<Vec<_>>(), ["PATTERNS.md", "../README.md"]);
        let line = "`api/src/app.rs`, `app.rs`, `domain/src/<module>/mod.rs`, `api/src/app.rs::build`, xtask/src/x.rs";
        assert_eq!(code_paths(line).collect::<Vec<_>>(), ["api/src/app.rs"]);
    }

    #[test]
    fn a_dead_pointer_is_reported_with_its_line() {
        let text = "# Title\n\nSee [x](nowhere.md) and `xtask/src/nowhere.rs`, not `xtask/src/docs.rs`.\n\
                    ```\n[y](nor-here.md)\n```\n";
        let document = Source { path: "docs/X.md".to_owned(), text: text.to_owned() };
        let expected = ["docs/X.md:3: nowhere.md", "docs/X.md:3: xtask/src/nowhere.rs"];
        assert_eq!(dead_pointers(&process::root(), &document), expected);
    }
}
