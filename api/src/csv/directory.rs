//! Reads the CSV files of a directory.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use domain::money::Currency;

use super::problem::{Problem, ReadError};
use super::rows::FILES;
use super::table::Reading;
use super::{MAX_FILE_BYTES, Read, read};
use crate::file;

/// Reads the importable files of `directory`. At least one must exist. Blocks.
///
/// A `.csv` file with another name is a problem, because the name is probably misspelt.
pub fn read_directory(directory: &Path, currency: Currency) -> Result<Read, ReadError> {
    let mut reading = Reading::new(currency);
    let mut present = Vec::new();
    for name in csv_files(directory).map_err(|error| io_error(directory, error))? {
        let Some(file) = FILES.into_iter().find(|file| *file == name) else {
            reading.problems.add(whole_file(&name, format!("is unknown; the files are {}", FILES.join(", "))));
            continue;
        };
        let path = directory.join(file);
        // Checked before the file is opened, because opening a pipe waits for its writer.
        if !fs::metadata(&path).map_err(|error| io_error(&path, error))?.is_file() {
            reading.problems.add(whole_file(file, "is not a regular file".to_owned()));
            continue;
        }
        present.push(file);
    }
    if present.is_empty() && reading.problems.kept.is_empty() {
        return Err(ReadError::NoFiles { directory: directory.to_owned(), importable: FILES.join(", ") });
    }
    let source = |file: &'static str| {
        if !present.contains(&file) {
            return Ok(None);
        }
        let path = directory.join(file);
        read_file(&path).map(|bytes| Some(Cow::Owned(bytes))).map_err(|error| io_error(&path, error))
    };
    read(&source, reading)
}

/// The bytes of a regular file of at most [`MAX_FILE_BYTES`].
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    file::read_at_most(file::open(path)?, MAX_FILE_BYTES)
}

/// The names of the CSV files in `directory`, sorted, without hidden files.
fn csv_files(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name.to_ascii_lowercase().ends_with(".csv") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn whole_file(name: &str, message: String) -> Problem {
    // The name is escaped, because it may contain control characters.
    Problem { file: name.escape_debug().to_string(), line: 0, column: String::new(), message }
}

fn io_error(path: &Path, error: io::Error) -> ReadError {
    ReadError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
