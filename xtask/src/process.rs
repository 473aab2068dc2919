//! Runs other programs in the root of the workspace.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use cargo_metadata::{Metadata, MetadataCommand};

pub fn root() -> PathBuf {
    // The variable is read at run time, because several checkouts may share a target directory and so this binary.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask is in the workspace").to_path_buf()
}

/// The directory for what xtask downloads. It can be deleted at any time.
pub fn cache() -> Result<PathBuf> {
    let directory = root().join("target/xtask");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}

/// A command of the cargo that started xtask, so that `cargo +toolchain xtask` uses the same toolchain for it.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Returns the dependency graph for this platform only, so that cargo needs no packages for other platforms.
pub fn metadata() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.current_dir(root()).other_options(["--filter-platform", "host-tuple"].map(str::to_owned));
    command.exec().context("cargo metadata failed")
}

/// Runs a command that uses the standard input and output of xtask. Returns an error if the command fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    must_succeed(command, status)
}

fn must_succeed(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command. Prints each line of its stdout, and then passes the line to `read`. Returns an error if the command
/// fails.
pub fn run_with_lines(command: &mut Command, mut read: impl FnMut(&str)) -> Result<()> {
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot start {}", shown(command)))?;
    let mut stdout = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
    let (sender, lines) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while stdout.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = std::io::stdout().write_all(&line);
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    // A process that the command leaves behind may keep stdout open. So, after the command has ended, reading stops at
    // the first pause of a second.
    let mut has_ended = false;
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => read(&line),
            Err(RecvTimeoutError::Timeout) if !has_ended => has_ended = child.try_wait()?.is_some(),
            Err(_) => break,
        }
    }
    must_succeed(command, child.wait()?)
}

/// Runs a command and returns its stdout. If the command fails, returns its stderr as the error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    must_succeed(command, output.status).map_err(|failure| anyhow!("{failure}: {}", stderr.trim()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as a user types it in a shell, without the directory of the program.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    format!("`{}`", words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
