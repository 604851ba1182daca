//! The tables of `docs/conformance.md`, which a test keeps as they are.

use std::fmt::Write;

use camino::Utf8Path;
use lock_core::effect::{Effect, Name, Share, Signal, Slot};
use lock_core::record::{Birth, Token};
use lock_core::time::Mono;

use super::mismatch::Pair;
use super::place::{Place, Role};
use super::report::Report;
use super::setup::{ALLOWED, CHECK, Who};
use super::words;
use crate::strace::Outcome;

/// Why each call of acquiring a free lock and releasing it is made.
const REASONS: [(&str, &str, &str); 23] = [
    ("acquire", "Open(Queue, Queue)", "does anybody wait? Nobody has ever waited here"),
    ("acquire", "CreateAnonymous(Ticket)", "the ticket: nobody sees it before it is whole"),
    ("acquire", "Lock(Ticket, Exclusive)", "we count as alive for as long as this stands"),
    ("acquire", "Stat(Ticket)", "which inode it is"),
    ("acquire", "Write(Ticket)", "its record, before it has a name; later with its generation"),
    ("acquire", "Link(Ticket, Mutex)", "enters the mutex: the test-and-set"),
    ("acquire", "Open(Judged, Lock)", "is there an owner?"),
    ("acquire", "Open(Generation, Generation)", "where the last generation stands"),
    ("acquire", "Stat(Generation)", "is it a regular file of someone whom we trust?"),
    ("acquire", "Read(Generation)", "the last one, and how far they are reserved"),
    ("acquire", "Write(Generation)", "the next one, in place: what is reserved has been synced"),
    ("acquire", "Close(Generation)", "the number is drawn"),
    (
        "acquire",
        "Link(Ticket, Lock)",
        "becomes owner; an owner that came after all is not replaced",
    ),
    ("acquire", "Look(Mutex)", "does the mutex lead to our ticket? Else it is not ours to remove"),
    ("acquire", "Unlink(Mutex)", "leaves the mutex, which wakes whoever waits for it"),
    (
        "release",
        "Link(Ticket, Mutex)",
        "enters the mutex; not with a ticket that lost its last name",
    ),
    ("release", "Look(Lock)", "does the lock lead to our ticket?"),
    ("release", "Read(Ticket)", "does it say our token? A peer overwrites in place"),
    ("release", "Unlink(Lock)", "gives the lock up, which wakes whoever waits for it"),
    ("release", "Look(Mutex)", "does the mutex lead to our ticket?"),
    ("release", "Unlink(Mutex)", "leaves the mutex"),
    ("release", "Unlock(Ticket)", "at once, even if a child between fork and exec has a copy"),
    ("release", "Close(Ticket)", "the inode goes with its last descriptor"),
];

/// The calls of acquiring a free lock and releasing it, each with its effect and its reason.
///
/// # Errors
///
/// The call for which there is no reason.
pub fn cycle(report: &Report) -> Result<String, Pair> {
    let mut table = String::from("| | system call | effect | why |\n|---|---|---|---|\n");
    for pair in &report.pairs {
        let effect = pair.effect.to_string();
        let reason = REASONS.iter().find(|(what, name, _)| *what == pair.what && *name == effect);
        let (what, _, why) = reason.ok_or_else(|| pair.clone())?;
        let answer = match &pair.outcome {
            Outcome::Failed(error) => format!(" → {error}"),
            _ => String::new(),
        };
        let call = match &pair.effect {
            Effect::Write(slot, _) => written(*slot),
            _ => pair.call.clone(),
        };
        let _ = writeln!(table, "| {what} | `{}`{answer} | `{effect}` | {why} |", cell(&call));
    }
    Ok(table)
}

/// The call that each effect is.
#[must_use]
pub fn effects() -> String {
    let (place, token) = (Place::new(Utf8Path::new("/run/lock")), Token::from(uuid::Uuid::nil()));
    let (slot, name) = (Slot::Ticket, Name::Lock);
    let single = [
        Effect::CreateAnonymous(slot),
        Effect::Create(Slot::Mutex, Name::Mutex),
        Effect::Open { slot: Slot::Judged, name, write: false },
        Effect::Open { slot: Slot::Generation, name: Name::Generation, write: true },
        Effect::Open { slot: Slot::Queue, name: Name::Queue, write: false },
        Effect::Open { slot: Slot::Ahead, name: Name::Queued(7), write: false },
        Effect::Stat(slot),
        Effect::Lock(slot, Share::Exclusive),
        Effect::Lock(Slot::Judged, Share::Shared),
        Effect::Unlock(slot),
        Effect::Close(slot),
        Effect::Read(Slot::Judged),
        Effect::Write(slot, String::new()),
        Effect::Sync(Slot::Generation),
        Effect::SyncDirectory,
        Effect::Touch(slot),
        Effect::Look(name),
        Effect::Link(slot, name),
        Effect::Link(slot, Name::Queued(8)),
        Effect::Rename { from: Name::Takeover, to: name },
        Effect::Unlink(name),
        Effect::CreateDirectory(Name::Queue),
        Effect::RemoveDirectory(Name::Queue),
    ];
    let mut table = String::from("| effect | system call |\n|---|---|\n");
    for effect in single {
        let call = match &effect {
            Effect::Write(slot, _) => written(*slot),
            effect => words::wanted(effect, &place, &token),
        };
        let _ = writeln!(table, "| `{effect}` | `{}` |", cell(&call));
    }
    let several = [
        Effect::List(Slot::Queue),
        Effect::Watch(slot),
        Effect::Sleep { until: Mono(0) },
        Effect::AskProcess { pid: 1, birth: Birth::default() },
        Effect::AskCgroup(String::new()),
        Effect::ListHolders(Slot::Judged),
        Effect::Signal { slot: Slot::Judged, first: 1, spared: false, signal: Signal::Term },
    ];
    for (effect, calls) in several.into_iter().zip(super::patterns::CALLS) {
        let _ = writeln!(table, "| `{effect}` | {calls} |");
    }
    table
}

/// The calls that need no effect.
#[must_use]
pub fn set_up() -> String {
    let mut table = String::from("| system call | by | why |\n|---|---|---|\n");
    for allowed in ALLOWED.iter().chain([&CHECK]) {
        let who = match allowed.who {
            Who::Process => "the process",
            Who::Child => "a child",
        };
        let _ = writeln!(table, "| `{}` | {who} | {} |", cell(allowed.call), allowed.reason);
    }
    table
}

/// What is written differs from time to time, and is compared to the last byte.
fn written(slot: Slot) -> String {
    format!("pwrite64({}, text, its length, 0)", Role::Slot(slot))
}

/// Within a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
