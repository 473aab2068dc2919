//! Reads files that a setting or an argument names, within bounds. Such a name may lead to a pipe without a writer, an
//! endless device, or a growing file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading. Any other kind of file is an error. Does not wait and reads nothing.
pub fn open(path: &Path) -> io::Result<File> {
    // Without this flag, opening a pipe waits for its writer.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
    }
    Ok(file)
}

/// Reads `from` to its end and returns the bytes. More than `most` bytes are an error. The limit is enforced while
/// reading, since a file may grow.
pub fn read_at_most(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Reads `from` to its end and returns the UTF-8 text. More than `most` bytes are an error.
pub fn text_at_most(from: impl Read, most: u64) -> io::Result<String> {
    let bytes = read_at_most(from, most)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
