//! The work that the lock is to keep apart, and the proof that it did.
//!
//! The proof must not rest on the lock. Each worker makes a symbolic link that says who it
//! is: making one is atomic, fails if it is there, and it is never seen empty. Whoever finds
//! another's there has caught two at work. And each writes down when it began and ended, so
//! that the tests can compare afterwards.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::{Arena, now_ns};

/// One piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Where.
    pub arena: &'a Arena,
    /// The fencing token it is done under; 0 where there is none.
    pub generation: u64,
    /// How long it takes.
    pub lasts: Duration,
}

/// When a piece of work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// Nanoseconds of the boot clock.
    pub begin: u64,
    /// Likewise.
    pub end: u64,
    /// Who.
    pub pid: u32,
    /// Under which fencing token.
    pub generation: u64,
}

/// A piece of work that has begun, and that nobody else was at.
#[derive(Debug)]
#[must_use = "work that does not end is in everybody's way"]
pub struct Begun<'a> {
    work: Work<'a>,
    begin: u64,
    me: String,
}

impl<'a> Work<'a> {
    /// Works. Says whom it caught at the same time, if anybody.
    ///
    /// # Errors
    ///
    /// When the witness or the log cannot be written.
    pub fn perform(self) -> io::Result<Option<String>> {
        let begun = match self.begin()? {
            Ok(begun) => begun,
            Err(other) => return Ok(Some(other)),
        };
        if !self.lasts.is_zero() {
            // This is the work: it takes time, and does nothing else.
            std::thread::sleep(self.lasts);
        }
        begun.end()
    }

    /// Begins to work, or says who is at it already.
    ///
    /// # Errors
    ///
    /// When the witness or the log cannot be written.
    pub fn begin(self) -> io::Result<Result<Begun<'a>, String>> {
        let begin = now_ns();
        let pid = std::process::id();
        let me = format!("{pid} {:?} {begin}", std::thread::current().id());
        if let Some(other) = self.enter(&me)? {
            self.log(&format!("OVERLAP {me} found {other}\n"))?;
            return Ok(Err(other));
        }
        Ok(Ok(Begun { work: self, begin, me }))
    }

    /// Nobody, or who is at work already.
    fn enter(&self, me: &str) -> io::Result<Option<String>> {
        let witness = self.arena.witness();
        loop {
            match symlink(me, &witness) {
                Ok(()) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let other = match fs::read_link(&witness) {
                Ok(other) => other.to_string_lossy().into_owned(),
                // Gone in this moment: it was there when we came, all the same.
                Err(_) => return Ok(Some("one that has just ended".to_owned())),
            };
            if !is_dead(&other) {
                return Ok(Some(other));
            }
            fs::remove_file(&witness)?;
        }
    }

    fn log(&self, line: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut log = options.append(true).create(true).open(self.arena.log())?;
        log.write_all(line.as_bytes())
    }
}

impl Begun<'_> {
    /// Ends the work. Says who was at it meanwhile, if anybody.
    ///
    /// # Errors
    ///
    /// When the witness or the log cannot be written.
    pub fn end(self) -> io::Result<Option<String>> {
        let Self { work, begin, me } = self;
        let witness = work.arena.witness();
        let still = fs::read_link(&witness).map(|path| path.to_string_lossy().into_owned());
        if !matches!(&still, Ok(there) if *there == me) {
            let other = still.unwrap_or_default();
            work.log(&format!("OVERLAP {me} was replaced by {other:?}\n"))?;
            return Ok(Some(other));
        }
        fs::remove_file(&witness)?;
        let (pid, end) = (std::process::id(), now_ns());
        work.log(&format!("WORK {pid} {} {begin} {end}\n", work.generation))?;
        Ok(None)
    }
}

/// Whether the process that a witness names will never work again.
fn is_dead(witness: &str) -> bool {
    let pid = witness.split(' ').next().unwrap_or_default();
    pid.parse().is_ok_and(is_dying)
}

/// Whether a process will never do anything again. One that was killed lets go of the
/// kernel's locks before it is a zombie, so the kernel's mark of a process on its way out
/// counts too.
#[must_use]
pub fn is_dying(pid: u32) -> bool {
    const EXITING: u64 = 0x4;
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace();
    let state = fields.next().unwrap_or("X");
    let flags = fields.nth(5).and_then(|flags| flags.parse().ok());
    matches!(state, "Z" | "X") || flags.unwrap_or(0) & EXITING != 0
}

/// What an arena's log says was done, in the order in which it was begun.
///
/// # Errors
///
/// With the line that tells of an overlap, or with the two pieces of work whose times or
/// fencing tokens cannot be.
pub fn intervals(log: &str) -> Result<Vec<Interval>, String> {
    let mut intervals = Vec::new();
    for line in log.lines() {
        intervals.push(parse(line).ok_or_else(|| line.to_owned())?);
    }
    intervals.sort_unstable();
    for (one, next) in intervals.iter().zip(intervals.iter().skip(1)) {
        if next.begin < one.end {
            return Err(format!("{one:?} overlaps {next:?}"));
        }
        let fenced = one.generation > 0 && next.generation > 0;
        let same = one.pid == next.pid && one.generation == next.generation;
        if fenced && !same && next.generation <= one.generation {
            return Err(format!("{next:?} has no larger generation than {one:?}"));
        }
    }
    Ok(intervals)
}

fn parse(line: &str) -> Option<Interval> {
    let mut words = line.strip_prefix("WORK ")?.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    Some(Interval {
        pid: u32::try_from(number()?).ok()?,
        generation: number()?,
        begin: number()?,
        end: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_one_after_the_other_is_fine() {
        let log = "WORK 8 2 30 40\nWORK 7 1 10 20\nWORK 8 2 40 50\n";
        let found = intervals(log).expect("because nothing overlaps");
        let begins: Vec<_> = found.iter().map(|interval| interval.begin).collect();
        assert_eq!(begins, [10, 30, 40]);
    }

    #[test]
    fn work_at_the_same_time_is_caught() {
        assert!(intervals("WORK 7 1 10 20\nWORK 8 2 19 30\n").is_err());
    }

    #[test]
    fn a_generation_that_goes_back_is_caught() {
        assert!(intervals("WORK 7 2 10 20\nWORK 8 1 30 40\n").is_err());
        assert!(intervals("WORK 7 2 10 20\nWORK 8 2 30 40\n").is_err());
    }

    #[test]
    fn a_witness_catches_who_lives_and_forgives_who_does_not() {
        let pid = std::process::id();
        assert!(!is_dead(&format!("{pid} ThreadId(1) 5")));
        assert!(is_dead("4294967295 ThreadId(1) 5"));
    }

    #[test]
    fn the_second_at_work_is_told_and_leaves_a_trace() {
        let directory = tempfile::tempdir().expect("because a temporary directory is needed");
        let root = directory.path().to_str().expect("because it is UTF-8");
        let arena = Arena::new(root);
        let work = Work { arena: &arena, generation: 0, lasts: Duration::ZERO };
        symlink(std::process::id().to_string(), arena.witness()).expect("because it is free");
        let caught = work.perform().expect("because the directory is writable");
        assert!(caught.is_some());
        let log = fs::read_to_string(arena.log()).expect("because it was written");
        assert!(intervals(&log).is_err(), "{log}");
    }
}
