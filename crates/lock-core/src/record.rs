//! What a lock file says: three lines that every peer reads, and ours below them.
//!
//! ```text
//! 4711                                   pid of the owner
//! 1784930400000                          wall clock stamp, ms: refreshed by each renewal
//! 0b7e…-uuid                             token: names one ownership
//! format=2                               marks a file whose owner holds the kernel lock
//! generation=17                          the fencing token: grows for ever
//! host=build-3
//! boot=2c9d…-uuid                        which boot the next two count in
//! since=81234                            boot clock, ms: when this ownership began
//! renewed=91234                          boot clock, ms: last sign of life
//! progress=3/60 restarting coder-3       a counter that grows, and words for people
//! command=fleet restart
//! ```
//!
//! A reader ignores keys it does not know and accepts the bare three lines.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::time::{Boot, Now, Wall};

/// No record is longer; a longer file is not a lock of ours.
pub const MAX_RECORD_BYTES: usize = 4096;

/// Few records are longer; those that are cost an allocation more.
const USUAL_BYTES: usize = 320;

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
    /// The ownership's fencing token; 0 while the ticket has not become an owner's.
    pub generation: Generation,
    /// Where the owner runs.
    pub host: Host,
    /// When the ownership began.
    pub since: Boot,
    /// The last sign of life.
    pub renewed: Boot,
    /// How far the owner has come.
    pub progress: Progress,
    /// What the owner is, as a person would type it.
    pub command: String,
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
    /// A record of our format lacks one of its keys.
    #[error("`{key}=` is missing from a format 2 record")]
    NoKey {
        /// The missing key.
        key: &'static str,
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
                generation: Generation(0),
                host,
                since: now.boot,
                renewed: now.boot,
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
        let detail = Draft::read(lines)?.finish()?;
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

    /// The same ownership, one step further.
    #[must_use]
    pub fn advanced(mut self, phrase: &str, now: Now) -> Self {
        if let Some(detail) = &mut self.detail {
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
}

impl Detail {
    fn write(&self, text: &mut String) {
        let mut digits = itoa::Buffer::new();
        line(text, "format=", "2");
        line(text, "generation=", digits.format(self.generation.0));
        line(text, "host=", &self.host.name);
        line(text, "boot=", &self.host.boot);
        line(text, "since=", digits.format(self.since.0));
        line(text, "renewed=", digits.format(self.renewed.0));
        text.push_str("progress=");
        text.push_str(digits.format(self.progress.count));
        line(text, " ", &self.progress.phrase);
        line(text, "command=", &self.command);
    }
}

/// The keys of a record as far as they have been read.
#[derive(Default)]
struct Draft {
    marked: bool,
    generation: Option<u64>,
    host: Option<String>,
    boot: Option<String>,
    since: Option<u64>,
    renewed: Option<u64>,
    progress: Progress,
    command: String,
}

impl Draft {
    fn read<'a>(lines: impl Iterator<Item = (&'a str, usize)>) -> Result<Self, RecordError> {
        let mut draft = Self::default();
        for (text, line) in lines {
            if let Some((key, value)) = text.trim_end().split_once('=') {
                draft.set(key, value, line)?;
            }
        }
        Ok(draft)
    }

    fn set(&mut self, key: &str, value: &str, line: usize) -> Result<(), RecordError> {
        let number = || value.parse().map_err(|_| malformed(line, "number"));
        match key {
            "format" => self.marked = value == "2",
            "generation" => self.generation = Some(number()?),
            "host" => self.host = Some(value.to_owned()),
            "boot" => self.boot = Some(value.to_owned()),
            "since" => self.since = Some(number()?),
            "renewed" => self.renewed = Some(number()?),
            "progress" => {
                self.progress = Progress::parse(value).ok_or(malformed(line, "progress"))?;
            }
            "command" => self.command = value.to_owned(),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Option<Detail>, RecordError> {
        if !self.marked {
            return Ok(None);
        }
        let lacks = |key| RecordError::NoKey { key };
        Ok(Some(Detail {
            generation: Generation(self.generation.ok_or(lacks("generation"))?),
            host: Host {
                name: self.host.ok_or(lacks("host"))?,
                boot: self.boot.ok_or(lacks("boot"))?,
            },
            since: Boot(self.since.ok_or(lacks("since"))?),
            renewed: Boot(self.renewed.ok_or(lacks("renewed"))?),
            progress: self.progress,
            command: self.command,
        }))
    }
}

impl Progress {
    fn parse(value: &str) -> Option<Self> {
        let (count, phrase) = value.split_once(' ').unwrap_or((value, ""));
        Some(Self { count: count.parse().ok()?, phrase: phrase.to_owned() })
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

fn malformed(line: usize, what: &'static str) -> RecordError {
    RecordError::Malformed { line, what }
}

fn count_newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Put together by hand: a format string costs three times as much, and each cycle writes two
/// records.
fn line(text: &mut String, key: &str, value: &str) {
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
