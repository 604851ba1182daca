//! What a system call is about, in the words of the protocol.

use std::fmt;

use camino::Utf8Path;
use lock_tests::conformance;
use lock_tests::strace::{Call, descriptor, text};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `flock(LOCK_SH)`: does its maker live?
    Ask,
    Chown,
    Close,
    Create,
    Duplicate,
    Link,
    List,
    /// `flock(LOCK_EX)`.
    Lock,
    /// `stat` of a name.
    Look,
    Open,
    Read,
    Remove,
    Rename,
    Signal,
    Sleep,
    /// `stat` of an open file.
    Stat,
    Statfs,
    Sync,
    Touch,
    Unlock,
    Watch,
    Write,
}

/// To what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// An `eventfd`.
    Bell,
    Boot,
    Directory,
    /// An `inotify` descriptor.
    Events,
    Generation,
    GenerationDraft,
    Journal,
    Lock,
    Mutex,
    /// A name in the queue, and the waiter's ticket that it leads to.
    Number,
    /// An owner that is to be ended; for the journal, the subject itself.
    Process,
    /// The directory of those who wait.
    Queue,
    Reclaim,
    /// `/proc/self/status`: which signals are ignored.
    Signals,
    Socket,
    Takeover,
    Ticket,
}

/// One call, without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) verb: Verb,
    pub(crate) object: Object,
}

/// Where the lock of a trace lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its directory.
    pub(crate) run: &'a str,
    /// Its name in there.
    pub(crate) lock: &'a str,
}

/// How a call matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// It is a row of the matrix.
    Row(What),
    /// It has nothing to do with files, or only with others'.
    Beside,
    /// It is about the lock's files, and nobody has said what it does to them.
    Unknown,
}

impl Place<'_> {
    /// How a call matters, and what it is about.
    pub(crate) fn describe(&self, call: &Call) -> Matter {
        if let Some(what) = self.what(call) {
            return Matter::Row(what);
        }
        // Debug builds look whether a descriptor is open before they close it.
        let looks = call.name == "fcntl" && call.arg(1) == "F_GETFD";
        let lock = Utf8Path::new(self.run).join(self.lock);
        match !looks && conformance::Place::new(&lock).concerns(call) {
            true => Matter::Unknown,
            false => Matter::Beside,
        }
    }

    /// What the protocol calls a file name.
    pub(crate) fn name(&self, file: &str) -> String {
        self.object(file).map_or_else(|| file.to_owned(), |object| object.to_string())
    }

    fn what(&self, call: &Call) -> Option<What> {
        let flags = |index: usize, flag: &str| call.arg(index).contains(flag);
        let named = |index: usize| self.object(&String::from_utf8(text(call.arg(index))?).ok()?);
        let opened = || self.object(&descriptor(call.arg(0))?.path);
        let by_name = || call.arg(1) != "\"\"";
        let (verb, object) = match call.name.as_str() {
            "openat" if flags(2, "O_TMPFILE") => (Verb::Create, Some(Object::Ticket)),
            "openat" if flags(2, "O_CREAT") => (Verb::Create, named(1)),
            "openat" => (Verb::Open, named(1)),
            "open" if flags(1, "O_CREAT") => (Verb::Create, named(0)),
            "fchown" => (Verb::Chown, opened()),
            "mkdir" => (Verb::Create, named(0)),
            "mkdirat" => (Verb::Create, named(1)),
            "getdents64" => (Verb::List, opened()),
            "statx" | "newfstatat" if by_name() => (Verb::Look, named(1)),
            "statx" | "newfstatat" | "fstat" => (Verb::Stat, opened()),
            "fstatfs" => (Verb::Statfs, opened()),
            "flock" if flags(1, "LOCK_UN") => (Verb::Unlock, opened()),
            "flock" if flags(1, "LOCK_SH") => (Verb::Ask, opened()),
            "flock" => (Verb::Lock, opened()),
            "read" | "pread64" => (Verb::Read, opened()),
            "write" | "pwrite64" => (Verb::Write, opened()),
            "linkat" => (Verb::Link, named(3)),
            "renameat" | "renameat2" => (Verb::Rename, named(3)),
            "unlinkat" => (Verb::Remove, named(1)),
            "fsync" => (Verb::Sync, opened()),
            "utimensat" => (Verb::Touch, opened()),
            // How the standard library hears whether a command could be started: its own.
            "close" if opened() == Some(Object::Socket) => return None,
            "close" => (Verb::Close, opened()),
            "fcntl" if flags(1, "F_DUPFD") => (Verb::Duplicate, opened()),
            "eventfd2" => (Verb::Create, Some(Object::Bell)),
            "inotify_init1" => (Verb::Create, Some(Object::Events)),
            "socketpair" => (Verb::Create, Some(Object::Socket)),
            "inotify_add_watch" => (Verb::Watch, opened()),
            "ppoll" => (Verb::Sleep, Some(Object::Events)),
            "pidfd_open" => (Verb::Open, Some(Object::Process)),
            "pidfd_send_signal" => (Verb::Signal, Some(Object::Process)),
            _ => return None,
        };
        Some(What { verb, object: object? })
    }

    /// What a path leads to; a bare name is one in the lock's directory.
    fn object(&self, path: &str) -> Option<Object> {
        let name = match path.strip_prefix(self.run) {
            Some("") => return Some(Object::Directory),
            Some(rest) => rest.strip_prefix('/')?,
            None if path.starts_with(self.lock) => path,
            None if path.contains(['/', ':']) => return elsewhere(path),
            None => path,
        };
        // How the kernel calls a file without a name.
        if name.starts_with('#') {
            return Some(Object::Ticket);
        }
        Some(match name.strip_prefix(self.lock)? {
            "" => Object::Lock,
            ".mutex" => Object::Mutex,
            ".mutex.reclaim" => Object::Reclaim,
            ".takeover" => Object::Takeover,
            ".generation" => Object::Generation,
            ".generation.new" => Object::GenerationDraft,
            ".journal" => Object::Journal,
            ".queue" => Object::Queue,
            suffix if suffix.starts_with(".queue/") => Object::Number,
            _ => return None,
        })
    }
}

