//! The effects that ask about processes, and the one that signals them. What they are told of is
//! read from `/proc`; of the lock's files they touch only the one whose holders are meant, and of
//! that only its inode's number.
//!
//! What the kernel said is judged here once more, from the bytes in the trace, and independently of
//! the program.

use std::collections::BTreeSet;

use lock_core::effect::{Effect, Event, Signal};
use lock_core::record::Birth;

use super::answer;
use super::mismatch::{Mismatch, What};
use super::replay::Replay;
use crate::strace::{Call, Outcome, descriptor, elements, field, sift, text};

impl Replay<'_, '_> {
    pub(super) fn ask_process(
        &mut self,
        effect: &Effect,
        pid: u32,
        birth: Birth,
    ) -> Result<Event, Mismatch> {
        let open = self.expect(effect, &format!("pidfd_open({pid}, 0)"))?;
        match &open.outcome {
            Outcome::Returned(_) => {}
            Outcome::Failed(error) if error == "ESRCH" => return Ok(Event::Absent),
            _ => return Ok(Event::Unsupported),
        }
        let asks = self.expect_named(effect, "ppoll", "ppoll(pidfd, at once)")?;
        let polled = elements(asks.arg(0)).into_iter().find_map(|fd| descriptor(field(fd, "fd")?));
        let number = polled.and_then(|polled| polled.number);
        let is_it = number.is_some() && number == open.opened().and_then(|opened| opened.number);
        if !is_it || asks.arg(2) != "{tv_sec=0, tv_nsec=0}" {
            return Err(self.another(effect, "ppoll(pidfd, at once)"));
        }
        self.closes_pidfd(effect, open)?;
        Ok(match &asks.outcome {
            Outcome::Returned(ready) if ready == "0" => self.is_of_age(effect, pid, birth),
            Outcome::Returned(_) => Event::Absent,
            _ => Event::Unsupported,
        })
    }

    /// Whether a process that has not ended is the one that was born then.
    fn is_of_age(&mut self, effect: &Effect, pid: u32, birth: Birth) -> Event {
        let mut about = About::default();
        self.read_proc(effect, &mut about);
        let start = about.read(&format!("/proc/{pid}/stat")).and_then(started);
        let ahead = about.read("/proc/self/timens_offsets").map_or(Some(0), ticks_ahead);
        let (Some(start), Some(ahead)) = (start, ahead) else { return Event::Unsupported };
        let started = start.checked_add_signed(-ahead);
        let is_it = started.is_some_and(|started| started.abs_diff(birth.start) <= 1);
        if is_it { Event::Done } else { Event::Absent }
    }

    pub(super) fn ask_cgroup(&mut self, effect: &Effect) -> Result<Event, Mismatch> {
        let mut about = About::default();
        self.read_proc(effect, &mut about);
        let mut event = Event::Unsupported;
        while let Some(call) = self.tape.peek(self.thread).filter(|call| is_about_cgroups(call)) {
            self.play(effect, call);
            event = match (call.name.as_str(), &call.outcome) {
                ("openat2", Outcome::Failed(error)) if error == "ENOENT" => Event::Absent,
                ("read", Outcome::Failed(error)) if error == "ENODEV" => Event::Absent,
                ("read", Outcome::Returned(_)) => match text(call.arg(1)) {
                    Some(told) if told.is_empty() => event,
                    Some(told) if says(&told, "populated 0") => Event::Absent,
                    _ => Event::Done,
                },
                _ => event,
            };
        }
        Ok(event)
    }

    pub(super) fn list_holders(&mut self, effect: &Effect) -> Result<Event, Mismatch> {
        let Some(mut about) = self.about_inode(effect)? else { return self.refused() };
        self.read_proc(effect, &mut about);
        Ok(Event::Holders(about.holders.into_iter().collect()))
    }

