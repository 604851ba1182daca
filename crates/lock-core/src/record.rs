//! What a lock file says: three lines that every peer reads, and ours below them.
//!
//! Length: one value and its parts; how they are written and read stands in `lines`.
//!
//! ```text
//! 4711                                   pid of the owner
//! 1784930400000                          wall clock stamp, ms: refreshed by each renewal
//! 0b7e…-uuid                             token: names one ownership
//! format=2                               the kernel lock says whether the owner lives
//! arbitration=kernel                     or timed, and then without format=: by age
//! generation=17                          the fencing token: grows for ever
//! host=build-3
//! boot=2c9d…-uuid                        which boot since and renewed count in
//! pidns=4026531836                       the pid namespace that the pid belongs to
//! start=81170                            when the process started, in clock ticks (proc(5))
//! since=81234                            boot clock, ms: when this ownership began
//! renewed=91234                          boot clock, ms: last sign of life
//! preemptible=1                          the owner may be replaced while it lives
//! quiet=15000                            ms it may go without another step
//! renew=10000                            ms between two renewals
//! stale_after=30000                      ms without a renewal after which it counts as hung
//! hang_after=120000                      ms past its quiet after which it counts as hung
//! cgroup=user.slice/work.scope           where its work runs, below the cgroup mount
//! after=64768:4711:81                    device and inode of the owner before, as long as what that
//!                                        one had started may still run; its pid, if it lived, else 0
//! progress=3 3/60 restarting coder-3     a counter that grows, and words for people
//! command=fleet restart
//! ```
//!
//! A reader ignores keys it does not know, accepts the bare three lines, and takes a larger
//! `format=` for what it is: the kernel lock decides, whatever else the record says or lacks.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::lines::Draft;
use crate::time::{Boot, Now, Wall, whole_millis};

/// What we write; a larger number is a newer fleet's.
pub const FORMAT: u32 = 2;

/// No announced quiet counts for longer.
pub(crate) const LONGEST_QUIET: Duration = Duration::from_secs(86_400);

/// A generation of this size or more is damage.
pub(crate) const TOO_LARGE: u64 = 1 << 63;

/// No record is longer; a longer file is not a lock of ours.
pub const MAX_RECORD_BYTES: usize = 4096;

/// Few records are longer; those that are cost an allocation more.
const USUAL_BYTES: usize = 512;

const MAX_TOKEN_BYTES: usize = 128;
const MAX_TEXT_BYTES: usize = 512;

/// Names one ownership. Ours are UUIDs; a peer's may be any printable word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

/// The fencing token: a number that grows by at least one with every ownership, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Which machine, and which of its boots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// The host's name.
    pub name: String,
    /// The kernel's boot id.
    pub boot: String,
}

/// How far the owner has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Grows with every step, so a waiter can tell a slow owner from a hung one.
    pub count: u64,
    /// What the owner is doing, for people.
    pub phrase: String,
}

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The owner's process id, in its own pid namespace.
    pub pid: u32,
    /// When the owner last wrote, by its wall clock.
    pub stamp: Wall,
    /// Names this ownership.
    pub token: Token,
    /// What only our own format says; `None` for a peer's three lines.
    pub detail: Option<Detail>,
}

/// The part of a record that marks it as ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Detail {
    /// What decides whether the owner lives.
    pub arbitration: Arbitration,
    /// The ownership's fencing token; 0 while the ticket has not become an owner's.
    pub generation: Generation,
    /// Where the owner runs.
    pub host: Host,
    /// Which process it is, beyond its number.
    pub process: Birth,
    /// When the ownership began.
    pub since: Boot,
    /// The last sign of life.
    pub renewed: Boot,
    /// On which terms it may be replaced while it lives.
    pub terms: Terms,
    /// The cgroup of its work, below the cgroup mount, if one was made.
    pub cgroup: Option<String>,
    /// The ticket of the owner that this one replaced, as long as what that one had started may still
    /// run: those processes have it kernel-locked. Should this owner end before that, the next
    /// one has to wait for them.
    pub after: Option<Inode>,
    /// How far the owner has come.
    pub progress: Progress,
    /// What the owner is, as a person would type it.
    pub command: String,
}

/// An inode as a record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub number: u64,
    /// The process that has it locked and is not waited for: the owner that was replaced while it
    /// lived, whose steps refuse now. 0 if there is none.
    pub spared: u32,
}

/// What decides whether an owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arbitration {
    /// The kernel's lock on its inode. Holds the record's `format=`.
    Kernel(u32),
    /// Its process, where that can be asked, else its renewals: it was written where the kernel
    /// does not arbitrate.
    Timed,
}

/// Tells a process from a later one with the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Birth {
    /// The inode number of its pid namespace; 0 if that is unknown.
    pub pidns: u64,
    /// When it started, in clock ticks since the boot: field 22 of `/proc/PID/stat`; 0 if that is
    /// unknown.
    pub start: u64,
}

/// On which terms an owner may be replaced while it lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Whether it may be replaced at all: it changes things in fenced steps only, which refuse
    /// after a loss.
    pub preemptible: bool,
    /// How long it may go without another step, from its last one on.
    pub quiet: Duration,
    /// How often it renews.
    pub renew: Duration,
    /// How long it may go without a renewal.
    pub stale_after: Duration,
    /// How long it may go without a step past its quiet.
    pub hang_after: Duration,
}

/// Why a lock file cannot be read as a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RecordError {
    /// The file has nothing in it.
    #[error("the file is empty")]
    Empty,
    /// The file is longer than any record.
    #[error("the file is longer than {MAX_RECORD_BYTES} bytes")]
    TooLong,
    /// The file is not text.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// Counted from 1.
        line: usize,
    },
    /// One of the first three lines is missing or cut off.
    #[error("line {line} ({what}) is missing or has no end")]
    Missing {
        /// Counted from 1.
        line: usize,
        /// What should stand there.
        what: &'static str,
    },
    /// A line does not hold what it should.
    #[error("line {line} is not a {what}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What should stand there.
        what: &'static str,
    },
}

