//! Reading the journal.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;

use super::entry::{Entry, What};
use super::{BEGINNING, LIMIT, older, path};
use crate::processes::Process;

/// How often a reader begins anew because the journal was put aside under its hands.
const ROUNDS: usize = 8;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the journal {path}")]
pub(crate) struct JournalError {
    /// The journal.
    path: Utf8PathBuf,
    /// What the system said.
    pub(crate) source: io::Error,
}

/// What a lock's journal says, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Whether there is a journal.
    pub(crate) exists: bool,
    /// Its lines.
    pub(crate) entries: Vec<Entry>,
    /// How many lines could not be understood: cut off by a crash or a full disk, say.
    pub(crate) unreadable: usize,
}

/// Reads the journal of a lock.
///
/// # Errors
///
/// When it is there and cannot be read.
pub(crate) fn history(lock: &Utf8Path) -> Result<History, JournalError> {
    let mut history = History::default();
    for text in texts(lock)?.into_iter().flatten() {
        history.exists = true;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match parse(line) {
                Some(entry) => history.entries.push(entry),
                None => history.unreadable += 1,
            }
        }
    }
    history.sort();
    Ok(history)
}

impl History {
    /// A line is written a moment after what it tells of, so the order is that of the boot
    /// clock, and within one millisecond that of the generations; boots stay in the order in which
    /// they were met.
    fn sort(&mut self) {
        let mut boots: Vec<String> = Vec::new();
        for entry in &self.entries {
            if !boots.contains(&entry.boot) {
                boots.push(entry.boot.clone());
            }
        }
        let boot = |entry: &Entry| boots.iter().position(|boot| *boot == entry.boot);
        self.entries.sort_by_key(|entry| (boot(entry), entry.boot_ms, entry.generation));
    }

    /// The processes of this boot that wait now, as far as the journal knows: each has said
    /// that it began, has not said that it ended, and lives.
    pub(crate) fn waiters(&self, boot: &str) -> Vec<&Entry> {
        let mut waiting: Vec<&Entry> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.boot == boot) {
            let same =
                |other: &&Entry| (other.pid, other.start_ticks) == (entry.pid, entry.start_ticks);
            match entry.what {
                What::Waiting { .. } if !waiting.iter().any(same) => waiting.push(entry),
                What::Waiting { .. } | What::Ends { .. } | What::Broken { .. } => {}
                _ => waiting.retain(|other| !same(other)),
            }
        }
        waiting.retain(|entry| {
            Process::find(entry.pid).is_some_and(|process| {
                process.start_ticks == entry.start_ticks && !process.is_zombie()
            })
        });
        waiting
    }
}

/// The older file and the journal itself, as far as there are such.
///
/// The journal is opened first. Should it be put aside before the older one is opened, then
/// both are one file, and we look again.
fn texts(lock: &Utf8Path) -> Result<[Option<Vec<u8>>; 2], JournalError> {
    let mut round = 0;
    loop {
        round += 1;
        let (new, old) = (open(&path(lock))?, open(&older(lock))?);
        let id = |file: &Option<(File, u64, u64)>| file.as_ref().map(|(_, dev, ino)| (*dev, *ino));
        if new.is_some() && id(&new) == id(&old) && round < ROUNDS {
            continue;
        }
        let read = |file: Option<(File, u64, u64)>, path| match file {
            Some((file, ..)) => {
                read(file).map(Some).map_err(|source| JournalError { path, source })
            }
            None => Ok(None),
        };
        return Ok([read(old, older(lock))?, read(new, path(lock))?]);
    }
}

fn open(path: &Utf8Path) -> Result<Option<(File, u64, u64)>, JournalError> {
    let error = |source| JournalError { path: path.to_owned(), source };
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(careful.bits()).unwrap_or(0);
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let metadata = file.metadata().map_err(error)?;
    match metadata.is_file() {
        true => Ok(Some((file, metadata.dev(), metadata.ino()))),
        false if metadata.is_dir() => Err(error(ErrorKind::IsADirectory.into())),
        false => Err(error(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"))),
    }
}

/// No more than a journal can have; whatever made it longer was not `fleet`.
fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(4 * LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(line: &[u8]) -> Option<Entry> {
    let beginning = BEGINNING.as_bytes();
    let start = line.windows(beginning.len()).rposition(|window| window == beginning)?;
    serde_json::from_slice(line.get(start..)?).ok()
}
