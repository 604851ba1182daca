//! What a machine is told: from a call's outcome to an event.

use lock_core::effect::{Effect, Errno, Event};
use lock_core::snapshot::{FileId, Kind, Stat};
use lock_core::time::Wall;
use rustix::io::Errno as Os;

use crate::strace::{Call, Outcome, elements, field, parts, text};

/// Whose files are trusted in the lock's directory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust {
    /// Ours, the directory's owner's and root's.
    Private { owner: u32 },
    /// Ours alone.
    Sticky,
}

impl Trust {
    /// By what `fstat` says of the directory.
    pub(crate) fn of_directory(stat: &str) -> Option<Self> {
        let (mode, owner) = (field(stat, "st_mode")?, field(stat, "st_uid")?);
        let permissions = mode.rsplit('|').next()?;
        let others_write = u32::from_str_radix(permissions, 8).ok()? & 0o002 != 0;
        match others_write {
            true => Some(Self::Sticky),
            false => Some(Self::Private { owner: owner.parse().ok()? }),
        }
    }

    fn is_foreign(self, uid: u32) -> bool {
        let we = rustix::process::geteuid().as_raw();
        match self {
            Self::Private { owner } => ![we, owner, 0].contains(&uid),
            Self::Sticky => uid != we,
        }
    }
}

/// The event that a call's outcome is, for the effect that the call was; nothing if the outcome is
/// not understood.
pub(crate) fn event(effect: &Effect, call: &Call, trust: Trust) -> Option<Event> {
    match &call.outcome {
        Outcome::Failed(error) => failed(effect, error),
        Outcome::Returned(_) => returned(effect, call, trust),
        Outcome::Interrupted | Outcome::Never => None,
    }
}

fn returned(effect: &Effect, call: &Call, trust: Trust) -> Option<Event> {
    Some(match effect {
        Effect::Stat(_) => Event::Stat(stat(call.arg(1), trust)?),
        Effect::Look(_) => Event::Stat(stat(call.arg(2), trust)?),
        Effect::Read(_) => Event::Bytes(text(call.arg(1))?),
        Effect::List(_) => Event::Listed(numbers(call.arg(1))?),
        // A write that was cut short is a full disk.
        Effect::Write(_, text) if call.number() != i64::try_from(text.len()).ok() => {
            Event::Failed(Errno(Os::NOSPC.raw_os_error()))
        }
        _ => Event::Done,
    })
}

/// The inode that a `stat` structure is about.
pub(crate) fn inode(structure: &str) -> Option<(u64, u64)> {
    let number = field(structure, "st_ino")?.parse().ok()?;
    Some((device(field(structure, "st_dev")?)?, number))
}

/// The event that an error is which a machine has no other use for.
pub(crate) fn refusal(error: &str) -> Option<Event> {
    number(error).map(|number| Event::Failed(Errno(number)))
}

/// The names that are numbers; nothing if one is not understood.
fn numbers(list: &str) -> Option<Vec<u64>> {
    let name = |entry| String::from_utf8(text(field(entry, "d_name")?)?).ok();
    let names: Option<Vec<_>> = elements(list).into_iter().map(name).collect();
    Some(names?.iter().filter_map(|name| name.parse().ok()).collect())
}

fn stat(structure: &str, trust: Trust) -> Option<Stat> {
    let number = |name| field(structure, name)?.parse::<u64>().ok();
    let kind = match field(structure, "st_mode")?.split('|').next()? {
        "S_IFREG" => Kind::File,
        "S_IFDIR" => Kind::Directory,
        "S_IFLNK" => Kind::Symlink,
        _ => Kind::Other,
    };
    Some(Stat {
        id: FileId { device: device(field(structure, "st_dev")?)?, inode: number("st_ino")? },
        kind,
        mtime: Wall(number("st_mtime")? * 1000 + number("st_mtime_nsec")? / 1_000_000),
        links: number("st_nlink")?,
        foreign: trust.is_foreign(u32::try_from(number("st_uid")?).ok()?),
    })
}

/// `makedev(0xfe, 0)`, as the number that the program has of it: some records say it.
fn device(value: &str) -> Option<u64> {
    let inner = value.strip_prefix("makedev(")?.strip_suffix(')')?;
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => part.parse().ok(),
    };
    let mut numbers = parts(inner).into_iter().map(number);
    Some(rustix::fs::makedev(numbers.next()??, numbers.next()??))
}

/// The answers that a machine may have a use for; the rest are failures.
fn failed(effect: &Effect, error: &str) -> Option<Event> {
    Some(match (effect, error) {
        // Nobody is told of a failed close: the descriptor is gone.
        (Effect::Close(_), _) | (Effect::SyncDirectory, "EINVAL") => Event::Done,
        (Effect::Watch(_), _) => Event::Unsupported,
        (_, "ENOENT") => Event::Absent,
        (Effect::Create(..) | Effect::Link(..) | Effect::CreateDirectory(_), "EEXIST") => {
            Event::Exists
        }
        (Effect::Create(..) | Effect::Open { .. }, "ELOOP") => Event::Symlink,
        (Effect::Lock(..), "EAGAIN") => Event::Busy,
        (Effect::Lock(..), "EOPNOTSUPP" | "ENOSYS" | "EINVAL")
        | (Effect::Link(..), "EPERM" | "EOPNOTSUPP" | "ENOSYS")
        | (Effect::CreateAnonymous(_), "EOPNOTSUPP" | "EISDIR" | "EINVAL" | "ENOSYS" | "EPERM") => {
            Event::Unsupported
        }
        (_, error) => Event::Failed(Errno(number(error)?)),
    })
}

/// The number of an error that a call on a file can end with.
fn number(error: &str) -> Option<i32> {
    const ERRORS: [(&str, Os); 27] = [
        ("EACCES", Os::ACCESS),
        ("EAGAIN", Os::AGAIN),
        ("EBADF", Os::BADF),
        ("EBUSY", Os::BUSY),
        ("EDQUOT", Os::DQUOT),
        ("EEXIST", Os::EXIST),
        ("EINVAL", Os::INVAL),
        ("EIO", Os::IO),
        ("EISDIR", Os::ISDIR),
        ("ELOOP", Os::LOOP),
        ("EMFILE", Os::MFILE),
        ("EMLINK", Os::MLINK),
        ("ENAMETOOLONG", Os::NAMETOOLONG),
        ("ENFILE", Os::NFILE),
        ("ENOLCK", Os::NOLCK),
        ("ENOMEM", Os::NOMEM),
        ("ENOSPC", Os::NOSPC),
        ("ENOSYS", Os::NOSYS),
        ("ENOTDIR", Os::NOTDIR),
        ("ENOTEMPTY", Os::NOTEMPTY),
        ("ENXIO", Os::NXIO),
        ("EOPNOTSUPP", Os::OPNOTSUPP),
        ("EPERM", Os::PERM),
        ("EROFS", Os::ROFS),
        ("ESRCH", Os::SRCH),
        ("ESTALE", Os::STALE),
        ("ETXTBSY", Os::TXTBSY),
    ];
    ERRORS.iter().find(|(name, _)| *name == error).map(|(_, errno)| errno.raw_os_error())
}
