//! Which processes have an inode kernel-locked; and the one place where a process is signalled.

use std::os::fd::{AsFd, AsRawFd};

use lock_core::effect::{Errno, Event, Signal};
use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, CWD};
use rustix::io::{self, Errno as Os, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// The processes that have a lock kernel-locked, as far as this user can see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holders {
    /// Those whose descriptors show the lock.
    pub pids: Vec<u32>,
    /// Where no descriptor shows it: the process that took the lock, by `/proc/locks`. It may have
    /// ended since, and its children hold the lock.
    pub taken_by: Option<u32>,
}

/// The inode that a lock is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
    owner: u32,
}

impl Inode {
    fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = retry_on_intr(|| rustix::fs::fstat(file))?;
        Ok(Self { device: stat.st_dev, number: stat.st_ino, owner: stat.st_uid })
    }
}

/// Answers [`lock_core::effect::Effect::ListHolders`].
pub(crate) fn list(file: Option<BorrowedFd<'_>>) -> Event {
    match file.ok_or(Os::BADF).and_then(Inode::of) {
        Ok(inode) => Event::Holders(holding(inode, Which::Any)),
        Err(errno) => Event::Failed(Errno(errno.raw_os_error())),
    }
}

/// Answers [`lock_core::effect::Effect::ListHoldersOf`].
pub(crate) fn list_of(inode: lock_core::record::Inode) -> Event {
    // Whose it is matters only to a signal.
    let inode = Inode { device: inode.device, number: inode.number, owner: 0 };
    Event::Holders(holding(inode, Which::Nameless))
}

/// The same for people, with what is known where nothing can be seen.
pub(crate) fn find(file: &impl AsFd) -> io::Result<Holders> {
    let inode = Inode::of(file.as_fd())?;
    let pids = holding(inode, Which::Any);
    let taken_by = if pids.is_empty() { taken_by(inode) } else { None };
    Ok(Holders { pids, taken_by })
}

/// Whom a signal is meant for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The process that comes first.
    pub(crate) first: u32,
    /// Whether it is left alone.
    pub(crate) spared: bool,
    /// Whether no other is meant: nothing inherits a mutex or a reclaim lock, and one that asks
    /// whether a dead one may be cleared has it locked for itself meanwhile.
    pub(crate) alone: bool,
    /// The user whose directory the lock is in.
    pub(crate) directory_owner: u32,
}

/// Answers [`lock_core::effect::Effect::Signal`]: signals the processes that have the inode
/// kernel-locked exclusively, are in our pid namespace and belong to the inode's owner, through
/// descriptors that name a process for ever.
///
/// One that has it locked in shared mode is a contender that asks, at this moment, whether it is
/// free: it has found that out only because those that are to end have ended.
///
/// A record says what its writer likes, and a file can be planted under another name: so neither
/// chooses whom a privileged user's process ends. A process of root's is never signalled for a lock
/// in another user's directory.
pub(crate) fn signal(file: Option<BorrowedFd<'_>>, target: Target, signal: Signal) -> Event {
    let inode = match file.ok_or(Os::BADF).and_then(Inode::of) {
        Ok(inode) => inode,
        Err(errno) => return Event::Failed(Errno(errno.raw_os_error())),
    };
    if inode.owner == 0 && target.directory_owner != 0 {
        return Event::Holders(Vec::new());
    }
    let mut pids = holding(inode, Which::Exclusive);
    pids.sort_by_key(|pid| *pid != target.first);
    pids.retain(|pid| {
        let is_meant = if *pid == target.first { !target.spared } else { !target.alone };
        is_meant && *pid != std::process::id()
    });
    let mut signalled = Vec::new();
    let mut refusal = None;
    for pid in pids {
        match send(pid, inode, signal) {
            Ok(true) => signalled.push(pid),
            Ok(false) | Err(Os::SRCH) => {}
            Err(errno) => refusal = Some(errno),
        }
    }
    match refusal {
        Some(errno) if signalled.is_empty() => Event::Failed(Errno(errno.raw_os_error())),
        _ => Event::Holders(signalled),
    }
}

/// Signals one process, if it still is what we take it for.
fn send(pid: u32, inode: Inode, signal: Signal) -> io::Result<bool> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Os::SRCH)?;
    // The descriptor first: from here on it is this process or none, whatever becomes of the
    // number, so that what /proc says cannot be another's by the time of the signal.
    let process = retry_on_intr(|| pidfd_open(id, PidfdFlags::empty()))?;
    let is_meant = is_of_our_namespace(pid)
        && user(pid) == Some(inode.owner)
        && has_locked(pid, inode, Which::Exclusive);
    if !is_meant {
        return Ok(false);
    }
    let signal = match signal {
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    retry_on_intr(|| pidfd_send_signal(&process, signal))?;
    if signal == rustix::process::Signal::TERM {
        // One that is stopped would not take it.
        retry_on_intr(|| pidfd_send_signal(&process, rustix::process::Signal::CONT))?;
    }
    Ok(true)
}

