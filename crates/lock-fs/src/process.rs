//! What the system says about a process: who it is, and whether it still runs.

use std::io::Read;

use lock_core::effect::Event;
use lock_core::record::Birth;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD};
use rustix::io::{Errno as Os, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// The letter that `ps` shows for its state: `T` is stopped, `Z` has ended.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it started, in clock ticks since the boot, as this time namespace counts.
    pub start: u64,
}

impl ProcStat {
    /// Looks for a process by its id.
    ///
    /// # Errors
    ///
    /// When there is no such process, or what `/proc` says of it cannot be read.
    pub fn of(pid: u32) -> std::io::Result<Self> {
        // The kernel does not say how long the file is: with room for all of it, it is read at once.
        let mut text = String::with_capacity(1024);
        std::fs::File::open(format!("/proc/{pid}/stat"))?.read_to_string(&mut text)?;
        Self::parse(&text).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
    }

    /// Whether it has ended, and only waits for its parent to take note.
    #[must_use]
    pub const fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// The name in parentheses may hold anything, so the fields are counted from the last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Who we are, as a record says it. Where `/proc` is that of another pid namespace, or cannot be
/// read, nothing is said: others then go by renewals.
pub(crate) fn birth() -> Birth {
    let pid = std::process::id();
    let is_ours =
        std::fs::read_link("/proc/self").is_ok_and(|to| to.as_os_str() == &*pid.to_string());
    let namespace =
        || retry_on_intr(|| rustix::fs::statat(CWD, "/proc/self/ns/pid", AtFlags::empty()));
    match (is_ours, namespace(), ProcStat::of(pid).ok().and_then(|stat| absolute(stat.start))) {
        (true, Ok(namespace), Some(start)) => Birth { pidns: namespace.st_ino, start },
        _ => Birth::default(),
    }
}

/// Answers [`lock_core::effect::Effect::AskProcess`]. That `/proc` does not show a process does
/// not mean that there is none (`hidepid`), so its number is asked for first.
pub(crate) fn ask(pid: u32, birth: Birth) -> Event {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Event::Absent;
    };
    let process = match retry_on_intr(|| pidfd_open(id, PidfdFlags::empty())) {
        Ok(process) => process,
        Err(Os::SRCH) => return Event::Absent,
        Err(_) => return Event::Unsupported,
    };
    // It is readable once the last thread has ended. The first one may be a zombie long before.
    let mut end = [PollFd::new(&process, PollFlags::IN)];
    match retry_on_intr(|| poll(&mut end, Some(&Timespec::default()))) {
        Ok(0) => {}
        Ok(_) => return Event::Absent,
        Err(_) => return Event::Unsupported,
    }
    let Ok(stat) = ProcStat::of(pid) else { return Event::Unsupported };
    match absolute(stat.start) {
        None => Event::Unsupported,
        // The kernel rounds after it has added what this time namespace is ahead.
        Some(start) if start.abs_diff(birth.start) <= 1 => Event::Done,
        Some(_) => Event::Absent,
    }
}

/// The same instant as the initial time namespace counts it: `/proc` adds what the reader's is
/// ahead. `None` if that is not known.
fn absolute(start: u64) -> Option<u64> {
    let ahead = match std::fs::read_to_string("/proc/self/timens_offsets") {
        Ok(offsets) => ticks_ahead(&offsets)?,
        // A kernel without time namespaces.
        Err(_) => 0,
    };
    // The file tells of the namespace that children get.
    let same = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    let strip = |link: Option<std::path::PathBuf>| {
        link.and_then(|link| Some(link.to_str()?.split_once('[')?.1.to_owned()))
    };
    if ahead != 0 && strip(same("time")) != strip(same("time_for_children")) {
        return None;
    }
    start.checked_add_signed(-ahead)
}

/// How many clock ticks the boot clock of a time namespace is ahead, by its `timens_offsets`.
fn ticks_ahead(offsets: &str) -> Option<i64> {
    let line =
        offsets.lines().find(|line| line.starts_with("boottime") || line.starts_with('7'))?;
    let mut words = line.split_whitespace().skip(1);
    let seconds: i64 = words.next()?.parse().ok()?;
    let nanos: i64 = words.next()?.parse().ok()?;
    let ticks = i64::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(seconds.checked_mul(ticks)? + nanos / (1_000_000_000 / ticks))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn we_run_and_are_who_we_are() {
        let birth = birth();
        assert_ne!((birth.pidns, birth.start), (0, 0));
        assert_eq!(ask(std::process::id(), birth), Event::Done);
    }

    #[test]
    fn an_older_or_younger_process_of_the_same_number_is_another() {
        let birth = birth();
        for start in [birth.start - 2, birth.start + 2] {
            assert_eq!(ask(std::process::id(), Birth { start, ..birth }), Event::Absent);
        }
    }

    #[test]
    fn a_number_beyond_the_kernels_is_no_process() {
        assert_eq!(ask(u32::MAX, Birth::default()), Event::Absent);
        assert_eq!(ask(0, Birth::default()), Event::Absent);
    }

    #[rstest]
    #[case::plain("4711 (sh) S", 'S')]
    #[case::spaces_and_parentheses("4711 (a) Z 1 2) S", 'S')]
    #[case::zombie("4711 (sh) Z", 'Z')]
    fn a_name_may_look_like_fields(#[case] head: &str, #[case] state: char) {
        let line = format!("{head} 1 20 30 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 99887 1 2 3\n");
        let stat = ProcStat { state, parent: 1, group: 20, session: 30, start: 99_887 };
        assert_eq!(ProcStat::parse(&line), Some(stat));
        assert_eq!(stat.is_zombie(), state == 'Z');
    }

    #[rstest]
    #[case("")]
    #[case("4711 (sh) S 1 20")]
    fn anything_else_is_no_process(#[case] line: &str) {
        assert_eq!(ProcStat::parse(line), None);
    }

    #[test]
    fn a_time_namespaces_offset_is_counted_in_ticks() {
        let ticks =
            i64::try_from(rustix::param::clock_ticks_per_second()).expect("because it is small");
        let offsets = "monotonic           0         0\nboottime       86400 500000000\n";
        assert_eq!(ticks_ahead(offsets), Some(86_400 * ticks + ticks / 2));
        assert_eq!(ticks_ahead("boottime -10 0"), Some(-10 * ticks));
        assert_eq!(ticks_ahead(""), None);
    }
}
