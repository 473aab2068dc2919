//! Programs of others that a few tests drive. Without one its tests check nothing, and say so.

use std::path::{Path, PathBuf};

use crate::machine;
use crate::provided::{self, Provided};

/// A Debian package, and the file of it that the tests need.
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
    /// Where it is, installed if need be and if that is ours to do.
    pub fn provide(&self) -> Option<PathBuf> {
        self.present().or_else(|| match machine::apt_install(self.package) {
            Ok(_) => self.present(),
            Err(failure) => {
                eprintln!("xtask: {failure:#}");
                None
            }
        })
    }

    fn present(&self) -> Option<PathBuf> {
        self.files.iter().map(Path::new).find(|file| file.is_file()).map(Path::to_owned)
    }
}
