//! The files of the workspace, each read and parsed once in a process.

use std::sync::{LazyLock, OnceLock};

use anyhow::{Context, Result, anyhow};
use walkdir::WalkDir;

use crate::code::{self, Token};
use crate::process;

pub struct Source {
    /// From the root of the workspace, with `/` between its parts.
    pub path: String,
    pub text: String,
    tokens: OnceLock<Result<Vec<Token>, usize>>,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into(), tokens: OnceLock::new() }
    }

    /// The tokens of a Rust file. The error is the line with the first syntax error.
    pub fn tokens(&self) -> Result<&[Token], usize> {
        let tokens = self.tokens.get_or_init(|| code::tokens(&self.text));
        tokens.as_deref().map_err(|line| *line)
    }

    /// The same for a check that leaves syntax errors to `cargo xtask boundaries`: a file with one has no tokens.
    pub fn tokens_or_none(&self) -> &[Token] {
        self.tokens().unwrap_or_default()
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

/// Every Rust file of the workspace. All checks of a process share one copy, since parsing takes most of their time.
pub fn rust() -> Result<&'static [Source]> {
    static RUST: LazyLock<Result<Vec<Source>>> = LazyLock::new(|| with_extension("rs"));
    RUST.as_deref().map_err(|failure| anyhow!("{failure:#}"))
}

/// Every file of the workspace with this extension, ordered by path, without hidden directories and `target`.
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
