//! Files that are no lock, and would be lost if they were taken for a dead one's.
//!
//! To the lock, a file at its path that is no record and that nobody has locked is what a crash
//! left, and is cleared away. But whoever names a lock by hand can name a file of their own: a script
//! that locks itself, say, as `flock` lets it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use camino::Utf8Path;
use rustix::fs::OFlags;

use crate::error::Error;

/// As much of a file as tells.
const BEGINNING: u64 = 64;

/// No pid has more digits.
const DIGITS: usize = 10;

/// Refuses to use `path` as a lock if a file is there that no lock can have left.
///
/// # Errors
///
/// When there is such a file.
pub(super) fn refuse(path: &Utf8Path) -> Result<(), Error> {
    match beginning(path) {
        Some(bytes) if !can_be_a_locks(&bytes) => Err(Error::NoLock { path: path.to_owned() }),
        // What is there and is no file at all, or cannot be read, the lock itself refuses.
        _ => Ok(()),
    }
}

fn beginning(path: &Utf8Path) -> Option<Vec<u8>> {
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(careful.bits()).ok()?;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(BEGINNING).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Every record, ours and Mosaic's, begins with a line that is a pid. A crash can have cut it
/// short, or left zeros.
fn can_be_a_locks(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_pid = line.len() <= DIGITS && line.iter().all(u8::is_ascii_digit);
    // An empty first line is no pid, unless it is all there is.
    is_pid && (!line.is_empty() || bytes.is_empty()) || bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ours("4711\n1795711097740\n07765b3c\nformat=2\n", true)]
    #[case::cut_short("47", true)]
    #[case::of_another_system("4711\r\n1795711097740\r\n", true)]
    #[case::nothing_written("", true)]
    #[case::zeros_after_a_power_cut("\0\0\0\0", true)]
    #[case::a_script("#!/bin/sh\necho\n", false)]
    #[case::a_roster("version: 1\n", false)]
    #[case::generations("00000000000000000001 00000000000000000040 9658\n", false)]
    #[case::an_empty_line_first("\nhello\n", false)]
    #[case::numbers_in_a_line("1 2 3\n", false)]
    fn what_a_lock_can_have_left(#[case] text: &str, #[case] can_be: bool) {
        assert_eq!(can_be_a_locks(text.as_bytes()), can_be);
    }
}
