//! Tests of `directory.rs`.

use super::*;

const STOCK: &[u8] = b"product_id,quantity\na,1\n";

/// Reads a directory with these files. Returns the names of the read files, or the error.
fn read_files(files: &[(&str, &[u8])]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).expect("written");
    }
    match read_directory(directory.path(), Currency::parse("USD").expect("valid")) {
        Ok(read) => format!("{:?}", read.positions.files().map(|(file, _)| file).collect::<Vec<_>>()),
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
    assert!(read_files(&[("notes.txt", b"")]).contains("has none of the files that can be imported: addresses.csv"));
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
