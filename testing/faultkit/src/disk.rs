//! A disk that is soon full.

use std::path::PathBuf;
use std::process::Command;

/// A file system of a few megabytes. Dropping it unmounts it.
pub struct SmallDisk {
    pub path: PathBuf,
}

impl SmallDisk {
    /// None without root, who alone may mount a file system.
    pub fn mount(path: PathBuf, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a directory");
        let size = format!("size={megabytes}m");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self { path })
    }

    /// Writes a file until the disk is full. Deleting the file makes room again.
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
