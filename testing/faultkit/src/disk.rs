//! A small file system that a test can fill.

use std::path::PathBuf;
use std::process::Command;

/// A file system of a few megabytes. Dropping this value unmounts the file system.
pub struct SmallDisk {
    pub path: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of this size at `path`. Returns `None` if mounting fails, usually because only root may
    /// mount a file system.
    pub fn mount(path: PathBuf, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a directory");
        let size = format!("size={megabytes}m");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self { path })
    }

    /// Writes a file until the disk is full, and returns the path of the file. Deleting the file makes room again.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.path.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a file");
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
        let _ = std::fs::remove_dir(&self.path);
    }
}
