//! The names around a lock, and the directory that they are in.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;

use camino::{Utf8Path, Utf8PathBuf};
use lock_core::effect::Name;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::retry_on_intr;

use crate::error::Error;

const LONGEST_NAME: usize = 255;

/// A lock's directory, open, and the names in it.
///
/// Every call goes through the open directory: short paths are quick to resolve, and the
/// directory cannot be exchanged under us.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) fd: OwnedFd,
    lock: Utf8PathBuf,
    names: Names,
    trust: Trust,
    /// The user that we act as: asked once, since every `stat` wants it.
    user: u32,
    owner: u32,
    network: bool,
}

/// The names that each cycle calls by, put together once.
#[derive(Debug)]
struct Names {
    lock: String,
    mutex: String,
    generation: String,
    queue: String,
}

/// Whose files are accepted in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Nobody else may write here: our files, the directory owner's and root's.
    Private { owner: u32 },
    /// Anyone may write here, and only the owner of a file may remove it: ours alone.
    Sticky,
}

impl Directory {
    /// Opens the directory of `lock`, making it (0700) if need be.
    pub(crate) fn open(lock: &Utf8Path) -> Result<Self, Error> {
        let (parent, file) = split(lock)?;
        create(parent)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |verb| move |errno| Error::system(verb, parent, errno);
        let open = || rustix::fs::openat(CWD, parent.as_str(), flags, Mode::empty());
        let fd = retry_on_intr(open).map_err(failed("open"))?;
        let stat = retry_on_intr(|| rustix::fs::fstat(&fd)).map_err(failed("stat"))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let trust = match (mode.contains(Mode::WOTH), mode.contains(Mode::SVTX)) {
            (false, _) => Trust::Private { owner: stat.st_uid },
            (true, true) => Trust::Sticky,
            (true, false) => {
                return Err(Error::UnsafeDirectory { path: parent.to_owned() });
            }
        };
        // A file system that does not say what it is may be one whose locks nobody else sees.
        let fs = retry_on_intr(|| rustix::fs::fstatfs(&fd)).map_err(failed("stat"))?;
        let network = is_network(fs.f_type);
        let user = rustix::process::geteuid().as_raw();
        let names = Names::of(file);
        let owner = stat.st_uid;
        Ok(Self { fd, lock: parent.join(file), names, trust, user, owner, network })
    }

    /// The lock's own path.
    pub(crate) fn lock(&self) -> &Utf8Path {
        &self.lock
    }

    /// Whether other hosts may have mounted it too, where `flock` may be a local affair.
    pub(crate) fn is_network(&self) -> bool {
        self.network
    }

    /// The user whom it belongs to.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// The file name that stands for `name`; `token` makes a ticket's own.
    pub(crate) fn file_name(&self, name: Name, token: &str) -> Cow<'_, str> {
        let Names { lock, mutex, generation, queue } = &self.names;
        let made = match name {
            Name::Lock => return lock.into(),
            Name::Mutex => return mutex.into(),
            Name::Generation => return generation.into(),
            Name::Queue => return queue.into(),
            Name::Reclaim => format!("{mutex}.reclaim"),
            Name::Takeover => format!("{lock}.takeover"),
            Name::Ticket => format!("{lock}.ticket.{token}"),
            Name::GenerationDraft => format!("{generation}.new"),
            Name::Queued(number) => format!("{queue}/{number}"),
        };
        made.into()
    }

    /// The whole path of `name`, for messages.
    pub(crate) fn path(&self, name: Name, token: &str) -> Utf8PathBuf {
        self.lock.with_file_name(self.file_name(name, token).as_ref())
    }

    /// Whether a file of this user has no business at our paths.
    pub(crate) fn is_foreign(&self, uid: u32) -> bool {
        match self.trust {
            Trust::Private { owner } => ![self.user, owner, 0].contains(&uid),
            Trust::Sticky => uid != self.user,
        }
    }
}

impl Names {
    fn of(lock: &str) -> Self {
        Self {
            lock: lock.to_owned(),
            mutex: format!("{lock}.mutex"),
            generation: format!("{lock}.generation"),
            queue: format!("{lock}.queue"),
        }
    }
}

fn split(lock: &Utf8Path) -> Result<(&Utf8Path, &str), Error> {
    let no_name = || Error::NotAFile { path: lock.to_owned() };
    let file = lock.file_name().ok_or_else(no_name)?;
    // `file_name` forgives a trailing slash; a path that says "directory" is a mistake.
    if lock.as_str().ends_with('/') {
        return Err(no_name());
    }
    let longest = file.len() + ".ticket.".len() + uuid::fmt::Hyphenated::LENGTH;
    if longest > LONGEST_NAME {
        return Err(Error::NameTooLong { path: lock.to_owned() });
    }
    let parent = match lock.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    };
    Ok((parent, file))
}

fn create(parent: &Utf8Path) -> Result<(), Error> {
    if parent.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    loop {
        match builder.create(parent) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            made => {
                let path = || parent.to_owned();
                return made.map_err(|source| Error::CreateDirectory { path: path(), source });
            }
        }
    }
}

/// By the magic numbers of statfs(2).
fn is_network(magic: rustix::fs::FsWord) -> bool {
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517B;
    const CIFS: u64 = 0xFF53_4D42;
    const SMB2: u64 = 0xFE53_4D42;
    const CEPH: u64 = 0x00C3_6400;
    const AFS: u64 = 0x5346_414F;
    const PLAN9: u64 = 0x0102_1997;
    const FIELD: u64 = 0xFFFF_FFFF;
    let magic = u64::from_ne_bytes(magic.to_ne_bytes()) & FIELD;
    [NFS, SMB, CIFS, SMB2, CEPH, AFS, PLAN9].contains(&magic)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("run/restart.lock", "run", "restart.lock")]
    #[case::here("restart.lock", ".", "restart.lock")]
    #[case::at_the_root("/restart.lock", "/", "restart.lock")]
    fn a_path_is_a_directory_and_a_name(
        #[case] path: &str,
        #[case] parent: &str,
        #[case] file: &str,
    ) {
        let (found, name) = split(Utf8Path::new(path)).expect("because the path has a name");
        assert_eq!((found.as_str(), name), (parent, file));
    }

    #[rstest]
    #[case::root("/")]
    #[case::directory("run/")]
    #[case::parent("run/..")]
    #[case::empty("")]
    fn a_path_without_a_name_is_refused(#[case] path: &str) {
        let error = split(Utf8Path::new(path));
        assert!(matches!(error, Err(Error::NotAFile { .. })), "{error:?}");
    }

    #[rstest]
    #[case::just_fits(LONGEST_NAME - 44, true)]
    #[case::too_long(LONGEST_NAME - 43, false)]
    fn every_name_around_the_lock_must_fit(#[case] len: usize, #[case] fits: bool) {
        assert_eq!(split(Utf8Path::new(&"x".repeat(len))).is_ok(), fits);
    }
}
