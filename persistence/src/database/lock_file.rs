//! One process per SQLite file.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::OpenError;

/// An exclusive lock beside the database, held until the process ends, however it ends.
pub(super) struct LockFile {
    _file: File,
}

impl LockFile {
    pub(super) fn acquire(database: &Path) -> Result<Self, OpenError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let shown = name.to_string_lossy().into_owned();
        let failed = |error| OpenError::LockFile(shown.clone(), error);
        if let Some(directory) = database.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