/// Which kernel locks count.
#[derive(Clone, Copy, Debug)]
enum Which {
    Any,
    /// Those of one process, or one and its children, alone.
    Exclusive,
    /// Those on a file that has no name any more.
    Nameless,
}

impl Which {
    fn is_shown(self, info: &str) -> bool {
        info.lines().any(|line| {
            let is_lock = line.starts_with("lock:") && line.contains("FLOCK");
            is_lock && (!matches!(self, Self::Exclusive) || line.contains("WRITE"))
        })
    }

    fn counts(self, is_nameless: bool, path: &str) -> bool {
        !matches!(self, Self::Nameless) || is_nameless || is_hidden(path)
    }
}

/// Whether it is the name that NFS or FUSE gives a file that was removed and is open.
fn is_hidden(path: &str) -> bool {
    let link = std::fs::read_link(path).unwrap_or_default();
    let name = link.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".nfs") || name.starts_with(b".fuse_hidden")
}

/// In ascending order.
fn holding(inode: Inode, which: Which) -> Vec<u32> {
    if !is_our_proc() {
        return Vec::new();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = numbers.filter(|pid| has_locked(*pid, inode, which)).collect();
    pids.sort_unstable();
    pids
}

/// Whether one of a process's descriptors holds a lock on the inode. `fdinfo` comes first: it shows
/// the locks without asking the file system that the file is on, which may be slow or hang.
fn has_locked(pid: u32, inode: Inode, which: Which) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    descriptors.flatten().any(|entry| {
        let shows_a_lock =
            std::fs::read_to_string(entry.path()).is_ok_and(|info| which.is_shown(&info));
        shows_a_lock && {
            let file = format!("/proc/{pid}/fd/{}", entry.file_name().to_string_lossy());
            let stat = retry_on_intr(|| rustix::fs::statat(CWD, &*file, AtFlags::empty()));
            stat.is_ok_and(|stat| {
                (stat.st_dev, stat.st_ino) == (inode.device, inode.number)
                    && which.counts(stat.st_nlink == 0, &file)
            })
        }
    })
}

/// The processes that wait in the kernel for a lock on this file, which is locked by us.
pub(crate) fn waiting(file: BorrowedFd<'_>) -> Vec<u32> {
    let info = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let place = std::fs::read_to_string(info).ok().and_then(|info| {
        let line = info.lines().find(|line| line.starts_with("lock:"))?;
        // As this file and `/proc/locks` both write it: not every file system's `stat` agrees.
        line.split_whitespace().find(|word| word.matches(':').count() == 2).map(str::to_owned)
    });
    let Some(place) = place else { return Vec::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let waits = |line: &&str| {
        let has = |word: &str| line.split_whitespace().any(|one| one == word);
        has("->") && has("FLOCK") && has(&place)
    };
    let pid = |line: &str| line.split_whitespace().skip(1).find_map(|word| word.parse().ok());
    locks.lines().filter(waits).filter_map(pid).collect()
}

/// The process that `/proc/locks` names for an inode.
fn taken_by(inode: Inode) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(inode.device), rustix::fs::minor(inode.device));
    let place = format!("{major:02x}:{minor:02x}:{}", inode.number);
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let is_of_it = |line: &&str| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "FLOCK") && words.any(|word| word == place)
    };
    let line = locks.lines().find(is_of_it)?;
    line.split_whitespace().find_map(|word| word.parse().ok())
}

/// Whether the numbers in `/proc` are those that we know processes by.
fn is_our_proc() -> bool {
    let pid = std::process::id().to_string();
    std::fs::read_link("/proc/self").is_ok_and(|to| to.as_os_str() == &*pid)
}

fn is_of_our_namespace(pid: u32) -> bool {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let ours = namespace("self");
    ours.is_some() && namespace(&pid.to_string()) == ours
}

