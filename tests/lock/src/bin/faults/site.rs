//! Where in the life of an ownership a call is made: known from the calls before it.

use crate::trace::Call;
use crate::what::{Object, Verb, What};

/// A call that something will happen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) what: What,
    /// The system call.
    pub(crate) name: String,
    /// Which of its name, as strace counts.
    pub(crate) nth: u32,
    pub(crate) phase: Phase,
    /// Before the call.
    pub(crate) before: Roles,
    /// After the call, if it succeeds.
    pub(crate) after: Roles,
}

/// How far the one that makes the call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Opening the lock, before anything is wanted of it.
    Arriving,
    /// Not yet the owner, or still on the way out of the mutex.
    Acquiring,
    /// Making a ticket to stand in the queue with.
    Queueing,
    /// The owner, whose work has not begun.
    Starting,
    /// The work has begun.
    Working,
    /// The work is done.
    Releasing,
    /// The keeper, while the work goes on.
    Renewing,
}

/// The names that the caller's ticket has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) lock: bool,
    pub(crate) mutex: bool,
    pub(crate) reclaim: bool,
    /// It holds the kernel's lock on a dead one's reclaim lock, to remove its name.
    pub(crate) clearing: bool,
}

/// Which part of a trace is a scenario's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// From the first call on the lock's directory to the end.
    Whole,
    /// From the making of the NTH ticket on, and from the look before it whether anybody waits.
    Ticket(usize),
    /// From there to the next.
    OneTicket(usize),
    /// From the first ticket on to the signal to an owner.
    UntilSignal,
    /// From the first ticket on until the mutex is left after a takeover: then comes a search for
    /// what the old owner has left, as long as there are processes.
    UntilSearch,
    /// From the first ticket on, behind a search for the lock's holders that is as long as there are
    /// processes: only calls of which such a search has none, since the others cannot be counted.
    AfterSearch,
    /// One renewal of an owner's: to the first time that the mutex is left.
    Renewal,
}

/// The calls of a window with what is known of each.
pub(crate) fn sites(calls: &[Call], window: Window, work: Work) -> Vec<Site> {
    let begins = work.begins(calls);
    let mut inside = (0..calls.len()).rev().filter(|index| window.covers(calls, *index));
    let enters =
        |index: &usize| calls.get(*index).is_some_and(|call| call.is(Verb::Link, Object::Mutex));
    // Nothing comes after the release. It begins with a file of its own, where the ticket is shared.
    let last_entry = inside.find(enters).map(|link| entry(calls, link));
    let wants = window.wants(calls);
    let mut phase = match window {
        Window::Renewal => Phase::Renewing,
        Window::Whole => Phase::Arriving,
        _ => Phase::Acquiring,
    };
    let mut roles = Roles { lock: phase == Phase::Renewing, ..Roles::default() };
    let mut sites: Vec<Site> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        if !window.covers(calls, index) {
            continue;
        }
        if phase == Phase::Arriving && wants.is_none_or(|wants| index >= wants) {
            phase = Phase::Acquiring;
        }
        if phase == Phase::Starting && begins.is_some_and(|begins| index > begins) {
            phase = Phase::Working;
            roles.lock &= work != Work::Loses;
        }
        let Some(what) = call.what.filter(|what| window.shows(*what)) else { continue };
        if window == Window::UntilSignal && is_search(calls, index) {
            continue;
        }
        if window == Window::AfterSearch && SEARCHES.contains(&call.name.as_str()) {
            continue;
        }
        let again = sites.last().is_some_and(|last| last.what == what);
        if again && what.is_beside() && what.verb == Verb::Read {
            // How many reads it takes is the kernel's business.
            continue;
        }
        if phase == Phase::Working && last_entry == Some(index) {
            phase = Phase::Releasing;
        }
        let before = roles;
        if call.succeeded {
            roles = roles.with(what);
        }
        let shown = match phase {
            Phase::Acquiring if makes_a_waiters_ticket(calls, index) => Phase::Queueing,
            phase => phase,
        };
        let (name, nth) = (call.name.clone(), call.nth);
        sites.push(Site { what, name, nth, phase: shown, before, after: roles });
        forget_nap(&mut sites);
        if phase == Phase::Acquiring && roles.lock && !roles.mutex {
            phase = Phase::Starting;
        }
    }
    sites
}

