//! The evidence: an append-only file that says what was opened, charged, declined and cancelled, and when.
//!
//! One JSON object per line, written with one call and never changed. The file is the only state: it is read at start,
//! and before every decision the lines that other processes appended meanwhile are read too. An exclusive lock on the
//! file makes "read, decide, append" one step for all of them.
//!
//! An entry outlives the process that wrote it, however that process ends. It is not synced to the disk, so it need not
//! outlive a power cut.

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

/// Bytes of a ledger. It is held in memory; a million purchases fit.
const LARGEST: u64 = 512 * 1_024 * 1_024;

/// One line of the ledger. A payment is what its last entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    #[serde(with = "time::serde::rfc3339")]
    pub at: Timestamp,
    pub entry: EntryKind,
    /// What the gateway calls the payment: `mock_` and 32 hexadecimal digits.
    pub reference: String,
    pub attempt: AttemptId,
    /// The idempotency key of the call. A cancellation has none: it names the payment, and can be repeated as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub amount: Amount,
    pub currency: Currency,
    /// Why it was declined, for the buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Opened,
    Charged,
    Declined,
    Cancelled,
}

impl EntryKind {
    /// The word in the file and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
        }
    }
}

impl LedgerEntry {
    /// The state of a payment whose last entry this is.
    pub fn state(&self) -> GatewayState {
        match self.entry {
            EntryKind::Opened => GatewayState::Opened,
            EntryKind::Charged => GatewayState::Confirmed,
            EntryKind::Declined => GatewayState::Declined(self.reason.as_deref().unwrap_or_default().into()),
            EntryKind::Cancelled => GatewayState::Cancelled,
        }
    }
}

/// The payments as of the last line read.
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

/// What to do about a call, decided while no other process can write.
pub(super) enum Decision {
    /// Nothing changes; this entry is the answer.
    Echo(LedgerEntry),
    /// This entry is written, and is the answer.
    Append(LedgerEntry),
}

/// The ledger of one payment handler. Several, in this process or in others, may share one file.
pub struct Ledger {
    file: File,
    /// How many bytes of the file are in `payments`.
    read_to: u64,
    payments: Payments,
    log: Logger,
}

impl Ledger {
    /// All entries of the file at `path`, oldest first, for a test to judge by. Lines that are no entry are left out, as
    /// they are when a handler reads them.
    pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<LedgerEntry>> {
        let file = regular(OpenOptions::new().read(true), path.as_ref())?;
        // Waits for an append that is under way; the lock goes with the file.
        file.lock_shared()?;
        let bytes = rest(&file, LARGEST)?;
        Ok(lines(&bytes).filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Opens the file, or creates it, and reads what it says. Its folder must exist.
    pub(super) fn open(path: &Path, log: &Logger) -> io::Result<Self> {
        // Whose it is and what was paid is nothing for other users of the machine.
        let file = regular(OpenOptions::new().read(true).append(true).create(true).mode(0o600), path)?;
        let mut ledger = Self { file, read_to: 0, payments: Payments::default(), log: log.clone() };
        ledger.locked(Self::catch_up)??;
        Ok(ledger)
    }

    /// Reads what is new, decides, and writes the decision, as one step for all who share the file. Answers the entry
    /// that the decision names. `Unavailable` when nothing was written, `OutcomeUnknown` when perhaps something was.
    pub(super) fn update(
        &mut self,
        operation: &'static str,
        decide: impl FnOnce(&Payments) -> Result<Decision, Fault>,
    ) -> Result<LedgerEntry, Fault> {
        let fault = |kind| move |error: io::Error| Fault::new(kind, operation).caused_by(error);
        let updated = self.locked(|ledger| {
            ledger.catch_up().map_err(fault(FaultKind::Unavailable))?;
            match decide(&ledger.payments)? {
                Decision::Echo(entry) => Ok(entry),
                Decision::Append(entry) => {
                    ledger.append(&entry).map_err(fault(FaultKind::OutcomeUnknown))?;
                    Ok(entry)
                }
            }
        });
        updated.map_err(fault(FaultKind::Unavailable))?
    }

    /// The reference of the payment that was opened with this key, by whichever process.
    pub(super) fn find(&mut self, operation: &'static str, key: &str) -> Result<Option<String>, Fault> {
        let found = self.locked(|ledger| {
            ledger.catch_up()?;
            Ok(ledger.payments.opened_with(key).map(|entry| entry.reference.clone()))
        });
        found.and_then(|found| found).map_err(|error| Fault::new(FaultKind::Unavailable, operation).caused_by(error))
    }

    /// Runs `work` while nobody else holds the file. The outer error means that it did not run.
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
        let mut news = rest(&self.file, LARGEST.saturating_sub(self.read_to))?;
        if news.last().is_some_and(|byte| *byte != b'\n') {
            // We hold the lock, so whoever wrote half a line is dead. Ending the line for them settles for everyone
            // whether it counts, and keeps the next entry from being glued to it.
            self.file.write_all(b"\n")?;
            news.push(b'\n');
        }
        for line in lines(&news) {
            match serde_json::from_slice(line) {
                Ok(entry) => self.payments.apply(entry),
                Err(error) => warn!(self.log, "payment ledger has an unreadable line"; "op" => "payment.ledger",
                    "after_byte" => self.read_to, "error" => %error),
            }
        }
        self.read_to += news.len() as u64;
        Ok(())
    }

    fn append(&mut self, entry: &LedgerEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.read_to += line.len() as u64;
        self.payments.apply(entry.clone());
        Ok(())
    }
}

/// Opens a regular file. A pipe, a device or a folder is an error, without waiting and without a byte read.
fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
    }
    Ok(file)
}

/// All that is left to read, if it is at most so many bytes.
fn rest(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let error = format!("is larger than {LARGEST} bytes; stop the shop and put another file in its place");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