    /// Only a process that the trace shows to have the very inode locked may be signalled.
    pub(super) fn signal(&mut self, effect: &Effect, signal: Signal) -> Result<Event, Mismatch> {
        let Some(mut about) = self.about_inode(effect)? else { return self.refused() };
        self.read_proc(effect, &mut about);
        let wanted = match signal {
            Signal::Term => "SIGTERM",
            Signal::Kill => "SIGKILL",
        };
        let (mut signalled, mut refusal) = (Vec::new(), None);
        while let Some(open) = self.next_is("pidfd_open") {
            self.play(effect, open);
            let pid: u32 = open.arg(0).parse().unwrap_or(0);
            if open.opened().is_none() {
                refusal = error_of(open).or(refusal);
                continue;
            }
            about.holders.clear();
            self.read_proc(effect, &mut about);
            while let Some(call) = self.next_is("pidfd_send_signal") {
                let is_meant = about.holders.contains(&pid) && names(call, open);
                let first = signalled.last() != Some(&pid);
                let kind = if first { wanted } else { "SIGCONT" };
                if !is_meant || call.arg(1) != kind {
                    let wanted = format!("pidfd_send_signal(a holder, {kind}, NULL, 0)");
                    return Err(self.another(effect, &wanted));
                }
                self.play(effect, call);
                match error_of(call) {
                    None if first => signalled.push(pid),
                    None => {}
                    Some(error) => refusal = Some(error),
                }
            }
            self.closes_pidfd(effect, open)?;
        }
        match refusal.filter(|_| signalled.is_empty()) {
            Some(event) => Ok(event),
            None => Ok(Event::Holders(signalled)),
        }
    }

    /// Which inode the file is that the effect is about.
    fn about_inode(&mut self, effect: &Effect) -> Result<Option<About>, Mismatch> {
        let wanted = self.wanted(effect);
        let call = self.expect(effect, &wanted)?;
        let inode = answer::inode(call.arg(1));
        let returned = matches!(call.outcome, Outcome::Returned(_));
        match (returned, inode) {
            (true, Some(_)) => Ok(Some(About { inode, ..About::default() })),
            (true, None) => Err(self.mismatch(What::Outcome(call.clone()))),
            (false, _) => Ok(None),
        }
    }

    /// The last call was refused.
    fn refused(&self) -> Result<Event, Mismatch> {
        let last = self.pairs.last().map(|pair| &pair.outcome);
        let event = match last {
            Some(Outcome::Failed(error)) => answer::refusal(error),
            _ => None,
        };
        Ok(event.unwrap_or(Event::Unsupported))
    }

    /// Plays what the thread reads in `/proc`, and takes note of it.
    fn read_proc(&mut self, effect: &Effect, about: &mut About) {
        while let Some(call) = self.tape.peek(self.thread).filter(|call| is_about_processes(call)) {
            about.note(call);
            self.play(effect, call);
        }
    }

    fn closes_pidfd(&mut self, effect: &Effect, open: &Call) -> Result<(), Mismatch> {
        let close = self.expect_named(effect, "close", "close(pidfd)")?;
        let fits = names(close, open);
        fits.then_some(()).ok_or_else(|| self.another(effect, "close(pidfd)"))
    }
}

/// Whether a call's first argument is the descriptor that another has opened.
fn names(call: &Call, open: &Call) -> bool {
    let number = descriptor(call.arg(0)).and_then(|file| file.number);
    number.is_some() && number == open.opened().and_then(|opened| opened.number)
}

fn error_of(call: &Call) -> Option<Event> {
    match &call.outcome {
        Outcome::Failed(error) if error != "ESRCH" => answer::refusal(error),
        _ => None,
    }
}

/// What was read in `/proc`.
#[derive(Default)]
struct About {
    inode: Option<(u64, u64)>,
    /// Files that were read, as far as they have been.
    read: Vec<(String, Vec<u8>)>,
    /// Processes with a lock on the inode.
    holders: BTreeSet<u32>,
}

impl About {
    fn note(&mut self, call: &Call) {
        if !matches!(call.outcome, Outcome::Returned(_)) {
            return;
        }
        match call.name.as_str() {
            "openat" => {
                if let Some(file) = path(call.arg(1)) {
                    self.read.retain(|(other, _)| *other != file);
                    self.read.push((file, Vec::new()));
                }
            }
            "read" => {
                let bytes = text(call.arg(1)).unwrap_or_default();
                if let Some((_, read)) = self.read.last_mut() {
                    read.extend(bytes);
                }
            }
            "newfstatat" => {
                let file = path(call.arg(1)).unwrap_or_default();
                let Some((pid, number)) = descriptor_of(&file) else { return };
                let shows = self.read(&format!("/proc/{pid}/fdinfo/{number}"));
                let shows = shows.is_some_and(shows_a_lock);
                if shows && answer::inode(call.arg(2)) == self.inode {
                    self.holders.insert(pid);
                }
            }
            _ => {}
        }
    }

