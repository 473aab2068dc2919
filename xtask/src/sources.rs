//! The files of the workspace, each read and parsed once in a process.

use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use anyhow::{Context, Result, anyhow};
use walkdir::{DirEntry, WalkDir};

use crate::boundaries::code::{self, Token};
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
}

/// Every Rust file of the workspace. All checks of a process share one copy, since parsing takes most of their time.
pub fn rust() -> Result<&'static [Source]> {
    static RUST: LazyLock<Result<Vec<Source>>> = LazyLock::new(|| with_extension(&process::root(), "rs"));
    RUST.as_deref().map_err(|failure| anyhow!("{failure:#}"))
}

/// Every file below `root` with this extension, ordered by path, without hidden directories and `target`.
pub fn with_extension(root: &Path, extension: &str) -> Result<Vec<Source>> {
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || name == "target")
    };
    let mut sources = Vec::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(is_ours) {
        let entry = entry?;
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(entry.path());
            let text = text.with_context(|| format!("cannot read {}", entry.path().display()))?;
            let parts = entry.path().strip_prefix(root)?.iter().map(|part| part.to_string_lossy());
            sources.push(Source::new(parts.collect::<Vec<_>>().join("/"), text));
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_parsed_once_per_process() {
        let [first, second] = [(); 2].map(|()| rust().expect("readable"));
        assert!(std::ptr::eq(first, second));
        let [first, second] = [first, second].map(|sources| sources[0].tokens().expect("Rust"));
        assert!(std::ptr::eq(first, second));
    }
}
