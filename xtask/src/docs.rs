//! `cargo xtask docs`: writes the generated document, and checks that all documents name what exists.

mod coverage;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;

use crate::process;
use crate::sources::{self, Source};
use symbols::{FAILURES, Symbols};

const CONFIGURATION: &str = "docs/CONFIGURATION.md";

#[derive(clap::Args)]
pub struct Args {
    /// Write and build nothing. A test of the api compares docs/CONFIGURATION.md with the settings.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if !args.check {
        let page = process::output(Command::new(tuckshop()?).args(["config", "--markdown"]))?;
        std::fs::write(process::root().join(CONFIGURATION), page + "\n")?;
        println!("wrote {CONFIGURATION}");
    }
    check()
}

const BUILD: [&str; 7] =
    ["test", "--workspace", "--test", "operator", "--no-run", "--message-format", "json-render-diagnostics"];

/// The binary that `cargo test --workspace` builds. Cargo selects features by the packages and targets of a command, so
/// another command would build the api and its dependencies a second time.
fn tuckshop() -> Result<PathBuf> {
    let messages = process::output(process::cargo(&BUILD).stderr(Stdio::inherit()))?;
    let mut artifacts = Message::parse_stream(messages.as_bytes()).filter_map(|message| match message {
        Ok(Message::CompilerArtifact(artifact)) if artifact.target.name == "tuckshop" => artifact.executable,
        _ => None,
    });
    artifacts.next().map(PathBuf::from).context("cargo built no binary `tuckshop`")
}

pub fn check() -> Result<()> {
    let root = process::root();
    let documents = sources::with_extension("md")?;
    let code = sources::rust()?;
    let symbols = Symbols::of(code);
    let mut mistakes = coverage::missing(code, &documents);
    for document in documents.iter().filter(|source| source.path == "README.md" || source.path.starts_with("docs/")) {
        mistakes.extend(symbols.missing(document));
        mistakes.extend(dead_links(&root, document));
        if document.path == FAILURES {
            mistakes.extend(faults_without_test(document));
        }
    }
    for mistake in &mistakes {
        println!("{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("{} names, links or entries of the documents are missing or wrong", mistakes.len());
    }
    Ok(())
}

/// Sections of the page of faults that name no test. The heading of a section begins with the id of the fault: `### PG1: …`.
fn faults_without_test(document: &Source) -> Vec<String> {
    let mut untested: Vec<(usize, &str)> = Vec::new();
    let mut has_test = true;
    for (index, line) in document.text.lines().enumerate() {
        if let Some(id) = line.strip_prefix("### ").and_then(fault_id) {
            untested.push((index + 1, id));
            has_test = false;
        } else if line.contains(".rs::") && !has_test {
            untested.pop();
            has_test = true;
        }
    }
    untested.iter().map(|(line, id)| format!("{}:{line}: {id} names no test", document.path)).collect()
}

/// Capital letters and a number, before a colon.
fn fault_id(heading: &str) -> Option<&str> {
    let (id, _) = heading.split_once(':')?;
    (id.starts_with(|first: char| first.is_ascii_uppercase()) && id.ends_with(char::is_numeric)).then_some(id)
}

/// Relative links to files that do not exist.
fn dead_links(root: &Path, document: &Source) -> Vec<String> {
    let folder = root.join(&document.path).with_file_name("");
    let mut dead = Vec::new();
    let mut in_code = false;
    for (index, line) in document.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            let missing = relative_links(line).filter(|link| !folder.join(link).exists());
            dead.extend(missing.map(|link| format!("{}:{}: no file {link}", document.path, index + 1)));
        }
    }
    dead
}

fn relative_links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside.filter_map(|target| target.split('#').next()).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_link_to_no_file_is_reported_with_its_line() {
        let text = "# Title\n\n[a](nowhere.md#ports) [b](https://example.org/x.md) [c](#here) [d](../README.md \"x\")\n\
                    ```\n[y](nor-here.md)\n```\n";
        let dead = dead_links(&process::root(), &Source::new("docs/X.md", text));
        assert_eq!(dead, ["docs/X.md:3: no file nowhere.md"]);
    }

    #[test]
    fn fault_without_test_is_reported() {
        let text = "### PG1: down\n\n- `a/b.rs::c`\n\n### PG3: silent\n\nNone yet.\n\n### PG4: slow\n\n- `a/b.rs::d`\n\n## Runs\n";
        let document = Source::new(FAILURES, text);
        assert_eq!(faults_without_test(&document), ["docs/FAILURES.md:5: PG3 names no test"]);
    }

    #[test]
    fn binary_for_the_configuration_page_is_built_like_the_tests() {
        assert!(process::shown(&process::cargo(&BUILD)).starts_with("`cargo test --workspace "));
        assert!(
            BUILD.iter().all(|word| !["-p", "--package", "--release", "--target-dir", "--features"].contains(word))
        );
    }

    #[test]
    fn documents_of_this_workspace_have_no_mistake() {
        check().expect("no mistake");
    }
}
