//! Programs of others that a few tests drive. Without one its tests check nothing, and say so.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine;

/// A Debian package, and the file of it that the tests need.
pub struct Tool {
    /// For the summary of `cargo xtask test`.
    pub what: &'static str,
    package: &'static str,
    files: &'static [&'static str],
    /// How the tests learn where it is.
    pub variable: &'static str,
}

pub const TOOLS: [Tool; 3] = [
    Tool {
        what: "haproxy",
        package: "haproxy",
        files: &["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"],
        variable: "XTASK_HAPROXY",
    },
    Tool {
        what: "libfaketime",
        package: "libfaketime",
        files: &[
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        ],
        variable: "XTASK_FAKETIME",
    },
    Tool { what: "strace", package: "strace", files: &["/usr/bin/strace"], variable: "XTASK_STRACE" },
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

/// Tells the tests where each tool is. What is not there must not be inherited either.
pub fn hand_over(tests: &mut Command) -> Vec<(&'static Tool, Option<PathBuf>)> {
    let provided: Vec<_> = TOOLS.iter().map(|tool| (tool, tool.provide())).collect();
    for (tool, path) in &provided {
        match path {
            Some(path) => tests.env(tool.variable, path),
            None => tests.env_remove(tool.variable),
        };
    }
    provided
}
