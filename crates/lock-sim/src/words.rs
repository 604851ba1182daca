//! A trace in words.

use std::borrow::Cow;
use std::fmt::Write;

use lock_core::effect::{Effect, Event, Name, Share, Signal, Slot, Wake};

use crate::explore::Trace;
use crate::scope::Universe;
use crate::world::{Action, Call, Deed, Hand, Pid, Refusal, World};

/// The trace, one line for each step, and what it breaks.
#[must_use]
pub fn tell(universe: &Universe, trace: &Trace) -> String {
    let Some(mut world) = World::starts(universe).into_iter().nth(trace.start) else {
        return String::new();
    };
    let mut story = String::new();
    if let Some(leftover) = universe.scope.leftovers.get(trace.start) {
        let _ = writeln!(story, "at the start: {leftover}");
    }
    for (turn, action) in trace.actions.iter().chain(&trace.round).enumerate() {
        if turn == trace.actions.len() {
            story.push_str("and from here on, again and again:\n");
        }
        let Some(after) = go(universe, &mut story, &world, *action) else {
            break;
        };
        world = after;
    }
    if let Some(foul) = world.foul {
        let _ = writeln!(story, "broken: {foul}");
    }
    story
}

/// One action, call by call where the scope merges several into one step.
fn go(universe: &Universe, story: &mut String, world: &World, action: Action) -> Option<World> {
    let _ = writeln!(story, "{}", line(universe, world, action));
    let mut world = world.once(universe, action)?;
    let Some(pid) = action.whose().filter(|_| universe.scope.merged) else {
        return Some(world);
    };
    let mut forced = matches!(action, Action::Deed(..));
    while world.foul.is_none() && (forced || world.is_private(universe, pid)) {
        let step = Action::Step(pid);
        if forced {
            let _ = writeln!(story, "{}", line(universe, &world, step));
        }
        world = world.once(universe, step)?;
        forced = false;
    }
    Some(world)
}

/// One action in words.
#[must_use]
pub fn line(universe: &Universe, world: &World, action: Action) -> String {
    match action {
        Action::Step(pid) => match world.call(universe, pid) {
            Some(call) if let Some(gone) = world.tears(universe, pid, &call) => {
                format!("{} begins to unlink {}: watchers are told", name(pid), path(gone))
            }
            Some(call) => {
                let event = world.event(universe, pid);
                let came = event.as_ref().map_or("", |event| came(&call, event));
                format!("{} {}{came}", name(pid), call_words(&call))
            }
            None => format!("{} ends its step", name(pid)),
        },
        Action::Unlock(pid) if world.process(pid).is_some_and(|process| process.children) => {
            format!("the kernel closes all that {} has not passed on", name(pid))
        }
        Action::Fault(pid, refusal) => {
            let call = world.call(universe, pid);
            let words = call.map_or(String::new(), |call| call_words(&call));
            let how = match refusal {
                Refusal::Whole => "the system refuses",
                Refusal::Half => "half of it, then the disk is full",
            };
            format!("{} {words}: {how}", name(pid))
        }
        _ => choice(action),
    }
}

/// One action, whatever the world: what there is to choose from.
#[must_use]
pub fn choice(action: Action) -> String {
    match action {
        Action::Step(pid) => format!("{} goes on", name(pid)),
        Action::Fault(pid, _) => format!("{} is refused", name(pid)),
        Action::Deed(pid, deed) => format!("{} {}", name(pid), deed_words(deed)),
        Action::Crash(pid) => format!("{} is killed", name(pid)),
        Action::Orphan(pid) => {
            format!("{} is killed; its children keep its ticket open", name(pid))
        }
        Action::Outlive(pid) => {
            format!("{} ends its step; a tool of it runs on", name(pid))
        }
        Action::WorkEnds(pid) => format!("the children of {} end", name(pid)),
        Action::Unlock(pid) => format!("the kernel drops the locks of {}", name(pid)),
        Action::Wake(pid) => format!("{} ends its nap", name(pid)),
        Action::Doze(pid) => format!("{} looks again and again, and sleeps for long", name(pid)),
        Action::Cancel(pid) => format!("{} is cancelled in its sleep", name(pid)),
        Action::Return(pid) => format!("{} comes again", name(pid)),
        Action::Tick => format!("a long time passes ({} s)", crate::scope::TICK / 1000),
        Action::Suspend => "the machine is suspended for long, and resumes".to_owned(),
        Action::SetWall(whose, forward) => {
            let whose = whose.map_or("the file system".to_owned(), name);
            let whither = if forward { "forward" } else { "back" };
            format!("the wall clock of {whose} is set {whither}")
        }
        Action::Hand(Hand::Make(made)) => format!("somebody makes {}, empty", path(made)),
        Action::Hand(Hand::Remove(gone)) => format!("somebody removes {}", path(gone)),
    }
}

const fn deed_words(deed: Deed) -> &'static str {
    match deed {
        Deed::Renew => "means to renew",
        Deed::Step => "means to take a step",
        Deed::Release => "means to release",
    }
}

