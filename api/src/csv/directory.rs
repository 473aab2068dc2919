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
        // Checked before the file is opened: to open a pipe waits for its writer.
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

/// The bytes of a regular file.
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
    // A name may contain control characters.
    Problem { file: name.escape_debug().to_string(), line: 0, column: String::new(), message }
}

fn io_error(path: &Path, error: io::Error) -> ReadError {
    ReadError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: &[u8] = b"product_id,quantity\na,1\n";

    /// Reads a directory with these files. Returns the names of the read files, or the error.
    fn read_files(files: &[(&str, &[u8])]) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, bytes) in files {
            fs::write(directory.path().join(name), bytes).expect("written");
        }
        match read_directory(directory.path(), Currency::parse("USD").expect("valid")) {
            Ok(read) => format!("{:?}", read.files.iter().map(|file| file.file).collect::<Vec<_>>()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn files_are_found_by_name_and_misspelt_ones_are_reported() {
        for (files, shown) in [
            (&[("inventory.csv", STOCK), ("README.md", b"x"), ("._products.csv", b"x")][..], r#"["inventory.csv"]"#),
            (&[("inventory.csv", STOCK), ("product.csv", b"")], "product.csv: is unknown; the files are addresses.csv"),
            (&[("Inventory.CSV", STOCK)], "Inventory.CSV: is unknown; the files are addresses.csv"),
            (&[("\u{1b}.csv", b"")], r"\u{1b}.csv: is unknown"),
        ] {
            let read = read_files(files);
            assert!(read.starts_with(shown), "{read}");
        }
        assert!(
            read_files(&[("notes.txt", b"")]).contains("has none of the files that can be imported: addresses.csv")
        );
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_an_error() {
        let nowhere = Path::new("/nowhere/at/all");
        let error = read_directory(nowhere, Currency::parse("USD").expect("valid")).err();
        assert!(matches!(error, Some(ReadError::Io { path, .. }) if path == nowhere));
    }

    #[test]
    fn special_file_is_refused() {
        for make in [
            |path: &Path| fs::create_dir(path),
            |path: &Path| std::os::unix::fs::symlink("/dev/zero", path),
            |path: &Path| std::os::unix::net::UnixListener::bind(path).map(drop),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            make(&directory.path().join("products.csv")).expect("made");
            let error = read_directory(directory.path(), Currency::parse("USD").expect("valid")).err();
            assert_eq!(error.expect("refused").to_string(), "products.csv: is not a regular file");
        }
    }
}
