//! Programs of other projects that a few tests run.

use std::path::{Path, PathBuf};

use crate::install::Installer;
use crate::provided::{self, Provided};

/// A program or library that some tests need, the Debian package that contains it, and the paths that it can have.
pub struct Tool {
    pub what: Provided,
    package: &'static str,
    files: &'static [&'static str],
}

pub const TOOLS: [Tool; 3] = [
    Tool {
        what: provided::HAPROXY,
        package: "haproxy",
        files: &["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"],
    },
    Tool {
        what: provided::FAKETIME,
        package: "libfaketime",
        files: &[
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        ],
    },
    Tool { what: provided::STRACE, package: "strace", files: &["/usr/bin/strace"] },
];

impl Tool {
    /// Returns the path of the file. If the file is missing, an installer installs the package first. Returns `None` if
    /// the file is still missing.
    pub fn provide(&self, installer: Option<&Installer>) -> Option<PathBuf> {
        let present = || self.files.iter().map(Path::new).find(|file| file.is_file()).map(Path::to_owned);
        present().or_else(|| {
            if let Err(failure) = installer?.apt(self.package) {
                eprintln!("xtask: {failure:#}");
            }
            present()
        })
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