/// What a search through `/proc` calls.
const SEARCHES: [&str; 5] = ["openat", "close", "newfstatat", "read", "fstat"];

/// Where whoever links the mutex there has begun to make what it links.
fn entry(calls: &[Call], link: usize) -> usize {
    let before = calls.iter().enumerate().take(link).rev();
    let since_a_name = before.take_while(|(_, call)| {
        let names = [Verb::Link, Verb::Rename, Verb::Remove];
        call.what.is_none_or(|what| !names.contains(&what.verb))
    });
    let mut made = since_a_name.filter(|(_, call)| call.is(Verb::Create, Object::Ticket));
    made.next().map_or(link, |(index, _)| index)
}

/// Whether a call looks for the holders of a lock: how many there are of it depends on who else runs.
fn is_search(calls: &[Call], index: usize) -> bool {
    let (before, rest) = calls.split_at(index);
    let is_of_pidfd = |call: &Call| call.name.starts_with("pidfd_");
    let is_beside = rest.first().is_some_and(|call| {
        let objects = [Object::Process, Object::Signals];
        call.what.is_some_and(|what| objects.contains(&what.object)) && !is_of_pidfd(call)
    });
    // Of several processes that are asked about, the last is the one that is signalled.
    let asks = rest.first().is_some_and(|call| call.name == "pidfd_open")
        && rest.iter().skip(1).any(|call| call.name == "pidfd_open");
    (is_beside && before.iter().any(is_of_pidfd)) || asks
}

/// Whether a call is one of those that make a ticket whose first name is a number.
fn makes_a_waiters_ticket(calls: &[Call], index: usize) -> bool {
    let (before, rest) = calls.split_at(index);
    let links = |call: &&Call| call.what.is_some_and(|what| what.verb == Verb::Link);
    let made = |call: &Call| call.is(Verb::Create, Object::Ticket);
    let begun = rest.first().is_some_and(made)
        || before.iter().rev().take_while(|call| !links(call)).any(made);
    begun && rest.iter().find(links).is_some_and(|link| link.is(Verb::Link, Object::Number))
}

/// Who waits takes one nap after the other: one shows them all.
fn forget_nap(sites: &mut Vec<Site>) {
    let sleeps = |site: &&Site| site.what.is(Verb::Sleep, Object::Events);
    if sites.last().is_none_or(|last| !sleeps(&last)) {
        return;
    }
    let whats = |block: &[Site]| block.iter().map(|site| site.what).collect::<Vec<_>>();
    let mut blocks = sites.rsplitn(4, |site| sleeps(&site));
    // Behind the last sleep there is nothing.
    let (_, last, before) = (blocks.next(), blocks.next(), blocks.next());
    if let (Some(last), Some(before)) = (last, before)
        && whats(last) == whats(before)
    {
        sites.truncate(sites.len() - last.len() - 1);
    }
}

/// How a trace shows that the work under the lock has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// There is none.
    None,
    /// A process is made.
    Process,
    /// Likewise, and that process takes the lock away.
    Loses,
    /// It is done by another thread, the last one that is made.
    Thread,
    /// It leaves a witness.
    Witness,
}

impl Work {
    fn begins(self, calls: &[Call]) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Process | Self::Loses => calls.iter().rposition(|call| call.forks),
            Self::Thread => calls.iter().rposition(|call| call.name == "clone3"),
            // The one before is a warm-up's.
            Self::Witness => {
                let mut marks = calls.iter().enumerate().filter(|(_, call)| call.name == "symlink");
                marks.nth(1).map(|(index, _)| index)
            }
        }
    }
}

impl Window {
    /// The journal is written in every life alike; one shows it.
    fn shows(self, what: What) -> bool {
        matches!(self, Self::Whole | Self::UntilSignal) || !what.is_beside()
    }