impl Token {
    /// A token from `text`: one printable word of at most 128 bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let word = !text.is_empty()
            && text.len() <= MAX_TOKEN_BYTES
            && text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        word.then(|| Self(text.to_owned()))
    }

    /// The token as it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Generation {
    /// The generation that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Record {
    /// The record that a new ticket carries: no generation yet, no progress.
    #[must_use]
    pub fn new(pid: u32, token: Token, host: Host, command: &str, now: Now) -> Self {
        Self {
            pid,
            stamp: now.wall,
            token,
            detail: Some(Detail {
                arbitration: Arbitration::Kernel(FORMAT),
                generation: Generation(0),
                host,
                process: Birth::default(),
                since: now.boot,
                renewed: now.boot,
                terms: Terms::default(),
                cgroup: None,
                after: None,
                progress: Progress::default(),
                command: one_line(command),
            }),
        }
    }

    /// Reads the bytes of a lock file.
    ///
    /// # Errors
    ///
    /// Says which line is wrong and what should stand there.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.is_empty() {
            return Err(RecordError::Empty);
        }
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|e| RecordError::NotText {
            line: 1 + count_newlines(bytes.get(..e.valid_up_to()).unwrap_or_default()),
        })?;
        let mut lines = text.split_inclusive('\n').zip(1..);
        let mut head = |what| {
            let line = lines.next().and_then(|(line, _)| line.strip_suffix('\n'));
            line.map(str::trim).ok_or(what)
        };
        let pid = head("pid").map_err(|what| RecordError::Missing { line: 1, what })?;
        let stamp = head("stamp").map_err(|what| RecordError::Missing { line: 2, what })?;
        let token = head("token").map_err(|what| RecordError::Missing { line: 3, what })?;
        let pid = pid.parse().map_err(|_| malformed(1, "process id"))?;
        let stamp = stamp.parse().map_err(|_| malformed(2, "time in milliseconds"))?;
        let token = Token::new(token).ok_or(malformed(3, "token"))?;
        let detail = Draft::read(lines).finish()?;
        Ok(Self { pid, stamp: Wall(stamp), token, detail })
    }

    /// The record as bytes, at least `min_len` of them.
    ///
    /// A record that is rewritten in place must never get shorter, or a reader would find
    /// the tail of the old one; so the command line is padded with spaces.
    #[must_use]
    pub fn encode(&self, min_len: usize) -> String {
        let mut text = String::with_capacity(USUAL_BYTES.max(min_len));
        let mut digits = itoa::Buffer::new();
        line(&mut text, "", digits.format(self.pid));
        line(&mut text, "", digits.format(self.stamp.0));
        line(&mut text, "", self.token.as_str());
        if let Some(detail) = &self.detail {
            detail.write(&mut text);
            let end = text.len();
            for _ in end..min_len {
                text.insert(end.saturating_sub(1), ' ');
            }
        }
        text
    }

    /// The same ownership, seen alive at `now`.
    #[must_use]
    pub fn renewed(mut self, now: Now) -> Self {
        self.stamp = now.wall;
        if let Some(detail) = &mut self.detail {
            detail.renewed = now.boot;
        }
        self
    }

    /// The record of the ownership that begins `now` with this generation.
    #[must_use]
    pub fn owning(mut self, generation: Generation, now: Now) -> Self {
        if let Some(detail) = &mut self.detail {
            detail.generation = generation;
            detail.since = now.boot;
        }
        self.renewed(now)
    }

    /// The same ownership, which has replaced another whose inode this is; what that one had started
    /// may still run.
    #[must_use]
    pub fn replacing(mut self, after: Option<Inode>) -> Self {
        if let Some(detail) = &mut self.detail {
            detail.after = after;
        }
        self
    }

    /// The same ownership, one step further, which may be followed by so long a quiet.
    #[must_use]
    pub fn advanced(mut self, phrase: &str, quiet: Duration, now: Now) -> Self {
        if let Some(detail) = &mut self.detail {
            detail.terms.quiet = whole_millis(quiet.min(LONGEST_QUIET));
            detail.progress.count = detail.progress.count.saturating_add(1);
            detail.progress.phrase = one_line(phrase);
        }
        self.renewed(now)
    }

    /// The fencing token, if the record is of our format.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.detail.as_ref().map(|detail| detail.generation)
    }

    /// Whether its owner has agreed to be replaced while it lives.
    #[must_use]
    pub fn is_preemptible(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.terms.preemptible)
    }

    /// The record's format, if a newer fleet wrote it than this one.
    #[must_use]
    pub fn newer_format(&self) -> Option<u32> {
        match self.detail.as_ref()?.arbitration {
            Arbitration::Kernel(format) if format > FORMAT => Some(format),
            _ => None,
        }
    }
}

impl From<uuid::Uuid> for Token {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(format!("{}", uuid.hyphenated()))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(crate) fn malformed(line: usize, what: &'static str) -> RecordError {
    RecordError::Malformed { line, what }
}

fn count_newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Put together by hand: a format string costs three times as much, and each cycle writes two
/// records.
pub(crate) fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(value);
    text.push('\n');
}

/// People's words on one line of bounded length: a newline would start a key of its own.
fn one_line(text: &str) -> String {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.len() <= MAX_TEXT_BYTES && text.bytes().all(is_plain) {
        return text.trim_end().to_owned();
    }
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line = String::new();
    for c in clean {
        if line.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        line.push(c);
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
