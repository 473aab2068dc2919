//! The problems of an import, each with its file, line and column.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A problem of a file. Shown as `products.csv:3: price: must be ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the file, without its directory.
    pub file: String,
    /// The line from 1, or 0 if the whole file is at fault.
    pub line: u64,
    /// The column, or empty if the whole row or file is at fault.
    pub column: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.column.is_empty() {
            write!(f, ": {}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// At most [`Problems::MAX`] problems, and the number of further ones. `none_or` sorts them by file and line.
#[derive(Debug, Default)]
pub struct Problems {
    pub kept: Vec<Problem>,
    pub more: usize,
}

impl Problems {
    /// The most problems that are kept. A file may have a problem in each of a million rows.
    pub const MAX: usize = 100;

    pub(super) fn add(&mut self, problem: Problem) {
        if self.kept.len() < Self::MAX {
            self.kept.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Returns `value` if there are no problems, and otherwise the sorted problems.
    pub(super) fn none_or<T>(mut self, value: T) -> Result<T, ReadError> {
        if self.kept.is_empty() {
            return Ok(value);
        }
        self.kept.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        Err(ReadError::Problems(self))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.kept.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// Why a directory cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} has none of the files that can be imported: {importable}", directory.display())]
    NoFiles { directory: PathBuf, importable: String },
    #[error("{0}")]
    Problems(Problems),
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