    /// Where the lock is first wanted.
    fn wants(self, calls: &[Call]) -> Option<usize> {
        let made = calls.iter().position(|call| call.is(Verb::Create, Object::Ticket));
        made.map(|ticket| arrival(calls, ticket))
    }

    fn covers(self, calls: &[Call], index: usize) -> bool {
        let ticket = |nth: usize| {
            let is_made = |call: &Call| call.is(Verb::Create, Object::Ticket);
            let mut tickets = calls.iter().enumerate().filter(|(_, call)| is_made(call));
            tickets.nth(nth - 1).map(|(index, _)| arrival(calls, index))
        };
        let first = |verb, object| calls.iter().position(|call| call.is(verb, object));
        let from = |start: Option<usize>| start.is_some_and(|start| index >= start);
        match self {
            Self::Whole => {
                let directory =
                    |call: &Call| call.what.is_some_and(|what| what.object == Object::Directory);
                from(calls.iter().position(directory))
            }
            Self::Ticket(nth) => from(ticket(nth)),
            Self::AfterSearch => from(ticket(1)),
            Self::OneTicket(nth) => from(ticket(nth)) && !from(ticket(nth + 1)),
            Self::UntilSignal => {
                let signal = first(Verb::Signal, Object::Process);
                from(ticket(1)) && signal.is_some_and(|signal| index <= signal)
            }
            Self::UntilSearch => {
                let over = first(Verb::Rename, Object::Lock);
                let left = |over: usize| {
                    let mut rest = calls.iter().enumerate().skip(over);
                    rest.find(|(_, call)| call.is(Verb::Remove, Object::Mutex))
                };
                let left = over.and_then(left).map(|(left, _)| left);
                from(ticket(1)) && left.is_some_and(|left| index <= left)
            }
            Self::Renewal => {
                let left = first(Verb::Remove, Object::Mutex);
                left.is_some_and(|left| index <= left)
            }
        }
    }
}

/// Where whoever makes a ticket there has begun to look whether anybody waits.
fn arrival(calls: &[Call], ticket: usize) -> usize {
    let looks = |what: What| what.object == Object::Queue || what.is(Verb::Look, Object::Lock);
    let before = calls.iter().enumerate().take(ticket).rev();
    let before = before.filter_map(|(index, call)| Some((index, call.what?)));
    before.take_while(|(_, what)| looks(*what)).last().map_or(ticket, |(index, _)| index)
}

impl What {
    pub(crate) fn is(self, verb: Verb, object: Object) -> bool {
        self == Self { verb, object }
    }

    /// Whether it is done on the way, and as often as the kernel's answers are long.
    pub(crate) fn is_beside(self) -> bool {
        use Object::{Boot, Directory, Journal, Process, Signals};
        matches!(self.object, Boot | Directory | Journal | Process | Signals)
    }
}

impl Phase {
    pub(crate) fn is_before_work(self) -> bool {
        matches!(self, Self::Arriving | Self::Acquiring | Self::Queueing | Self::Starting)
    }
}

impl Call {
    fn is(&self, verb: Verb, object: Object) -> bool {
        self.what.is_some_and(|what| what.is(verb, object))
    }
}

