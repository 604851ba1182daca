//! One cycle of our lock as strace saw it, made into calls that can be made again.
//!
//! Whatever the lock calls is what is in the script: the listing is made in the same run, and
//! its calls are translated one by one. A call that cannot be translated is left out and
//! named ([`Script::left_out`]), so that nobody takes the loop for more than it is.

use std::collections::BTreeMap;
use std::fs;

use camino::Utf8Path;
use lock_tests::strace::{self, Call, Outcome, descriptor, text};
use rustix::fs::{FlockOperation, OFlags};

use crate::error::Error;

/// A call of the loop. Descriptors are places in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Open { path: String, flags: OFlags, into: Option<usize> },
    Close(usize),
    Flock(usize, FlockOperation),
    Fstat(usize),
    Stat(String),
    Read { from: usize, size: usize },
    Write { to: usize, text: Vec<u8> },
    Link { from: usize, to: String },
    Rename { from: String, to: String },
    Unlink(String),
    Pid,
    Random(usize),
    Wake,
}

/// The calls of one cycle.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(super) ops: Vec<Op>,
    /// How many descriptors it needs places for.
    pub(super) slots: usize,
    /// Calls that are not repeated.
    pub(crate) left_out: BTreeMap<String, usize>,
    /// All calls of the cycle, in order.
    pub(crate) calls: Vec<Named>,
}

/// A call, and the file that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// Its name beside the lock, which is `<lock>`; empty if it is about none.
    pub(crate) file: String,
}

impl Named {
    fn of(call: &Call) -> Self {
        let words: Vec<_> = call.args().into_iter().filter_map(text).collect();
        let file = words.last().filter(|_| call.name.ends_with("at"));
        let file = match (file, descriptor(call.arg(0))) {
            (Some(path), _) => String::from_utf8_lossy(path).into_owned(),
            (None, Some(file)) => last_part(&file.path).to_owned(),
            (None, None) => String::new(),
        };
        // A file without a name is shown by its inode.
        let file =
            if file.starts_with('#') || file == "." { "the ticket".to_owned() } else { file };
        Self { name: call.name.clone(), file: file.replace("bench.lock", "<lock>") }
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Script {
    /// Reads a listing of a peer that was told `trace`: the last cycle between two calls of
    /// `getppid`.
    pub(crate) fn read(path: &Utf8Path) -> Result<Self, Error> {
        let listing = fs::read_to_string(path).map_err(Error::system("read", path))?;
        let refused = |reason: String| Error::Listing { path: path.to_owned(), reason };
        let calls = strace::parse(&listing).map_err(|error| refused(error.to_string()))?;
        let marks: Vec<_> =
            calls.iter().enumerate().filter(|(_, call)| call.name == "getppid").collect();
        let [.., (first, mark), (last, _)] = marks.as_slice() else {
            return Err(refused("there is no cycle in it".to_owned()));
        };
        let cycle = calls.get(first + 1..*last).unwrap_or_default();
        Ok(Self::of(cycle.iter().filter(|call| call.thread == mark.thread)))
    }

    fn of<'c>(calls: impl Iterator<Item = &'c Call>) -> Self {
        let mut script = Self::default();
        // Which descriptor of the listing is at which place.
        let mut places = BTreeMap::new();
        for call in calls {
            script.calls.push(Named::of(call));
            match script.translate(call, &mut places) {
                Some(op) => script.ops.push(op),
                None => *script.left_out.entry(call.name.clone()).or_default() += 1,
            }
        }
        script
    }

    fn translate(&mut self, call: &Call, places: &mut BTreeMap<i32, usize>) -> Option<Op> {
        let place = |index: usize| {
            let number = descriptor(call.arg(index))?.number?;
            places.get(&number).copied()
        };
        let path = |index: usize| String::from_utf8(text(call.arg(index))?).ok();
        Some(match call.name.as_str() {
            "openat" => {
                let into = call.opened().and_then(|opened| opened.number).map(|number| {
                    places.insert(number, self.slots);
                    self.slots += 1;
                    self.slots - 1
                });
                let (path, flags) = (path(1)?, flags(call.arg(2)));
                Op::Open { path, flags, into }
            }
            "close" => {
                let number = descriptor(call.arg(0))?.number?;
                Op::Close(places.remove(&number)?)
            }
            "flock" => Op::Flock(place(0)?, operation(call.arg(1))?),
            "fstat" => Op::Fstat(place(0)?),
            "newfstatat" => Op::Stat(path(1)?),
            "pread64" => Op::Read { from: place(0)?, size: call.arg(2).parse().ok()? },
            "pwrite64" => Op::Write { to: place(0)?, text: text(call.arg(1))? },
            "linkat" => Op::Link { from: linked(&path(1)?, places)?, to: path(3)? },
            "renameat" | "renameat2" => Op::Rename { from: path(1)?, to: path(3)? },
            "unlinkat" => Op::Unlink(path(1)?),
            "getpid" => Op::Pid,
            "getrandom" => Op::Random(call.arg(1).parse().ok()?),
            "futex" if matches!(call.outcome, Outcome::Returned(_)) => Op::Wake,
            _ => return None,
        })
    }
}

/// A link of a file without a name goes by way of its descriptor.
fn linked(path: &str, places: &BTreeMap<i32, usize>) -> Option<usize> {
    let number = path.strip_prefix("/proc/self/fd/")?.parse().ok()?;
    places.get(&number).copied()
}

fn flags(words: &str) -> OFlags {
    let known = [
        ("O_RDWR", OFlags::RDWR),
        ("O_WRONLY", OFlags::WRONLY),
        ("O_CREAT", OFlags::CREATE),
        ("O_EXCL", OFlags::EXCL),
        ("O_NOCTTY", OFlags::NOCTTY),
        ("O_NONBLOCK", OFlags::NONBLOCK),
        ("O_NOFOLLOW", OFlags::NOFOLLOW),
        ("O_DIRECTORY", OFlags::DIRECTORY),
        ("O_CLOEXEC", OFlags::CLOEXEC),
        ("O_PATH", OFlags::PATH),
        ("O_TMPFILE", OFlags::TMPFILE),
    ];
    let named = |word: &str| known.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag);
    words.split('|').filter_map(named).fold(OFlags::empty(), |all, flag| all | flag)
}

