//! Locks an SQLite file for one process, and checks that the open file is still at its path.
//!
//! SQLite keeps its write-ahead log beside the name by which a file was opened. Two processes that open one file by two
//! names (hard links, symbolic links, mounts) would have two logs and destroy the file. So the lock is on the file
//! itself, and the file must have one name. While the file is open, its path must lead to it, because data in a file
//! without a name is lost when the process ends.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::context::Stopwatch;
use domain::fault::{Fault, FaultKind};
use rustix::fs::AtFlags;
use slog::{Logger, crit, info, o, warn};

use super::OpenError;

/// Whether the database file is locked too, and not only the lock file beside it. On Linux a lock on a whole file is
/// independent of the byte ranges that SQLite locks. On other systems the two kinds of locks may exclude each other.
const LOCK_DATABASE: bool = cfg!(target_os = "linux");

/// The permission bits of other users. They are removed, because the database contains the signing keys.
const OTHERS: u32 = 0o007;
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// The locks on a database file, held until this value is dropped, and the identity of the file when it was opened.
///
/// If a process closes any descriptor of a file, it loses the locks of SQLite on that file. So each connection holds an
/// `Arc` of the `LockFile`, which is dropped after the connection is closed.
pub(super) struct LockFile {
    _locks: Vec<File>,
    /// The configured path, made absolute.
    named: PathBuf,
    /// The path without symbolic links. SQLite puts its log beside this path.
    pub(super) real: PathBuf,
    identity: Identity,
    changed: AtomicBool,
    /// Whether the log was deleted or moved while it was open. Stays true until a restart.
    log_lost: AtomicBool,
    log: Logger,
}

/// Device and inode.
type Identity = (u64, u64);

/// The identities of the write-ahead log and of its index (`-shm`), as a connection found them when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogFiles([Identity; 2]);

/// The `Arc` of the [`LockFile`] that the [`Database`](super::Database) holds. It is dropped last. After the drop
/// another process, or another database in this process, can lock the file.
pub(super) struct FileShare(pub(super) Option<Arc<LockFile>>);

impl Drop for FileShare {
    /// Waits until no connection holds the lock file, for at most a second: the pool may still be opening a connection.
    fn drop(&mut self) {
        const AT_MOST: Duration = Duration::from_secs(1);
        let watch = Stopwatch::start();
        while self.0.as_ref().is_some_and(|file| Arc::strong_count(file) > 1) && watch.elapsed() < AT_MOST {
            std::thread::yield_now();
        }
    }
}

impl LockFile {
    /// Locks the database file and returns the locks. Creates the file if it does not exist, readable for this account
    /// only. Fails if another process holds the lock, if the path does not lead to an SQLite file with one name, or if a
    /// new file would destroy a log.
    pub(super) fn acquire(database: &Path, log: &Logger) -> Result<Self, OpenError> {
        let failed = |error| OpenError::File(database.display().to_string(), error);
        let named = std::path::absolute(database).map_err(failed)?;
        if let Some(directory) = named.parent() {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(PRIVATE_DIRECTORY).create(directory).map_err(failed)?;
        }
        // Opening a pipe or a device blocks, or has effects.
        if let Ok(found) = std::fs::metadata(&named)
            && !found.is_file()
        {
            return Err(OpenError::NotAFile(database.display().to_string()));
        }
        must_not_destroy_a_log(&named)?;
        let file = open(&named).map_err(failed)?;
        // Checked before a file is created beside it or its permissions are changed, because the path may be a mistake.
        if !is_empty_or_a_database(&file).map_err(failed)? {
            return Err(OpenError::NotADatabase(database.display().to_string()));
        }
        let real = named.canonicalize().map_err(failed)?;
        let beside = sibling(&real, ".lock");
        let beside_failed = |error| OpenError::LockFile(beside.display().to_string(), error);
        let mut locks = vec![open(&beside).map_err(beside_failed)?];
        if LOCK_DATABASE {
            locks.push(file.try_clone().map_err(failed)?);
        }
        for lock in &locks {
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(database.display().to_string())),
                Err(TryLockError::Error(error)) => return Err(beside_failed(error)),
            }
        }
        let opened = file.metadata().map_err(failed)?;
        one_name(&opened, database)?;
        let locked = Self {
            _locks: locks,
            identity: identity(&opened),
            named,
            changed: AtomicBool::new(false),
            log_lost: AtomicBool::new(false),
            log: log.new(o!("op" => "database.file", "file" => real.display().to_string())),
            real,
        };
        for suffix in ["", ".lock", "-wal", "-shm"] {
            locked.make_private(&sibling(&locked.real, suffix));
        }
        locked.same_file().map_err(|why| failed(io::Error::other(why)))?;
        if opened.len() == 0 {
            info!(locked.log, "the database file is new");
        }
        Ok(locked)
    }

    /// Whether the last check found that the file or its log was deleted, replaced or linked.
    pub(super) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// Fails if a write may be lost: if the file is not at its path, if it has a second name, or if its log is not the
    /// log that the connection has open. Logs once that the file changed, and once that it is in its place again. After
    /// the log was deleted, every check fails until a restart, because a new log under the same name lacks the content
    /// of the old log.
    ///
    /// `opened` is the log of the connection that checks. With `None`, any log is accepted. Must be called while a
    /// connection to the file is open, because the log may not exist otherwise.
    pub(super) fn must_be_intact(&self, operation: &'static str, opened: Option<LogFiles>) -> Result<(), Fault> {
        let Err(why) = self.same_file().and_then(|()| self.same_log(opened)) else {
            if self.changed.swap(false, Ordering::AcqRel) {
                info!(self.log, "the database file is in its place again");
            }
            return Ok(());
        };
        if !self.changed.swap(true, Ordering::AcqRel) {
            crit!(self.log, "the database file changed while it was open: no more writes";
                "error_code" => "file_changed", "error" => &why);
        }
        Err(Fault::new(FaultKind::Unavailable, operation).caused_by(why))
    }

    /// Fails with a reason if a connection that is opened now would not reach the locked file, or if the file has a
    /// second name.
    pub(super) fn same_file(&self) -> Result<(), String> {
        let other_name = (self.named != self.real).then_some(&self.named);
        for path in [Some(&self.real), other_name].into_iter().flatten() {
            let found = inspect(path, AtFlags::empty())
                .map_err(|error| format!("{} was deleted or moved: {error}", path.display()))?;
            if found.identity != self.identity {
                return Err(format!("{} is another file than the one that is open", path.display()));
            }
            if found.names != 1 {
                return Err(format!("{} has {} names (hard links)", path.display(), found.names));
            }
        }
        Ok(())
    }

    /// Returns the identities of the log and its index as they are now. A connection that was just opened has these
    /// files open.
    pub(super) fn log_files(&self) -> Result<LogFiles, String> {
        let find = |suffix| {
            let path = sibling(&self.real, suffix);
            match inspect(&path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => Ok(found.identity),
                Err(error) => Err(format!("{} was deleted or moved: {error}", path.display())),
            }
        };
        Ok(LogFiles([find("-wal")?, find("-shm")?]))
    }

    fn same_log(&self, opened: Option<LogFiles>) -> Result<(), String> {
        if self.log_lost.load(Ordering::Acquire) {
            return Err("the log was deleted or moved while the shop ran: the shop must be restarted".to_owned());
        }
        let why = match self.log_files() {
            Ok(found) if opened.is_none_or(|opened| opened == found) => return Ok(()),
            Ok(_) => "the log was deleted or moved, and another one is in its place".to_owned(),
            Err(why) => why,
        };
        self.log_lost.store(true, Ordering::Release);
        Err(why)
    }

    fn make_private(&self, path: &Path) {
        let Ok(found) = std::fs::metadata(path) else { return };
        let mode = found.permissions().mode();
        if mode & OTHERS == 0 {
            return;
        }
        match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => {
                warn!(self.log, "a file of the database was open to every user of the machine: the permission was removed";
                "path" => path.display().to_string())
            }
            Err(error) => warn!(self.log, "a file of the database is open to every user of the machine";
                "path" => path.display().to_string(), "error" => %error),
        }
    }
}

