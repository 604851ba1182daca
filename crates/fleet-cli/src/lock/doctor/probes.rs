//! The trials. Each works on files of its own in an empty directory.

use std::fs::{self, File};
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use camino::Utf8Path;
use lock_fs::{Cancel, Lock, Medium, Notice, Options};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat};
use rustix::io::Errno;

use super::rival::Rival;
use super::{Evidence, Lack};

/// How long the kernel may take for what it should do at once.
const AT_ONCE: Duration = Duration::from_secs(5);

/// How far a file's time may be off. The coarsest file systems count in two seconds.
const SKEW: Duration = Duration::from_secs(3);

/// A lock takes a few kilobytes; its journal, a megabyte.
const ROOM: u64 = 2 << 20;
const FILES: u64 = 32;

type Shown = Result<Evidence, Lack>;

/// What kind of file system a directory is on: its type as `mount` shows it.
pub(super) fn file_system(directory: &Utf8Path) -> std::io::Result<String> {
    let directory = directory.canonicalize_utf8()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // id parent major:minor root POINT options … - TYPE source options; the last that is
    // mounted at one point hides the others.
    let mount = |line: &str| {
        let (point, rest) = (line.split(' ').nth(4)?, line.split_once(" - ")?.1);
        let kind = rest.split(' ').next()?;
        directory.starts_with(point).then(|| (point.len(), kind.to_owned()))
    };
    let here = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length);
    Ok(here.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind))
}

/// Opening the lock checks its directory, and makes no file.
pub(super) fn directory(directory: &Utf8Path) -> Shown {
    Lock::open(directory.join(".fleet-doctor"), Options::default())?;
    Ok(Evidence::Works)
}

pub(super) fn room(directory: &Utf8Path) -> Shown {
    let stat = rustix::fs::statvfs(directory.as_str()).map_err(Lack::of("statvfs"))?;
    let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    // Some file systems make inodes as they need them, and say zero of zero.
    let files = (stat.f_files > 0).then_some(stat.f_favail);
    match files {
        _ if bytes < ROOM => Err(Lack::Full { bytes }),
        Some(files) if files < FILES => Err(Lack::NoFiles(files)),
        files => Ok(Evidence::Room { bytes, files }),
    }
}

pub(super) fn exclusion(place: &Utf8Path) -> Shown {
    let path = place.join("exclusion");
    let file = create(&path)?;
    let rival = Rival::new(&path)?;
    let tried = [FlockOperation::NonBlockingLockExclusive, FlockOperation::NonBlockingLockShared]
        .map(|how| flock(&file, how));
    let refused = tried.iter().all(|tried| *tried == Err(Errno::WOULDBLOCK));
    rival.end()?;
    if !refused {
        return Err(Lack::Both);
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(Lack::of("flock"))?;
    Ok(Evidence::Works)
}

pub(super) fn death(place: &Utf8Path) -> Shown {
    let path = place.join("death");
    let file = create(&path)?;
    let rival = Rival::new(&path)?;
    let begun = Instant::now();
    rival.kill()?;
    while begun.elapsed() < AT_ONCE {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Evidence::Took(begun.elapsed())),
            Err(Errno::WOULDBLOCK) => std::thread::yield_now(),
            Err(errno) => return Err(Lack::of("flock")(errno)),
        }
    }
    Err(Lack::Outlived(AT_ONCE))
}

