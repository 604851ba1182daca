//! The journal of a lock: what became of it, one line for each transition.
//!
//! `<lock>.journal` is for people and pictures. No decision rests on it, so it takes no lock,
//! syncs nothing, and a journal that cannot be written costs the work nothing but a sentence.
//!
//! * A line is a JSON object that begins with [`BEGINNING`], written by one `write` to a file
//!   opened for appending. Inside a JSON string that beginning cannot occur, since its quotes
//!   would be escaped; so a reader finds a line even behind one that a crash or a full disk
//!   has cut off.
//! * A journal of [`LIMIT`] bytes is renamed to `<lock>.journal.1`, over the one before. A
//!   writer that has the old file open still writes to it, and looks afterwards whether it
//!   has a name: so a rotation loses nothing but the oldest file.

mod append;
mod entry;
mod read;

pub(crate) use self::append::{Journal, Problem};
pub(crate) use self::entry::{Entry, GaveUp, Other, Reason, Signal, What};
pub(crate) use self::read::{History, JournalError, history};

use camino::{Utf8Path, Utf8PathBuf};

/// How each line begins.
const BEGINNING: &str = "{\"event\":\"";

/// How long a journal may get before it is put aside. There are two, so twice this is the most.
const LIMIT: u64 = 512 * 1024;

/// The journal of a lock.
pub(crate) fn path(lock: &Utf8Path) -> Utf8PathBuf {
    with_suffix(lock, ".journal")
}

/// What the journal was called before it was put aside.
fn older(lock: &Utf8Path) -> Utf8PathBuf {
    with_suffix(lock, ".journal.1")
}

fn with_suffix(lock: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{lock}{suffix}"))
}

#[cfg(test)]
mod tests;
