//! What a power cut leaves of a directory whose history is recorded.
//!
//! The model of the disk, no kinder than what POSIX promises:
//!
//! - What was written to a file survives when a sync of that file began after it had ended, and has ended itself. All
//!   else may survive: whole, torn at a sector, or not at all, each write by itself and in no order. The same goes for a
//!   change of the file's size.
//! - That a file was made or removed survives when the directory was synced after it. Later changes may survive up to any
//!   moment, in their order, as in the journal of a file system.
//! - A write changes no byte around it, and a sync that has ended is true. SQLite builds on the same (its "powersafe
//!   overwrite"); a disk that lies is not modelled.
//! - What is written through a mapping is not seen. SQLite maps only its index of the log (`-shm`), which need not
//!   survive and is left out. So is the lock file.
//! - The ledger of the simulated payments stands for somebody else's: it keeps all that it was ever told.

use std::collections::BTreeMap;
use std::path::Path;

use crate::extent::Chance;
use crate::recording::{Call, Event};

pub const DATABASE: &str = "shop.db";
pub const LOG: &str = "shop.db-wal";
const LEDGER: &str = "payments.ledger";
const KEPT: [&str; 4] = [DATABASE, LOG, "shop.db-journal", LEDGER];
const SECTOR: usize = 512;

/// What is found when the power is back: files by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// The files of a directory and everything that was done to them since.
pub struct Disk {
    /// The files that there ever were, two of one name among them, and what was done to each.
    files: Vec<File>,
    /// What was done to the directory itself: from then on the name is of that file, or of none.
    names: Vec<(usize, String, Option<usize>)>,
    /// Syncs of the directory: began, ended.
    syncs: Vec<Span>,
}

type Span = (usize, usize);

#[derive(Default)]
struct File {
    name: String,
    before: Vec<u8>,
    changes: Vec<(Span, Change)>,
    syncs: Vec<Span>,
}

enum Change {
    Write { at: Option<usize>, bytes: Vec<u8> },
    Truncate(usize),
}

/// What becomes of what was never synced.
pub enum Unsynced<'a> {
    Lost,
    /// Some of it survives.
    Random(&'a mut Chance),
}

impl Disk {
    /// `before` is the directory as it was, all of it on the disk, when the recording began.
    pub fn new(before: Image, events: &[Event]) -> Self {
        // Nothing is recorded before moment 1.
        let mut disk = Self { files: Vec::new(), names: Vec::new(), syncs: vec![(1, 1)] };
        let mut there: BTreeMap<String, usize> = BTreeMap::new();
        for (name, before) in before {
            there.insert(name.clone(), disk.files.len());
            disk.names.push((0, name.clone(), Some(disk.files.len())));
            disk.files.push(File { name, before, ..File::default() });
        }
        for event in events {
            let span = (event.began, event.ended);
            match &event.call {
                Call::Open { file } if KEPT.contains(&file.as_str()) && !there.contains_key(file) => {
                    there.insert(file.clone(), disk.files.len());
                    disk.names.push((event.ended, file.clone(), Some(disk.files.len())));
                    disk.files.push(File { name: file.clone(), ..File::default() });
                }
                Call::Remove { file } if there.remove(file).is_some() => {
                    disk.names.push((event.ended, file.clone(), None))
                }
                Call::Sync { file } if file.is_empty() => disk.syncs.push(span),
                Call::Sync { file } => disk.change(&there, file, |file| file.syncs.push(span)),
                Call::Write { file, at, bytes } => disk.change(&there, file, |file| {
                    file.changes.push((span, Change::Write { at: *at, bytes: bytes.clone() }));
                }),
                Call::Truncate { file, size } => {
                    disk.change(&there, file, |file| file.changes.push((span, Change::Truncate(*size))));
                }
                Call::Open { .. } | Call::Remove { .. } | Call::Send { .. } => {}
            }
        }
        disk
    }

    fn change(&mut self, there: &BTreeMap<String, usize>, name: &str, change: impl FnOnce(&mut File)) {
        if let Some(file) = there.get(name) {
            change(&mut self.files[*file]);
        }
    }