    fn read(&self, file: &str) -> Option<&[u8]> {
        let found = self.read.iter().rfind(|(other, _)| other == file);
        // By the name that a process has for itself, too.
        let (_, bytes) = found.or_else(|| {
            let own = file.replacen("/proc/self/", "/proc/", 1);
            let tail = own.strip_prefix("/proc/")?;
            self.read.iter().rfind(|(other, _)| other.ends_with(tail))
        })?;
        Some(bytes)
    }
}

/// The process and the number that `/proc/PID/fd/N` is about.
fn descriptor_of(file: &str) -> Option<(u32, u32)> {
    let (pid, number) = file.strip_prefix("/proc/")?.split_once("/fd/")?;
    Some((pid.parse().ok()?, number.parse().ok()?))
}

fn shows_a_lock(info: &[u8]) -> bool {
    let info = String::from_utf8_lossy(info);
    info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}

fn says(told: &[u8], line: &str) -> bool {
    String::from_utf8_lossy(told).lines().any(|told| told == line)
}

fn path(argument: &str) -> Option<String> {
    String::from_utf8(text(argument)?).ok()
}

/// Whether a call reads in `/proc`; not by `/proc/self/fd`, through which files are linked.
fn is_about_processes(call: &Call) -> bool {
    let (strings, rest) = sift(&call.arguments);
    let names = ["openat", "readlink", "readlinkat", "newfstatat", "statx"];
    let named = names.contains(&call.name.as_str())
        && strings.into_iter().filter_map(path).any(|path| is_proc(&path));
    let has = rest.split('<').skip(1).any(|file| is_proc(file.split('>').next().unwrap_or("")));
    named || (has && call.name != "linkat" && call.name != "inotify_add_watch")
}

fn is_proc(path: &str) -> bool {
    path == "/proc" || (path.starts_with("/proc/") && !path.starts_with("/proc/self/fd/"))
}

/// Whether a call is about a cgroup's directory below the mount.
fn is_about_cgroups(call: &Call) -> bool {
    let has = call.arguments.contains("cgroup");
    has && ["close", "fstat", "openat", "openat2", "read", "statx"].contains(&call.name.as_str())
}

/// When a process started, by its `/proc/PID/stat`.
fn started(stat: &[u8]) -> Option<u64> {
    let stat = String::from_utf8_lossy(stat);
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// How many clock ticks this time namespace's boot clock is ahead.
fn ticks_ahead(offsets: &[u8]) -> Option<i64> {
    let offsets = String::from_utf8_lossy(offsets);
    let line = offsets.lines().find(|line| line.starts_with("boottime"))?;
    let seconds: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let nanos: i64 = line.split_whitespace().nth(2)?.parse().ok()?;
    let ticks = i64::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(seconds * ticks + nanos / (1_000_000_000 / ticks))
}

/// Who a traced process is, by what it read of itself in `/proc`.
pub(super) fn birth(calls: &[Call]) -> Birth {
    let Some(pid) = calls.first().map(|call| call.thread) else { return Birth::default() };
    let mut about = About::default();
    let mut namespace = None;
    for call in calls.iter().filter(|call| call.thread == pid && is_about_processes(call)) {
        about.note(call);
        let file = path(call.arg(1)).unwrap_or_default();
        if call.name == "newfstatat" && file == "/proc/self/ns/pid" {
            namespace = namespace
                .or_else(|| field(call.arg(2), "st_ino").and_then(|number| number.parse().ok()));
        }
        // It is asked once, when the lock is opened; the offset comes last.
        let closes = |file: &str| call.name == "close" && call.arguments.contains(file);
        if namespace.is_some() && closes("/timens_offsets>") {
            break;
        }
    }
    let start = about.read(&format!("/proc/{pid}/stat")).and_then(started);
    let ahead = about.read("/proc/self/timens_offsets").map_or(Some(0), ticks_ahead);
    match (namespace, start, ahead) {
        (Some(pidns), Some(start), Some(ahead)) => {
            Birth { pidns, start: start.saturating_add_signed(-ahead) }
        }
        _ => Birth::default(),
    }
}