/// The effective user that a process acts as.
fn user(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::fs::FlockOperation;

    use super::*;

    /// The two have the same descriptor, in this process and in a child of it.
    fn locked() -> (tempfile::NamedTempFile, Inode) {
        let file = tempfile::NamedTempFile::new().expect("because a temporary file is needed");
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .expect("because it is new");
        let inode = Inode::of(file.as_fd()).expect("because it is open");
        (file, inode)
    }

    #[test]
    fn who_has_the_lock_is_found_and_who_has_the_file_open_is_not() {
        let (file, inode) = locked();
        assert_eq!(holding(inode, Which::Any), [std::process::id()]);
        let open = std::fs::File::open(file.path()).expect("because it is there");
        let mut reader = Command::new("cat");
        let mut reader = reader.stdin(open).stdout(Stdio::null());
        reader = reader.arg("-");
        drop(reader.spawn().expect("because there is cat").wait());
        let heir = file.as_file().try_clone().expect("because there are descriptors");
        let mut heir =
            Command::new("sleep").arg("60").stdin(heir).spawn().expect("because there is sleep");
        let mut both = [std::process::id(), heir.id()];
        both.sort_unstable();
        assert_eq!(holding(inode, Which::Any), both);
        let target = Target { first: 1, spared: false, alone: false, directory_owner: inode.owner };
        // Never ourselves, though we have it locked too.
        let signalled = signal(Some(file.as_fd()), target, Signal::Kill);
        assert_eq!(signalled, Event::Holders(vec![heir.id()]));
        drop(heir.wait());
        assert_eq!(holding(inode, Which::Any), [std::process::id()]);
    }

    #[test]
    fn a_spared_process_is_left_alone() {
        let (file, inode) = locked();
        let heir = file.as_file().try_clone().expect("because there are descriptors");
        let mut heir =
            Command::new("sleep").arg("60").stdin(heir).spawn().expect("because there is sleep");
        let target =
            Target { first: heir.id(), spared: true, alone: false, directory_owner: inode.owner };
        assert_eq!(signal(Some(file.as_fd()), target, Signal::Kill), Event::Holders(Vec::new()));
        let target = Target { spared: false, ..target };
        assert_eq!(
            signal(Some(file.as_fd()), target, Signal::Kill),
            Event::Holders(vec![heir.id()])
        );
        drop(heir.wait());
    }

    #[test]
    fn of_a_mutex_only_the_one_that_its_record_names_is_signalled() {
        let (file, inode) = locked();
        let heir = file.as_file().try_clone().expect("because there are descriptors");
        let mut heir =
            Command::new("sleep").arg("60").stdin(heir).spawn().expect("because there is sleep");
        let target = Target { first: 1, spared: false, alone: true, directory_owner: inode.owner };
        assert_eq!(signal(Some(file.as_fd()), target, Signal::Kill), Event::Holders(Vec::new()));
        let target = Target { first: heir.id(), ..target };
        assert_eq!(
            signal(Some(file.as_fd()), target, Signal::Kill),
            Event::Holders(vec![heir.id()])
        );
        drop(heir.wait());
    }

    #[test]
    fn one_that_only_asks_whether_it_is_free_is_not_signalled() {
        let (file, inode) = locked();
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared)
            .expect("because it is ours alone");
        let asks = file.as_file().try_clone().expect("because there are descriptors");
        let mut asks =
            Command::new("sleep").arg("60").stdin(asks).spawn().expect("because there is sleep");
        assert!(holding(inode, Which::Any).contains(&asks.id()));
        let target =
            Target { first: asks.id(), spared: false, alone: false, directory_owner: inode.owner };
        assert_eq!(signal(Some(file.as_fd()), target, Signal::Kill), Event::Holders(Vec::new()));
        asks.kill().expect("because it is ours");
        drop(asks.wait());
    }

    #[test]
    fn a_number_that_a_named_file_has_is_not_the_removed_ones() {
        let (file, inode) = locked();
        let number = inode.number;
        let debt = lock_core::record::Inode { device: inode.device, number, spared: 0 };
        assert_eq!(list_of(debt), Event::Holders(Vec::new()));
        let name = format!(".fuse_hidden{:016x}", inode.number);
        let hidden = file.path().with_file_name(name);
        std::fs::rename(file.path(), &hidden).expect("because both are in one directory");
        assert_eq!(list_of(debt), Event::Holders(vec![std::process::id()]));
        std::fs::remove_file(&hidden).expect("because it is there");
        assert_eq!(list_of(debt), Event::Holders(vec![std::process::id()]));
    }

    #[test]
    fn roots_processes_are_safe_from_another_users_directory() {
        let (file, inode) = locked();
        if inode.owner != 0 {
            return;
        }
        let heir = file.as_file().try_clone().expect("because there are descriptors");
        let mut heir =
            Command::new("sleep").arg("60").stdin(heir).spawn().expect("because there is sleep");
        let target =
            Target { first: heir.id(), spared: false, alone: false, directory_owner: 65_534 };
        assert_eq!(signal(Some(file.as_fd()), target, Signal::Kill), Event::Holders(Vec::new()));
        heir.kill().expect("because it is ours");
        drop(heir.wait());
    }

    #[test]
    fn who_waits_in_the_kernel_is_found() {
        let (file, _) = locked();
        assert_eq!(waiting(file.as_fd()), [0; 0]);
        let mut waiter = Command::new("flock")
            .arg(file.path())
            .arg("true")
            .spawn()
            .expect("because there is flock");
        let begun = std::time::Instant::now();
        // The program needs a moment to start.
        while waiting(file.as_fd()).is_empty() && begun.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        assert_eq!(waiting(file.as_fd()), [waiter.id()]);
        waiter.kill().expect("because it is ours");
        drop(waiter.wait());
    }

    #[test]
    fn the_kernels_list_names_who_took_it() {
        let (_file, inode) = locked();
        assert_eq!(taken_by(inode), Some(std::process::id()));
    }
}
