//! The state that a power cut leaves of a directory whose history is recorded.
//!
//! The model of the disk, which guarantees no more than POSIX:
//!
//! - A write survives if a sync of its file began after the write had ended, and if that sync has ended. Every other
//!   write may survive whole, torn at a sector, or not at all, independently of the others. The same applies to changes
//!   of the file size.
//! - The creation or removal of a file survives if the directory was synced after it. Later changes survive up to an
//!   arbitrary moment and in their order, as in the journal of a file system.
//! - A write changes no byte outside its range, and a sync that has ended is durable. SQLite assumes the same (its
//!   "powersafe overwrite"). A disk that violates this is not modelled.
//! - Writes through a memory mapping are not recorded. SQLite maps only the index of its log (`-shm`), which need not
//!   survive and is left out, as is the lock file.
//! - The ledger of the simulated payments represents an external gateway: it keeps everything that was written to it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::extent::Chance;
use crate::recording::{Call, Event};

pub const DATABASE: &str = "shop.db";
pub const LOG: &str = "shop.db-wal";
const LEDGER: &str = "payments.ledger";
const KEPT: [&str; 4] = [DATABASE, LOG, "shop.db-journal", LEDGER];
const SECTOR: usize = 512;

/// The files after the power cut, by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// The files of a directory and every recorded change.
pub struct Disk {
    /// Every file that ever existed, with its changes. Two of them may have had the same name.
    files: Vec<File>,
    /// The changes of the directory: from a moment on a name refers to this file or to none.
    names: Vec<(usize, String, Option<usize>)>,
    /// The syncs of the directory: start and end.
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

/// The treatment of changes that were never synced.
pub enum Unsynced<'a> {
    Lost,
    /// A random part survives.
    Random(&'a mut Chance),
}

impl Disk {
    /// `before` is the content of the directory when the recording started. All of it is durable.
    pub fn new(before: Image, events: &[Event]) -> Self {
        // The recording starts at moment 1.
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

    /// The same disk under an engine that syncs its log only when it restarts it and before a checkpoint. SQLite does
    /// so with `synchronous=NORMAL`.
    pub fn with_synchronous_normal(mut self) -> Self {
        let of_database: Vec<usize> = self.write_starts(DATABASE).collect();
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

    /// The starts of all writes to the files of this name.
    pub fn write_starts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let files = self.files.iter().filter(move |file| file.name == name);
        files.flat_map(|file| file.changes.iter().map(|((began, _), _)| *began))
    }

    /// The files after a power cut at this moment, and the number of changes that were not synced by then.
    pub fn after_power_cut(&self, moment: usize, mut unsynced: Unsynced<'_>) -> (Image, usize) {
        let durable = durable_before(&self.syncs, moment);
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

/// The moment before which every change is durable: the start of the last sync that had ended.
fn durable_before(syncs: &[Span], moment: usize) -> usize {
    syncs.iter().filter(|(_, ended)| *ended < moment).map(|(began, _)| *began).max().unwrap_or(0)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an index")
}

impl File {
    fn after_power_cut(&self, moment: usize, unsynced: &mut Unsynced<'_>) -> (Vec<u8>, usize) {
        let durable = if self.name == LEDGER { moment } else { durable_before(&self.syncs, moment) };
        let (mut bytes, mut open) = (self.before.clone(), 0);
        for ((began, ended), change) in &self.changes {
            if *began >= moment {
                break;
            }
            let is_sure = *ended < durable;
            open += usize::from(!is_sure);
            match (is_sure, &mut *unsynced) {
                (true, _) => change.apply(&mut bytes, usize::MAX),
                (false, Unsynced::Lost) => {}
                // Half of the changes survive whole, and some are torn.
                (false, Unsynced::Random(chance)) => match chance.between(0, 4) {
                    0 => {}
                    1 => change.apply(&mut bytes, index(chance.between(1, 9))),
                    _ => change.apply(&mut bytes, usize::MAX),
                },
            }
        }
        (bytes, open)
    }
}

impl Change {
    /// Applies a write up to this many sectors.
    fn apply(&self, file: &mut Vec<u8>, sectors: usize) {
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

/// Reads the files that are subject to the power cut.
pub fn image(directory: &Path) -> Image {
    let files = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), std::fs::read(directory.join(name)).ok()?)));
    files.collect()
}

/// Writes the files into another directory.
pub fn restore(image: &Image, directory: &Path) {
    for (name, bytes) in image {
        std::fs::write(directory.join(name), bytes).expect("written");
    }
}