    /// The same disk under an engine that syncs its log only for its own sake, when it begins anew and before it is
    /// carried over to the database. That is what SQLite does with `synchronous=NORMAL`.
    pub fn with_synchronous_normal(mut self) -> Self {
        let of_database: Vec<usize> = self.began(DATABASE).collect();
        for log in self.files.iter_mut().filter(|file| file.name == LOG) {
            let changes = &log.changes;
            log.syncs.retain(|(began, ended)| {
                let last = changes.iter().rev().find(|((change, _), _)| change < began);
                let begins_anew = last.is_some_and(|(_, change)| matches!(change, Change::Write { at: Some(0), .. }));
                let next = changes.iter().map(|((change, _), _)| *change).find(|change| change > ended);
                let carried_over =
                    of_database.iter().any(|write| write > ended && next.is_none_or(|next| *write < next));
                begins_anew || carried_over
            });
        }
        self
    }

    /// When each write to the files of this name began.
    pub fn began<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let files = self.files.iter().filter(move |file| file.name == name);
        files.flat_map(|file| file.changes.iter().map(|((began, _), _)| *began))
    }

    /// What a power cut at this moment leaves, and how many changes were not synced by then.
    pub fn after_power_cut(&self, moment: usize, mut unsynced: Unsynced<'_>) -> (Image, usize) {
        let durable = covered(&self.syncs, moment);
        let mut names: Vec<_> = self.names.iter().take_while(|(ended, ..)| *ended < moment).collect();
        let sure = names.iter().filter(|(ended, ..)| *ended < durable).count();
        names.truncate(match &mut unsynced {
            Unsynced::Lost => sure,
            Unsynced::Random(chance) => index(chance.between(sure as u64, names.len() as u64 + 1)),
        });
        let mut there: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, name, file) in names {
            match file {
                Some(file) => there.insert(name, *file),
                None => there.remove(name.as_str()),
            };
        }
        let mut open = 0;
        let contents = there.into_iter().map(|(name, file)| {
            let (bytes, unsynced) = self.files[file].after_power_cut(moment, &mut unsynced);
            open += unsynced;
            (name.to_owned(), bytes)
        });
        (contents.collect(), open)
    }
}

/// The moment before which all is durable: when the last sync began that had ended by then.
fn covered(syncs: &[Span], moment: usize) -> usize {
    syncs.iter().filter(|(_, ended)| *ended < moment).map(|(began, _)| *began).max().unwrap_or(0)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an index")
}

impl File {
    fn after_power_cut(&self, moment: usize, unsynced: &mut Unsynced<'_>) -> (Vec<u8>, usize) {
        let durable = if self.name == LEDGER { moment } else { covered(&self.syncs, moment) };
        let (mut bytes, mut open) = (self.before.clone(), 0);
        for ((began, ended), change) in &self.changes {
            if *began >= moment {
                break;
            }
            let is_sure = *ended < durable;
            open += usize::from(!is_sure);
            match (is_sure, &mut *unsynced) {
                (true, _) => change.make(&mut bytes, usize::MAX),
                (false, Unsynced::Lost) => {}
                // Half of it whole, and some of it torn.
                (false, Unsynced::Random(chance)) => match chance.between(0, 4) {
                    0 => {}
                    1 => change.make(&mut bytes, index(chance.between(1, 9))),
                    _ => change.make(&mut bytes, usize::MAX),
                },
            }
        }
        (bytes, open)
    }
}

impl Change {
    /// Of a write, so many sectors at most.
    fn make(&self, file: &mut Vec<u8>, sectors: usize) {
        match self {
            Self::Truncate(size) => file.resize(*size, 0),
            Self::Write { at, bytes } => {
                let at = at.unwrap_or(file.len());
                let end = (at / SECTOR).saturating_add(sectors).saturating_mul(SECTOR);
                let bytes = &bytes[..bytes.len().min(end - at)];
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// The files of a directory that a power cut is about.
pub fn image(directory: &Path) -> Image {
    let files = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), std::fs::read(directory.join(name)).ok()?)));
    files.collect()
}

/// Puts them into another directory.
pub fn restore(image: &Image, directory: &Path) {
    for (name, bytes) in image {
        std::fs::write(directory.join(name), bytes).expect("written");
    }
}
