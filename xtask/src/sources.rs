//! Reads the files of the workspace, and splits Rust files into tokens.

use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use walkdir::WalkDir;

use crate::code::{self, Token};
use crate::process;

pub struct Source {
    /// The path from the root of the workspace, with `/` between its parts.
    pub path: String,
    pub text: String,
    /// The tokens of a Rust file. Empty for other files, and for a file with a syntax error.
    pub tokens: Vec<Token>,
    /// The line of the first syntax error of a Rust file. `None` if there is no syntax error.
    pub syntax_error: Option<usize>,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        let (path, text) = (path.into(), text.into());
        let tokens = if path.ends_with(".rs") { code::tokens(&text) } else { Ok(Vec::new()) };
        let (tokens, syntax_error) = tokens.map_or_else(|line| (Vec::new(), Some(line)), |tokens| (tokens, None));
        Source { path, text, tokens, syntax_error }
    }

    /// The lines of a Markdown file that are not in a code block, with their numbers.
    pub fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_code = false;
        let prose = self.text.lines().enumerate().filter(move |(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            !in_code && !is_fence
        });
        prose.map(|(index, line)| (index + 1, line))
    }
}

/// Returns every Rust file of the workspace. All checks in one process share the result, because parsing takes most of
/// their time.
pub fn rust() -> Result<&'static [Source]> {
    static RUST: LazyLock<Result<Vec<Source>>> = LazyLock::new(|| with_extension("rs"));
    RUST.as_deref().map_err(|failure| anyhow!("{failure:#}"))
}

/// Reads every file of the workspace with this extension, ordered by path. Skips hidden directories and `target`.
pub fn with_extension(extension: &str) -> Result<Vec<Source>> {
    let root = process::root();
    let files = WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || name == "target")
    });
    let mut sources = Vec::new();
    for entry in files {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type().is_file() && path.extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            sources.push(Source::new(path.strip_prefix(&root)?.to_string_lossy(), text));
        }
    }
    Ok(sources)
}