impl Roles {
    /// The roles after this call of their bearer's.
    fn with(self, What { verb, object }: What) -> Self {
        let mut roles = self;
        match (verb, object) {
            (Verb::Link | Verb::Rename, Object::Lock) => roles.lock = true,
            (Verb::Link, Object::Mutex) => roles.mutex = true,
            (Verb::Link, Object::Reclaim) => roles.reclaim = true,
            // The reclaim lock is renamed over the dead mutex.
            (Verb::Rename, Object::Mutex) => (roles.mutex, roles.reclaim) = (true, false),
            (Verb::Remove, Object::Lock) => roles.lock = false,
            (Verb::Remove, Object::Mutex) => roles.mutex = false,
            (Verb::Remove, Object::Reclaim) => (roles.reclaim, roles.clearing) = (false, false),
            (Verb::Lock, Object::Reclaim) => roles.clearing = true,
            _ => {}
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, what: Option<(Verb, Object)>) -> Call {
        let what = what.map(|(verb, object)| What { verb, object });
        let forks = name == "clone";
        Call { name: name.to_owned(), nth: 1, what, succeeded: true, forks }
    }

    /// The bones of `fleet lock run`.
    fn life() -> Vec<Call> {
        let mut calls = vec![
            call("openat", Some((Verb::Open, Object::Directory))),
            call("openat", Some((Verb::Create, Object::Ticket))),
            call("linkat", Some((Verb::Link, Object::Mutex))),
            call("linkat", Some((Verb::Link, Object::Lock))),
            call("unlinkat", Some((Verb::Remove, Object::Mutex))),
            call("fcntl", Some((Verb::Duplicate, Object::Ticket))),
            call("clone", None),
            call("close", Some((Verb::Close, Object::Ticket))),
            call("linkat", Some((Verb::Link, Object::Mutex))),
            call("unlinkat", Some((Verb::Remove, Object::Lock))),
            call("unlinkat", Some((Verb::Remove, Object::Mutex))),
        ];
        calls.insert(0, call("openat", None));
        calls
    }

    fn words(calls: &[Call], window: Window, work: Work) -> Vec<String> {
        let sites = sites(calls, window, work);
        let roles = |Roles { lock, mutex, .. }: Roles| match (lock, mutex) {
            (false, false) => "",
            (true, false) => " lock",
            (false, true) => " mutex",
            (true, true) => " lock mutex",
        };
        let words = |site: &Site| format!("{:?} {}:{}", site.phase, site.what, roles(site.after));
        sites.iter().map(words).collect()
    }

    #[test]
    fn the_calls_before_tell_how_far_it_has_come() {
        assert_eq!(
            words(&life(), Window::Ticket(1), Work::Process),
            [
                "Acquiring create ticket:",
                "Acquiring link mutex: mutex",
                "Acquiring link lock: lock mutex",
                "Acquiring remove mutex: lock",
                "Starting duplicate ticket: lock",
                "Working close ticket: lock",
                "Releasing link mutex: lock mutex",
                "Releasing remove lock: mutex",
                "Releasing remove mutex:",
            ]
        );
    }

    #[test]
    fn a_call_that_failed_gives_no_role() {
        let mut calls = life();
        calls[3].succeeded = false;
        let words = words(&calls, Window::Ticket(1), Work::Process);
        assert_eq!(words[1], "Acquiring link mutex:");
    }

    #[test]
    fn a_window_is_a_part() {
        let count = |window| words(&life(), window, Work::Process).len();
        assert_eq!(count(Window::Whole), 10);
        assert_eq!(count(Window::Ticket(1)), 9);
        assert_eq!(count(Window::Ticket(2)), 0);
        assert_eq!(count(Window::Renewal), 4);
        assert_eq!(count(Window::UntilSignal), 0);
    }

    #[test]
    fn one_nap_shows_them_all() {
        let mut calls = life();
        let nap = [
            call("newfstatat", Some((Verb::Look, Object::Lock))),
            call("ppoll", Some((Verb::Sleep, Object::Events))),
        ];
        let watch = call("inotify_add_watch", Some((Verb::Watch, Object::Events)));
        let naps = std::iter::once(watch).chain(nap.iter().cycle().take(8).cloned());
        calls.splice(4..4, naps);
        let words = words(&calls, Window::Ticket(1), Work::Process);
        let words: Vec<_> =
            words.iter().map(|word| word.trim_start_matches("Acquiring ")).collect();
        assert_eq!(
            words[2..8],
            [
                "watch events: mutex",
                "look lock: mutex",
                "sleep events: mutex",
                "look lock: mutex",
                "sleep events: mutex",
                "link lock: lock mutex",
            ]
        );
    }

    #[test]
    fn work_that_loses_the_lock_leaves_no_owner() {
        let sites = sites(&life(), Window::Ticket(1), Work::Loses);
        let working: Vec<_> = sites.iter().filter(|site| site.phase == Phase::Working).collect();
        assert!(!working.is_empty() && working.iter().all(|site| !site.before.lock));
    }
}
