//! `lock doctor`: tries in a directory what a lock needs of it, for real.

mod probes;
mod rival;

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use lock_fs::Medium;

pub(crate) use self::rival::{COMMAND, become_rival};
use crate::error::Error;
use crate::exit::Exit;
use crate::report::Screen;

/// Something that a lock rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// A lock works.
    Lock,
    /// It leaves it to the kernel to say who lives.
    Arbitration,
    /// Only those whom the lock trusts may exchange files here.
    Directory,
    /// There is room.
    Room,
    /// The kernel's lock on a file keeps another process out.
    Exclusion,
    /// It falls with its process.
    Death,
    /// A file can be written before it gets a name.
    Anonymous,
    /// A further name never replaces one, and an inode without any gets none again.
    Links,
    /// A rename replaces a file in one step.
    Rename,
    /// A file's loss of its name, and its writer's close, can be waited for.
    Events,
    /// A clock that nobody can set, and a name for each boot.
    BootClock,
    /// The file system's clock agrees with ours.
    Stamps,
    /// What is synced stays.
    Durable,
}

/// What a trial showed, where it showed that a ground holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It works.
    Works,
    /// It works, in so much time.
    Took(Duration),
    /// So many bytes and files.
    Room {
        /// What we may write.
        bytes: u64,
        /// How many files we may make; none where the file system has no such limit.
        files: Option<u64>,
    },
    /// How the lock takes its roles.
    Medium(Medium),
}

/// Why a ground does not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lack {
    /// The system refused a call.
    #[error("{call} failed: {source}")]
    System {
        /// Which.
        call: &'static str,
        /// Its reason.
        source: io::Error,
    },
    /// Two processes had one lock.
    #[error("a second process got the lock too")]
    Both,
    /// A lock outlived its process.
    #[error("the lock of a killed process had not fallen after {}", crate::duration::format(*.0))]
    Outlived(Duration),
    /// Something else than what was made stands at a path.
    #[error("{0}")]
    Torn(&'static str),
    /// What should have been told was not.
    #[error("no event told of it for {}", crate::duration::format(*.0))]
    Silent(Duration),
    /// Two clocks disagree.
    #[error("a file's time is {} off", crate::duration::format(*.0))]
    Skew(Duration),
    /// There is little room.
    #[error("only {bytes} bytes are free")]
    Full {
        /// What we may write.
        bytes: u64,
    },
    /// No more files can be made.
    #[error("only {0} more files can be made")]
    NoFiles(u64),
    /// Nothing is kept.
    #[error("it is in memory: its files are gone after a reboot")]
    Volatile,
    /// The lock falls back.
    #[error("kernel locks cannot be trusted on this file system")]
    Unarbitrated,
    /// The lock said so itself.
    #[error(transparent)]
    Lock(#[from] lock_fs::Error),
}

/// What a trial showed.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Of what.
    pub(crate) ground: Ground,
    /// Whether it holds, and what shows it.
    pub(crate) shown: Result<Evidence, Lack>,
}

/// What all trials showed.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    /// The directory.
    pub(crate) directory: Utf8PathBuf,
    /// What kind of file system it is on.
    pub(crate) file_system: String,
    /// What was shown, in the order of a report.
    pub(crate) findings: Vec<Finding>,
}

/// A directory could not be tried.
#[derive(Debug, thiserror::Error)]
#[error("cannot try {path}; name a directory that is there and that you may write to")]
pub(crate) struct DoctorError {
    path: Utf8PathBuf,
    /// What the system said.
    pub(crate) source: io::Error,
}

/// Tries `directory`, or what of it is there if it was not named: a lock's own directory is
/// made with the lock.
///
/// # Errors
///
/// When nothing can be tried there.
pub(crate) fn doctor(
    directory: &Utf8Path,
    named: bool,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let there = match named {
        true => directory,
        false => directory.ancestors().find(|path| path.is_dir()).unwrap_or(directory),
    };
    let diagnosis = examine(there)?;
    screen.diagnosis(directory, &diagnosis);
    Ok(if diagnosis.holds() { Exit::Done } else { Exit::SomeFailed })
}

fn examine(directory: &Utf8Path) -> Result<Diagnosis, DoctorError> {
    let error = |source| DoctorError { path: directory.to_owned(), source };
    let file_system = probes::file_system(directory).map_err(error)?;
    let place = tempfile::Builder::new().prefix(".fleet-doctor-").tempdir_in(directory);
    let place = place.map_err(|source| error(plain(source)))?;
    let inside = Utf8Path::from_path(place.path()).unwrap_or(directory);
    let lock = probes::lock(inside);
    let arbitration = match &lock {
        Ok(Medium::Unarbitrated) => Err(Lack::Unarbitrated),
        Ok(_) => Ok(Evidence::Works),
        Err(_) => Err(Lack::Torn("a lock cannot be tried")),
    };
    let shown = [
        (Ground::Lock, lock.map(Evidence::Medium)),
        (Ground::Arbitration, arbitration),
        (Ground::Directory, probes::directory(directory)),
        (Ground::Room, probes::room(directory)),
        (Ground::Exclusion, probes::exclusion(inside)),
        (Ground::Death, probes::death(inside)),
        (Ground::Anonymous, probes::anonymous(inside)),
        (Ground::Links, probes::links(inside)),
        (Ground::Rename, probes::rename(inside)),
        (Ground::Events, probes::events(inside)),
        (Ground::BootClock, probes::boot_clock()),
        (Ground::Stamps, probes::stamps(inside)),
        (Ground::Durable, probes::durable(inside, &file_system)),
    ];
    let findings = shown.map(|(ground, shown)| Finding { ground, shown }).into();
    place.close().map_err(error)?;
    Ok(Diagnosis { directory: directory.to_owned(), file_system, findings })
}

/// Without the path, which our own error has.
fn plain(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => error.kind().into(),
    }
}

impl Diagnosis {
    /// Whether a lock finds all that it needs.
    pub(crate) fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.shown.is_ok())
    }
}

impl Lack {
    /// For `map_err`: which call it was.
    fn of<E: Into<io::Error>>(call: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::System { call, source: plain(error.into()) }
    }
}