/// Whether the file is empty, so that SQLite creates a database in it, or begins like an SQLite database (SQLite,
/// "Database File Format", 1.3).
fn is_empty_or_a_database(file: &File) -> io::Result<bool> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut start = Vec::with_capacity(MAGIC.len());
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == MAGIC)
}

/// Refuses a path without a database beside which a write-ahead log lies. SQLite deletes the log when it creates a
/// database, but the log may hold the newest commits of a file that was moved away.
pub(super) fn must_not_destroy_a_log(database: &Path) -> Result<(), OpenError> {
    let is_missing = match std::fs::metadata(database) {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let real = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let log = sibling(&real, "-wal");
    if is_missing && std::fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
        return Err(OpenError::LogWithoutDatabase(database.display().to_string(), log.display().to_string()));
    }
    Ok(())
}

/// Refuses a path that does not lead to a regular file, or leads to a file with several names. For commands that run
/// beside a server.
pub(super) fn must_have_one_name(database: &Path) -> Result<(), OpenError> {
    let found = std::fs::metadata(database).map_err(|error| OpenError::File(database.display().to_string(), error))?;
    one_name(&found, database)
}

fn one_name(found: &Metadata, database: &Path) -> Result<(), OpenError> {
    let name = || database.display().to_string();
    match (found.is_file(), found.nlink()) {
        (false, _) => Err(OpenError::NotAFile(name())),
        (true, 1) => Ok(()),
        (true, links) => Err(OpenError::Links(name(), links)),
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).mode(PRIVATE_FILE).open(path)
}

/// The identity of the file that a path leads to, and the number of its names (hard links).
struct Found {
    identity: Identity,
    names: u64,
}

/// Reads the identity and the number of names of a file. Does not read its times: on Linux 6.13 and later, the next
/// write after a read of the times stores a finer time, so every commit would write the inode too.
#[cfg(target_os = "linux")]
fn inspect(path: &Path, flags: AtFlags) -> io::Result<Found> {
    use rustix::fs::{CWD, StatxFlags, makedev, statx};
    use rustix::io::Errno;
    let found = match statx(CWD, path, flags, StatxFlags::INO | StatxFlags::NLINK) {
        // Some sandboxes lack `statx`.
        Err(Errno::NOSYS | Errno::PERM) => return inspect_with_times(path, flags),
        found => found?,
    };
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    Ok(Found { identity: (device, found.stx_ino), names: u64::from(found.stx_nlink) })
}

#[cfg(not(target_os = "linux"))]
use inspect_with_times as inspect;

fn inspect_with_times(path: &Path, flags: AtFlags) -> io::Result<Found> {
    let found = match flags.contains(AtFlags::SYMLINK_NOFOLLOW) {
        true => std::fs::symlink_metadata(path)?,
        false => std::fs::metadata(path)?,
    };
    Ok(Found { identity: identity(&found), names: found.nlink() })
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