pub(super) fn anonymous(place: &Utf8Path) -> Shown {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(place.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(Lack::of("opening with O_TMPFILE"))?;
    let mut file = File::from(file);
    file.write_all(b"whole").map_err(Lack::of("write"))?;
    let named = place.join("anonymous");
    name(&file, &named)?;
    match fs::read(&named).map_err(Lack::of("read"))?.as_slice() {
        b"whole" => Ok(Evidence::Works),
        _ => Err(Lack::Torn("a file got a name before what was written to it")),
    }
}

pub(super) fn links(place: &Utf8Path) -> Shown {
    let (first, second, third) = (place.join("first"), place.join("second"), place.join("third"));
    let file = create(&first)?;
    create(&second)?;
    name(&file, &third)?;
    if linkat(CWD, first.as_str(), CWD, second.as_str(), AtFlags::empty()) != Err(Errno::EXIST) {
        return Err(Lack::Torn("a link replaced a file"));
    }
    for path in [&first, &third] {
        fs::remove_file(path).map_err(Lack::of("unlink"))?;
    }
    match name(&file, &first) {
        Err(_) => Ok(Evidence::Works),
        Ok(()) => Err(Lack::Torn("a file that had lost its last name got another")),
    }
}

pub(super) fn rename(place: &Utf8Path) -> Shown {
    let (old, new) = (place.join("old"), place.join("new"));
    let replaced = create(&old)?;
    let file = create(&new)?;
    fs::rename(&new, &old).map_err(Lack::of("rename"))?;
    let stat = |file: &File| file.metadata().map_err(Lack::of("stat"));
    let here = fs::metadata(&old).map_err(Lack::of("stat"))?;
    let as_it_should = here.ino() == stat(&file)?.ino() && stat(&replaced)?.nlink() == 0;
    match as_it_should && !new.exists() {
        true => Ok(Evidence::Works),
        false => Err(Lack::Torn("a rename left something else than the new file")),
    }
}

/// By way of the open file, as a waiter does it: the path may lead elsewhere by then.
pub(super) fn events(place: &Utf8Path) -> Shown {
    let path = place.join("events");
    let writer = create(&path)?;
    let judged = File::open(&path).map_err(Lack::of("open"))?;
    let watcher = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
        .map_err(Lack::of("inotify_init"))?;
    let inode = format!("/proc/self/fd/{}", judged.as_raw_fd());
    inotify::add_watch(&watcher, inode.as_str(), WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE)
        .map_err(Lack::of("inotify_add_watch"))?;
    let begun = Instant::now();
    fs::remove_file(&path).map_err(Lack::of("unlink"))?;
    told(&watcher, ReadFlags::ATTRIB)?;
    let took = begun.elapsed();
    drop(writer);
    told(&watcher, ReadFlags::CLOSE_WRITE)?;
    Ok(Evidence::Took(took))
}

fn told(watcher: impl AsFd, what: ReadFlags) -> Result<(), Lack> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(watcher.as_fd(), &mut buffer);
    let begun = Instant::now();
    loop {
        match events.next() {
            Ok(event) if event.events().contains(what) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = AT_ONCE.saturating_sub(begun.elapsed());
                let left = Timespec::try_from(left).ok();
                let mut fds = [PollFd::new(&watcher, PollFlags::IN)];
                if poll(&mut fds, left.as_ref()) == Ok(0) {
                    return Err(Lack::Silent(AT_ONCE));
                }
            }
            Err(errno) => return Err(Lack::of("reading inotify")(errno)),
        }
    }
}

pub(super) fn boot_clock() -> Shown {
    let now = || lock_fs::Clock::default().now().boot;
    let begun = now();
    crate::processes::boot_id().map_err(Lack::of("reading the boot id"))?;
    match now() >= begun && begun.0 > 0 {
        true => Ok(Evidence::Works),
        false => Err(Lack::Torn("the boot clock stands still or goes back")),
    }
}

pub(super) fn stamps(place: &Utf8Path) -> Shown {
    let mut file = create(&place.join("stamps"))?;
    file.write_all(b"now").map_err(Lack::of("write"))?;
    let time = file.metadata().and_then(|metadata| metadata.modified());
    let time = time.map_err(Lack::of("stat"))?;
    let now = SystemTime::now();
    let off = now.duration_since(time).or_else(|_| time.duration_since(now)).unwrap_or_default();
    if off < SKEW { Ok(Evidence::Works) } else { Err(Lack::Skew(off)) }
}

/// As a block of generations is reserved. That it survives a power cut is the file system's
/// word.
pub(super) fn durable(place: &Utf8Path, file_system: &str) -> Shown {
    if ["tmpfs", "ramfs"].contains(&file_system) {
        return Err(Lack::Volatile);
    }
    let (draft, path) = (place.join("draft"), place.join("durable"));
    let begun = Instant::now();
    let mut file = create(&draft)?;
    file.write_all(b"number").map_err(Lack::of("write"))?;
    file.sync_all().map_err(Lack::of("fsync"))?;
    fs::rename(&draft, &path).map_err(Lack::of("rename"))?;
    let directory = File::open(place).map_err(Lack::of("open"))?;
    match rustix::fs::fsync(&directory) {
        // Some file systems cannot sync a directory and do not need it.
        Ok(()) | Err(Errno::INVAL) => Ok(Evidence::Took(begun.elapsed())),
        Err(errno) => Err(Lack::of("fsync of the directory")(errno)),
    }
}

/// A lock of this place's own, from the beginning to the end; tells how it took its roles.
pub(super) fn lock(place: &Utf8Path) -> Result<Medium, Lack> {
    // Whether the kernel arbitrates is another finding: this lock is taken either way.
    let command = "fleet lock doctor".to_owned();
    let options = Options { command, preemptible: true, ..Options::default() };
    let lock = Lock::open(place.join("lock/doctor.lock"), options)?;
    let mut medium = Medium::Anonymous;
    let guard = lock.acquire(&Cancel::never(), &mut |notice| {
        if let Notice::Fallback(to) = notice {
            medium = to;
        }
    })?;
    guard.step("trying", || ())?;
    let _ = guard.release()?;
    Ok(medium)
}

fn create(path: &Utf8Path) -> Result<File, Lack> {
    File::options().read(true).write(true).create_new(true).open(path).map_err(Lack::of("create"))
}

/// Gives an open file a name, as a ticket gets its roles.
fn name(file: &File, path: &Utf8Path) -> Result<(), Lack> {
    let inode = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, inode.as_str(), CWD, path.as_str(), AtFlags::SYMLINK_FOLLOW)
        .map_err(Lack::of("link"))
}
