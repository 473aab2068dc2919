//! `cargo xtask docs`: writes the generated documents, and checks that what the documents name exists.

mod coverage;
mod decisions;
mod error_codes;
mod excerpts;
mod symbols;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::code;
use crate::process;
use crate::sources::{self, Source};
use symbols::Symbols;

/// The page of faults. Each of its sections names the tests that provoke the fault.
const FAILURES: &str = "docs/FAILURES.md";
/// The documents that `tuckshop` generates, each with the arguments of `tuckshop` that print it.
const GENERATED: [(&str, &[&str]); 2] =
    [("docs/CONFIGURATION.md", &["config", "--markdown"]), ("docs/openapi/store-v1.json", &["openapi"])];

#[derive(clap::Args)]
pub struct Args {
    /// Write and build nothing. Tests of the api compare the documents that `tuckshop` generates with the code.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if !args.check {
        write(decisions::INDEX, &decisions::index(&sources::with_extension("md")?))?;
        let tuckshop = tuckshop()?;
        for (path, arguments) in GENERATED {
            let text = process::output(Command::new(&tuckshop).args(arguments))?;
            write(path, &(text + "\n"))?;
        }
    }
    check()
}

fn write(path: &str, text: &str) -> Result<()> {
    let file = process::root().join(path);
    std::fs::create_dir_all(file.with_file_name(""))?;
    std::fs::write(file, text)?;
    println!("wrote {path}");
    Ok(())
}

/// Builds the binary as `cargo test --workspace` does, and returns its path. Cargo selects features by
/// the packages and targets of a command, so any other build would compile the api and its dependencies a second time.
fn tuckshop() -> Result<PathBuf> {
    process::run(&mut process::cargo(&["test", "--quiet", "--workspace", "--test", "operator", "--no-run"]))?;
    Ok(process::metadata()?.target_directory.join("debug/tuckshop").into())
}

pub fn check() -> Result<()> {
    let documents = sources::with_extension("md")?;
    let code = sources::rust()?;
    let symbols = Symbols::of(code);
    let errors = documents.iter().find(|document| document.path == error_codes::ERRORS);
    let mut mistakes = coverage::missing(code, &documents);
    mistakes.extend(decisions::mistakes(&documents));
    mistakes.extend(error_codes::missing(code, errors.map_or("", |errors| &errors.text)));
    for document in documents.iter().filter(|source| source.path == "README.md" || source.path.starts_with("docs/")) {
        mistakes.extend(symbols.missing(document));
        mistakes.extend(dead_links(document));
        mistakes
            .extend(excerpts::differences(document, |path| std::fs::read_to_string(process::root().join(path)).ok()));
        if document.path == FAILURES {
            mistakes.extend(faults_without_test(document));
        }
    }
    for mistake in &mistakes {
        println!("{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("{} mistakes in the documents: correct each, or add what it names", mistakes.len());
    }
    Ok(())
}

/// Reports the sections of the page of faults that name no test. The heading of a section begins with the id of the
/// fault: `### PG1: …`.
fn faults_without_test(document: &Source) -> Vec<String> {
    let sections = document.text.split("\n### ").skip(1).filter_map(|rest| rest.split("\n## ").next());
    let is_test =
        |name: &str| name.split_once(".rs::").is_some_and(|(path, _)| code::is_test_file(&format!("{path}.rs")));
    let untested = sections.filter(|section| !section.split('`').any(is_test)).filter_map(fault_id);
    untested.map(|id| format!("{}: {id} names no test: name the test that provokes it", document.path)).collect()
}

/// The id of the fault in a heading: the text before the colon, which begins with a capital letter and ends with a
/// digit.
fn fault_id(heading: &str) -> Option<&str> {
    let (id, _) = heading.split_once(':')?;
    (id.starts_with(|first: char| first.is_ascii_uppercase()) && id.ends_with(char::is_numeric)).then_some(id)
}

/// Reports the relative links to files that do not exist.
fn dead_links(document: &Source) -> Vec<String> {
    let folder = process::root().join(&document.path).with_file_name("");
    let links = document.prose().flat_map(|(line, prose)| relative_links(prose).map(move |link| (line, link)));
    let dead = links.filter(|(_, link)| !folder.join(link).exists());
    dead.map(|(line, link)| format!("{}:{line}: no file {link}", document.path)).collect()
}

fn relative_links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside.filter_map(|target| target.split('#').next()).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests;
