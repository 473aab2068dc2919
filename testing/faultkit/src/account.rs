//! The operating-system account that runs the database servers of the tests. `xtask` compiles this file too, by its
//! path.

use std::io::{Error, Result};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

pub fn is_root() -> bool {
    id("-u", None).is_ok_and(|id| id == 0)
}

/// The user id and the group id of the account that runs a database server. `None` means the account of this process.
/// Another account is needed only if this process runs as root, because Postgres refuses to run as root.
pub struct Account(Option<(u32, u32)>);

impl Account {
    /// Chooses the account of this process, or `postgres` or `nobody` if this process runs as root. Fails if this
    /// process runs as root and neither account exists.
    pub fn for_servers() -> Result<Self> {
        if !is_root() {
            return Ok(Self(None));
        }
        for name in ["postgres", "nobody"] {
            if let (Ok(user), Ok(group)) = (id("-u", Some(name)), id("-g", Some(name))) {
                return Ok(Self(Some((user, group))));
            }
        }
        Err(Error::other("Postgres does not run as root, and there is no account `postgres` or `nobody` to run it as"))
    }

    /// Returns a command that runs as this account in `directory`. The account may have no access to the working
    /// directory of this process.
    pub fn command(&self, program: impl AsRef<Path>, directory: &Path) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(directory);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes this account the owner of a file or directory.
    pub fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .map_err(|error| Error::other(format!("cannot give {} to another account: {error}", path.display())))
    }
}

fn id(what: &str, name: Option<&str>) -> Result<u32> {
    let output = Command::new("id").arg(what).args(name).output()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(Error::other)
}
