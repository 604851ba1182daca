//! The two spellings of a call that are compared: what an effect is in system calls, and what a
//! traced call was. This is the one place that says which call an effect is.
//!
//! Descriptors are spelled as what they are for (`dir`, `ticket`, `judged`, or `other`), since
//! their numbers are the kernel's choice. What a call writes into memory is left out; it is its
//! outcome.

use lock_core::effect::{Effect, Name, Share, Slot};
use lock_core::record::{MAX_RECORD_BYTES, Token};

use super::place::{BY_NUMBER, Files, Place, Role};
use crate::strace::{self, Call, descriptor, elements, field};

/// How much of a directory one call can tell.
const LISTED_AT_ONCE: usize = 16_384;

/// The call that an effect is, or its first: some are several, and [`super::patterns`]' and
/// [`super::processes`]' to know.
pub(crate) fn wanted(effect: &Effect, place: &Place, token: &Token) -> String {
    let file = |name| format!("{:?}", place.file(name, token));
    let role = |slot| Role::Slot(slot).to_string();
    match effect {
        Effect::CreateAnonymous(_) => {
            "openat(dir, \".\", O_RDWR|O_CLOEXEC|O_TMPFILE, 0600)".to_owned()
        }
        Effect::Create(_, name) => {
            let name = file(*name);
            format!("openat(dir, {name}, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)")
        }
        Effect::Open { name, write, .. } => {
            let mode = if *write { "O_RDWR" } else { "O_RDONLY" };
            let kind = if *name == Name::Queue { "|O_DIRECTORY" } else { "" };
            let name = file(*name);
            format!("openat(dir, {name}, {mode}|O_NOCTTY|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC{kind})")
        }
        Effect::Stat(slot) => format!("fstat({})", role(*slot)),
        Effect::Lock(slot, Share::Exclusive) => format!("flock({}, LOCK_EX|LOCK_NB)", role(*slot)),
        Effect::Lock(slot, Share::Shared) => format!("flock({}, LOCK_SH|LOCK_NB)", role(*slot)),
        Effect::Unlock(slot) => format!("flock({}, LOCK_UN)", role(*slot)),
        Effect::Close(slot) => format!("close({})", role(*slot)),
        Effect::Read(slot) => format!("pread64({}, {}, 0)", role(*slot), MAX_RECORD_BYTES + 1),
        Effect::Write(slot, text) => {
            format!("pwrite64({}, {text:?}, {}, 0)", role(*slot), text.len())
        }
        Effect::Sync(slot) => format!("fsync({})", role(*slot)),
        Effect::SyncDirectory => "fsync(dir)".to_owned(),
        Effect::Touch(slot) => {
            format!("utimensat({}, NULL, [UTIME_NOW, UTIME_NOW], 0)", role(*slot))
        }
        Effect::Look(name) => format!("newfstatat(dir, {}, AT_SYMLINK_NOFOLLOW)", file(*name)),
        Effect::Link(slot, name) => {
            let (slot, name) = (role(*slot), file(*name));
            format!("linkat(AT_FDCWD, \"{BY_NUMBER}{slot}\", dir, {name}, AT_SYMLINK_FOLLOW)")
        }
        Effect::Rename { from, to } => {
            format!("renameat(dir, {}, dir, {})", file(*from), file(*to))
        }
        Effect::Unlink(name) => format!("unlinkat(dir, {}, 0)", file(*name)),
        Effect::CreateDirectory(name) => format!("mkdirat(dir, {}, 0700)", file(*name)),
        Effect::RemoveDirectory(name) => format!("unlinkat(dir, {}, AT_REMOVEDIR)", file(*name)),
        Effect::List(slot) => format!("getdents64({}, {LISTED_AT_ONCE})", role(*slot)),
        Effect::Watch(slot) => {
            let events = match slot {
                Slot::Ahead => "IN_CLOSE_WRITE",
                _ => "IN_ATTRIB|IN_CLOSE_WRITE|IN_MOVE_SELF",
            };
            let slot = role(*slot);
            format!("inotify_add_watch(inotify, \"{BY_NUMBER}{slot}\", {events})")
        }
        Effect::Sleep { .. } => "ppoll(…)".to_owned(),
        Effect::AskProcess { pid, .. } => format!("pidfd_open({pid}, 0)"),
        Effect::AskCgroup(_) => {
            "openat(AT_FDCWD, \"/proc/self/mountinfo\", O_RDONLY|O_CLOEXEC)".to_owned()
        }
        Effect::ListHoldersOf(_) => "readlink(\"/proc/self\")".to_owned(),
        // Which inode it is; the rest is in `/proc`.
        Effect::ListHolders(slot) | Effect::Signal { slot, .. } => {
            format!("fstat({})", role(*slot))
        }
    }
}

/// What a traced call was.
pub(crate) fn seen(call: &Call, place: &Place, files: &Files) -> String {
    let args = call.args();
    let outputs = outputs(&call.name);
    let inputs = args.iter().enumerate().filter(|(index, _)| !outputs.contains(index));
    let inputs: Vec<_> = inputs
        .map(|(index, arg)| match (call.name.as_str(), index) {
            // Which number is what it is about.
            ("dup2", 1) => number(arg),
            ("poll" | "ppoll", 0) => polled(arg),
            _ => plain(arg, place, files),
        })
        .collect();
    format!("{}({})", call.name, inputs.join(", "))
}

/// Which arguments of a call are memory that it fills.
fn outputs(name: &str) -> &'static [usize] {
    match name {
        "fstat" | "fstatfs" | "getdents64" | "pread64" | "read" => &[1],
        "newfstatat" => &[2],
        "statx" => &[4],
        _ => &[],
    }
}

/// One argument, with what the kernel chose replaced by what it stands for.
fn plain(arg: &str, place: &Place, files: &Files) -> String {
    if let Some(bytes) = strace::text(arg) {
        let text = String::from_utf8_lossy(&bytes);
        return match text.strip_prefix(BY_NUMBER).map(str::parse) {
            Some(Ok(number)) => format!("\"{BY_NUMBER}{}\"", role(number, files)),
            _ if text == place.run() => "RUN".to_owned(),
            _ => format!("{text:?}"),
        };
    }
    match descriptor(arg) {
        Some(found) => match found.number {
            None => "AT_FDCWD".to_owned(),
            Some(number) if files.role(number).is_some() => role(number, files),
            Some(_) if found.path == "anon_inode:inotify" => "inotify".to_owned(),
            Some(_) => "other".to_owned(),
        },
        // Which every 64-bit program says, and strace too.
        None => arg.replace("O_LARGEFILE|", ""),
    }
}

fn number(arg: &str) -> String {
    let found = descriptor(arg).and_then(|found| found.number);
    found.map_or_else(|| arg.to_owned(), |number| number.to_string())
}

/// The numbers of the descriptors that are waited for.
fn polled(list: &str) -> String {
    let numbers = elements(list).into_iter().filter_map(|fd| field(fd, "fd")).map(number);
    format!("[{}]", numbers.collect::<Vec<_>>().join(", "))
}

fn role(number: i32, files: &Files) -> String {
    files.role(number).map_or(number.to_string(), |role| role.to_string())
}