pub(crate) fn call_words(call: &Call) -> String {
    let effect = match call {
        Call::Truncate(_, name) => return format!("opens {} to overwrite it", path(*name)),
        Call::OpenOrCreate(_, name) => return format!("opens {}, or makes it", path(*name)),
        Call::Core(effect) => effect,
    };
    match effect {
        Effect::CreateAnonymous(_) => "makes a ticket without a name".to_owned(),
        Effect::Create(_, name) => format!("creates {}", path(*name)),
        Effect::Open { name, .. } => format!("opens {}", path(*name)),
        Effect::Stat(slot) => format!("asks for the facts of {}", file(*slot)),
        Effect::Lock(slot, Share::Exclusive) => format!("kernel-locks {}", file(*slot)),
        Effect::Lock(slot, Share::Shared) => format!("asks whether {} is locked", file(*slot)),
        Effect::Unlock(slot) => format!("unlocks {}", file(*slot)),
        Effect::Close(slot) => format!("closes {}", file(*slot)),
        Effect::Read(slot) => format!("reads {}", file(*slot)),
        Effect::Write(slot, _) => format!("writes {}", file(*slot)),
        Effect::Sync(slot) => format!("syncs {}", file(*slot)),
        Effect::SyncDirectory => "syncs the directory".to_owned(),
        Effect::Touch(slot) => format!("touches {}", file(*slot)),
        Effect::Look(name) => format!("looks at {}", path(*name)),
        Effect::Link(Slot::Ahead, name) => {
            format!("links {} as {}", file(Slot::Ahead), path(*name))
        }
        Effect::Link(_, name) => format!("links its ticket as {}", path(*name)),
        Effect::Rename { from, to } => format!("renames {} to {}", path(*from), path(*to)),
        Effect::Unlink(name) => format!("unlinks {}", path(*name)),
        Effect::CreateDirectory(name) => format!("makes {}", path(*name)),
        Effect::RemoveDirectory(name) => format!("removes {} if it is empty", path(*name)),
        Effect::List(_) => "lists the queue".to_owned(),
        Effect::Watch(slot) => format!("watches {}", file(*slot)),
        Effect::Sleep { .. } => "sleeps".to_owned(),
        Effect::AskProcess { .. } => "asks whether the owner's process runs".to_owned(),
        Effect::AskCgroup(_) => "asks whether the cgroup is populated".to_owned(),
        Effect::ListHolders(slot) => format!("lists who has {} locked", file(*slot)),
        Effect::ListHoldersOf(inode) => format!("lists who has file {} locked", inode.number),
        Effect::Signal { slot, signal, .. } => match signal {
            Signal::Term => format!("asks those to end that have {} locked", file(*slot)),
            Signal::Kill => format!("kills those that have {} locked", file(*slot)),
        },
    }
}

/// What came of it, where that does not go without saying.
const fn came(call: &Call, event: &Event) -> &'static str {
    match (call, event) {
        (Call::Core(Effect::Lock(_, Share::Shared)), Event::Done) => ": it is not",
        (Call::Core(Effect::Lock(_, Share::Shared)), Event::Busy) => ": it is",
        (Call::Core(Effect::AskProcess { .. }), Event::Absent) => ": it does not",
        (_, Event::Busy) => ": another has it locked",
        (_, Event::Absent) => ": it is not there",
        (_, Event::Exists) => ": it is there already",
        (_, Event::Unsupported) => ": not possible here",
        (_, Event::Symlink) => ": a symbolic link",
        (_, Event::Failed(_)) => ": refused",
        (_, Event::Woken(Wake::Changed)) => " until the file changes",
        (_, Event::Woken(Wake::Closed)) => " until the file is closed",
        (_, Event::Woken(Wake::Cancelled)) => " until it is cancelled",
        (_, Event::Woken(Wake::Due)) => " until the time comes",
        (Call::Core(Effect::AskProcess { .. }), Event::Done) => ": it does",
        (_, Event::Holders(holders)) if holders.is_empty() => ": none",
        (
            _,
            Event::Done | Event::Stat(_) | Event::Bytes(_) | Event::Listed(_) | Event::Holders(_),
        ) => "",
    }
}

/// A path in words.
#[must_use]
pub fn path(name: Name) -> Cow<'static, str> {
    Cow::Borrowed(match name {
        Name::Lock => "the lock",
        Name::Mutex => "the mutex",
        Name::Reclaim => "the reclaim lock",
        Name::Takeover => "the takeover name",
        Name::Ticket => "a name of its own",
        Name::Generation => "the generation file",
        Name::GenerationDraft => "the next generation file",
        Name::Queue => "the queue",
        Name::Queued(number) => return Cow::Owned(format!("number {number}")),
    })
}

const fn file(slot: Slot) -> &'static str {
    match slot {
        Slot::Ticket => "its own file",
        Slot::Mutex => "its mutex file",
        Slot::Reclaim => "its reclaim file",
        Slot::Judged => "the lock file it opened",
        Slot::Guard => "the mutex file it opened",
        Slot::Rival => "the reclaim file it opened",
        Slot::Generation => "the generation file",
        Slot::Queue => "the queue",
        Slot::Ahead => "the ticket before it",
    }
}

/// A letter for each process, and a number where there are not letters enough.
#[must_use]
pub fn name(pid: Pid) -> String {
    let letter = char::from(b'A' + pid % 26);
    match pid / 26 {
        0 => letter.to_string(),
        more => format!("{letter}{}", more + 1),
    }
}
