//! The ledger of the mock gateway: an append-only file that records when each payment was opened, charged, declined or
//! cancelled.
//!
//! Each line is a JSON object. It is appended with one write and never changed. The file is the only stored state. A
//! process reads the file at start. Before every decision, the process also reads the lines that other processes have
//! added. An exclusive lock on the file makes "read, decide, append" atomic for all processes.
//!
//! An entry survives the end of the process that wrote it. It is not synced to the disk, so it may not survive a power
//! failure.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::clock::Timestamp;
use domain::fault::{Fault, FaultKind};
use domain::money::{Amount, Currency};
use domain::payment::{AttemptId, GatewayState};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use slog::{Logger, warn};

/// The largest ledger, in bytes. There is a limit because the payments are kept in memory. A million purchases fit.
const MAX_SIZE: u64 = 512 * 1_024 * 1_024;

/// One line of the ledger. The last entry of a payment has the state of the payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    #[serde(with = "time::serde::rfc3339")]
    pub at: Timestamp,
    pub entry: EntryKind,
    /// The gateway's id of the payment: `mock_` and 32 hexadecimal digits.
    pub reference: String,
    pub attempt: AttemptId,
    /// The idempotency key of the call. A cancellation has no key, because it can be repeated without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub amount: Amount,
    pub currency: Currency,
    /// The reason of a decline, for the buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happened to a payment. The log has the same words as the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum EntryKind {
    Opened,
    Charged,
    Declined,
    Cancelled,
}

impl LedgerEntry {
    /// The state of the payment if this is its last entry.
    pub fn state(&self) -> GatewayState {
        match self.entry {
            EntryKind::Opened => GatewayState::Opened,
            EntryKind::Charged => GatewayState::Confirmed,
            EntryKind::Declined => GatewayState::Declined(self.reason.as_deref().unwrap_or_default().into()),
            EntryKind::Cancelled => GatewayState::Cancelled,
        }
    }
}

/// The payments, according to the lines that have been read so far.
#[derive(Default)]
pub(super) struct Payments {
    last_entries: HashMap<String, LedgerEntry>,
    references: HashMap<String, String>,
}

impl Payments {
    /// The last entry of the payment with this reference.
    pub(super) fn find(&self, reference: &str) -> Option<&LedgerEntry> {
        self.last_entries.get(reference)
    }

    /// The last entry of the payment that was opened with this key.
    pub(super) fn opened_with(&self, key: &str) -> Option<&LedgerEntry> {
        self.find(self.references.get(key)?)
    }

    fn apply(&mut self, entry: LedgerEntry) {
        if let (EntryKind::Opened, Some(key)) = (entry.entry, &entry.key) {
            self.references.insert(key.clone(), entry.reference.clone());
        }
        self.last_entries.insert(entry.reference.clone(), entry);
    }
}

/// The ledger of one gateway. Several gateways, in this process or in others, may share one file.
pub struct Ledger {
    file: File,
    /// How many bytes of the file have been read into `payments`.
    read_to: u64,
    payments: Payments,
    log: Logger,
}

impl Ledger {
    /// All entries of the file, oldest first, for tests. Unreadable lines are left out.
    pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<LedgerEntry>> {
        let file = regular(OpenOptions::new().read(true), path.as_ref())?;
        // Waits until no process writes. Closing the file releases the lock.
        file.lock_shared()?;
        let bytes = rest(&file, MAX_SIZE)?;
        Ok(lines(&bytes).filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Opens or creates the file, and reads it. The folder must exist.
    pub(super) fn open(path: &Path, log: &Logger) -> io::Result<Self> {
        // With this mode, other users of the machine cannot read the file.
        let file = regular(OpenOptions::new().read(true).append(true).create(true).mode(0o600), path)?;
        let mut ledger = Self { file, read_to: 0, payments: Payments::default(), log: log.clone() };
        ledger.locked(Self::catch_up)??;
        Ok(ledger)
    }

    /// Reads the new lines, calls `decide`, and appends the entry that it returns, if any. This is atomic for all
    /// processes that share the file. Returns the result of `decide`.
    ///
    /// # Errors
    /// `Unavailable` if nothing was written, `OutcomeUnknown` if something may have been written.
    pub(super) fn update<T>(
        &mut self,
        operation: &'static str,
        decide: impl FnOnce(&Payments) -> Result<(T, Option<LedgerEntry>), Fault>,
    ) -> Result<T, Fault> {
        let fault = |kind| move |error: io::Error| Fault::new(kind, operation).caused_by(error);
        let updated = self.locked(|ledger| {
            ledger.catch_up().map_err(fault(FaultKind::Unavailable))?;
            let (result, entry) = decide(&ledger.payments)?;
            entry.map_or(Ok(()), |entry| ledger.append(entry)).map_err(fault(FaultKind::OutcomeUnknown))?;
            Ok(result)
        });
        updated.map_err(fault(FaultKind::Unavailable))?
    }

    /// Runs `work` with the file locked, and returns its result. An `Err` of this function means that `work` did not
    /// run.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        self.file.lock()?;
        let done = work(self);
        if let Err(error) = self.file.unlock() {
            warn!(self.log, "payment ledger could not be unlocked"; "op" => "payment.ledger", "error" => %error);
        }
        Ok(done)
    }

    fn catch_up(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.read_to))?;
        let mut new = rest(&self.file, MAX_SIZE.saturating_sub(self.read_to))?;
        if new.last().is_some_and(|byte| *byte != b'\n') {
            // This process has the lock, so the process that wrote an incomplete line has ended. The line feed ends
            // that line. Then all processes agree whether the line is readable, and the next entry begins on a new
            // line.
            self.file.write_all(b"\n")?;
            new.push(b'\n');
        }
        for line in lines(&new) {
            match serde_json::from_slice(line) {
                Ok(entry) => self.payments.apply(entry),
                Err(error) => warn!(self.log, "payment ledger has an unreadable line"; "op" => "payment.ledger",
                    "after_byte" => self.read_to, "error" => %error),
            }
        }
        self.read_to += new.len() as u64;
        Ok(())
    }

    fn append(&mut self, entry: LedgerEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.read_to += line.len() as u64;
        self.payments.apply(entry);
        Ok(())
    }
}

/// Opens a regular file. A pipe, a device or a folder is an error. The function does not wait for it and does not read
/// it.
fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
    }
    Ok(file)
}

/// Reads the rest of the file. Fails if the rest is longer than `most` bytes.
fn rest(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let error = format!("is larger than {MAX_SIZE} bytes; stop the shop and put another file in its place");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