fn elsewhere(path: &str) -> Option<Object> {
    Some(match path {
        "/proc/sys/kernel/random/boot_id" => Object::Boot,
        "anon_inode:inotify" => Object::Events,
        "anon_inode:[eventfd]" => Object::Bell,
        "anon_inode:[pidfd]" => Object::Process,
        path if path.starts_with("socket:") => Object::Socket,
        path => match path.strip_prefix("/proc/")?.split_once('/')? {
            (_, "status") => Object::Signals,
            (_, "stat") => Object::Process,
            _ => return None,
        },
    })
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.object)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bell => "bell",
            Self::Boot => "boot id",
            Self::Directory => "directory",
            Self::Events => "events",
            Self::Generation => "generation",
            Self::GenerationDraft => "generation draft",
            Self::Journal => "journal",
            Self::Lock => "lock",
            Self::Mutex => "mutex",
            Self::Number => "number",
            Self::Process => "process",
            Self::Queue => "queue",
            Self::Reclaim => "reclaim lock",
            Self::Signals => "own status",
            Self::Socket => "socket",
            Self::Takeover => "takeover name",
            Self::Ticket => "ticket",
        })
    }
}

#[cfg(test)]
mod tests {
    use lock_tests::strace::parse;
    use rstest::rstest;

    use super::*;

    const PLACE: Place<'_> = Place { run: "/t/run", lock: "x.lock" };

    fn call(line: &str) -> Call {
        let calls = parse(&format!("1 5.000000 {line} = 0 <0.000001>\n"));
        let calls = calls.expect("because strace could have written it");
        calls.into_iter().next().expect("because it is one call")
    }