fn operation(words: &str) -> Option<FlockOperation> {
    Some(match words {
        "LOCK_EX" => FlockOperation::LockExclusive,
        "LOCK_EX|LOCK_NB" => FlockOperation::NonBlockingLockExclusive,
        "LOCK_SH" => FlockOperation::LockShared,
        "LOCK_SH|LOCK_NB" => FlockOperation::NonBlockingLockShared,
        "LOCK_UN" => FlockOperation::Unlock,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = r#"7 1.000001 getppid() = 1 <0.000001>
7 1.000002 openat(3</tmp/x>, ".", O_RDWR|O_CLOEXEC|O_TMPFILE, 0600) = 5</tmp/x/#1> <0.000001>
8 1.000003 getpid() = 7 <0.000001>
7 1.000004 flock(5</tmp/x/#1>, LOCK_EX|LOCK_NB) = 0 <0.000001>
7 1.000005 linkat(AT_FDCWD</>, "/proc/self/fd/5", 3</tmp/x>, "a.lock", AT_SYMLINK_FOLLOW) = 0 <0.000001>
7 1.000006 openat(3</tmp/x>, "a.lock.generation", O_RDWR|O_CLOEXEC) = 6</tmp/x/g> <0.000001>
7 1.000007 uname({sysname="Linux"}) = 0 <0.000001>
7 1.000008 close(6</tmp/x/g>) = 0 <0.000001>
7 1.000009 getppid() = 1 <0.000001>
"#;

    fn script() -> Script {
        let calls = strace::parse(LISTING).expect("because it is what strace writes");
        Script::of(calls.iter().filter(|call| call.thread == 7 && call.name != "getppid"))
    }

    #[test]
    fn calls_are_translated_with_the_files_they_are_about() {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
        let open = Op::Open { path: ".".to_owned(), flags, into: Some(0) };
        let lock = Op::Flock(0, FlockOperation::NonBlockingLockExclusive);
        let link = Op::Link { from: 0, to: "a.lock".to_owned() };
        let ops = script().ops;
        assert_eq!(ops[..3], [open, lock, link]);
        assert_eq!(ops[4], Op::Close(1));
    }

    #[test]
    fn what_cannot_be_translated_is_named() {
        let script = script();
        assert_eq!(script.left_out.into_iter().collect::<Vec<_>>(), [("uname".to_owned(), 1)]);
        assert_eq!(script.calls.len(), 6);
    }
}