    #[rstest]
    #[case(r#"openat(3</t/run>, ".", O_RDWR|O_CLOEXEC|O_TMPFILE, 0600)"#, "create ticket")]
    #[case(r#"openat(3</t/run>, "x.lock", O_RDONLY|O_CLOEXEC)"#, "open lock")]
    #[case(r#"openat(AT_FDCWD</a>, "/t/run", O_RDONLY|O_DIRECTORY)"#, "open directory")]
    #[case(
        r#"openat(3</t/run>, "x.lock.generation.new", O_RDWR|O_CREAT|O_EXCL, 0600)"#,
        "create generation draft"
    )]
    #[case(r#"statx(AT_FDCWD</a>, "/t/run", AT_STATX_SYNC_AS_STAT, 0x7f)"#, "look directory")]
    #[case(r#"statx(4</proc/sys/kernel/random/boot_id>, "", AT_EMPTY_PATH)"#, "stat boot id")]
    #[case(r#"newfstatat(3</t/run>, "x.lock.mutex", {st_mode=1}, 0)"#, "look mutex")]
    #[case("flock(9</t/run/#123>(deleted), LOCK_EX|LOCK_NB)", "lock ticket")]
    #[case("flock(9</t/run/x.lock.mutex>(deleted), LOCK_UN)", "unlock mutex")]
    #[case(r##"pwrite64(9</t/run/#1>(deleted), "4711\n17", 187, 0)"##, "write ticket")]
    #[case(
        r#"linkat(AT_FDCWD</a>, "/proc/self/fd/9", 3</t/run>, "x.lock.mutex", 0)"#,
        "link mutex"
    )]
    #[case(
        r#"renameat(3</t/run>, "x.lock.mutex.reclaim", 3</t/run>, "x.lock.mutex")"#,
        "rename mutex"
    )]
    #[case(r#"mkdirat(3</t/run>, "x.lock.queue", 0700)"#, "create queue")]
    #[case(r#"getdents64(4</t/run/x.lock.queue>, [], 16384)"#, "list queue")]
    #[case(r#"unlinkat(3</t/run>, "x.lock.queue", AT_REMOVEDIR)"#, "remove queue")]
    #[case(r#"unlinkat(3</t/run>, "x.lock.queue/7", 0)"#, "remove number")]
    #[case(
        r#"linkat(AT_FDCWD</a>, "/proc/self/fd/9", 3</t/run>, "x.lock.queue/7", 0)"#,
        "link number"
    )]
    #[case("flock(9</t/run/x.lock.queue/6>(deleted), LOCK_SH|LOCK_NB)", "ask number")]
    #[case("fcntl(9</t/run/#1>(deleted), F_DUPFD_CLOEXEC, 3)", "duplicate ticket")]
    #[case("close(12<anon_inode:[pidfd]>)", "close process")]
    #[case("ppoll([{fd=5<anon_inode:inotify>, events=POLLIN}], 1)", "sleep events")]
    fn a_call_has_a_name(#[case] line: &str, #[case] expected: &str) {
        match PLACE.describe(&call(line)) {
            Matter::Row(what) => assert_eq!(what.to_string(), expected),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case::of_a_debug_build("fcntl(9</t/run/#1>(deleted), F_GETFD)", Matter::Beside)]
    #[case::of_others(r#"openat(AT_FDCWD</a>, "/etc/ld.so.cache", O_RDONLY)"#, Matter::Beside)]
    #[case::a_message(r#"write(2</dev/null>, "cannot open /t/run/x.lock", 25)"#, Matter::Beside)]
    #[case::of_no_file("futex(0x7f, FUTEX_WAIT)", Matter::Beside)]
    #[case::on_a_strange_name(r#"openat(3</t/run>, "x.lock.odd", O_RDONLY)"#, Matter::Unknown)]
    #[case::of_a_strange_kind("fchmod(9</t/run/#1>(deleted), 0644)", Matter::Unknown)]
    fn what_has_none_is_noticed(#[case] line: &str, #[case] expected: Matter) {
        assert_eq!(PLACE.describe(&call(line)), expected);
    }
}
